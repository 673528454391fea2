package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/go-chi/chi/v5"

	"rollcall"
	"rollcall/internal/api/httpkit"
	"rollcall/internal/problem"
)

const (
	maxBody = 8 << 20
	// Of larger bodies only the first fault is reported, because a list of everything could take much more memory than the
	// body.
	maxBodyForAllProblems = 64 << 10
)

// contract is openapi.yaml, ready to check requests against.
type contract struct {
	// largeHooks bounds how many large notifications are in memory at once.
	largeHooks chan struct{}
	// routes are found by method and path template ("GET /deployments/{id}"), which chi and OpenAPI write alike.
	routes map[string]*routers.Route
}

// loadContract returns the contract of a server: openapi.yaml by route.
func loadContract() (*contract, error) {
	routes, err := documentedRoutes()
	if err != nil {
		return nil, err
	}
	return &contract{largeHooks: make(chan struct{}, maxLargeHooks), routes: routes}, nil
}

// documentedRoutes returns the operations of openapi.yaml by method and path. They are read once, which takes 0.1 s, and only
// read from then on.
var documentedRoutes = sync.OnceValues(func() (map[string]*routers.Route, error) {
	doc, err := openapi3.NewLoader().LoadFromData(rollcall.OpenAPI)
	if err != nil {
		return nil, fmt.Errorf("load openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("check openapi.yaml: %w", err)
	}
	doc.Servers = nil // the server answers under any name
	routes := map[string]*routers.Route{}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			routes[method+" "+path] = &routers.Route{
				Spec: doc, Path: path, PathItem: item, Method: method, Operation: operation,
			}
		}
	}
	return routes, nil
})

// validateRequest rejects requests that do not match openapi.yaml.
func (s *server) validateRequest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, err := s.contract.checkRequest(w, r)
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// checkRequest returns the request for the handler: its body is read, can be read again, and its hash is in the context.
func (c *contract) checkRequest(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	routed := chi.RouteContext(r.Context())
	route, ok := c.routes[r.Method+" "+routed.RoutePattern()]
	if !ok {
		return r, fmt.Errorf("openapi.yaml does not describe %s %s", r.Method, routed.RoutePattern())
	}
	in := &openapi3filter.RequestValidationInput{
		Request: r, Route: route, PathParams: map[string]string{},
		Options: &openapi3filter.Options{SkipSettingDefaults: true, MultiError: true},
	}
	for i, name := range routed.URLParams.Keys {
		in.PathParams[name] = routed.URLParams.Values[i]
	}
	var err error
	if in.QueryParams, err = httpkit.ReadQuery(r.URL.RawQuery); err != nil {
		return r, err
	}
	if err := checkParameters(r.Context(), in); err != nil {
		return r, err
	}
	if route.Operation.RequestBody == nil {
		return r, nil
	}
	if route.Operation.OperationID == "receivePush" {
		return c.readHook(w, r)
	}
	return checkBody(w, r, route.Operation.RequestBody.Value)
}

// checkParameters rejects invalid path, header and query parameters, and unknown query parameters: a misspelt filter would
// otherwise select everything.
func checkParameters(ctx context.Context, in *openapi3filter.RequestValidationInput) error {
	known := map[string]bool{}
	var problems []problem.FieldError
	for _, p := range parametersOf(in.Route) {
		if p.In == openapi3.ParameterInQuery {
			known[p.Name] = true
		}
		err := openapi3filter.ValidateParameter(ctx, in, p)
		if err == nil {
			continue
		}
		switch p.In {
		case openapi3.ParameterInPath:
			if in.Request.Method != http.MethodPut {
				return errNotFound("no such " + p.Name)
			}
			problems = append(problems, problem.FieldError{Pointer: httpkit.ParameterPointer(p.Name), Detail: parameterDetail(p, err)})
		case openapi3.ParameterInHeader:
			return httpkit.MalformedError("invalid header " + p.Name + ": " + parameterDetail(p, err))
		default:
			problems = append(problems, problem.FieldError{Pointer: httpkit.ParameterPointer(p.Name), Detail: parameterDetail(p, err)})
		}
	}
	for name := range in.QueryParams {
		if !known[name] {
			problems = append(problems, problem.FieldError{
				Pointer: httpkit.ParameterPointer(name), Detail: "is not a parameter of this operation",
			})
		}
	}
	return problem.Invalid(problems)
}

func parametersOf(route *routers.Route) []*openapi3.Parameter {
	var all []*openapi3.Parameter
	for _, refs := range []openapi3.Parameters{route.PathItem.Parameters, route.Operation.Parameters} {
		for _, ref := range refs {
			all = append(all, ref.Value)
		}
	}
	return all
}

func parameterDetail(p *openapi3.Parameter, err error) string {
	if problems := fieldErrorsOf(err); len(problems) > 0 {
		return problems[0].Detail
	}
	if p.Schema != nil && p.Schema.Value.Type.Is(openapi3.TypeInteger) {
		return "must be an integer"
	}
	return "is not valid"
}

// checkBody reads the body and compares it with its schema.
func checkBody(w http.ResponseWriter, r *http.Request, described *openapi3.RequestBody) (*http.Request, error) {
	body, err := httpkit.ReadBody(w, r, maxBody)
	if err != nil {
		return r, err
	}
	ctx := context.WithValue(r.Context(), keyBodyHash, sha256.Sum256(body))
	r = r.WithContext(context.WithValue(ctx, keyReceived, &received{header: r.Header, body: body}))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if len(body) == 0 && !described.Required {
		return r, nil
	}
	if err := httpkit.RequireJSON(r.Header); err != nil {
		return r, err
	}
	return r, validateBody(described.Content.Get("application/json").Schema.Value, body)
}

// validateBody rejects a body that does not match the schema.
func validateBody(schema *openapi3.Schema, body []byte) error {
	if err := httpkit.CheckJSON(body); err != nil {
		return err
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return fmt.Errorf("decode a body that was found well formed: %w", err)
	}
	options := []openapi3.SchemaValidationOption{openapi3.VisitAsRequest()}
	if len(body) <= maxBodyForAllProblems {
		options = append(options, openapi3.MultiErrors())
	}
	if err := schema.VisitJSON(value, options...); err != nil {
		return bodyError(err)
	}
	return nil
}

// received is the raw request, over which signatures are verified.
type received struct {
	header http.Header
	body   []byte
	// form is true for a form, where both forms and JSON are accepted.
	form bool
}

func bodyError(err error) error {
	if problems := fieldErrorsOf(err); len(problems) > 0 {
		return problem.Invalid(problems)
	}
	return fmt.Errorf("compare a body with its schema: %w", err)
}

// bodyHash returns the SHA-256 of the request's body as it was received.
func bodyHash(ctx context.Context) [32]byte {
	hash, _ := ctx.Value(keyBodyHash).([32]byte)
	return hash
}
