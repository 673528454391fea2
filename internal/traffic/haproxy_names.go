package traffic

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/egress"
	"rollcall/internal/routing"
)

// place is one backend of one HAProxy.
type place struct{ socket, backend string }

func (l place) String() string { return "backend " + l.backend + " at " + l.socket }

// listPlaces lists every backend on every socket.
func listPlaces(t *routing.Config) ([]place, error) {
	var all []place
	for _, socket := range uniqueNames(t.Socket, t.Sockets) {
		if _, _, err := socketOf(socket); err != nil {
			return nil, err
		}
		for _, backend := range uniqueNames(t.Backend, t.Backends) {
			if !validName(backend) {
				return nil, routing.Refusal(fmt.Sprintf("%q is no name of an HAProxy backend", egress.Sanitize(backend)))
			}
			all = append(all, place{socket, backend})
		}
	}
	return all, nil
}

// uniqueNames puts one name before others, each once. No name at all is one that is empty.
func uniqueNames(one string, others []string) []string {
	var all []string
	if one != "" || len(others) == 0 {
		all = append(all, one)
	}
	for _, other := range others {
		if !slices.Contains(all, other) {
			all = append(all, other)
		}
	}
	return all
}

// serverWeight is what one server should have.
type serverWeight struct {
	target, server string
	weight         int
}

// serverWeights puts a setting into HAProxy's names. It refuses what could be taken for another command.
func serverWeights(p splitRequest) ([]serverWeight, error) {
	names := map[string]any{}
	for i := range p.targets {
		if name, ok := p.targets[i].Metadata[serverKey]; ok {
			names[p.targets[i].ID] = name
		}
	}
	taken := map[string]string{}
	shares := make([]serverWeight, 0, len(p.setting.Backends))
	for _, b := range p.setting.Backends {
		name, ok := names[b.Target]
		if !ok {
			name = b.Target
		}
		server, ok := name.(string)
		switch other, twice := taken[server]; {
		case !ok || !validName(server):
			return nil, routing.Refusal(egress.Sanitize(fmt.Sprintf("%q of target %s is no name of an HAProxy server", fmt.Sprint(name), b.Target)))
		case twice:
			return nil, routing.Refusal(egress.Sanitize(fmt.Sprintf("targets %s and %s are both HAProxy's server %s", other, b.Target, server)))
		case b.Weight < 0 || b.Weight > maxWeight:
			return nil, routing.Refusal(egress.Sanitize(fmt.Sprintf("the weight %d of target %s is not between 0 and %d", b.Weight, b.Target, maxWeight)))
		}
		taken[server] = b.Target
		shares = append(shares, serverWeight{b.Target, server, b.Weight})
	}
	return shares, nil
}

// validName reports whether HAProxy itself accepts the name: letters, digits, and "-_.:".
func validName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:", r)
	}) < 0
}
