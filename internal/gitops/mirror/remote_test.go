package mirror

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/internal/gitops/gittest"
)

// However a host is written, git calls the address that was checked, and does not resolve the name again.
func TestGit_CallsOnlyTheCheckedAddress(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		http.Error(w, "this is no repository", http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"git.rollcall.test", "GIT.Rollcall.test", "git.rollcall.test."} {
		before := asked.Load()
		s := gittest.New(t).Source()
		s.URL = "http://" + host + ":" + port + "/x"
		if err := fetchError(t, newMirrors(t), s); asked.Load() == before {
			t.Errorf("%s was called elsewhere: %v", host, err)
		}
	}
}
