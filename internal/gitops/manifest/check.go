// Package manifest reads the files of a Git source: YAML that means the same to every reader, as a request for a deployment.
package manifest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
)

// Parse reads a file of a source as a request for a deployment: YAML as readYAML takes it, without what must not be in Git.
func Parse(text []byte) (*Document, *gitsource.FileProblem) {
	doc, problem := readYAML(text)
	if problem == nil {
		problem = rejectSecrets(doc)
	}
	if problem == nil {
		problem = limitLabels(doc)
	}
	if problem != nil {
		return nil, problem
	}
	return doc, nil
}

// rejectSecrets rejects a secret in a file: all readers of the repository could read it, and all readers of what Rollcall stores
// of the file.
func rejectSecrets(doc *Document) *gitsource.FileProblem {
	given := secretPointers(doc.value)
	if len(given) == 0 {
		return nil
	}
	part := strings.Split(given[0], "/")[1]
	return &gitsource.FileProblem{
		Line: doc.lineOf(given[0]), Pointer: given[0],
		Detail: "does not belong into Git: put it into the definition of the service in the environment, and leave " + part + " out here",
	}
}

// secretPointers returns the secret fields that a request has. Headers of checks and calls are secret, and parameters of presets, whatever their
// names: many hold credentials.
func secretPointers(request map[string]any) []string {
	var given []string
	look := func(part any, at, field string) {
		fields, _ := part.(map[string]any)
		if _, there := fields[field]; there {
			given = append(given, at+"/"+field)
		}
	}
	look(request["deploy"], "/deploy", "secret")
	look(request["deploy"], "/deploy", "params")
	if deploy, there := request["deploy"].(map[string]any); there {
		look(deploy["request"], "/deploy/request", "headers")
	}
	look(request["tls"], "/tls", "client_key")
	checks, _ := request["health_checks"].([]any)
	for i, check := range checks {
		look(check, "/health_checks/"+strconv.Itoa(i), "headers")
	}
	return given
}

// maxLabels of a file leave room, among the 50 of a deployment, for commit, its time, author, message, source, file and attempt.
const maxLabels = 50 - 7

// limitLabels rejects more labels than a deployment takes beside those that record where it comes from.
func limitLabels(doc *Document) *gitsource.FileProblem {
	if own, _ := doc.value["labels"].(map[string]any); len(own) > maxLabels {
		return &gitsource.FileProblem{
			Line: doc.lineOf("/labels"), Pointer: "/labels",
			Detail: fmt.Sprintf("must have at most %d labels, so that there is room for those that record where they come from", maxLabels),
		}
	}
	return nil
}

// FileProblems returns what is wrong with a file from the refusal of its request; false when err is none.
func FileProblems(err error, doc *Document) ([]gitsource.FileProblem, bool) {
	e, ok := errors.AsType[*problem.Error](err)
	if !ok || e.Code != problem.CodeInvalid {
		return nil, false
	}
	if len(e.Fields) == 0 {
		return []gitsource.FileProblem{{Line: doc.lineOf(""), Detail: e.Message}}, true
	}
	problems := make([]gitsource.FileProblem, len(e.Fields))
	for i, p := range e.Fields {
		problems[i] = gitsource.FileProblem{Line: doc.lineOf(p.Pointer), Pointer: p.Pointer, Detail: p.Detail}
	}
	return problems, true
}
