package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// requestFlags are the flags that describe a deployment. A flag overrides the file.
type requestFlags struct {
	Service     string            `arg:"" optional:"" help:"The service."`
	ToVersion   string            `arg:"" optional:"" name:"version" help:"The version to deploy."`
	File        string            `short:"f" help:"File with the request as YAML or JSON, with the API's fields; - reads standard input." placeholder:"FILE"`
	Environment string            `short:"e" help:"The environment (default: the file's, else production)."`
	Strategy    string            `help:"rolling, blue_green or canary; its parameters with --set."`
	Set         []string          `help:"Strategy parameter, as name=value with a JSON value; repeatable." placeholder:"NAME=VALUE" sep:"none"`
	Target      []string          `help:"Target, as id=address; repeatable (default: the definition's targets)." placeholder:"ID=ADDRESS" sep:"none"`
	Label       map[string]string `help:"Label of the deployment, as name=value; repeatable." mapsep:"none"`
	Force       bool              `help:"Also call targets that already run the version."`
	Reject      bool              `help:"Fail if another deployment is active, instead of queueing behind it."`
}

// requestBody returns the request for the API.
func (r *requestFlags) requestBody() (map[string]any, error) {
	body, err := readRequest(r.File)
	if err != nil {
		return nil, &usageError{err: err}
	}
	for name, value := range map[string]string{"service": r.Service, "version": r.ToVersion, "environment": r.Environment} {
		if value != "" {
			body[name] = value
		}
	}
	if body["service"] == nil || body["version"] == nil {
		return nil, &usageError{err: errors.New("service and version are required: give both as arguments, or a file with --file")}
	}
	if r.Force {
		body["force"] = true
	}
	if r.Reject {
		body["on_conflict"] = "reject"
	}
	for _, add := range []func(map[string]any) error{r.addStrategy, r.addTargets, r.addLabels} {
		if err := add(body); err != nil {
			return nil, &usageError{err: err}
		}
	}
	return body, nil
}

func (r *requestFlags) addStrategy(body map[string]any) error {
	strategy, ok := body["strategy"].(map[string]any)
	if r.Strategy != "" && (!ok || strategy["type"] != r.Strategy) {
		strategy = map[string]any{"type": r.Strategy} // the file's parameters belong to another type
	}
	if len(r.Set) > 0 && strategy == nil {
		return errors.New("--set needs a strategy: give its type with --strategy")
	}
	for _, set := range r.Set {
		name, text, found := strings.Cut(set, "=")
		if !found {
			return fmt.Errorf("--set %s is not name=value", set)
		}
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			value = text // so that 30s needs no quotes
		}
		strategy[name] = value
	}
	if strategy != nil {
		body["strategy"] = strategy
	}
	return nil
}

func (r *requestFlags) addTargets(body map[string]any) error {
	if len(r.Target) == 0 {
		return nil
	}
	var targets []any
	for _, target := range r.Target {
		id, address, found := strings.Cut(target, "=")
		if !found {
			return fmt.Errorf("--target %s is not id=address", target)
		}
		targets = append(targets, map[string]any{"id": id, "address": address})
	}
	body["targets"] = targets
	return nil
}

func (r *requestFlags) addLabels(body map[string]any) error {
	if len(r.Label) == 0 {
		return nil
	}
	labels, ok := body["labels"].(map[string]any)
	if !ok {
		labels = map[string]any{}
	}
	for name, value := range r.Label {
		labels[name] = value
	}
	body["labels"] = labels
	return nil
}

// readRequest reads a file with one YAML (or JSON) document; without a file it returns an empty request.
func readRequest(path string) (map[string]any, error) {
	if path == "" {
		return map[string]any{}, nil
	}
	open := func() (io.ReadCloser, error) { return os.Open(path) }
	if path == "-" {
		open = func() (io.ReadCloser, error) { return io.NopCloser(os.Stdin), nil }
	}
	file, err := open()
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	defer func() { _ = file.Close() }() // read only
	var document yaml.Node
	if err := yaml.NewDecoder(file).Decode(&document); err != nil {
		return nil, fmt.Errorf("%s is not YAML: %w", path, err)
	}
	keepTimestamps(&document)
	var body map[string]any
	if err := document.Decode(&body); err != nil {
		return nil, fmt.Errorf("%s is not a request: %w", path, err)
	}
	if body == nil {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return body, nil
}

// keepTimestamps marks dates as strings: a version such as 2026-01-02 is not a point in time.
func keepTimestamps(n *yaml.Node) {
	if n.ShortTag() == "!!timestamp" {
		n.Tag = "!!str"
	}
	for _, child := range n.Content {
		keepTimestamps(child)
	}
}
