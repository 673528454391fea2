package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"rollcall/internal/api/types"
	"rollcall/internal/audit"
	"rollcall/internal/client"
	"rollcall/internal/rollout"
)

// verifyCmd verifies the hash chains of deployments' events, computed here and not by the server.
type verifyCmd struct {
	Deployment  string `arg:"" optional:"" help:"A deployment's id, or a service for its newest one (default: all deployments)."`
	Environment string `short:"e" help:"The service's environment." default:"production"`
	Hash        string `help:"An events_hash of the deployment that was recorded earlier; it must be in the chain."`
}

// verification is the result for one deployment.
type verification struct {
	Deployment string            `json:"deployment_id"`
	Verified   bool              `json:"verified"`
	Events     int               `json:"events"`
	Unproven   int               `json:"unproven"`
	EventsHash string            `json:"events_hash"`
	Faults     []audit.Violation `json:"faults"`
}

// Run reads all events and recomputes every hash.
func (c *verifyCmd) Run(ctx context.Context, a *app) error {
	if c.Deployment == "" {
		return c.verifyAll(ctx, a)
	}
	var known rollout.Hash
	if err := known.UnmarshalText([]byte(c.Hash)); err != nil {
		return &usageError{err: fmt.Errorf("--hash: %w", err)}
	}
	named := ref{Deployment: c.Deployment, Environment: c.Environment}
	d, err := named.findDeployment(ctx, a)
	if err != nil {
		return err
	}
	v, err := verifyEvents(ctx, a.client, &d, known)
	if err != nil {
		return err
	}
	return a.printVerification(&v, v.Verified, func() { v.printText(a) })
}

// verifyAll verifies every deployment that the token may read, and lists those that fail.
func (c *verifyCmd) verifyAll(ctx context.Context, a *app) error {
	if c.Hash != "" {
		return &usageError{err: errors.New("--hash needs a deployment")}
	}
	sum := verificationSummary{Failed: []verification{}}
	for d, err := range client.Iterate[types.Deployment](ctx, a.client, "/deployments", nil, 0) {
		if err != nil {
			return err
		}
		v, err := verifyEvents(ctx, a.client, &d, rollout.Hash{})
		if err != nil {
			return err
		}
		sum.addResult(&v)
	}
	sum.Verified = len(sum.Failed) == 0
	return a.printVerification(&sum, sum.Verified, func() { sum.printText(a) })
}

// printVerification prints a result; it returns a failedError for a log that is not verified.
func (a *app) printVerification(result any, verified bool, show func()) error {
	response, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	if err := a.printResponse(response, show); err != nil {
		return err
	}
	if !verified {
		return failedError{}
	}
	return nil
}

// verificationSummary is the result for all deployments.
type verificationSummary struct {
	Verified    bool           `json:"verified"`
	Deployments int            `json:"deployments"`
	Events      int            `json:"events"`
	Unproven    int            `json:"unproven"`
	Failed      []verification `json:"failed"`
}

func (vs *verificationSummary) addResult(v *verification) {
	vs.Deployments++
	vs.Events += v.Events
	vs.Unproven += v.Unproven
	if !v.Verified {
		vs.Failed = append(vs.Failed, *v)
	}
}

// printText prints the result for people.
func (vs *verificationSummary) printText(a *app) {
	for i := range vs.Failed {
		vs.Failed[i].printText(a)
	}
	if len(vs.Failed) > 0 {
		fmt.Fprintf(a.out, "event log verification FAILED for %[2]d of %[1]d deployments\n", vs.Deployments, len(vs.Failed))
		return
	}
	fmt.Fprintf(a.out, "verified the event logs of %d deployments, with %d events", vs.Deployments, vs.Events-vs.Unproven)
	if vs.Unproven > 0 {
		fmt.Fprintf(a.out, "; %d events predate hash chaining and cannot be verified", vs.Unproven)
	}
	fmt.Fprintln(a.out)
}

func verifyEvents(ctx context.Context, api *client.Client, d *types.Deployment, known rollout.Hash) (verification, error) {
	listed, err := client.List[types.Event](ctx, api, "/deployments/"+d.ID+"/events", nil, 0)
	if err != nil {
		return verification{}, err
	}
	last, err := parseHash(d.EventsHash)
	if err != nil {
		return verification{}, err
	}
	events := make([]rollout.Event, len(listed))
	for i := range listed {
		if events[i], err = hashedEvent(&listed[i]); err != nil {
			return verification{}, err
		}
	}
	if !client.HasEnded(d) {
		events = eventsUpTo(events, last)
	}
	proof := audit.VerifyChain(events, last)
	if !known.IsZero() && !audit.ContainsHash(events, known) {
		proof.Violations = append(proof.Violations, audit.Violation{Seq: 1, Message: "the log may have been rewritten from here: no event has the hash given with --hash"})
	}
	return verification{
		Deployment: d.ID, Verified: len(proof.Violations) == 0, Events: len(events), Unproven: proof.Unchained, EventsHash: last.String(),
		Faults: append([]audit.Violation{}, proof.Violations...),
	}, nil
}

// eventsUpTo drops the events that were appended after the deployment was read.
func eventsUpTo(events []rollout.Event, last rollout.Hash) []rollout.Event {
	i := slices.IndexFunc(events, func(e rollout.Event) bool { return e.Hash == last })
	if i < 0 || last.IsZero() {
		return events
	}
	return events[:i+1]
}

// printText prints the result for people.
func (v *verification) printText(a *app) {
	for _, f := range v.Faults {
		fmt.Fprintf(a.out, "event %d: %s\n", f.Seq, f.Message)
	}
	if v.Unproven > 0 {
		fmt.Fprintf(a.out, "the first %d events predate hash chaining and cannot be verified\n", v.Unproven)
	}
	if v.Verified {
		fmt.Fprintf(a.out, "%s  %d events verified; the last hash is %s\n", v.Deployment, v.Events-v.Unproven, orDash(&v.EventsHash))
	} else {
		fmt.Fprintf(a.out, "%s  event log verification FAILED\n", v.Deployment)
	}
}

// hashedEvent returns an event with the fields that its hash covers.
func hashedEvent(e *types.Event) (rollout.Event, error) {
	hash, err := parseHash(e.Hash)
	if err != nil {
		return rollout.Event{}, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	return rollout.Event{
		Seq: e.Seq, At: e.At, Type: e.Type, DeploymentID: e.DeploymentID, Actor: e.Actor, Replica: valueOrZero(e.Replica), Epoch: e.Epoch,
		Target: valueOrZero(e.Target), Wave: valueOrZero(e.Wave), From: valueOrZero(e.From), To: valueOrZero(e.To), Message: e.Message, Call: callOf(e.Call), Hash: hash,
	}, nil
}

func callOf(c *types.Call) *rollout.Call {
	if c == nil {
		return nil
	}
	return &rollout.Call{
		WebhookID: c.WebhookID, Action: rollout.CallAction(c.Action), Version: valueOrZero(c.Version), PreviousVersion: valueOrZero(c.PreviousVersion),
		Attempt: c.Attempt, Fence: c.Fence, Deadline: valueOrZero(c.Until), NewWeight: c.NewWeight, Request: c.Request,
	}
}

func parseHash(text *string) (hash rollout.Hash, err error) {
	err = hash.UnmarshalText([]byte(valueOrZero(text)))
	return hash, err //nolint:wrapcheck // complete for the user
}

// valueOrZero returns the value, or the zero value for null.
func valueOrZero[T any](v *T) (known T) {
	if v != nil {
		known = *v
	}
	return known
}
