package traffic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

const (
	// serverKey is the metadata of a target that names its server in HAProxy; without it the target's id does.
	serverKey = "haproxy_server"
	// maxWeight is HAProxy's own bound.
	maxWeight = 256
	// checkDelay is what HAProxy's own health checks get to find a server up: two of them, 2 s apart, by default.
	checkDelay = 5 * time.Second
)

// haproxy is one HAProxy or several with the same configuration, controlled by the runtime API. It has no fence: the last
// write wins, so a late one is only kept out by the deadline that a write carries.
type haproxy struct{ *Client }

// writeSplit looks before it writes, everywhere, so that what HAProxy would refuse half-way changes nothing at all.
func (h haproxy) writeSplit(ctx context.Context, p splitRequest, call routing.Call) rollout.CallResult {
	began := time.Now()
	shares, views, err := h.viewAll(ctx, p)
	if err != nil {
		return answerOf(ctx, false, err, began)
	}
	for _, v := range views {
		if why := v.unsupportedReason(p, shares, call); why != "" {
			return refusedResult(why)
		}
		if v.leavesNoServer(p, shares, call) {
			return rollout.CallResult{
				Kind: rollout.ResultRetry, RetryAfter: checkDelay,
				Message: "nothing changed: HAProxy itself holds each server down that would serve",
			}
		}
	}
	return h.writeAll(ctx, p, call, shares, views, began)
}

// writeAll writes to one place after the other.
func (h haproxy) writeAll(ctx context.Context, p splitRequest, call routing.Call, shares []serverWeight, views []*view, began time.Time) rollout.CallResult {
	changed, note, anything := map[string]bool{}, "", false
	for _, v := range views {
		commands := v.changeCommands(p, shares, call)
		written, err := h.sendChanges(ctx, v, commands)
		anything = anything || written
		if err != nil {
			return answerOf(ctx, anything, withPlace(v.place, len(views), err), began)
		}
		for _, command := range commands {
			changed[strings.Fields(command)[2]] = true
		}
		if _, why := v.takeOut(p.routerConfig()); anything && why != "" {
			note = ", taken out by maint " + why
		}
	}
	return rollout.CallResult{Kind: rollout.ResultDone, Message: fmt.Sprintf("%d of %d servers set%s", len(changed), len(shares)*len(views), note)}
}

// withPlace names the place of an error where there are several.
func withPlace(l place, of int, err error) error {
	if final, ok := errors.AsType[routing.Refusal](err); of > 1 && ok {
		return routing.Refusal(final.Error() + " (" + l.String() + ")")
	}
	if of > 1 {
		return placeError{err, l}
	}
	return err
}

// answerOf returns the result of a write that ended with an error.
func answerOf(ctx context.Context, written bool, err error, began time.Time) rollout.CallResult {
	if final, ok := errors.AsType[routing.Refusal](err); ok {
		return refusedResult(final.Error())
	}
	answer := egress.FailedCall(ctx, written, err, began)
	answer.Message += errorContext(err)
	return answer
}

// readState looks everywhere and puts together what is reported.
func (h haproxy) readState(ctx context.Context, p splitRequest) (routing.Reading, error) {
	began := time.Now()
	p.setting.Backends = make([]routing.Backend, len(p.targets))
	for i := range p.targets {
		p.setting.Backends[i].Target = p.targets[i].ID
	}
	shares, views, err := h.viewAll(ctx, p)
	if final, ok := errors.AsType[routing.Refusal](err); ok {
		return routing.Reading{}, final
	}
	if err != nil {
		return routing.Reading{}, errors.New("no answer: " + egress.ErrorText(ctx, err, began) + errorContext(err))
	}
	var readings []routing.Reading
	for _, v := range views {
		if why := v.unsupportedReason(p, shares, routing.Call{}); why != "" {
			return routing.Reading{}, routing.Refusal(why)
		}
		readings = append(readings, v.readingOf(p, shares))
	}
	return mergeReadings(p, views, readings)
}

// viewAll looks at every place. A refusal says that what is asked can never be had.
func (h haproxy) viewAll(ctx context.Context, p splitRequest) ([]serverWeight, []*view, error) {
	shares, err := serverWeights(p)
	if err != nil {
		return nil, nil, err
	}
	places, err := listPlaces(p.routerConfig())
	if err != nil {
		return nil, nil, err
	}
	views := make([]*view, 0, len(places))
	for _, l := range places {
		v, err := h.fetchView(ctx, l)
		if err != nil {
			return nil, nil, withPlace(l, len(places), err)
		}
		views = append(views, v)
	}
	return shares, views, nil
}

// mergeReadings makes one reading of those of all places. A target serves when it serves everywhere.
func mergeReadings(p splitRequest, views []*view, readings []routing.Reading) (routing.Reading, error) {
	sum := readings[0]
	sum.Backends = slices.Clone(sum.Backends)
	for n, r := range readings[1:] {
		sum.Instance += " " + r.Instance
		for i := range r.Backends {
			one, other := &sum.Backends[i], &r.Backends[i]
			if one.Weight != other.Weight {
				differ := fmt.Sprintf("target %s has weight %d in %s and %d in %s", one.Target, one.Weight, views[0].place, other.Weight, views[n+1].place)
				if state := p.deployment.Progress.Router; state == nil || len(state.Baseline) == 0 {
					return routing.Reading{}, routing.Refusal(differ + ": they must be alike, as the same traffic goes through both")
				}
				one.Why = differ
				if one.Weight == lastSent(p.deployment, one.Target) {
					one.Weight = other.Weight
				}
			}
			one.Serving = one.Serving && other.Serving
			one.Why, one.HeldBy = cmp.Or(one.Why, other.Why), cmp.Or(one.HeldBy, other.HeldBy)
			one.Sessions += other.Sessions
			one.Effective = min(one.Effective, other.Effective)
		}
	}
	return sum, nil
}
