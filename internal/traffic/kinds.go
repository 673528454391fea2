package traffic

import (
	"context"
	"errors"
	"fmt"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// errNoReadBack is the read of a router that has no way to tell what it does.
const errNoReadBack = routing.Refusal("this router cannot be read back")

// splitRequest is one setting of one deployment's router, with what is needed to put it into the router's own words. A read has
// no setting.
type splitRequest struct {
	deployment *rollout.Deployment
	targets    []rollout.Target
	setting    routing.TrafficSplit
}

func (p splitRequest) traffic() *routing.Config { return p.deployment.Spec.Traffic }

// router is a kind of router. Its messages and errors are fit for people: one line, no secrets, no URLs.
type router interface {
	// write makes call once. ResultDone means that the router took it.
	write(ctx context.Context, p splitRequest, call routing.Call) rollout.CallResult
	// read asks the router what it does. The error is errBlind when the router has no way to tell.
	read(ctx context.Context, p splitRequest) (routing.Reading, error)
}

// kind is a row of the table: what Traffic.Type is called, and what makes its router.
type kind struct {
	name string
	make func(*Client) router
}

func kinds() []kind {
	return []kind{
		{"webhook", func(m *Client) router { return webhook{m} }},
		{"haproxy", func(m *Client) router { return haproxy{m} }},
	}
}

// Types lists the values of routing.Config.Type that a Mover knows.
func Types() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

func (m *Client) router(d *rollout.Deployment) (router, error) {
	if d.Spec.Traffic == nil {
		return nil, errors.New("the deployment names no router")
	}
	for _, k := range kinds() {
		if k.name == d.Spec.Traffic.Type {
			return k.make(m), nil
		}
	}
	return nil, fmt.Errorf("there is no router of type %q", d.Spec.Traffic.Type)
}
