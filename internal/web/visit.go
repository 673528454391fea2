package web

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/authz"
	"rollcall/internal/problem"
)

// visit is one request for a page.
type visit struct {
	w      http.ResponseWriter
	r      *http.Request
	who    authz.Principal
	csrf   string
	status int // 0 is 200
}

func (v *visit) path(name string) string { return v.r.PathValue(name) }

// may reports whether the visitor could do what needs the permission.
func (v *visit) may(p authz.Permission, service, environment string) bool {
	return authz.Authorize(&v.who, p, service, environment) == authz.AccessAllowed
}

// sees is CodeNotFound for what is not within the visitor's scopes.
func (v *visit) sees(service, environment string) error {
	if v.may(authz.PermissionRead, service, environment) {
		return nil
	}
	return &problem.Error{Code: problem.CodeNotFound, Message: "there is no such page"}
}

// visited lets in who is signed in, and shows what went wrong as a page.
func (s *site) visited(page func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if page == nil {
			page = nowhere
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		v := &visit{w: w, r: r}
		var err error
		if v.who, err = s.Who.Authenticate(bearing(r)); err == nil {
			v.csrf = proof(formKey(w, r), credential(r))
			err = legible(r.URL)
		}
		if err == nil {
			err = page(v)
		}
		if err != nil {
			s.fail(v, err)
		}
	})
}

// legible refuses an address that does not hold text: pages take names from it to the database as they are.
func legible(u *url.URL) error {
	if !isText(u.Path) {
		return nowhere(nil)
	}
	for name, values := range u.Query() {
		if !isText(name) || !isText(strings.Join(values, "")) {
			return &problem.Error{Code: problem.CodeInvalid, Message: "the address holds something that is no text"}
		}
	}
	return nil
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

// frame is what is around every page.
type frame struct {
	Title, Tab string
	Who        authz.Principal
	Open       bool
	Proof      string
	Now        time.Time
	Page       any
}

// show writes a page, or the one part of it that the script asks for.
func (s *site) show(v *visit, name, title, tab string, page any) {
	template, about := "frame.html", any(frame{
		Title: title, Tab: tab, Who: v.who, Open: s.Open, Proof: v.csrf, Now: time.Now().UTC(), Page: page,
	})
	if part := v.r.Header.Get("Rollcall-Part"); part != "" && s.pages[name].Lookup("part_"+part) != nil {
		template, about = "part_"+part, page
	}
	var out bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&out, template, about); err != nil {
		s.Log.ErrorContext(v.r.Context(), "a page of the dashboard cannot be made", "page", name, "error", err)
		http.Error(v.w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(max(v.status, http.StatusOK))
	_, _ = v.w.Write(out.Bytes()) // the reader went away: there is nobody to tell
}

type problemPage struct {
	Status       int
	Title        string
	Detail       string
	DeploymentID string
}

// fail shows an error, or the way to sign in.
func (s *site) fail(v *visit, err error) {
	if v.r.Context().Err() != nil {
		return // the reader went away: there is nobody to tell
	}
	code := problem.CodeOf(err)
	if code == problem.CodeUnauthenticated && v.r.Header.Get("Rollcall-Part") == "" {
		s.sendToSignIn(v)
		return
	}
	page := problemPage{Status: statusOf(code), Detail: sentence(err)}
	page.Title = map[int]string{
		http.StatusNotFound: "Not found", http.StatusForbidden: "Not allowed", http.StatusConflict: "Not possible now",
		http.StatusServiceUnavailable: "The database cannot be reached", http.StatusTooManyRequests: "Too many requests",
		http.StatusUnprocessableEntity: "That is not valid", http.StatusUnauthorized: "Sign in again",
	}[page.Status]
	if page.Title == "" {
		page.Title, page.Detail = "Something is broken here", "The server's log says what."
		s.Log.LogAttrs(v.r.Context(), slog.LevelError, "a page of the dashboard failed", slog.String("path", v.r.URL.Path), slog.Any("error", err))
	}
	if e, ok := errors.AsType[*problem.Error](err); ok {
		page.DeploymentID = e.ID
	}
	v.status = page.Status
	s.show(v, "page_problem.html", page.Title, "", page)
}

// sendToSignIn leads to the page that asks for a token. A browser that follows a link from another site brings no cookie
// that is for this site alone: it is told to come again, by itself, and brings it then.
func (s *site) sendToSignIn(v *visit) {
	if v.r.Method == http.MethodGet && v.r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		v.w.Header().Set("Refresh", "0")
		v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
		return
	}
	next := ""
	if v.r.Method == http.MethodGet && v.r.URL.Path != "/" {
		next = "?next=" + url.QueryEscape(v.r.URL.RequestURI())
	}
	http.Redirect(v.w, v.r, root+"/sign-in"+next, http.StatusSeeOther)
}

func statusOf(code problem.Code) int {
	switch code {
	case problem.CodeNotFound:
		return http.StatusNotFound
	case problem.CodeForbidden:
		return http.StatusForbidden
	case problem.CodeConflict, problem.CodeStale, problem.CodeInProgress, problem.CodeKeyReused:
		return http.StatusConflict
	case problem.CodeUnavailable:
		return http.StatusServiceUnavailable
	case problem.CodeRateLimited:
		return http.StatusTooManyRequests
	case problem.CodeInvalid:
		return http.StatusUnprocessableEntity
	case problem.CodeUnauthenticated:
		return http.StatusUnauthorized
	case problem.CodeOwnershipLost:
		return http.StatusInternalServerError
	default:
		return http.StatusInternalServerError
	}
}

// sentence is what a person is told of an error: never its cause.
func sentence(err error) string {
	e, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return "Something is broken here; the server's log says what."
	}
	text := e.Message
	for _, p := range e.Fields {
		text += "; " + p.Pointer + " " + p.Detail
	}
	return capital(text) + "."
}
