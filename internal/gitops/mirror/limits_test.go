package mirror

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/gitops/gittest"
	"rollcall/internal/gitsource"
)

// Git keeps a host's whole list of branches in memory, so that is bounded, too.
func TestFetch_EndlessHostOutputIsBounded(t *testing.T) {
	t.Parallel()
	const most = 128 << 20
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		for part := make([]byte, 1<<20); r.Context().Err() == nil && sent.Load() < 4*most; {
			n, _ := w.Write(part) // the caller leaves in the middle
			sent.Add(int64(n))
		}
	}))
	t.Cleanup(server.Close)
	m := newMirrors(t)
	m.fetchMemory = most
	err := fetchError(t, m, &gitsource.Source{ID: "endless", URL: server.URL + "/x.git", Branch: "main"})
	if got := sent.Load(); got > 2*most {
		t.Errorf("%d MiB were taken, and then %v", got>>20, err)
	}
}

func TestFetch_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	r, m := gittest.New(t), newMirrors(t)
	m.fetchMemory, m.FetchTime = 128<<20, time.Minute
	want := r.Commit("one", map[string]string{"a.yaml": "a: 1"})
	if _, got := fetchMirror(t, m, r.Source()); got != want {
		t.Errorf("fetched %s", got)
	}
}
