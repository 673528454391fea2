package traffic

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzView: what an HAProxy says, or something that answers in its place, is a list of servers that it names, or an error.
func FuzzView(f *testing.F) {
	f.Add("Name: HAProxy\nPid: 7\n\nadmin\n\n# table: web, type: ip\n\n# pxname,svname,status\nweb,web-1,UP\n\n1\n# srv_name srv_uweight srv_iweight srv_admin_state srv_op_state\nweb-1 1 1 0 2\n\n")
	f.Add("1\n# srv_name srv_uweight srv_admin_state\nweb-1 1")
	f.Add("# pxname,svname\n\"web,web-1\n\n1\n# \n\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, reply string) {
		v, err := parseView(reply, "web")
		if err != nil {
			return
		}
		for name := range v.servers {
			if !strings.Contains(reply, name) {
				t.Fatalf("%q has a server %q that it does not name", reply, name)
			}
		}
	})
}

// FuzzReport: whatever a router says, a reading has a weight for every target, from 0 to 256 or -1.
func FuzzReport(f *testing.F) {
	f.Add(`{"deployment_id":"d1","active_slot":"blue","new_weight":10,"old_weight":90}`)
	f.Add(`{"deployment_id":"d1","active_slot":"blue","new_weight":1e400}`)
	f.Add(`{"new_weight":"10","backends":[{"target":"web-1","weight":0.5}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var r readBackBody
		if json.Unmarshal([]byte(text), &r) != nil {
			return
		}
		reading := r.toReading(twoTargets())
		weights := []int{reading.Weights.NewWeight, reading.Weights.OldWeight}
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
