package traffic

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzServers: what an HAProxy says, or something that answers in its place, is a list of servers or an error.
func FuzzServers(f *testing.F) {
	f.Add("1\n# be_id be_name srv_id srv_name srv_uweight srv_admin_state srv_op_state\n3 web 1 web-1 10 0 2\n")
	f.Add("1\n# srv_name srv_uweight srv_admin_state\nweb-1 1")
	f.Add("")
	f.Fuzz(func(t *testing.T, reply string) {
		now, err := parseServers(reply)
		if err != nil && now != nil {
			t.Fatalf("%q: both %v and %v", reply, now, err)
		}
		shares := []share{{"web-1", 10}}
		if err == nil && now.missing(shares) == "" && now["web-1"] == (server{}) && !strings.Contains(reply, "web-1") {
			t.Fatalf("%q has a server that it does not name", reply)
		}
	})
}

// FuzzReport: whatever a router says, a reading has a weight for every target, from 0 to 256 or -1.
func FuzzReport(f *testing.F) {
	f.Add(`{"deployment_id":"d1","active_slot":"blue","new_weight":10,"old_weight":90}`)
	f.Add(`{"deployment_id":"d1","active_slot":"blue","new_weight":1e400}`)
	f.Add(`{"new_weight":"10","backends":[{"target":"web-1","weight":0.5}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var r report
		if json.Unmarshal([]byte(text), &r) != nil {
			return
		}
		reading := r.reading(twoTargets())
		weights := []int{reading.Shares.NewWeight, reading.Shares.OldWeight}
		for _, b := range reading.Backends {
			weights = append(weights, b.Weight)
		}
		for _, weight := range weights {
			if weight < -1 || weight > maxWeight {
				t.Fatalf("%q: weight %d", text, weight)
			}
		}
		if reading.Backends != nil && (len(reading.Backends) != 2 || reading.Backends[0].Target != "web-1") {
			t.Fatalf("%q: %+v", text, reading.Backends)
		}
	})
}
