package traffic

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"rollcall/internal/egress"
	"rollcall/internal/routing"
)

// maxLine bounds the bytes of one line of commands. HAProxy's buffer is 16 KiB unless it was configured smaller.
const maxLine = 4 << 10

// takeOut returns the state into which servers are put that are taken out: as the request says, else maintenance where the
// backend sends clients back to a server by a cookie or a table, which a drain does not stop. why is empty when it needs no
// reason.
func (v *view) takeOut(t *routing.Config) (state, why string) {
	switch {
	case t.TakeOut != "":
		return t.TakeOut, ""
	case v.cookie != "":
		return maintState, "because of the cookie " + egress.Sanitize(v.cookie)
	case v.table:
		return maintState, "because of the stick table"
	default:
		return drainState, ""
	}
}

// canRestore reports whether a server that should serve is held by Rollcall's own write, and so may be set ready. Its mark is
// weight 0, which it writes before the state and takes away after it: what an operator holds has its weight. Maintenance is
// its own only where it takes servers out so. Where the weights in full rotation are not known, the mark alone decides.
func (v *view) canRestore(p splitRequest, want serverWeight, call routing.Call) bool {
	s := v.servers[want.server]
	state, _ := v.takeOut(p.routerConfig())
	own := s.admin&^adminConfigMaint == adminForcedDrain || s.admin == adminForcedMaint && state == maintState
	known := len(call.Baseline) == 0 || slices.Contains(call.TakenOut, want.target)
	return want.weight > 0 && own && (s.weight == 0 || s.agent) && known
}

// drainedByOperator reports whether an operator set weight 0 since the weight was last read.
func drainedByOperator(s server, want serverWeight, call routing.Call) bool {
	return want.weight > 0 && s.weight == 0 && s.configured > 0 && len(call.Baseline) > 0 && !slices.Contains(call.TakenOut, want.target)
}

// changeCommands lists the commands that lead from the view to the shares. Those that give traffic come first: traffic flows while
// HAProxy works through them, and at every point some server must serve.
func (v *view) changeCommands(p splitRequest, shares []serverWeight, call routing.Call) []string {
	var give, take []string
	for _, want := range shares {
		set := "set server " + v.place.backend + "/" + want.server + " "
		if want.weight == 0 {
			take = append(take, v.takeOutCommands(p, want, call, set)...)
		} else {
			give = append(give, v.serveCommands(p, want, call, set)...)
		}
	}
	return append(give, take...)
}

// takeOutCommands lists the commands that take one server out: none where it is held already, which an operator may have done.
func (v *view) takeOutCommands(p splitRequest, want serverWeight, call routing.Call, set string) []string {
	s := v.servers[want.server]
	if s.heldBy() != "" || s.weight == 0 && !slices.Contains(call.TakenOut, want.target) {
		return nil
	}
	state, _ := v.takeOut(p.routerConfig())
	commands := []string{set + "state " + state}
	if s.weight > 0 {
		commands = append([]string{set + "weight 0"}, commands...)
	}
	return commands
}

// serveCommands lists the commands that give one server its weight. An agent's percentage is left alone in full rotation.
func (v *view) serveCommands(p splitRequest, want serverWeight, call routing.Call, set string) []string {
	s := v.servers[want.server]
	if drainedByOperator(s, want, call) {
		return nil
	}
	var commands []string
	if v.canRestore(p, want, call) {
		commands = append(commands, set+"state ready")
	}
	if s.weight != want.weight && (!s.agent || s.weight == 0 || want.weight != s.configured) {
		commands = append(commands, fmt.Sprintf("%sweight %d", set, want.weight))
	}
	return commands
}

// groupIntoLines groups commands into lines that fit.
func groupIntoLines(commands []string) [][]string {
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

// sendChanges makes changes, line by line. Each line is a connection of its own: HAProxy answers one and hangs up. The answer to
// "show info" at the end of each says whether it is still the process that was looked at.
func (h haproxy) sendChanges(ctx context.Context, v *view, commands []string) (written bool, err error) {
	for _, line := range groupIntoLines(commands) {
		reply, connected, err := h.runCommands(ctx, v.place.socket, strings.Join(append(line, "show info"), ";"))
		written = written || connected
		said, info, ended := strings.Cut(reply, "Name: ")
		if egress.Sanitize(said) != "" {
			return written, haproxyError(said)
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
