package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

const (
	// serverKey is the metadata of a target that names its server in HAProxy; without it the target's id does.
	serverKey = "haproxy_server"
	// maxWeight is HAProxy's own bound.
	maxWeight = 256
	// maxLine bounds the bytes of one line of commands. HAProxy's buffer is 16 KiB unless it was configured smaller.
	maxLine = 4 << 10
	// checksWait is what HAProxy's own health checks get to find a server up: two of them, 2 s apart, by default.
	checksWait = 5 * time.Second
)

// haproxy is an HAProxy that is told the weights of its servers on its runtime API. It knows no fence: the last write
// wins, so a late one is only kept out by the deadline that a write carries.
type haproxy struct{ *Mover }

// share is the weight that one server of the backend should have.
type share struct {
	server string
	weight int
}

// write looks before it writes, so that what HAProxy would refuse half-way changes nothing at all.
func (h haproxy) write(ctx context.Context, p position, _ rollout.RouterCall) rollout.Answer {
	began := time.Now()
	shares, before, err := h.compare(ctx, p)
	if final, ok := errors.AsType[rollout.RouterRefusal](err); ok {
		return refused(final.Error())
	}
	if err != nil {
		return outbound.Failed(ctx, false, err, began)
	}
	if missing := before.missing(shares); missing != "" {
		return refused(noServer(p, missing).Error())
	}
	if before.strands(shares) {
		return rollout.Answer{
			Kind: rollout.AnswerRetry, RetryAfter: checksWait,
			Message: "nothing changed: HAProxy itself holds each server down that would serve",
		}
	}
	return h.send(ctx, p, shares, began)
}

// send sets the weights, line by line. Each line is a connection of its own: HAProxy answers one and hangs up.
func (h haproxy) send(ctx context.Context, p position, shares []share, began time.Time) rollout.Answer {
	written := false
	for _, commands := range lines(p.traffic().Backend, shares) {
		reply, connected, err := h.talk(ctx, p, strings.Join(commands, ";"))
		written = written || connected
		if outbound.OneLine(reply) != "" {
			return refused(complaint(reply).Error())
		}
		if err == nil && strings.Count(reply, "\n") < len(commands) { // a command that worked answers an empty line
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return outbound.Failed(ctx, written, err, began)
		}
	}
	return rollout.Answer{Kind: rollout.AnswerDone, Message: fmt.Sprintf("%d weights set", len(shares))}
}

// lines gives the commands that set the weights, grouped into lines that fit. Weights above zero come first: traffic
// flows while HAProxy works through them, and at no point may all servers have none.
func lines(backend string, shares []share) [][]string {
	ordered := slices.Clone(shares)
	slices.SortStableFunc(ordered, func(a, b share) int { return min(b.weight, 1) - min(a.weight, 1) })
	var grouped [][]string
	room := 0
	for _, s := range ordered {
		command := fmt.Sprintf("set server %s/%s weight %d", backend, s.server, s.weight)
		if room -= len(command) + 1; room < 0 {
			grouped = append(grouped, nil)
			room = maxLine - len(command) - 1
		}
		grouped[len(grouped)-1] = append(grouped[len(grouped)-1], command)
	}
	return grouped
}

// read gives the weights of the targets' servers, and whether HAProxy holds them up.
func (h haproxy) read(ctx context.Context, p position) (rollout.RouterReading, error) {
	began := time.Now()
	p.setting.Backends = make([]rollout.Backend, len(p.targets))
	for i := range p.targets {
		p.setting.Backends[i].Target = p.targets[i].ID
	}
	shares, now, err := h.compare(ctx, p)
	if final, ok := errors.AsType[rollout.RouterRefusal](err); ok {
		return rollout.RouterReading{}, final
	}
	if err != nil {
		return rollout.RouterReading{}, errors.New("no answer: " + outbound.Why(ctx, err, began))
	}
	if missing := now.missing(shares); missing != "" {
		return rollout.RouterReading{}, noServer(p, missing)
	}
	reading := rollout.RouterReading{Backends: make([]rollout.BackendReading, len(shares))}
	for i, s := range shares {
		is := now[s.server]
		reading.Backends[i] = rollout.BackendReading{
			Target: p.targets[i].ID, Weight: is.weight, Serving: is.up, Sessions: -1, Effective: 100,
		}
	}
	return reading, nil
}

func noServer(p position, server string) rollout.RouterRefusal {
	return rollout.RouterRefusal(fmt.Sprintf("HAProxy's backend %s has no server %s", p.traffic().Backend, server))
}

// compare gives the weights that the servers should have, and the state that they are in. A refusal says that one of
// the two can never be had.
func (h haproxy) compare(ctx context.Context, p position) ([]share, servers, error) {
	shares, err := sharesOf(p)
	if err != nil {
		return nil, nil, err
	}
	now, err := h.look(ctx, p)
	return shares, now, err
}

// sharesOf puts a setting into HAProxy's names. It refuses what could be taken for another command.
func sharesOf(p position) ([]share, error) {
	if !validName(p.traffic().Backend) {
		return nil, rollout.RouterRefusal(fmt.Sprintf("%q is no name of an HAProxy backend", outbound.OneLine(p.traffic().Backend)))
	}
	named := map[string]any{}
	for i := range p.targets {
		if name, ok := p.targets[i].Metadata[serverKey]; ok {
			named[p.targets[i].ID] = name
		}
	}
	taken := map[string]string{}
	shares := make([]share, 0, len(p.setting.Backends))
	for _, b := range p.setting.Backends {
		name, ok := named[b.Target]
		if !ok {
			name = b.Target
		}
		server, ok := name.(string)
		switch other, twice := taken[server]; {
		case !ok || !validName(server):
			return nil, rollout.RouterRefusal(outbound.OneLine(fmt.Sprintf("%q of target %s is no name of an HAProxy server", fmt.Sprint(name), b.Target)))
		case twice:
			return nil, rollout.RouterRefusal(outbound.OneLine(fmt.Sprintf("targets %s and %s are both HAProxy's server %s", other, b.Target, server)))
		case b.Weight < 0 || b.Weight > maxWeight:
			return nil, rollout.RouterRefusal(outbound.OneLine(fmt.Sprintf("the weight %d of target %s is not between 0 and %d", b.Weight, b.Target, maxWeight)))
		}
		taken[server] = b.Target
		shares = append(shares, share{server, b.Weight})
	}
	return shares, nil
}

// validName holds for the names that HAProxy itself accepts: letters, digits, and "-_.:".
func validName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:", r)
	}) < 0
}
