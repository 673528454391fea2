package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"rollcall/internal/client"
)

// exampleServer answers like a Rollcall whose service checkout has a definition. It is unavailable for the first request.
func exampleServer() *httptest.Server {
	restarting := true
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case restarting:
			restarting = false
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.Method == http.MethodPost && r.Header.Get("Idempotency-Key") == "build-17":
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"id": "01890a5d", "state": "pending"}`)
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"type": "urn:rollcall:problem:not-found", "title": "Not found", "status": 404}`)
		}
	}))
}

// A deployment is created once, however often the request has to be sent: the key names it.
func ExampleCall() {
	server := exampleServer()
	defer server.Close()
	c, err := client.New(client.Config{URL: server.URL, Token: "rct_example", RetryFor: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	request := client.Post("/deployments", map[string]string{"service": "checkout", "version": "v2"})
	request.Key = "build-17"
	created, err := client.Call[struct{ ID, State string }](context.Background(), c, request)
	fmt.Println(created.ID, created.State, err)
	// Output: 01890a5d pending <nil>
}

// What the server rejects is an APIError; only an outage is retried.
func ExampleAPIError() {
	server := exampleServer()
	defer server.Close()
	c, err := client.New(client.Config{URL: server.URL, RetryFor: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Do(context.Background(), client.Get("/deployments/unknown", nil))
	if rejected, ok := errors.AsType[*client.APIError](err); ok {
		fmt.Println(rejected.Status, rejected.Problem.Title)
	}
	// Output: 404 Not found
}
