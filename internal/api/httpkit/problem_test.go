package httpkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rollcall/internal/problem"
)

func TestProblem_CodesHaveStatuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
	}{
		{&problem.Error{Code: problem.CodeInvalid}, 422},
		{&problem.Error{Code: problem.CodeNotFound}, 404},
		{&problem.Error{Code: problem.CodeConflict}, 409},
		{&problem.Error{Code: problem.CodeOwnershipLost}, 409},
		{&problem.Error{Code: problem.CodeInProgress}, 409},
		{&problem.Error{Code: problem.CodeKeyReused}, 422},
		{&problem.Error{Code: problem.CodeStale}, 412},
		{&problem.Error{Code: problem.CodeUnavailable}, 503},
		{fmt.Errorf("wrapped: %w", &problem.Error{Code: problem.CodeConflict}), 409},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), 503},
		{errors.New("anything else"), 500},
		{MalformedError("x"), 400},
		{tooLargeError(8 << 20), 413},
		{UnsupportedTypeError("x"), 415},
	} {
		w := httptest.NewRecorder()
		WriteError(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), c.err, slog.New(slog.DiscardHandler))
		var body struct {
			Type, Title string
			Status      int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if w.Code != c.status || body.Status != c.status || body.Title == "" || body.Type == "" {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%v: content type %q", c.err, got)
		}
		if asked := w.Header().Get("Retry-After") != ""; asked != (c.status == 503 || problem.CodeOf(c.err) == problem.CodeInProgress) {
			t.Errorf("%v: Retry-After is there: %v", c.err, asked)
		}
	}
}

func TestProblem_InternalDetailsAreOnlyLogged(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	for _, err := range []error{
		errors.New("password=hunter2"),
		&problem.Error{Code: problem.CodeUnavailable, Message: "away", Err: errors.New("password=hunter2")},
	} {
		w := httptest.NewRecorder()
		WriteError(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), err, logger)
		if strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("the answer shows the cause: %s", w.Body)
		}
	}
	if strings.Count(log.String(), "hunter2") != 2 {
		t.Errorf("the log misses a cause: %s", &log)
	}
}

func TestProblem_ConflictNamesBlocker(t *testing.T) {
	t.Parallel()
	p := problemOf(&problem.Error{Code: problem.CodeConflict, Message: "busy", ID: "other"})
	if p.DeploymentID != "other" || p.Detail != "busy" {
		t.Errorf("%+v", p)
	}
}
