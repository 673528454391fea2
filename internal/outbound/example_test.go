package outbound_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"rollcall/internal/outbound"
)

// A webhook is sent once and signed; the result says whether it was carried out.
func ExampleClient_Post() {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signature, _, _ := strings.Cut(r.Header.Get("Webhook-Signature"), ",")
		fmt.Println(r.Method, r.URL.Path, r.Header.Get("Webhook-Id"), "attempt", r.Header.Get("Rollcall-Attempt"), signature)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer target.Close()
	c := outbound.New(outbound.Config{Key: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	call := outbound.Webhook{URL: target.URL + "/deploy", ID: "msg_1", Attempt: 1, Fence: 1764000000123, Body: map[string]string{"version": "v2"}}
	fmt.Println(c.Post(context.Background(), call).Kind)
	// Output:
	// POST /deploy msg_1 attempt 1 v1
	// accepted
}

// Without a connection nothing was sent, and the call can be made again without asking the target.
func ExampleClient_Post_notSent() {
	target := httptest.NewServer(http.NotFoundHandler())
	target.Close()
	result := outbound.New(outbound.Config{}).Post(context.Background(), outbound.Webhook{URL: target.URL})
	fmt.Println(result.Kind)
	// Output: not_sent
}

// A redirect is a response, not an order: it is not followed.
func ExampleClient_Send() {
	target := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusFound))
	defer target.Close()
	response := outbound.New(outbound.Config{}).Send(context.Background(), outbound.Request{Method: http.MethodGet, URL: target.URL})
	fmt.Println(response.Status, response.Header.Get("Location"))
	// Output: 302 /elsewhere
}
