package egress_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"rollcall/internal/egress"
)

// A webhook is sent once and signed; the result says whether it was carried out.
func ExampleClient_Post() {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signature, _, _ := strings.Cut(r.Header.Get("Webhook-Signature"), ",")
		fmt.Println(r.Method, r.URL.Path, r.Header.Get("Webhook-Id"), "attempt", r.Header.Get("Rollcall-Attempt"), signature)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer target.Close()
	c := egress.New(egress.Config{Key: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	call := egress.Webhook{URL: target.URL + "/deploy", ID: "msg_1", Attempt: 1, Fence: 1764000000123, Body: map[string]string{"version": "v2"}}
	fmt.Println(c.Post(context.Background(), call).Kind)
	// Output:
	// POST /deploy msg_1 attempt 1 v1
	// accepted
}

// Without a connection nothing was sent, and the call can be made again without asking the target.
func ExampleClient_Post_notSent() {
	target := httptest.NewServer(http.NotFoundHandler())
	target.Close()
	result := egress.New(egress.Config{}).Post(context.Background(), egress.Webhook{URL: target.URL})
	fmt.Println(result.Kind)
	// Output: not_sent
}

// A redirect is a response, not an order: it is not followed.
func ExampleClient_Send() {
	target := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusFound))
	defer target.Close()
	response := egress.New(egress.Config{}).Send(context.Background(), egress.Request{Method: http.MethodGet, URL: target.URL})
	fmt.Println(response.Status, response.Header.Get("Location"))
	// Output: 302 /elsewhere
}
