package api

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

	"rollcall/internal/rollout"
)

func TestEveryKindOfErrorHasItsStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
	}{
		{&rollout.Error{Code: rollout.CodeInvalid}, 422},
		{&rollout.Error{Code: rollout.CodeNotFound}, 404},
		{&rollout.Error{Code: rollout.CodeConflict}, 409},
		{&rollout.Error{Code: rollout.CodeLost}, 409},
		{&rollout.Error{Code: rollout.CodeInProgress}, 409},
		{&rollout.Error{Code: rollout.CodeMismatch}, 422},
		{&rollout.Error{Code: rollout.CodeStale}, 412},
		{&rollout.Error{Code: rollout.CodeUnavailable}, 503},
		{fmt.Errorf("wrapped: %w", &rollout.Error{Code: rollout.CodeConflict}), 409},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), 503},
		{errors.New("anything else"), 500},
		{malformed("x"), 400},
		{tooLarge(maxBody), 413},
		{unsupported("x"), 415},
	} {
		w := httptest.NewRecorder()
		s := &server{log: slog.New(slog.DiscardHandler)}
		s.fail(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), c.err)
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
		if asked := w.Header().Get("Retry-After") != ""; asked != (c.status == 503 || rollout.ErrorCode(c.err) == rollout.CodeInProgress) {
			t.Errorf("%v: Retry-After is there: %v", c.err, asked)
		}
	}
}

func TestAFaultKeepsItsDetailsToTheLog(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	s := &server{log: slog.New(slog.NewJSONHandler(&log, nil))}
	for _, err := range []error{
		errors.New("password=hunter2"),
		&rollout.Error{Code: rollout.CodeUnavailable, Message: "away", Err: errors.New("password=hunter2")},
	} {
		w := httptest.NewRecorder()
		s.fail(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), err)
		if strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("the answer shows the cause: %s", w.Body)
		}
	}
	if strings.Count(log.String(), "hunter2") != 2 {
		t.Errorf("the log misses a cause: %s", &log)
	}
}

func TestAConflictNamesWhatStandsInTheWay(t *testing.T) {
	t.Parallel()
	p := problemOf(&rollout.Error{Code: rollout.CodeConflict, Message: "busy", ID: "other"})
	if p.DeploymentID == nil || *p.DeploymentID != "other" || p.Detail != "busy" {
		t.Errorf("%+v", p)
	}
}
