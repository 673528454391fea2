package notify

import (
	"cmp"
	"strings"

	"rollcall/internal/notification"
)

// publicURL is the URL of the server for people and tools; empty if it is not configured.
type publicURL string

// deploymentPage returns the URL of a deployment's page; empty for a test, and without a public URL.
func (p publicURL) deploymentPage(m *notification.Message) string {
	if p == "" || m.DeploymentID == "" {
		return ""
	}
	return strings.TrimRight(string(p), "/") + "/ui/deployments/" + m.DeploymentID
}

// eventSource returns the server's name in events.
func (p publicURL) eventSource() string {
	return cmp.Or(strings.TrimRight(string(p), "/"), "/rollcall")
}
