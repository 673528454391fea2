package traffic

import (
	"context"
	"errors"
	"fmt"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// errNoReadBack is the error of a router that cannot be read.
const errNoReadBack = routing.Refusal("this router cannot be read back")

// splitRequest is one setting of one deployment's router, with what is needed to put it into the router's own words. A read has
// no setting.
type splitRequest struct {
	deployment *rollout.Deployment
	targets    []rollout.Target
	setting    routing.TrafficSplit
}

func (p splitRequest) routerConfig() *routing.Config { return p.deployment.Spec.Traffic }

// router is a kind of router. Its messages and errors are fit for people: one line, no secrets, no URLs.
type router interface {
	// writeSplit makes call once. ResultDone means that the router took it.
	writeSplit(ctx context.Context, p splitRequest, call routing.Call) rollout.CallResult
	// readState asks the router what it does. The error is errNoReadBack when the router cannot be read.
	readState(ctx context.Context, p splitRequest) (routing.Reading, error)
}

// kind is a row of the table: what Traffic.Type is called, and what makes its router.
type kind struct {
	name string
	make func(*Client) router
}

func routerKinds() []kind {
	return []kind{
		{"webhook", func(m *Client) router { return webhook{m} }},
		{"haproxy", func(m *Client) router { return haproxy{m} }},
	}
}

// Types lists the values of routing.Config.Type that a Client knows.
func Types() []string {
	var names []string
	for _, k := range routerKinds() {
		names = append(names, k.name)
	}
	return names
}

func (m *Client) routerOf(d *rollout.Deployment) (router, error) {
	if d.Spec.Traffic == nil {
		return nil, errors.New("the deployment names no router")
	}
	for _, k := range routerKinds() {
		if k.name == d.Spec.Traffic.Type {
			return k.make(m), nil
		}
	}
	return nil, fmt.Errorf("there is no router of type %q", d.Spec.Traffic.Type)
}
