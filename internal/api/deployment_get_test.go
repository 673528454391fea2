package api_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/store"
)

func TestAnUnknownDeploymentIsNotFound(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	for _, below := range []string{"", "?wait=10s&after=1", "/targets", "/events"} {
		c.get("/deployments/0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11"+below).wantProblem(t, http.StatusNotFound, noPointer)
	}
}

func TestTheETagIsTheRevision(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	path := "/deployments/" + c.created(with("force", "true"))
	a := c.get(path).want(t, http.StatusOK)
	tag := a.Header.Get("ETag")
	if want := fmt.Sprintf("%q", fmt.Sprint(a.object(t)["revision"])); tag != want {
		t.Errorf("ETag %s, want %s", tag, want)
	}
	for _, matching := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		if a := c.get(path, "If-None-Match", matching).want(t, http.StatusNotModified); a.Header.Get("ETag") != tag || len(a.body) > 0 {
			t.Errorf("304 with %v %q", a.Header, a.body)
		}
	}
	for _, other := range []string{`"x"`, strings.Trim(tag, `"`), `"99"`} {
		c.get(path, "If-None-Match", other).want(t, http.StatusOK)
	}
}

func TestAWaitEndsUnchangedWhenNothingHappens(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	path := "/deployments/" + c.created(with("force", "true"))
	a := c.get(path)
	revision := a.object(t)["revision"]
	began := time.Now()
	waited := c.get(fmt.Sprintf("%s?wait=300ms&after=%v", path, revision)).want(t, http.StatusOK)
	if took := time.Since(began); took < 300*time.Millisecond || !bytes.Equal(waited.body, a.body) {
		t.Errorf("after %s: %s", took, waited.body)
	}
	c.get(fmt.Sprintf("%s?wait=10ms&after=%v", path, revision), "If-None-Match", a.Header.Get("ETag")).
		want(t, http.StatusNotModified)
	c.get(path+"?wait=60s").want(t, http.StatusOK) // any revision is newer than none
}

func TestAWaitEndsWithTheChange(t *testing.T) {
	t.Parallel()
	for _, heard := range []bool{true, false} {
		t.Run(fmt.Sprintf("notified %v", heard), func(t *testing.T) {
			t.Parallel()
			c, s := serveStored(t)
			if heard {
				listen(t, s)
			}
			path := "/deployments/" + c.created(with("force", "true"))
			answers := make(chan answer, 1)
			go func() { answers <- c.get(path + "?wait=60s&after=1") }()
			c.created(with("version", `"v3"`)) // supersedes it
			if state := (<-answers).want(t, http.StatusOK).object(t)["state"]; state != "superseded" {
				t.Errorf("state %v", state)
			}
		})
	}
}

// listen hears the store's notifications until the test ends.
func listen(t *testing.T, s *store.Store) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	connected := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Listen(ctx, func(string) {
			select {
			case connected <- struct{}{}:
			default:
			}
		})
	}()
	<-connected
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
