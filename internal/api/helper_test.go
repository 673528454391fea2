package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"rollcall"
	"rollcall/internal/api"
	"rollcall/internal/authz"
)

// client talks to a server of its own, over real HTTP; every answer is compared with openapi.yaml.
type client struct {
	t    *testing.T
	http *http.Client
	url  string
	// token is sent with every request; empty for none.
	token string
}

// answer is an answer with its body read.
type answer struct {
	*http.Response
	body []byte
}

// serve starts the API; what a test leaves out of the configuration gets a harmless value.
func serve(t *testing.T, c api.Config) *client {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return serveWithin(t, c, 0)
}

// serveWithin starts the API on a server with timeouts for reading a request, and eight times that for writing an answer.
func serveWithin(t *testing.T, c api.Config, timeout time.Duration) *client {
	t.Helper()
	if c.Who == nil {
		c.Who = everybody{}
	}
	if c.StoreTimeout == 0 {
		c.StoreTimeout = time.Minute // a disk on which many tests work stands still for seconds; the bound has tests of its own
	}
	handler, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ReadTimeout, server.Config.WriteTimeout = timeout, 8*timeout
	server.Start()
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, url: server.URL, http: &http.Client{Transport: newContractTransport(t, transport)}}
}

// everybody lets all in, as one who may do everything.
type everybody struct{ api.Authenticator }

func (everybody) Authenticate(*http.Request) (authz.Principal, error) {
	return authz.Principal{Name: "ann", Role: authz.RoleAdmin, Scopes: authz.Everywhere()}, nil
}

func (c *client) do(method, path, body string, headers ...string) answer {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	request.GetBody = nil // net/http would send a request with an Idempotency-Key twice
	for i := 0; i+1 < len(headers); i += 2 {
		if strings.EqualFold(headers[i], "Content-Type") {
			request.Header.Del(headers[i])
		}
		request.Header[headers[i]] = append(request.Header[headers[i]], headers[i+1])
	}
	return c.send(request)
}

// doIn is do for a subtest.
func (c *client) doIn(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	return (&client{t: t, http: c.http, url: c.url, token: c.token}).do(method, path, body, headers...)
}

func (c *client) send(request *http.Request) answer {
	c.t.Helper()
	response, err := c.http.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{Response: response, body: body}
}

func (c *client) get(path string, headers ...string) answer {
	c.t.Helper()
	return c.do(http.MethodGet, path, "", headers...)
}

func (c *client) post(body string, headers ...string) answer {
	c.t.Helper()
	return c.do(http.MethodPost, "/deployments", body, headers...)
}

// object is the body as a JSON object.
func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(a.body, &object); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return object
}

func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	return a
}

// wantProblem checks that the answer is a problem of the status that points at the pointer, if there is one.
func (a answer) wantProblem(t *testing.T, status int, pointer string) {
	t.Helper()
	a.want(t, status)
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q of a problem", got)
	}
	var problem struct {
		Status int
		Errors []struct{ Pointer, Detail string }
	}
	if err := json.Unmarshal(a.body, &problem); err != nil {
		t.Fatal(err)
	}
	if problem.Status != status {
		t.Errorf("the problem says %d, the answer %d", problem.Status, status)
	}
	if pointer == noPointer {
		return
	}
	for _, e := range problem.Errors {
		if e.Pointer == pointer {
			return
		}
	}
	t.Errorf("nothing points at %q: %s", pointer, a.body)
}

const noPointer = "-"

// contractTransport fails the test when an answer is not what openapi.yaml promises.
type contractTransport struct {
	t      *testing.T
	next   http.RoundTripper
	doc    *openapi3.T
	router routers.Router
}

// described is openapi.yaml, as answers are compared with it.
type described struct {
	doc    *openapi3.T
	router routers.Router
}

// description reads openapi.yaml once, because that takes a while.
var description = sync.OnceValues(func() (described, error) {
	doc, err := openapi3.NewLoader().LoadFromData(rollcall.OpenAPI)
	if err != nil {
		return described{}, err
	}
	router, err := gorillamux.NewRouter(doc)
	return described{doc, router}, err
})

func newContractTransport(t *testing.T, next http.RoundTripper) *contractTransport {
	t.Helper()
	described, err := description()
	if err != nil {
		t.Fatal(err)
	}
	return &contractTransport{t: t, next: next, doc: described.doc, router: described.router}
}

func (c *contractTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	if err := c.compare(request, response, body); err != nil {
		c.t.Errorf("%s %s: %d breaks openapi.yaml: %v\n%s", request.Method, request.URL, response.StatusCode, err, body)
	}
	return response, nil
}

func (c *contractTransport) compare(request *http.Request, response *http.Response, body []byte) error {
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Request-Id": "", "Referrer-Policy": "no-referrer", "Cache-Control": "",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := response.Header.Get(name); got == "" || want != "" && got != want {
			return fmt.Errorf("the header %s is %q", name, got)
		}
	}
	routed := request.Clone(request.Context())
	routed.URL = &url.URL{Path: request.URL.Path}
	if routed.Method == http.MethodHead {
		return nil
	}
	route, params, err := c.router.FindRoute(routed)
	if err != nil || response.StatusCode == http.StatusMethodNotAllowed {
		var problem any
		if err := json.Unmarshal(body, &problem); err != nil {
			return err
		}
		return c.doc.Components.Schemas["Problem"].Value.VisitJSON(problem)
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: routed, Route: route, PathParams: params},
		Status:                 response.StatusCode, Header: response.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	return openapi3filter.ValidateResponse(request.Context(), in.SetBodyBytes(body))
}

// newRecorder answers one request without a network, for what a client cannot send or see.
func newRecorder(t *testing.T, h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
