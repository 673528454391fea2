package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

func TestUsage_CountsWork(t *testing.T) {
	t.Parallel()
	before, err := readUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if before.parent != os.Getppid() {
		t.Errorf("the parent is %d, not %d", before.parent, os.Getppid())
	}
	for began := time.Now(); ; {
		now, err := readUsage(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now.own > before.own {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatal("a minute of work is no CPU time")
		}
	}
}

// The messages are those of PostgreSQL's protocol: a startup without a type, then Parse, Bind, Execute, Sync, and a Query.
func TestProxy_CountsWhatExecutes(t *testing.T) {
	t.Parallel()
	messages := "\x00\x00\x00\x08\x00\x03\x00\x00" + "P\x00\x00\x00\x05E" + "B\x00\x00\x00\x05Q" + "E\x00\x00\x00\x04" + "S\x00\x00\x00\x04" + "Q\x00\x00\x00\x06;\x00"
	var p proxy
	var got bytes.Buffer
	_ = p.forwardMessages(&got, strings.NewReader(messages)) // until the client ends
	if got.String() != messages || p.statements.Load() != 2 {
		t.Errorf("%d statements, forwarded %q", p.statements.Load(), got.String())
	}
}

func TestTable_FiguresArePerTarget(t *testing.T) {
	t.Parallel()
	r := result{
		scenario: scenario{100, 10, 0, longPoll, false}, server: "this", rollouts: 2, whole: 3 * time.Second,
		keepAliveLoop: time.Second, plainLoop: 2 * time.Second, used: counters{wal: 200_000, rows: 800}, statements: 30,
	}
	for name, want := range map[string]string{"WAL B": "1000", "rows": "4.00", "statements a wave": "3.0", "× keep-alive loop": "3.00", "× loop": "1.50"} {
		for _, f := range figures() {
			if f.name == name && !strings.Contains(r.line(), name+" "+want) {
				t.Errorf("%s is not %s: %s", name, want, r.line())
			}
		}
	}
	half := r
	half.server, half.used.wal = "other", 400_000
	if text := ratios([]result{r, half}, true); !strings.Contains(text, "this/other") || !strings.Contains(text, "| 0.50 |") {
		t.Error(text)
	}
}
