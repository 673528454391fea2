package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/slowtest"
)

// guideBlock returns the first block in a language, of a page below docs/, that contains the text.
func guideBlock(t *testing.T, page, language, text string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, found := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(content), -1) {
		blocks = append(blocks, found[1])
	}
	return blockWith(t, blocks, text)
}

func TestGuide_PrivatePostgresDumpAndUpgrade(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	bin := filepath.Dir(pgProgram(t, "pg_upgrade"))
	state, work := privateFolder(t), t.TempDir()
	p := serve(t, "", "--state-dir="+state)
	f := newFleet(t, 1, "v1")
	d := p.post(request(f, "v2", object{"type": "rolling"}))
	p.awaitEnd(d.ID)
	environment := []string{"STATE_DIR=" + state, "OLD=" + bin, "NEW=" + bin, "PATH=" + bin + ":" + os.Getenv("PATH")}
	pasted(t, "cd "+work+"\n"+guideBlock(t, "how-to/back-up-and-restore.md", "sh", "rollcall.pgpass\" pg_dump"), environment...)
	if dumped := pasted(t, "pg_restore -f - "+filepath.Join(work, "rollcall.dump"), environment...); !strings.Contains(dumped, d.ID) {
		t.Error("the deployment is not in the dump")
	}
	p.stop()

	pasted(t, "set -e\n"+guideBlock(t, "how-to/upgrade.md", "sh", "pg_upgrade"), environment...)
	p = serve(t, "", "--state-dir="+state)
	if res, data := call(t, http.MethodGet, p.url+"/deployments/"+d.ID, nil, nil); res.StatusCode != http.StatusOK {
		t.Errorf("after the upgrade the deployment is answered %d: %s", res.StatusCode, data)
	}
	p.awaitEnd(p.post(request(f, "v3", object{"type": "rolling"})).ID)
}

// Three servers that use all the sessions that they may still all work.
func TestGuide_PoolerSettingsServeThreeServers(t *testing.T) {
	t.Parallel()
	var settings []string
	for line := range strings.Lines(guideBlock(t, "operations/high-availability.md", "ini", "pool_mode")) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "[") && !strings.HasPrefix(line, ";") {
			settings = append(settings, line)
		}
	}
	database := dbtest.StartPooler(t, dbtest.New(t), settings...)
	f := newFleet(t, 1, "v1")
	for i := range 3 {
		p := serve(t, database+"&pool_max_conns=8")
		p.saturate(16)
		body := request(f, fmt.Sprintf("v%d", i+2), object{"type": "rolling"})
		if d := p.awaitEnd(p.post(body).ID); d.State != "completed" {
			t.Errorf("server %d: it ended %s: %s", i+1, d.State, d.Reason)
		}
	}
}

// saturate has the server open as many connections for requests as it may, by so many long requests at once.
func (p *process) saturate(n int) {
	p.t.Helper()
	done := make(chan struct{}, n)
	for range n {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 20 {
				req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+"/summary", nil)
				if err == nil {
					var res *http.Response
					if res, err = http.DefaultClient.Do(req); err == nil {
						err = res.Body.Close()
					}
				}
				if err != nil {
					p.t.Error(err)
					return
				}
			}
		}()
	}
	for range n {
		<-done
	}
}
