package pg

import (
	"strings"
	"testing"
)

func TestServer_OldVersionIsWarnedOf(t *testing.T) {
	t.Parallel()
	warnings, err := judgeServer([]string{"t", "14.12", "UTF8", "f", "off"})
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "14.12") || !strings.Contains(warnings[0], "15 or later") {
		t.Errorf("warnings: %q", warnings)
	}
}
