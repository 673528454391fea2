package rollout

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"rollcall/internal/healthcheck"
	"rollcall/internal/secret"
)

func TestSecrets_PrintAsStars(t *testing.T) {
	t.Parallel()
	d := Deployment{DeploySecret: "hunter2"}
	d.Spec.Checks = []healthcheck.Check{{Headers: map[string]secret.Secret{"A": "hunter2"}}}
	d.Spec.TLS = &TLS{ClientKey: "hunter2"}
	secrets := d.Secrets()
	encoded, err := json.Marshal([]any{d, secrets, map[string]any{"s": d.DeploySecret}})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", d.DeploySecret, "all", secrets, "tls", d.Spec.TLS)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", d.DeploySecret, "all", secrets, "spec", d.Spec)
	for _, text := range []string{
		string(encoded), log.String(), fmt.Sprintf("%v %+v %#v %s %q %x", d.DeploySecret, secrets, secrets, d.DeploySecret, secrets, d.DeploySecret),
		fmt.Sprint(d.Spec.Checks, *d.Spec.TLS), fmt.Errorf("tried: %v", secrets).Error(),
	} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e746572") || !strings.Contains(text, "***") {
			t.Errorf("%s", text)
		}
	}
}

func TestRestoreSecrets_WhereStarsStand(t *testing.T) {
	t.Parallel()
	d := Deployment{DeploySecret: "a"}
	d.Spec.Checks = []healthcheck.Check{{}, {Headers: map[string]secret.Secret{"A": "b", "B": "c"}}}
	d.Spec.TLS = &TLS{ClientKey: "d"}
	kept := d.Secrets()
	encoded, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var stored Deployment
	if err := json.Unmarshal(encoded, &stored); err != nil {
		t.Fatal(err)
	}
	stored.Spec.Checks[1].Headers["B"] = "new"
	before := stored.Spec.Checks[1].Headers
	stored.RestoreSecrets(kept)
	if got := stored.Spec.Checks[1].Headers; stored.DeploySecret != "a" || got["A"] != "b" || got["B"] != "new" || stored.Spec.TLS.ClientKey != "d" {
		t.Errorf("%q %q", stored.DeploySecret.Reveal(), got)
	}
	if before["A"] != "***" {
		t.Error("a map that others may hold was changed")
	}
}

// FuzzWords: the words that read themselves are written as they were read.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{`"1m30s"`, `1`, `[1,2]`, `"x"`, `null`, `"-1h"`, `whsec_YWJj`, `[1e3]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var sizes, same Sizes
		if json.Unmarshal([]byte(text), &sizes) == nil {
			encoded, err := json.Marshal(sizes)
			if err != nil || json.Unmarshal(encoded, &same) != nil || fmt.Sprint(same) != fmt.Sprint(sizes) {
				t.Fatalf("%q is %v, then %v", text, sizes, same)
			}
		}
	})
}
