package traffic

import (
	"context"
	"errors"
	"fmt"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// errBlind is the read of a router that has no way to tell what it does.
const errBlind = routing.Refusal("this router cannot be read back")

// position is one setting of one deployment's router, with what is needed to put it into the router's own words. A read has
// no setting.
type position struct {
	deployment *rollout.Deployment
	targets    []rollout.Target
	setting    routing.TrafficSplit
}

func (p position) traffic() *routing.Config { return p.deployment.Spec.Traffic }

// router is a kind of router. Its messages and errors are fit for people: one line, no secrets, no URLs.
type router interface {
	// write makes call once. ResultDone means that the router took it.
	write(ctx context.Context, p position, call routing.Call) rollout.CallResult
	// read asks the router what it does. The error is errBlind when the router has no way to tell.
	read(ctx context.Context, p position) (routing.Reading, error)
}

// kind is a row of the table: what Traffic.Type is called, and what makes its router.
type kind struct {
	name string
	make func(*Mover) router
}

func kinds() []kind {
	return []kind{
		{"webhook", func(m *Mover) router { return webhook{m} }},
		{"haproxy", func(m *Mover) router { return haproxy{m} }},
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

func (m *Mover) router(d *rollout.Deployment) (router, error) {
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
