package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/client"
)

// served is a server that answers the n-th request as said, and the client that asks it.
type served struct {
	*client.Client
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	noticed  []string
}

func serve(t *testing.T, retryFor time.Duration, answer func(n int, w http.ResponseWriter, r *http.Request)) *served {
	t.Helper()
	s := &served{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		n := len(s.requests)
		s.requests, s.bodies = append(s.requests, r), append(s.bodies, string(body))
		s.mu.Unlock()
		answer(n, w, r)
	}))
	t.Cleanup(server.Close)
	c, err := client.New(client.Config{
		URL: server.URL + "/below/", Token: "t0ken", RetryFor: retryFor,
		OnOutage: func(err error) { s.noticed = append(s.noticed, fmt.Sprint(err != nil)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Client = c
	return s
}

func (s *served) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// problem answers with a problem document.
func problem(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	write(w, fmt.Sprintf(`{"type":"urn:rollcall:problem:%s","title":"T","status":%d,"detail":"D","errors":[{"pointer":"/a","detail":"is wrong"}]}`, kind, status))
}

func write(w io.Writer, text string) {
	_, _ = io.WriteString(w, text) // the test sees when it did not arrive
}

// cut ends the connection without an answer.
func cut() { panic(http.ErrAbortHandler) }

func TestClient_RepeatsTheSameRequest(t *testing.T) {
	t.Parallel()
	s := serve(t, time.Minute, func(n int, w http.ResponseWriter, _ *http.Request) {
		switch n {
		case 0:
			cut()
		case 1:
			problem(w, http.StatusServiceUnavailable, "unavailable")
		case 2:
			w.WriteHeader(http.StatusBadGateway) // of a proxy
		case 3:
			problem(w, http.StatusConflict, "in-progress")
		default:
			write(w, `{"id":"x"}`)
		}
	})
	answer, err := s.Do(t.Context(), client.Request{Method: http.MethodPost, Path: "/deployments", Body: map[string]string{"a": "b"}, Key: "k"})
	if err != nil || string(answer) != `{"id":"x"}` || len(s.requests) != 5 {
		t.Fatalf("%s, %v after %d requests", answer, err, len(s.requests))
	}
	for i, r := range s.requests {
		h := r.Header
		if r.URL.Path != "/below/deployments" || h.Get("Idempotency-Key") != "k" || h.Get("Authorization") != "Bearer t0ken" || s.bodies[i] != `{"a":"b"}` {
			t.Errorf("request %d is %s %v %s", i, r.URL, h, s.bodies[i])
		}
	}
	if !slices.Equal(s.noticed, []string{"true", "false"}) {
		t.Errorf("noticed %v, want once each", s.noticed)
	}
}

func TestClient_EveryChangeHasAKeyThatItKeeps(t *testing.T) {
	t.Parallel()
	s := serve(t, time.Minute, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n%2 == 0 {
			cut()
		}
		write(w, "{}")
	})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodGet} {
		if _, err := s.Do(t.Context(), client.Request{Method: method, Path: "/x"}); err != nil {
			t.Fatal(err)
		}
	}
	keys := map[string]int{}
	for _, r := range s.requests {
		keys[r.Header.Get("Idempotency-Key")]++
	}
	if len(keys) != 4 || keys[""] != 2 {
		t.Errorf("sent with the keys %v; each change has its own, and keeps it when it is repeated", keys)
	}
	for key, n := range keys {
		if n != 2 {
			t.Errorf("%q was sent %d times", key, n)
		}
	}
}

func TestClient_SaysWhetherALostRequestWasSent(t *testing.T) {
	t.Parallel()
	s := serve(t, 100*time.Millisecond, func(int, http.ResponseWriter, *http.Request) { cut() })
	_, err := s.Do(t.Context(), client.Post("/tokens", nil))
	if gone, ok := errors.AsType[*client.UnreachableError](err); !ok || !gone.Sent {
		t.Errorf("%v of a request that arrived", err)
	}
	away, err := client.New(client.Config{URL: "http://127.0.0.1:1", RetryFor: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_, err = away.Do(t.Context(), client.Post("/tokens", nil))
	if gone, ok := errors.AsType[*client.UnreachableError](err); !ok || gone.Sent {
		t.Errorf("%v of a request that cannot have arrived", err)
	}
}

// TestClient_NamesWhatIsNotRollcall: a login page before it is never taken for an answer, whatever was asked.
func TestClient_NamesWhatIsNotRollcall(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]http.HandlerFunc{
		"https://sso.example/login": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://sso.example/login", http.StatusFound)
		},
		"200 OK with text/html": func(w http.ResponseWriter, _ *http.Request) { write(w, "<html>log in</html>") },
		"401 Unauthorized with text/h": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			write(w, "<html>log in</html>")
		},
	} {
		s := serve(t, time.Minute, func(_ int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			page(w, r)
		})
		for _, ask := range []func() error{
			func() error { _, err := s.Do(t.Context(), client.Get("/x", nil)); return err },
			func() error {
				_, err := s.Do(t.Context(), client.Request{Method: http.MethodDelete, Path: "/x"})
				return err
			},
			func() error {
				return s.Stream(t.Context(), "/x", nil, func(client.Message) error { return nil })
			},
		} {
			err := ask()
			if _, ok := errors.AsType[*client.NotRollcallError](err); !ok || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "/below/x") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s.asked() != 3 {
			t.Errorf("%s: asked %d times", name, s.asked())
		}
	}
}

func TestClient_RetriesEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, 300*time.Millisecond, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, "unavailable")
	})
	_, err := s.Do(t.Context(), client.Get("/x", nil))
	if _, gone := errors.AsType[*client.UnreachableError](err); !gone || !strings.Contains(err.Error(), "T: D") {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Do(ended, client.Get("/x", nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v of a cancelled request", err)
	}
}

func TestClient_RejectionIsNotRetried(t *testing.T) {
	t.Parallel()
	for status, answer := range map[int]func(w http.ResponseWriter){
		http.StatusUnprocessableEntity: func(w http.ResponseWriter) { problem(w, http.StatusUnprocessableEntity, "invalid") },
		http.StatusConflict:            func(w http.ResponseWriter) { problem(w, http.StatusConflict, "conflict") },
		http.StatusInternalServerError: func(w http.ResponseWriter) { problem(w, http.StatusInternalServerError, "failure") },
	} {
		s := serve(t, time.Minute, func(_ int, w http.ResponseWriter, _ *http.Request) { answer(w) })
		_, err := s.Do(t.Context(), client.Get("/x", nil))
		refused, ok := errors.AsType[*client.APIError](err)
		if !ok || refused.Status != status || err.Error() != "T: D; /a is wrong" || s.asked() != 1 {
			t.Errorf("%d: %v after %d requests", status, err, s.asked())
		}
	}
	s := serve(t, time.Minute, func(_ int, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
	})
	if _, err := s.Do(t.Context(), client.Get("/x", nil)); err == nil || !strings.Contains(err.Error(), "302") || s.asked() != 1 {
		t.Errorf("a redirect was followed with a token: %v", err)
	}
	page := serve(t, time.Minute, func(_ int, w http.ResponseWriter, _ *http.Request) { write(w, "<html>another service</html>") })
	if _, err := client.Call[map[string]any](t.Context(), page.Client, client.Get("/x", nil)); err == nil || !strings.Contains(err.Error(), "not Rollcall") {
		t.Errorf("%v of an answer that is none", err)
	}
}

func TestClient_StreamResumesAfterLastMessage(t *testing.T) {
	t.Parallel()
	s := serve(t, time.Minute, func(n int, w http.ResponseWriter, _ *http.Request) {
		switch n {
		case 0:
			write(w, "retry: 1000\nid: 5\n\n: ping\n\nid: 6\ndata: {\"n\":6}\n\nevent: deployment\ndata: {}\n\nid: 7\ndata: {\"n\"")
			_ = http.NewResponseController(w).Flush() // the test sees when it did not arrive
			cut()
		case 1:
			problem(w, http.StatusServiceUnavailable, "unavailable")
		case 2:
			write(w, "id: 7\ndata: {\"n\":7}\n\nevent: end\ndata: {\"reason\":\"r\"}\n\n")
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	var got []string
	err := s.Stream(t.Context(), "/events", nil, func(m client.Message) error {
		got = append(got, m.Kind+m.ID+string(m.Data))
		return nil
	})
	want := []string{`6{"n":6}`, `deployment{}`, `7{"n":7}`, `end{"reason":"r"}`}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", err, got, want)
	}
	var places []string
	for _, r := range s.requests {
		places = append(places, r.Header.Get("Last-Event-ID"))
	}
	if !slices.Equal(places, []string{"", "6", "6", "7"}) {
		t.Errorf("resumed at %v", places)
	}
}

func TestClient_ListReadsPageByPage(t *testing.T) {
	t.Parallel()
	s := serve(t, time.Minute, func(n int, w http.ResponseWriter, r *http.Request) {
		if want := []string{"", "c1", "c2"}[n%3]; r.URL.Query().Get("cursor") != want || r.URL.Query().Get("state") != "failed" {
			t.Errorf("page %d is asked for with %s", n, r.URL.RawQuery)
		}
		write(w, []string{`{"items":[1,2],"next_cursor":"c1"}`, `{"items":[3],"next_cursor":"c2"}`, `{"items":[4],"next_cursor":null}`}[n%3])
	})
	query := map[string][]string{"state": {"failed"}}
	if all, err := client.List[int](t.Context(), s.Client, "/x", query, 0); err != nil || !slices.Equal(all, []int{1, 2, 3, 4}) {
		t.Errorf("%v, %v", all, err)
	}
	if some, err := client.List[int](t.Context(), s.Client, "/x", query, 2); err != nil || !slices.Equal(some, []int{1, 2}) {
		t.Errorf("%v, %v", some, err)
	}
}

func TestClient_BadURLIsRejected(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{"", "localhost", "localhost:8080", "ftp://x", "http://", "://"} {
		if _, err := client.New(client.Config{URL: wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
