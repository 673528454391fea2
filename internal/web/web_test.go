package web

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

func TestHandler_ServesPagesAndPassesOnTheAPI(t *testing.T) {
	t.Parallel()
	api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	handler, err := New(Config{API: api, Who: unauthenticated{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path, accept string
		apis                 bool
	}{
		{"GET", "/", "text/html,application/xhtml+xml", false},
		{"GET", "/", "*/*", true},
		{"GET", "/", "", true},
		{"POST", "/", "text/html", true},
		{"GET", "/deployments", "text/html", true},
		{"GET", "/uibuilder", "text/html", true},
		{"GET", "/ui/deployments", "", false},
		{"DELETE", "/ui/deployments", "", false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, http.NoBody)
		r.Header.Set("Accept", c.accept)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if (w.Code == http.StatusTeapot) != c.apis {
			t.Errorf("%s %s, accepting %q: %d", c.method, c.path, c.accept, w.Code)
		}
		if !c.apis && !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'; ") {
			t.Errorf("%s %s has no policy", c.method, c.path)
		}
	}
}

type unauthenticated struct{}

func (unauthenticated) Authenticate(*http.Request) (authz.Principal, error) {
	return authz.Principal{}, &problem.Error{Code: problem.CodeUnauthenticated, Message: "who are you"}
}

func TestSignIn_RedirectsToNoOtherSite(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/ui/deployments?state=failed": "/ui/deployments?state=failed", "": "/", "/": "/", "/deployments": "/",
		"https://evil.example/ui/": "/", "//evil.example/ui/": "/", "/ui/\\evil.example": "/", "/\\evil.example/ui/": "/",
		"javascript:alert(1)": "/", "/ui/\r\nSet-Cookie: x=y": "/",
	} {
		if got := localPath(next); got != want {
			t.Errorf("%q leads to %q, not %q", next, got, want)
		}
	}
}

func TestMarkTimes_EscapesText(t *testing.T) {
	t.Parallel()
	got := string(markTimes(`<script>alert("x")</script> until 2026-11-22T15:31:00Z`))
	if strings.Contains(got, "<script") || !strings.HasSuffix(got, `until <time datetime="2026-11-22T15:31:00Z" data-clock>15:31:00 UTC</time>`) {
		t.Error(got)
	}
}

func TestGlyph_DiffersForEachState(t *testing.T) {
	t.Parallel()
	seen := map[string]rollout.State{}
	for _, state := range rollout.States() {
		shape := stateGlyph(state)
		if other, taken := seen[shape]; shape == "" || taken {
			t.Errorf("%s has the shape %q of %s", state, shape, other)
		}
		seen[shape] = state
	}
	for _, state := range gitsource.States() {
		if sourceGlyph(state) == "" {
			t.Errorf("%s has no shape", state)
		}
	}
}

func TestPlot_MarksAreWithinBounds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var ended []rollout.Deployment
	for _, took := range []time.Duration{-time.Second, 0, time.Millisecond, 3 * time.Second, time.Hour, 30 * 24 * time.Hour} {
		started := now.Add(-time.Duration(len(ended)) * time.Hour)
		ended = append(ended, rollout.Deployment{
			CreatedAt: started, Status: rollout.Status{StartedAt: started, FinishedAt: started.Add(took), Result: &rollout.Result{Success: len(ended)%2 == 0}},
		})
	}
	for n := range len(ended) + 1 {
		p := makePlot(ended[:n], now.AddDate(0, 0, -1), now)
		for _, m := range p.Marks {
			if m.X < plotLeft || m.X > plotWidth-plotRight || m.Y < plotTop || m.Y > plotHeight-plotBottom {
				t.Errorf("a mark at %v %v", m.X, m.Y)
			}
		}
		total := 0
		for _, b := range makeOutcomes(ended[:n], now.AddDate(0, 0, -1), now).Bars {
			total += b.Good + b.Bad
		}
		if total != n {
			t.Errorf("%d outcomes of %d", total, n)
		}
	}
}

func TestParameter_JSONValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ of, text, want string }{
		{"integer or percentage", "3", `3`},
		{"integer or percentage", "25%", `"25%"`},
		{"integer, percentage or growing list of them", "1, 10%,50", `[1,"10%",50]`},
		{"integer, percentage or growing list of them", "4", `4`},
		{"list of percentages or {percent, duration, promotion}", `[{"percent": 10}, 100]`, `[{"percent":10},100]`},
		{"list of percentages or {percent, duration, promotion}", `[10, 100`, `["[10",100]`},
		{"number", "0.5", `0.5`},
		{"number", "NaN", `"NaN"`},
		{"number", "1e999", `"1e999"`},
		{"duration", "90s", `"90s"`},
		{"duration", "90", `"90"`},
		{"string", "null", `"null"`},
		{"integer", "null", `"null"`},
		{"integer", `"x"`, `"\"x\""`},
	} {
		got, err := json.Marshal((&parameter{Type: c.of, Value: c.text}).jsonValue())
		if err != nil || string(got) != c.want {
			t.Errorf("%q as %s is %s, not %s: %v", c.text, c.of, got, c.want, err)
		}
	}
}

func TestFrequency_UsesTheShortestUnit(t *testing.T) {
	t.Parallel()
	for perDay, want := range map[float64]string{0: "none", 12.4: "12 a day", 1: "1 a day", 0.5: "3.5 a week", 0.1: "3 a month", 0.01: "0.3 a month"} {
		if got := formatFrequency(perDay); got != want {
			t.Errorf("%v a day is %q, not %q", perDay, got, want)
		}
	}
}

type admin struct{}

func (admin) Authenticate(*http.Request) (authz.Principal, error) {
	return authz.Principal{Name: "ada", Role: authz.RoleAdmin, Scopes: authz.Everywhere()}, nil
}

func TestFrame_ShowsGitToUnrestrictedPrincipals(t *testing.T) {
	t.Parallel()
	handler, err := New(Config{API: http.NotFoundHandler(), Who: admin{}, Open: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ui/nowhere", http.NoBody))
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `/gitops"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
