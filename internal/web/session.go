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
	// tokenCookie holds the credential of who signed in, formCookie what this browser's forms are proved by.
	tokenCookie = "rollcall_token"
	formCookie  = "rollcall_form"
	// signedInFor is how long a browser keeps the credential.
	signedInFor = 12 * time.Hour
	// maxToken is the longest token that fits into a cookie once it is encoded.
	maxToken = 2900
	maxForm  = 64 << 10
)

// credential is the token that the browser brings; empty for none.
func credential(r *http.Request) string {
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
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // without TLS a Secure cookie would never come back; with it, it is one
		Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()), HttpOnly: true,
		Secure: overTLS(r), SameSite: http.SameSiteStrictMode,
	})
}

// overTLS reports whether the browser came over TLS, here or at the proxy in front.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// bearing is the request as the API knows it: with the credential where it expects one.
func bearing(r *http.Request) *http.Request {
	asked := r.Clone(r.Context())
	asked.Header.Del("Authorization")
	asked.Header.Del("Cookie")
	if token := credential(r); token != "" {
		asked.Header.Set("Authorization", "Bearer "+token)
	}
	return asked
}

// formKey is the secret of this browser that its forms are proved by; a new one when it has none. No other site can read
// it, nor make the browser send it.
func formKey(w http.ResponseWriter, r *http.Request) string {
	if cookie, err := r.Cookie(formCookie); err == nil && len(cookie.Value) >= 26 {
		return cookie.Value
	}
	key := rand.Text()
	setCookie(w, r, formCookie, key, 365*24*time.Hour)
	return key
}

// proof is what every form carries: it belongs to this browser and to whoever is signed in there.
func proof(key, token string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(token))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ours reports whether a form that was sent is one of our pages'.
func ours(r *http.Request) error {
	cookie, err := r.Cookie(formCookie)
	foreign := http.NewCrossOriginProtection().Check(r)
	if err == nil && foreign == nil && hmac.Equal([]byte(r.PostFormValue("proof")), []byte(proof(cookie.Value, credential(r)))) {
		return nil
	}
	return &problem.Error{
		Code: problem.CodeForbidden, Err: foreign,
		Message: "this form is not from a page of this browser, or from one that is too old: open the page again",
	}
}

// showSignIn is the page that asks for a token.
func (s *site) showSignIn(w http.ResponseWriter, r *http.Request) {
	s.askForToken(w, r, http.StatusOK, "")
}

type signInPage struct{ Next, Problem string }

func (s *site) askForToken(w http.ResponseWriter, r *http.Request, status int, problem string) {
	next := local(r.FormValue("next"))
	s.show(&visit{w: w, r: r, status: status, csrf: proof(formKey(w, r), credential(r))},
		"page_sign_in.html", "Sign in", "", signInPage{Next: next, Problem: problem})
}

// signIn keeps a token that is good.
func (s *site) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	token := strings.TrimSpace(r.PostFormValue("token"))
	if err := ours(r); err != nil {
		s.askForToken(w, r, http.StatusForbidden, sentence(err))
		return
	}
	if token == "" || len(token) > maxToken {
		s.askForToken(w, r, http.StatusUnprocessableEntity, "Paste a token.")
		return
	}
	asked := bearing(r)
	asked.Header.Set("Authorization", "Bearer "+token)
	if _, err := s.Who.Authenticate(asked); err != nil {
		s.askForToken(w, r, http.StatusUnauthorized, sentence(err))
		return
	}
	setCookie(w, r, tokenCookie, base64.RawURLEncoding.EncodeToString([]byte(token)), signedInFor)
	http.Redirect(w, r, local(r.PostFormValue("next")), http.StatusSeeOther) //nolint:gosec // local leads nowhere else
}

func (s *site) signOut(v *visit) error {
	if err := ours(v.r); err != nil {
		return err
	}
	setCookie(v.w, v.r, tokenCookie, "", -time.Second)
	http.Redirect(v.w, v.r, root+"/sign-in", http.StatusSeeOther)
	return nil
}

// local is a path of this dashboard, so that nobody is sent to another site after signing in.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, root+"/") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return u.RequestURI()
}
