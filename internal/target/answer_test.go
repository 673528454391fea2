package target

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/rollout"
)

func TestWebhook_StatusLineDecides(t *testing.T) {
	t.Parallel()
	kinds := map[int]rollout.ResultKind{
		200: rollout.ResultDone, 201: rollout.ResultDone, 202: rollout.ResultAccepted, 204: rollout.ResultDone,
		301: rollout.ResultRefused, 304: rollout.ResultRefused, 307: rollout.ResultRefused,
		400: rollout.ResultRefused, 401: rollout.ResultRefused, 404: rollout.ResultRefused,
		408: rollout.ResultRetry, 409: rollout.ResultFenced, 410: rollout.ResultRefused,
		422: rollout.ResultRefused, 425: rollout.ResultRetry, 429: rollout.ResultRetry,
		423: rollout.ResultRefused,
		500: rollout.ResultUnknown, 502: rollout.ResultUnknown, 503: rollout.ResultUnknown, 504: rollout.ResultUnknown, 599: rollout.ResultUnknown, 600: rollout.ResultUnknown,
	}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	})
	for status, kind := range kinds {
		want(t, call(t, Config{}, fmt.Sprintf("%s/%d", url, status)), kind, fmt.Sprintf("HTTP %d", status))
	}
}

func TestCall_RedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		var calls atomic.Int32
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			http.Redirect(w, r, "/again", status)
		})
		want(t, call(t, Config{}, url), rollout.ResultRefused, fmt.Sprintf("HTTP %d", status))
		if calls.Load() != 1 {
			t.Errorf("%d: %d calls", status, calls.Load())
		}
	}
}

// The query may hold credentials, and is left out.
func TestRedirect_IsNamedAndSaidNotToBeFollowed(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://u:p@sso.example/in?code=s3cret", http.StatusFound)
	})
	got := call(t, Config{}, url)
	want(t, got, rollout.ResultRefused, "HTTP 302: it redirects to https://sso.example/in, and redirects are not followed")
	if strings.Contains(got.Message, "s3cret") || strings.Contains(got.Message, "u:p") {
		t.Errorf("%q", got.Message)
	}
}

func TestCall_RetryAfterIsRead(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		http.Error(w, "busy\x1b[31m\nnow", http.StatusServiceUnavailable)
	})
	got := call(t, Config{}, url)
	want(t, got, rollout.ResultUnknown, "HTTP 503: busy [31m now")
	if got.RetryAfter != 3*time.Second {
		t.Errorf("RetryAfter %v", got.RetryAfter)
	}
}

func TestCall_ResponseIsShownOnOneShortLine(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "\xff\x00"+strings.Repeat("é\u202e", 1000))
	})
	got := call(t, Config{}, url)
	if n := len([]rune(got.Message)); n > 200+len("HTTP 200: ") || strings.ContainsAny(got.Message, "\x00\u202e\ufffd") {
		t.Errorf("%d characters: %q", n, got.Message)
	}
}

func TestCall_ReadsAtMost64KiBOfResponse(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		for block := make([]byte, 1<<10); ; {
			if _, err := w.Write(block); err != nil { // only the client's hanging up ends this
				return
			}
		}
	})
	want(t, call(t, Config{}, url), rollout.ResultDone, "HTTP 200")
	<-ended
}

func TestCall_2xxCountsWithCutBody(t *testing.T) {
	t.Parallel()
	url, _ := rawServer(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	})
	want(t, call(t, Config{}, url), rollout.ResultDone, "HTTP 200: half")
}

func TestCall_NonFinalStatusIsUnknown(t *testing.T) {
	t.Parallel()
	for answer, message := range map[string]string{
		"": "closed", "hello\r\n\r\n": "no answer", "HTTP/1.1 999 Odd\r\n\r\n": "HTTP 999",
		"HTTP/1.1 200": "closed", "HTTP/1.1 103 Hints\r\n\r\n": "closed",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n": "HTTP 101",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 128<<10) + "\r\n\r\n":            "no answer",
	} {
		url, requests := rawServer(t, func(c net.Conn) { _, _ = io.WriteString(c, answer) })
		want(t, call(t, Config{}, url), rollout.ResultUnknown, message)
		if requests.Load() != 1 {
			t.Errorf("%.20q: %d requests", answer, requests.Load())
		}
	}
}

func TestAnswer_409NamesTheFenceItHasSeen(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		header, body string
		want         int64
	}{
		"header":            {header: "42", want: 42},
		"body":              {body: `{"error":"too low","fence":43}`, want: 43},
		"header goes first": {header: "44", body: `{"fence":45}`, want: 44},
		"none":              {body: "conflict"},
		"negative":          {body: `{"fence":-1}`},
		"no number":         {header: "many", body: `{"fence":"many"}`},
		"bounded":           {body: `{"fence":9223372036854775807}`, want: 1 << 52},
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if test.header != "" {
				w.Header().Set("Rollcall-Fence", test.header)
			}
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, test.body)
		})
		if got := call(t, Config{}, url); got.Kind != rollout.ResultFenced || got.Fence != test.want || got.Status != 409 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
