package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"rollcall/internal/api/httpkit"
	"rollcall/internal/problem"
)

// postAPI sends a POST to the API with the user's credential, and decodes the response into into.
func (s *site) postAPI(v *pageRequest, path string, header http.Header, body, into any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode a request to %s: %w", path, err)
	}
	return s.callAPI(v, http.MethodPost, path, header, encoded, into)
}

// getAPI calls the API with a GET.
func (s *site) getAPI(v *pageRequest, path string, into any) error {
	return s.callAPI(v, http.MethodGet, path, nil, nil, into)
}

func (s *site) callAPI(v *pageRequest, method, path string, header http.Header, body []byte, into any) error {
	r, err := http.NewRequestWithContext(v.r.Context(), method, path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request to %s: %w", path, err)
	}
	r.Host, r.RemoteAddr, r.RequestURI = v.r.Host, v.r.RemoteAddr, path
	if header != nil {
		r.Header = header
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	if authorization := withBearer(v.r).Header.Get("Authorization"); authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response := &httpkit.Recorder{}
	s.API.ServeHTTP(response, r)
	if response.Status() >= http.StatusBadRequest {
		return problemError(response)
	}
	if err := json.Unmarshal(response.Body(), into); err != nil {
		return fmt.Errorf("decode the response of %s: %w", path, err)
	}
	return nil
}

// problemError returns the error that the API's problem document describes.
func problemError(response *httpkit.Recorder) error {
	var doc struct {
		Detail       string                             `json:"detail"`
		DeploymentID string                             `json:"deployment_id"`
		Errors       []struct{ Pointer, Detail string } `json:"errors"`
	}
	if err := json.Unmarshal(response.Body(), &doc); err != nil {
		return fmt.Errorf("read a problem of the API, status %d: %w", response.Status(), err)
	}
	e := &problem.Error{Message: doc.Detail, ID: doc.DeploymentID, Code: map[int]problem.Code{
		http.StatusNotFound: problem.CodeNotFound, http.StatusForbidden: problem.CodeForbidden, http.StatusConflict: problem.CodeConflict,
		http.StatusPreconditionFailed: problem.CodeConflict, http.StatusUnprocessableEntity: problem.CodeInvalid,
		http.StatusBadRequest: problem.CodeInvalid, http.StatusServiceUnavailable: problem.CodeUnavailable,
		http.StatusTooManyRequests: problem.CodeRateLimited, http.StatusUnauthorized: problem.CodeUnauthenticated,
	}[response.Status()]}
	for _, p := range doc.Errors {
		e.Fields = append(e.Fields, problem.FieldError{Pointer: p.Pointer, Detail: p.Detail})
	}
	return e
}

// streamOne streams one deployment's events, streamAll those of all deployments within the user's scopes.
func (s *site) streamOne(w http.ResponseWriter, r *http.Request) {
	s.proxyStream(w, r, "/deployments/"+url.PathEscape(r.PathValue("id"))+"/events")
}

func (s *site) streamAll(w http.ResponseWriter, r *http.Request) { s.proxyStream(w, r, "/events") }

// proxyStream serves an event stream of the API to a browser, whose credential is in a cookie.
func (s *site) proxyStream(w http.ResponseWriter, r *http.Request, path string) {
	request := withBearer(r)
	to, err := url.Parse(path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	to.RawQuery = r.URL.RawQuery
	request.URL, request.RequestURI = to, to.RequestURI()
	request.Header.Set("Accept", "text/event-stream")
	s.API.ServeHTTP(w, request)
}
