package notify

import (
	"cmp"
	"strings"

	"rollcall/internal/notification"
)

// place is the URL under which people and tools reach the server; empty when nobody has said.
type place string

// of is where people look at a deployment; empty for a test, and without a public URL.
func (p place) of(m *notification.Message) string {
	if p == "" || m.DeploymentID == "" {
		return ""
	}
	return strings.TrimRight(string(p), "/") + "/ui/deployments/" + m.DeploymentID
}

// source names the server in events.
func (p place) source() string { return cmp.Or(strings.TrimRight(string(p), "/"), "/rollcall") }
