package testtarget

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"rollcall/internal/clock"
)

// maxBody is the most of a call that is read.
const maxBody = 1 << 20

func (t *Target) newHandler(r *run) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /deploy", func(w http.ResponseWriter, q *http.Request) { t.serveDeploy(r, w, q) })
	mux.HandleFunc("GET /health", t.serveHealth)
	mux.HandleFunc("GET /healthz", t.serveHealth)
	mux.HandleFunc("GET /version", t.serveVersion)
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !t.beginWork(r) {
			return
		}
		defer r.work.Done()
		mux.ServeHTTP(w, q)
	})
}

// serveHealth answers in the manner of application/health+json.
func (t *Target) serveHealth(w http.ResponseWriter, q *http.Request) {
	t.mu.Lock()
	t.probes++
	version, b := t.version, t.behaviour
	if elsewhere := b.HealthzOn != "" && b.HealthzOn == version; elsewhere != (q.URL.Path == "/healthz") {
		t.mu.Unlock()
		http.NotFound(w, q)
		return
	}
	unhealthy := b.Unhealthy || b.UnhealthyOn != "" && b.UnhealthyOn == version && t.passed >= b.UnhealthyAfter
	if !unhealthy {
		t.passed++
	}
	t.mu.Unlock()
	status, verdict := http.StatusOK, "pass"
	switch {
	case unhealthy:
		status, verdict = http.StatusServiceUnavailable, "fail"
	case b.Warn:
		verdict = "warn"
	}
	writeJSON(w, status, "application/health+json", map[string]string{"status": verdict, "version": version})
}

func (t *Target) serveVersion(w http.ResponseWriter, _ *http.Request) {
	t.mu.Lock()
	t.probes++
	version := t.version
	t.mu.Unlock()
	writeJSON(w, http.StatusOK, "application/json", map[string]string{"version": version})
}

// serveDeploy takes one call.
func (t *Target) serveDeploy(r *run, w http.ResponseWriter, q *http.Request) {
	call, err := readCall(t.ID, q)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, "application/json", map[string]string{"error": err.Error()})
		return
	}
	t.journal.recordCall(call)
	t.journal.notifyWatcher(Received, q.RemoteAddr)
	b := t.nextBehaviour()
	if b.OnVersion != "" && b.OnVersion != call.Version {
		b = Behaviour{Delay: b.Delay, Fenced: b.Fenced}
	}
	if b.Proxy > 0 {
		t.behindProxy(r, w, q, call, b)
		return
	}
	status := 0
	defer func() { t.journal.finishCall(call, status) }()
	// the caller may leave while the work continues: then the call is open no more.
	defer context.AfterFunc(q.Context(), func() { t.journal.finishCall(call, 0) })()
	if status = t.applyBehaviour(q.Context(), r, call, b); status == 0 {
		resetConnection(w)
		return
	}
	if b.RetryAfter != "" {
		w.Header().Set("Retry-After", b.RetryAfter)
	}
	// Finished before the answer is written: its reader may look at the journal at once.
	t.journal.finishCall(call, status)
	if b.Drip > 0 {
		writeSlowly(r.ctx, w, status, b.Drip)
	} else {
		writeJSON(w, status, "application/json", map[string]string{"version": t.Version()})
	}
	_ = http.NewResponseController(w).Flush() // a caller that left needs no error
	t.journal.notifyWatcher(Replied, q.RemoteAddr)
}

// behindProxy works on the call for as long as it takes, and answers when that is done, or after the proxy's timeout with a 504.
func (t *Target) behindProxy(r *run, w http.ResponseWriter, q *http.Request, call *Call, b Behaviour) {
	if !t.beginWork(r) {
		t.journal.finishCall(call, 0)
		return
	}
	done := make(chan int, 1)
	go func() {
		defer r.work.Done()
		status := t.applyBehaviour(r.ctx, r, call, b)
		t.journal.finishCall(call, status)
		done <- status
	}()
	timeout := time.NewTimer(b.Proxy)
	defer timeout.Stop()
	select {
	case status := <-done:
		if status == 0 {
			resetConnection(w)
			return
		}
		writeJSON(w, status, "application/json", map[string]string{"version": t.Version()})
	case <-timeout.C:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusGatewayTimeout)
		_, _ = io.WriteString(w, "<html><body><h1>504 Gateway Time-out</h1></body></html>") // a caller that left needs no error
	}
	_ = http.NewResponseController(w).Flush() // the same
	t.journal.notifyWatcher(Replied, q.RemoteAddr)
}

// applyBehaviour treats the call as the behaviour says, and returns the status to answer: 0 cuts the connection.
func (t *Target) applyBehaviour(caller context.Context, r *run, call *Call, b Behaviour) int {
	stale := t.isStale(call) && b.Fenced
	switch {
	case stale:
		return http.StatusConflict
	case b.Hang:
		awaitDone(r.ctx, caller.Done())
		return 0
	case b.Reset == ResetBefore:
		return 0
	case b.Accept:
		t.applyLater(r, call, b)
		return http.StatusAccepted
	}
	if !clock.Sleep(r.ctx, b.Delay) {
		return 0
	}
	failed := b.Status >= http.StatusMultipleChoices
	if failed && !b.FailLate {
		return b.Status
	}
	if !t.applyCall(call, b) {
		return http.StatusConflict
	}
	if b.Reset == ResetAfter {
		return 0
	}
	return max(b.Status, http.StatusOK)
}

// applyLater applies an accepted call after its delay, unless the target goes down before.
func (t *Target) applyLater(r *run, call *Call, b Behaviour) {
	if !t.beginWork(r) {
		return
	}
	go func() {
		defer r.work.Done()
		if clock.Sleep(r.ctx, b.Delay) {
			t.applyCall(call, b)
		}
	}()
}

// isStale reports whether a call with a higher fence came before, and records this call's fence.
func (t *Target) isStale(call *Call) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fence = max(t.fence, call.Fence)
	return call.Fence < t.fence
}

// applyCall has the target run the call's version. It answers false when a fenced target got a newer call meanwhile.
func (t *Target) applyCall(call *Call, b Behaviour) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.Fenced && call.Fence < t.fence {
		return false
	}
	if !b.Lie {
		t.setRunning(call.Version)
		t.journal.markApplied(call)
	}
	return true
}

func readCall(target string, q *http.Request) (*Call, error) {
	body, err := io.ReadAll(io.LimitReader(q.Body, maxBody))
	if err != nil {
		return nil, err
	}
	var wire struct {
		Action          string `json:"action"`
		DeploymentID    string `json:"deployment_id"`
		Version         string `json:"version"`
		PreviousVersion string `json:"previous_version"`
		Target          struct {
			ID string `json:"id"`
		} `json:"target"`
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return nil, err
	}
	return &Call{
		Target: target, Body: body,
		Action: wire.Action, DeploymentID: wire.DeploymentID, BodyTarget: wire.Target.ID,
		Version: wire.Version, PreviousVersion: wire.PreviousVersion,
		WebhookID:        q.Header.Get("webhook-id"),
		WebhookTimestamp: q.Header.Get("webhook-timestamp"),
		WebhookSignature: q.Header.Get("webhook-signature"),
		Attempt:          int(parseNumber(q.Header.Get("Rollcall-Attempt"))),
		Fence:            parseNumber(q.Header.Get("Rollcall-Fence")),
	}, nil
}

// parseNumber reads a header; what is none is 0, as Call says.
func parseNumber(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// writeJSON writes JSON. A caller that left needs no error.
func writeJSON(w http.ResponseWriter, status int, contentType string, body map[string]string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// writeSlowly answers with a body that comes byte by byte.
func writeSlowly(ctx context.Context, w http.ResponseWriter, status int, pause time.Duration) {
	const body = `{"slow":true}`
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	for i := range len(body) {
		_, errWrite := w.Write([]byte{body[i]})
		if errWrite != nil || http.NewResponseController(w).Flush() != nil || !clock.Sleep(ctx, pause) {
			return // the caller left, or the target went down
		}
	}
}

// resetConnection resets the connection, so that the caller gets neither an answer nor an orderly end.
func resetConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's own way to cut a connection that cannot be taken over
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the end is an orderly one: no answer all the same
	}
	_ = conn.Close()
}

// awaitDone returns when done is closed or ctx is over.
func awaitDone(ctx context.Context, done <-chan struct{}) {
	select {
	case <-done:
	case <-ctx.Done():
	}
}
