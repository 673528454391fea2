package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rollcall/internal/problem"
)

const (
	// tokenCookie holds the user's token, formCookie the key of the browser's CSRF tokens.
	tokenCookie = "rollcall_token"
	formCookie  = "rollcall_form"
	// sessionLifetime is how long a browser keeps the token.
	sessionLifetime = 12 * time.Hour
	// maxToken is the longest token that, encoded, fits into a cookie.
	maxToken = 2900
	maxForm  = 64 << 10
)

// cookieToken returns the token in the browser's cookie; empty for none.
func cookieToken(r *http.Request) string {
	cookie, err := r.Cookie(tokenCookie)
	if err != nil {
		return ""
	}
	token, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return ""
	}
	return string(token)
}

func setCookie(w http.ResponseWriter, r *http.Request, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // a Secure cookie is not sent without TLS; with TLS it is Secure
		Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()), HttpOnly: true,
		Secure: overTLS(r), SameSite: http.SameSiteStrictMode,
	})
}

// overTLS reports whether the browser uses TLS, to this server or to a proxy.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// withBearer returns the request with the cookie's token in the Authorization header, as the API requires.
func withBearer(r *http.Request) *http.Request {
	request := r.Clone(r.Context())
	request.Header.Del("Authorization")
	request.Header.Del("Cookie")
	if token := cookieToken(r); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request
}

// formKey returns the key of the browser's CSRF tokens, and sets a new one if it has none. No other site can read it or
// make the browser send it.
func formKey(w http.ResponseWriter, r *http.Request) string {
	if cookie, err := r.Cookie(formCookie); err == nil && len(cookie.Value) >= 26 {
		return cookie.Value
	}
	key := rand.Text()
	setCookie(w, r, formCookie, key, 365*24*time.Hour)
	return key
}

// csrfToken returns the CSRF token of all forms, bound to the browser and the signed-in user.
func csrfToken(key, token string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(token))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// verifyCSRF rejects a form that does not carry the browser's CSRF token.
func verifyCSRF(r *http.Request) error {
	cookie, err := r.Cookie(formCookie)
	crossOrigin := http.NewCrossOriginProtection().Check(r)
	if err == nil && crossOrigin == nil && hmac.Equal([]byte(r.PostFormValue("proof")), []byte(csrfToken(cookie.Value, cookieToken(r)))) {
		return nil
	}
	return &problem.Error{
		Code: problem.CodeForbidden, Err: crossOrigin,
		Message: "the form has expired or is not from this browser; reload the page and try again",
	}
}

// showSignIn serves the sign-in page.
func (s *site) showSignIn(w http.ResponseWriter, r *http.Request) {
	s.renderSignIn(w, r, http.StatusOK, "")
}

type signInPage struct{ Next, Problem string }

func (s *site) renderSignIn(w http.ResponseWriter, r *http.Request, status int, problem string) {
	next := localPath(r.FormValue("next"))
	s.renderPage(&pageRequest{w: w, r: r, status: status, csrf: csrfToken(formKey(w, r), cookieToken(r))},
		"page_sign_in.html", "Sign in", "", signInPage{Next: next, Problem: problem})
}

// signIn stores a valid token in the cookie.
func (s *site) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	token := strings.TrimSpace(r.PostFormValue("token"))
	if err := verifyCSRF(r); err != nil {
		s.renderSignIn(w, r, http.StatusForbidden, userMessage(err))
		return
	}
	if token == "" || len(token) > maxToken {
		s.renderSignIn(w, r, http.StatusUnprocessableEntity, "Enter a token.")
		return
	}
	request := withBearer(r)
	request.Header.Set("Authorization", "Bearer "+token)
	if _, err := s.Who.Authenticate(request); err != nil {
		s.renderSignIn(w, r, http.StatusUnauthorized, userMessage(err))
		return
	}
	setCookie(w, r, tokenCookie, base64.RawURLEncoding.EncodeToString([]byte(token)), sessionLifetime)
	http.Redirect(w, r, localPath(r.PostFormValue("next")), http.StatusSeeOther) //nolint:gosec // localPath allows no other site
}

func (s *site) signOut(v *pageRequest) error {
	if err := verifyCSRF(v.r); err != nil {
		return err
	}
	setCookie(v.w, v.r, tokenCookie, "", -time.Second)
	http.Redirect(v.w, v.r, root+"/sign-in", http.StatusSeeOther)
	return nil
}

// localPath returns next if it is a path of this dashboard, else "/": signing in must not redirect to another site.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, root+"/") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return u.RequestURI()
}
