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

// pageRequest is a request for a page.
type pageRequest struct {
	w         http.ResponseWriter
	r         *http.Request
	principal authz.Principal
	csrf      string
	status    int // 0 is 200
}

func (v *pageRequest) pathValue(name string) string { return v.r.PathValue(name) }

// isAllowed reports whether the user has the permission.
func (v *pageRequest) isAllowed(p authz.Permission, service, environment string) bool {
	return authz.Authorize(&v.principal, p, service, environment) == authz.AccessAllowed
}

// requireRead returns CodeNotFound for what is not within the user's scopes.
func (v *pageRequest) requireRead(service, environment string) error {
	if v.isAllowed(authz.PermissionRead, service, environment) {
		return nil
	}
	return &problem.Error{Code: problem.CodeNotFound, Message: "page not found"}
}

// servePage authenticates the user and serves the page, or a page with the error.
func (s *site) servePage(page func(*pageRequest) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if page == nil {
			page = errNotFound
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		v := &pageRequest{w: w, r: r}
		var err error
		if v.principal, err = s.Who.Authenticate(withBearer(r)); err == nil {
			v.csrf = csrfToken(formKey(w, r), cookieToken(r))
			err = requireText(r.URL)
		}
		if err == nil {
			err = page(v)
		}
		if err != nil {
			s.renderError(v, err)
		}
	})
}

// requireText rejects an address that is not text: pages pass names in it to the database as they are.
func requireText(u *url.URL) error {
	if !isText(u.Path) {
		return errNotFound(nil)
	}
	for name, values := range u.Query() {
		if !isText(name) || !isText(strings.Join(values, "")) {
			return &problem.Error{Code: problem.CodeInvalid, Message: "the address contains control characters or invalid UTF-8"}
		}
	}
	return nil
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

// frame is the layout around every page.
type frame struct {
	Title, Tab string
	Who        authz.Principal
	Open       bool
	CSRF       string
	Now        time.Time
	Page       any
}

// renderPage writes a page, or the part of it that the script requests.
func (s *site) renderPage(v *pageRequest, name, title, tab string, page any) {
	template, about := "frame.html", any(frame{
		Title: title, Tab: tab, Who: v.principal, Open: s.Open, CSRF: v.csrf, Now: time.Now().UTC(), Page: page,
	})
	if part := v.r.Header.Get("Rollcall-Part"); part != "" && s.pages[name].Lookup("part_"+part) != nil {
		template, about = "part_"+part, page
	}
	var out bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&out, template, about); err != nil {
		s.Log.ErrorContext(v.r.Context(), "cannot render a dashboard page", "page", name, "error", err)
		http.Error(v.w, "This page cannot be rendered.", http.StatusInternalServerError)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(max(v.status, http.StatusOK))
	_, _ = v.w.Write(out.Bytes()) // the browser has disconnected
}

type problemPage struct {
	Status       int
	Title        string
	Detail       string
	DeploymentID string
}

// renderError shows an error page, or redirects to the sign-in page.
func (s *site) renderError(v *pageRequest, err error) {
	if v.r.Context().Err() != nil {
		return // the browser has disconnected
	}
	code := problem.CodeOf(err)
	if code == problem.CodeUnauthenticated && v.r.Header.Get("Rollcall-Part") == "" {
		s.redirectToSignIn(v)
		return
	}
	page := problemPage{Status: statusOf(code), Detail: userMessage(err)}
	page.Title = map[int]string{
		http.StatusNotFound: "Not found", http.StatusForbidden: "Not allowed", http.StatusConflict: "Conflict with current state",
		http.StatusServiceUnavailable: "Database unavailable", http.StatusTooManyRequests: "Too many requests",
		http.StatusUnprocessableEntity: "Invalid request", http.StatusUnauthorized: "Sign in again",
	}[page.Status]
	if page.Title == "" {
		page.Title, page.Detail = "Internal error", "See the server's log."
		s.Log.LogAttrs(v.r.Context(), slog.LevelError, "failed to serve a dashboard page", slog.String("path", v.r.URL.Path), slog.Any("error", err))
	}
	if e, ok := errors.AsType[*problem.Error](err); ok {
		page.DeploymentID = e.ID
	}
	v.status = page.Status
	s.renderPage(v, "page_problem.html", page.Title, "", page)
}

// redirectToSignIn redirects to the sign-in page. A browser that follows a link from another site does not send the
// same-site cookie: the page then reloads itself, and the browser sends it.
func (s *site) redirectToSignIn(v *pageRequest) {
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

// userMessage returns an error's message for the user, without its cause.
func userMessage(err error) string {
	e, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return "Internal error; see the server's log."
	}
	text := e.Message
	for _, p := range e.Fields {
		text += "; " + p.Pointer + " " + p.Detail
	}
	return capitalize(text) + "."
}
