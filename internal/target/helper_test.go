package target

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

const serverSecret = secret.Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

func deployment() *rollout.Deployment {
	d := &rollout.Deployment{ID: "d1", Service: "checkout", Environment: "production", Version: "v2"}
	d.Spec.Deploy.Timeout = duration.Duration(10 * time.Second)
	return d
}

func webhook(url string) *rollout.Target {
	return &rollout.Target{ID: "web-1", Name: "web 1", Address: "http://10.0.0.1:8080", DeployURL: url}
}

func deployCall() rollout.Call {
	return rollout.Call{
		WebhookID: rollout.WebhookID("d1", "web-1", rollout.CallDeploy), Action: rollout.CallDeploy,
		Version: "v2", PreviousVersion: "v1", Attempt: 3, Fence: 42,
	}
}

func call(t *testing.T, c Config, url string) rollout.CallResult {
	t.Helper()
	return New(c).Deploy(t.Context(), deployment(), webhook(url), deployCall())
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// rawServer answers each connection with respond once it has read a request, and counts the requests.
func rawServer(t *testing.T, respond func(net.Conn)) (url string, requests *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	requests = new(atomic.Int32)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					requests.Add(1)
					respond(conn)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), requests
}

func want(t *testing.T, got rollout.CallResult, kind rollout.ResultKind, message string) {
	t.Helper()
	if got.Kind != kind || !strings.Contains(got.Message, message) {
		t.Errorf("got %s %q, want %s with %q", got.Kind, got.Message, kind, message)
	}
}
