package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"rollcall/internal/problem"
)

// answer is an http.ResponseWriter that keeps what the API says.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(data []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(data)
}

// ask makes a POST to the API in the visitor's name, and reads its answer into what into points to.
func (s *site) ask(v *visit, path string, header http.Header, body, into any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode what is asked of %s: %w", path, err)
	}
	return s.call(v, http.MethodPost, path, header, encoded, into)
}

// read is ask for a GET.
func (s *site) read(v *visit, path string, into any) error {
	return s.call(v, http.MethodGet, path, nil, nil, into)
}

func (s *site) call(v *visit, method, path string, header http.Header, body []byte, into any) error {
	r, err := http.NewRequestWithContext(v.r.Context(), method, path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	r.Host, r.RemoteAddr, r.RequestURI = v.r.Host, v.r.RemoteAddr, path
	if header != nil {
		r.Header = header
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	if authorization := bearing(v.r).Header.Get("Authorization"); authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	got := &answer{header: http.Header{}}
	s.API.ServeHTTP(got, r)
	if got.status >= http.StatusBadRequest {
		return got.problem()
	}
	if err := json.Unmarshal(got.body.Bytes(), into); err != nil {
		return fmt.Errorf("read what %s answers: %w", path, err)
	}
	return nil
}

// problem is the API's problem+json as the error that it was.
func (a *answer) problem() error {
	var said struct {
		Detail       string                             `json:"detail"`
		DeploymentID string                             `json:"deployment_id"`
		Errors       []struct{ Pointer, Detail string } `json:"errors"`
	}
	if err := json.Unmarshal(a.body.Bytes(), &said); err != nil {
		return fmt.Errorf("read a problem of the API, status %d: %w", a.status, err)
	}
	e := &problem.Error{Message: said.Detail, ID: said.DeploymentID, Code: map[int]problem.Code{
		http.StatusNotFound: problem.CodeNotFound, http.StatusForbidden: problem.CodeForbidden, http.StatusConflict: problem.CodeConflict,
		http.StatusPreconditionFailed: problem.CodeConflict, http.StatusUnprocessableEntity: problem.CodeInvalid,
		http.StatusBadRequest: problem.CodeInvalid, http.StatusServiceUnavailable: problem.CodeUnavailable,
		http.StatusTooManyRequests: problem.CodeRateLimited, http.StatusUnauthorized: problem.CodeUnauthenticated,
	}[a.status]}
	for _, p := range said.Errors {
		e.Fields = append(e.Fields, problem.FieldError{Pointer: p.Pointer, Detail: p.Detail})
	}
	return e
}

// streamOne streams one deployment's events, streamAll those of all that the visitor may see.
func (s *site) streamOne(w http.ResponseWriter, r *http.Request) {
	s.stream(w, r, "/deployments/"+url.PathEscape(r.PathValue("id"))+"/events")
}

func (s *site) streamAll(w http.ResponseWriter, r *http.Request) { s.stream(w, r, "/events") }

// stream is the API's own stream, for a browser whose credential is in a cookie.
func (s *site) stream(w http.ResponseWriter, r *http.Request, path string) {
	asked := bearing(r)
	to, err := url.Parse(path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	to.RawQuery = r.URL.RawQuery
	asked.URL, asked.RequestURI = to, to.RequestURI()
	asked.Header.Set("Accept", "text/event-stream")
	s.API.ServeHTTP(w, asked)
}
