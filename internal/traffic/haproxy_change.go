package traffic

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

// maxLine bounds the bytes of one line of commands. HAProxy's buffer is 16 KiB unless it was configured smaller.
const maxLine = 4 << 10

// takeOut is the state into which servers are put that are taken out: as the request says, else maintenance where the
// backend sends clients back to a server by a cookie or a table, which a drain does not stop. why is for people.
func (v *view) takeOut(t *rollout.Traffic) (state, why string) {
	switch {
	case t.TakeOut != "":
		return t.TakeOut, ""
	case v.cookie != "":
		return maintState, ", taken out by maint because of the cookie " + outbound.OneLine(v.cookie)
	case v.table:
		return maintState, ", taken out by maint because of the stick table"
	default:
		return drainState, ""
	}
}

// putsBack reports whether a server that should serve is held by Rollcall's own write, and so may be set ready. Its mark is
// weight 0, which it writes before the state and takes away after it: what an operator holds has its weight. Maintenance is
// its own only where it takes servers out so. Where the weights in full rotation are not known, the mark alone decides.
func (v *view) putsBack(p position, want share, call rollout.RouterCall) bool {
	s := v.servers[want.server]
	state, _ := v.takeOut(p.traffic())
	own := s.admin&^adminConfigMaint == adminForcedDrain || s.admin == adminForcedMaint && state == maintState
	known := len(call.Baseline) == 0 || slices.Contains(call.TakenOut, want.target)
	return want.weight > 0 && own && (s.weight == 0 || s.agent) && known
}

// leaves reports whether weight 0 was set by somebody else since the weight was last seen, and stays.
func leaves(s server, want share, call rollout.RouterCall) bool {
	return want.weight > 0 && s.weight == 0 && s.configured > 0 && len(call.Baseline) > 0 && !slices.Contains(call.TakenOut, want.target)
}

// changes lists the commands that lead from the view to the shares. Those that give traffic come first: traffic flows while
// HAProxy works through them, and at no point may nobody serve.
func (v *view) changes(p position, shares []share, call rollout.RouterCall) []string {
	state, _ := v.takeOut(p.traffic())
	var give, take []string
	for _, want := range shares {
		s := v.servers[want.server]
		set := "set server " + v.place.backend + "/" + want.server + " "
		weight := fmt.Sprintf("%sweight %d", set, want.weight)
		switch {
		case want.weight == 0 && s.heldBy() != "": // out already, and not to be touched when somebody else did it
		case want.weight == 0 && (s.weight > 0 || slices.Contains(call.TakenOut, want.target)):
			if s.weight > 0 {
				take = append(take, weight)
			}
			take = append(take, set+"state "+state)
		case want.weight == 0, leaves(s, want, call):
		default:
			if v.putsBack(p, want, call) {
				give = append(give, set+"state ready")
			}
			if s.weight != want.weight && (!s.agent || s.weight == 0 || want.weight != s.configured) {
				give = append(give, weight)
			}
		}
	}
	return append(give, take...)
}

// lines groups commands into lines that fit.
func lines(commands []string) [][]string {
	var grouped [][]string
	room := 0
	for _, command := range commands {
		if room -= len(command) + 1; room < 0 {
			grouped = append(grouped, nil)
			room = maxLine - len(command) - 1
		}
		grouped[len(grouped)-1] = append(grouped[len(grouped)-1], command)
	}
	return grouped
}

// send makes changes, line by line. Each line is a connection of its own: HAProxy answers one and hangs up. The answer to
// "show info" at the end of each says whether it is still the process that was looked at.
func (h haproxy) send(ctx context.Context, v *view, commands []string) (written bool, err error) {
	for _, line := range lines(commands) {
		reply, connected, err := h.talk(ctx, v.place.socket, strings.Join(append(line, "show info"), ";"))
		written = written || connected
		said, info, ended := strings.Cut(reply, "Name: ")
		if outbound.OneLine(said) != "" {
			return written, complaint(said)
		}
		if err != nil {
			return written, err
		}
		if !ended || strings.Count(said, "\n") < len(line) { // a command that worked answers an empty line
			return written, io.ErrUnexpectedEOF
		}
		var now view
		now.readInfo(info)
		if now.pid != v.pid {
			return written, fmt.Errorf("another process answered (%s, then %s): it was reloaded, or two of them listen at one address", v.pid, now.pid)
		}
	}
	return written, nil
}
