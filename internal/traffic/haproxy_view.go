package traffic

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"rollcall/internal/egress"
	"rollcall/internal/routing"
)

// The bits of srv_admin_state, by the names that HAProxy's management guide gives them (section 9.3, "show servers state").
const (
	adminForcedMaint    = 0x01
	adminInheritedMaint = 0x02
	adminConfigMaint    = 0x04 // "disabled" in the configuration; stays when it was enabled since
	adminForcedDrain    = 0x08
	adminInheritedDrain = 0x10
	adminNoAddress      = 0x20
	adminNoName         = 0x40

	adminMaint = adminForcedMaint | adminInheritedMaint | adminNoAddress | adminNoName
	adminDrain = adminForcedDrain | adminInheritedDrain
)

// The values of srv_op_state.
const (
	opStopped  = 0
	opStarting = 1
	opRunning  = 2
	opStopping = 3
)

const (
	// agentOn are the bits of srv_agent_state of a server whose agent is configured and not switched off.
	agentOn = 0x02 | 0x04
	// rowOfBackend is the server's name in the row of "show stat" that is about the backend itself.
	rowOfBackend = "BACKEND"
	fullShare    = 100
	levelAdmin   = "admin"
)

// view is what one HAProxy reports of one backend.
type view struct {
	place place
	// pid and started identify the process; empty when it does not report them.
	pid, started string
	// level is what the socket may do: "user", "operator" or "admin"; empty when it does not report it.
	level string
	// algorithm is how the backend balances, and cookie the name of its persistence cookie; a socket reports them from level
	// operator on.
	algorithm, cookie string
	// table means that the backend has a stick table of its own.
	table bool
	// total is the sum of the weights that count now.
	total   int
	servers map[string]server
	// order lists the servers as they are configured.
	order []string
}

// server is what HAProxy reports of a server.
type server struct {
	// weight is the one last set or configured, configured that of the configuration.
	weight, configured int
	admin, op          int
	// status is HAProxy's own word, cause what its check or agent said last.
	status, cause string
	// sessions counts those in work and those that wait for the server.
	sessions int
	// effective is the part of the weight, in percent, that a slow start lets count.
	effective     int
	backup, agent bool
}

// viewCommands returns the commands of a view, which are answered over one connection. "show info" comes first because
// every HAProxy but a master knows it, and the servers come last because their end is the answer's end.
func viewCommands(backend string) string {
	return strings.Join([]string{
		"show info", "show cli level", "show table", "show stat " + backend + " 6 -1", "show servers state " + backend,
	}, ";")
}

// fetchView asks for the state of a backend.
func (h haproxy) fetchView(ctx context.Context, at place) (*view, error) {
	reply, _, err := h.runCommands(ctx, at.socket, viewCommands(at.backend))
	if err != nil {
		return nil, err
	}
	v, err := parseView(reply, at.backend)
	if err != nil {
		return nil, err
	}
	v.place = at
	return v, nil
}

// parseView reads the answers to viewCommands. Each ends with an empty line, and they are distinguished by how they begin.
func parseView(reply, backend string) (*view, error) {
	if !strings.HasSuffix(reply, "\n\n") { // whole answers end so, complaints too
		return nil, io.ErrUnexpectedEOF
	}
	v := &view{servers: map[string]server{}}
	tables := map[string]string{}
	for part := range strings.SplitSeq(reply, "\n\n") {
		v.readPart(strings.TrimLeft(part, "\n"), backend, tables)
	}
	switch {
	case tables[partStat] != "" && tables[partState] != "":
		return v, v.readServers(tables[partStat], tables[partState], backend)
	case tables[partOther] != "":
		return nil, haproxyError(tables[partOther])
	default:
		return nil, io.ErrUnexpectedEOF
	}
}

// How the answers begin.
const (
	partInfo  = "Name:"
	partTable = "# table:"
	partStat  = "# pxname,"
	partState = "1\n# "
	partOther = "" // a complaint
)

// readPart reads one answer, or puts it among the tables by how it begins.
func (v *view) readPart(part, backend string, tables map[string]string) {
	for _, begin := range []string{partInfo, partTable, partStat, partState} {
		if !strings.HasPrefix(part, begin) {
			continue
		}
		switch begin {
		case partInfo:
			v.readInfo(part)
		case partTable:
			v.table = v.table || hasTable(part, backend)
		default:
			tables[begin] = part
		}
		return
	}
	switch part {
	case "":
	case "user", "operator", levelAdmin:
		v.level = part
	default:
		tables[partOther] = part
	}
}

func (v *view) readInfo(part string) {
	for line := range strings.SplitSeq(part, "\n") {
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "Pid":
			v.pid = value
		case "Start_time_sec":
			v.started = value
		}
	}
}

func hasTable(part, backend string) bool {
	for line := range strings.SplitSeq(part, "\n") {
		if strings.HasPrefix(line, "# table: "+backend+",") {
			return true
		}
	}
	return false
}

func (v *view) readServers(stat, state, backend string) error {
	rows, err := statRows(stat, backend)
	if err != nil {
		return err
	}
	of := rows[rowOfBackend]
	v.algorithm, v.cookie, v.total = of["algo"], of["cookie"], numberOr(of["weight"], 0)
	_, table, _ := strings.Cut(state, "\n# ")
	lines := strings.Split(table, "\n")
	columns := strings.Fields(lines[0])
	for _, line := range lines[1:] {
		s := rowOf(columns, strings.Fields(line))
		name := s["srv_name"]
		parsed, err := parseServer(s, rows[name])
		if err != nil {
			return err
		}
		v.servers[name] = parsed
		v.order = append(v.order, name)
	}
	return nil
}

// statRows reads the rows of "show stat" about a backend, by the server's name.
func statRows(stat, backend string) (map[string]map[string]string, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(stat, "# ")))
	r.LazyQuotes, r.FieldsPerRecord = true, -1
	records, err := r.ReadAll()
	if err != nil || len(records) == 0 {
		return nil, haproxyError("a table that cannot be read: " + stat)
	}
	rows := map[string]map[string]string{}
	for _, record := range records[1:] {
		row := rowOf(records[0], record)
		if row["pxname"] != backend {
			return nil, haproxyError("about " + row["pxname"] + " instead of " + backend) // a name of digits is taken for a number
		}
		rows[row["svname"]] = row
	}
	return rows, nil
}

// rowOf finds columns by name: later versions of HAProxy add some.
func rowOf(columns, cells []string) map[string]string {
	row := make(map[string]string, len(cells))
	for i, cell := range cells {
		if i < len(columns) {
			row[columns[i]] = cell
		}
	}
	return row
}

// parseServer joins the row of a server in "show servers state" and that in "show stat".
func parseServer(state, stat map[string]string) (server, error) {
	s := server{
		status: stat["status"], cause: lastCheckText(stat), backup: stat["bck"] == "1",
		sessions:  numberOr(stat["scur"], 0) + numberOr(stat["qcur"], 0),
		effective: numberOr(stat["throttle"], fullShare),
		agent:     numberOr(state["srv_agent_state"], 0)&agentOn == agentOn,
	}
	for _, column := range []struct {
		name string
		to   *int
	}{
		{"srv_uweight", &s.weight}, {"srv_iweight", &s.configured}, {"srv_admin_state", &s.admin}, {"srv_op_state", &s.op},
	} {
		n, err := strconv.Atoi(state[column.name])
		if err != nil {
			return server{}, haproxyError(fmt.Sprintf("a server %s without %s", state["srv_name"], column.name))
		}
		*column.to = n
	}
	if stat == nil {
		return server{}, haproxyError("no statistics of server " + state["srv_name"])
	}
	return s, nil
}

// lastCheckText returns what HAProxy's check or agent reported last of a server.
func lastCheckText(stat map[string]string) string {
	switch {
	case strings.Contains(stat["status"], "agent") && stat["last_agt"] != "":
		return stat["last_agt"]
	case stat["last_chk"] != "":
		return strings.TrimSpace(stat["check_status"] + " " + stat["last_chk"])
	default:
		return strings.TrimSpace(stat["check_status"] + " " + stat["check_desc"])
	}
}

func numberOr(cell string, otherwise int) int {
	n, err := strconv.Atoi(cell)
	if err != nil {
		return otherwise
	}
	return n
}

// haproxyError returns the error of a reply in which HAProxy refuses a command.
func haproxyError(reply string) routing.Refusal {
	return routing.Refusal("HAProxy says: " + egress.Sanitize(reply))
}
