package gitops

import (
	"encoding/json"
	"fmt"
	"time"

	"rollcall/internal/gitsource"
	"rollcall/internal/rollout"
)

// RequestBody returns the body that an attempt sends: the file's own. Healing neither waits for another deployment nor
// supersedes one: what was requested meanwhile goes first.
func RequestBody(f *gitsource.File) (json.RawMessage, error) {
	body := f.Want.Body
	if f.Attempt.Kind == gitsource.AttemptSync {
		return body, nil
	}
	body, err := AddLabels(body, map[string]string{"attempt": string(f.Attempt.Kind)})
	if err != nil || f.Attempt.Kind != gitsource.AttemptHeal {
		return body, err
	}
	return setField(body, "on_conflict", rollout.OnConflictReject)
}

// OriginLabels returns the labels that record where a deployment comes from.
func OriginLabels(source, file string, commit gitsource.Commit) map[string]string {
	labels := map[string]string{
		"commit": commit.SHA, "author": commit.Author, "message": commit.Message, "source": source, "file": LabelValue(file),
	}
	if !commit.Time.IsZero() {
		labels[rollout.LabelCommitTime] = commit.Time.Format(time.RFC3339)
	}
	return labels
}

// AddLabels returns a request with these labels added to its own.
func AddLabels(body json.RawMessage, labels map[string]string) (json.RawMessage, error) {
	var own struct {
		Labels map[string]any `json:"labels"`
	}
	if err := json.Unmarshal(body, &own); err != nil {
		return nil, fmt.Errorf("read the labels of a request: %w", err)
	}
	all := map[string]any{}
	for name, value := range own.Labels {
		all[name] = value
	}
	for name, value := range labels {
		all[name] = value
	}
	return setField(body, "labels", all)
}

// setField returns a request with one field set.
func setField(body json.RawMessage, field string, value any) (json.RawMessage, error) {
	var request map[string]any
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, fmt.Errorf("read a request: %w", err)
	}
	request[field] = value
	encoded, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("write a request: %w", err)
	}
	return encoded, nil
}
