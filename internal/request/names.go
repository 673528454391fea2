package request

import (
	"slices"
	"strings"
)

// targetNames are the placeholders of a call to a target.
func targetNames() []string {
	return []string{
		"version", "previous_version", "action", "service", "environment", "deployment_id", "webhook_id", "attempt", "fence", "wave",
		"target.id", "target.name", Address, "target.slot",
	}
}

// TargetNames reports whether a call to a target has a placeholder.
func TargetNames(name string) bool {
	for _, prefix := range []string{metadataPrefix, labelPrefix} {
		if key, found := strings.CutPrefix(name, prefix); found && key != "" {
			return true
		}
	}
	return slices.Contains(targetNames(), name)
}

// MetadataKey returns the key of a placeholder of a target's metadata.
func MetadataKey(name string) (string, bool) { return strings.CutPrefix(name, metadataPrefix) }

// LabelKey returns the key of a placeholder of a deployment's labels.
func LabelKey(name string) (string, bool) { return strings.CutPrefix(name, labelPrefix) }
