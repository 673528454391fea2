package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"rollcall/internal/api/gen"
	"rollcall/internal/client"
	"rollcall/internal/rollout"
)

// verifyCmd checks the chains of deployments' events, without believing the server.
type verifyCmd struct {
	Deployment  string `arg:"" optional:"" help:"A deployment's id, or a service for its newest one; without it all deployments are checked."`
	Environment string `short:"e" help:"Where the service is." default:"production"`
	Hash        string `help:"The events_hash that the deployment had earlier, kept elsewhere: it must be in the chain."`
}

// verdict is what verify found.
type verdict struct {
	Deployment string          `json:"deployment_id"`
	Verified   bool            `json:"verified"`
	Events     int             `json:"events"`
	Unproven   int             `json:"unproven"`
	EventsHash string          `json:"events_hash"`
	Faults     []rollout.Fault `json:"faults"`
}

// Run reads all events and computes every hash anew.
func (c *verifyCmd) Run(ctx context.Context, s *session) error {
	if c.Deployment == "" {
		return c.all(ctx, s)
	}
	var known rollout.Hash
	if err := known.UnmarshalText([]byte(c.Hash)); err != nil {
		return &wrongUseError{err: fmt.Errorf("--hash: %w", err)}
	}
	named := ref{Deployment: c.Deployment, Environment: c.Environment}
	d, err := named.find(ctx, s)
	if err != nil {
		return err
	}
	v, err := verify(ctx, s.client, &d, known)
	if err != nil {
		return err
	}
	return s.tell(&v, v.Verified, func() { v.show(s) })
}

// all checks every deployment that the token shows, and tells only of those whose log is wrong.
func (c *verifyCmd) all(ctx context.Context, s *session) error {
	if c.Hash != "" {
		return &wrongUseError{err: errors.New("--hash is of one deployment: name it")}
	}
	sum := verdicts{Failed: []verdict{}}
	for d, err := range client.Each[gen.Deployment](ctx, s.client, "/deployments", nil, 0) {
		if err != nil {
			return err
		}
		v, err := verify(ctx, s.client, &d, rollout.Hash{})
		if err != nil {
			return err
		}
		sum.add(&v)
	}
	sum.Verified = len(sum.Failed) == 0
	return s.tell(&sum, sum.Verified, func() { sum.show(s) })
}

// tell prints what was found; what is not as it was written is a failure.
func (s *session) tell(found any, verified bool, show func()) error {
	answer, err := json.Marshal(found)
	if err != nil {
		return fmt.Errorf("encode the verdict: %w", err)
	}
	if err := s.print(answer, show); err != nil {
		return err
	}
	if !verified {
		return failedError{}
	}
	return nil
}

// verdicts are what was found of all deployments.
type verdicts struct {
	Verified    bool      `json:"verified"`
	Deployments int       `json:"deployments"`
	Events      int       `json:"events"`
	Unproven    int       `json:"unproven"`
	Failed      []verdict `json:"failed"`
}

func (vs *verdicts) add(v *verdict) {
	vs.Deployments++
	vs.Events += v.Events
	vs.Unproven += v.Unproven
	if !v.Verified {
		vs.Failed = append(vs.Failed, *v)
	}
}

// show tells people.
func (vs *verdicts) show(s *session) {
	for i := range vs.Failed {
		vs.Failed[i].show(s)
	}
	if len(vs.Failed) > 0 {
		fmt.Fprintf(s.out, "logs checked: %d, not as they were written: %d\n", vs.Deployments, len(vs.Failed))
		return
	}
	fmt.Fprintf(s.out, "logs checked: %d, with %d events: all as they were written", vs.Deployments, vs.Events-vs.Unproven)
	if vs.Unproven > 0 {
		fmt.Fprintf(s.out, "; %d events are from before there was a chain: nothing is proven of them", vs.Unproven)
	}
	fmt.Fprintln(s.out)
}

func verify(ctx context.Context, asking *client.Client, d *gen.Deployment, known rollout.Hash) (verdict, error) {
	listed, err := client.Items[gen.Event](ctx, asking, "/deployments/"+d.ID+"/events", nil, 0)
	if err != nil {
		return verdict{}, err
	}
	last, err := hashOf(d.EventsHash)
	if err != nil {
		return verdict{}, err
	}
	events := make([]rollout.Event, len(listed))
	for i := range listed {
		if events[i], err = eventOf(&listed[i]); err != nil {
			return verdict{}, err
		}
	}
	if !client.Ended(d) {
		events = upTo(events, last)
	}
	proof := rollout.CheckChain(events, last)
	if !known.IsZero() && !rollout.HasHash(events, known) {
		proof.Faults = append(proof.Faults, rollout.Fault{Seq: 1, Message: "from here on it may all have been written anew: no event has the hash that was kept"})
	}
	return verdict{
		Deployment: d.ID, Verified: len(proof.Faults) == 0, Events: len(events), Unproven: proof.Before, EventsHash: last.String(),
		Faults: append([]rollout.Fault{}, proof.Faults...),
	}, nil
}

// upTo leaves out what was written after the deployment was read.
func upTo(events []rollout.Event, last rollout.Hash) []rollout.Event {
	i := slices.IndexFunc(events, func(e rollout.Event) bool { return e.Hash == last })
	if i < 0 || last.IsZero() {
		return events
	}
	return events[:i+1]
}

// show tells people.
func (v *verdict) show(s *session) {
	for _, f := range v.Faults {
		fmt.Fprintf(s.out, "event %d: %s\n", f.Seq, f.Message)
	}
	if v.Unproven > 0 {
		fmt.Fprintf(s.out, "%d events, the first ones, are from before there was a chain: nothing is proven of them\n", v.Unproven)
	}
	if v.Verified {
		fmt.Fprintf(s.out, "%s  %d events are as they were written; the last hash is %s\n", v.Deployment, v.Events-v.Unproven, orDash(&v.EventsHash))
	} else {
		fmt.Fprintf(s.out, "%s  the log is not as it was written\n", v.Deployment)
	}
}

// eventOf is an event as it was hashed.
func eventOf(e *gen.Event) (rollout.Event, error) {
	hash, err := hashOf(e.Hash)
	if err != nil {
		return rollout.Event{}, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	return rollout.Event{
		Seq: e.Seq, At: e.At, Type: e.Type, DeploymentID: e.DeploymentID, Actor: e.Actor, Replica: value(e.Replica), Epoch: e.Epoch,
		Target: value(e.Target), Wave: value(e.Wave), From: value(e.From), To: value(e.To), Message: e.Message, Call: callOf(e.Call), Hash: hash,
	}, nil
}

func callOf(c *gen.Call) *rollout.Call {
	if c == nil {
		return nil
	}
	return &rollout.Call{
		WebhookID: c.WebhookID, Action: rollout.CallAction(c.Action), Version: value(c.Version), PreviousVersion: value(c.PreviousVersion),
		Attempt: c.Attempt, Fence: c.Fence, Until: value(c.Until), NewWeight: c.NewWeight,
	}
}

func hashOf(text *string) (hash rollout.Hash, err error) {
	err = hash.UnmarshalText([]byte(value(text)))
	return hash, err //nolint:wrapcheck // it says what a hash is
}

// value is what null stands for.
func value[T any](v *T) (known T) {
	if v != nil {
		known = *v
	}
	return known
}
