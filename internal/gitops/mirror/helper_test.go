package mirror

import (
	"testing"
	"time"

	"rollcall/internal/gitops/gittest"
	"rollcall/internal/gitsource"
)

func newMirrors(t testing.TB) *Cache {
	t.Helper()
	m, err := New(Config{Folder: t.TempDir(), Resolver: gittest.Anywhere{}, FetchTime: 30 * time.Second, FetchBytes: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// fetchMirror returns the mirror after a fetch that must succeed, and the commit.
func fetchMirror(t testing.TB, m *Cache, s *gitsource.Source) (*Mirror, string) {
	t.Helper()
	var kept *Mirror
	var revision string
	err := m.WithMirror(t.Context(), s, func(mi *Mirror) (err error) {
		kept = mi
		revision, err = mi.FetchBranch(t.Context(), s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return kept, revision
}

// fetchError returns the error of a fetch that must fail.
func fetchError(t testing.TB, m *Cache, s *gitsource.Source) error {
	t.Helper()
	err := m.WithMirror(t.Context(), s, func(mi *Mirror) error {
		_, err := mi.FetchBranch(t.Context(), s)
		return err
	})
	if err == nil {
		t.Fatalf("the fetch of %s went well", s.URL)
	}
	return err
}
