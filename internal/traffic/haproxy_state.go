package traffic

import (
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

// closedToTraffic are the bits of srv_admin_state with which a server gets no new traffic: maintenance (forced,
// inherited, no address) and drain (forced, inherited). The bit 4 only remembers how the server was configured.
const closedToTraffic = 1 | 2 | 8 | 16 | 32

// The values of srv_op_state with which a server gets traffic.
const (
	opStarting = "1"
	opRunning  = "2"
)

// complaint is what HAProxy says instead of doing what it was asked.
func complaint(reply string) rollout.RouterRefusal {
	return rollout.RouterRefusal("HAProxy says: " + outbound.OneLine(reply))
}

// server is what HAProxy knows of a server.
type server struct {
	weight int
	// up is HAProxy's own opinion: its checks, and what was set by hand.
	up bool
}

// servers are those of one backend, by name. Rollcall need not know them all.
type servers map[string]server

// look asks for the state of the backend's servers.
func (h haproxy) look(ctx context.Context, p position) (servers, error) {
	reply, _, err := h.talk(ctx, p, "show servers state "+p.traffic().Backend)
	if err != nil {
		return nil, err
	}
	return parseServers(reply)
}

// parseServers reads the answer to "show servers state": the format's version, a line "# " with the columns' names, a
// line for each server, an empty line. Columns are found by name, as later versions of HAProxy add some.
func parseServers(reply string) (servers, error) {
	if !strings.HasSuffix(reply, "\n\n") { // whole answers end so, complaints too
		return nil, io.ErrUnexpectedEOF
	}
	_, table, ok := strings.Cut(reply, "\n# ")
	if !ok {
		return nil, complaint(reply)
	}
	rows := strings.Split(strings.TrimRight(table, "\n"), "\n")
	columns := map[string]int{}
	for i, name := range strings.Fields(rows[0]) {
		columns[name] = i
	}
	found := servers{}
	for _, row := range rows[1:] {
		name, s, err := parseServer(columns, strings.Fields(row))
		if err != nil {
			return nil, err
		}
		found[name] = s
	}
	return found, nil
}

func parseServer(columns map[string]int, row []string) (string, server, error) {
	cell := func(name string) string {
		if i, ok := columns[name]; ok && i < len(row) {
			return row[i]
		}
		return ""
	}
	weight, err := strconv.Atoi(cell("srv_uweight"))
	if err != nil {
		return "", server{}, complaint("a state without srv_uweight: " + strings.Join(row, " "))
	}
	admin, err := strconv.Atoi(cell("srv_admin_state"))
	if err != nil {
		return "", server{}, complaint("a state without srv_admin_state: " + strings.Join(row, " "))
	}
	operational := cell("srv_op_state") == opRunning || cell("srv_op_state") == opStarting
	return cell("srv_name"), server{weight: weight, up: operational && admin&closedToTraffic == 0}, nil
}

// missing is the first server that HAProxy does not know, or "".
func (s servers) missing(shares []share) string {
	for _, want := range shares {
		if _, ok := s[want.server]; !ok {
			return want.server
		}
	}
	return ""
}

// strands reports whether shares would leave nobody to serve where somebody serves now: all that they give traffic to
// is down in HAProxy's own opinion, which may be behind by a check or two after a deploy. Weights that are all zero are
// meant, and strand nobody.
func (s servers) strands(shares []share) bool {
	after := maps.Clone(s)
	for _, want := range shares {
		after[want.server] = server{weight: want.weight, up: s[want.server].up}
	}
	given := slices.ContainsFunc(shares, func(want share) bool { return want.weight > 0 })
	return given && s.serve() && !after.serve()
}

func (s servers) serve() bool {
	for _, one := range s {
		if one.up && one.weight > 0 {
			return true
		}
	}
	return false
}
