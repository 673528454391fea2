package api

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"rollcall/internal/api/types"
	"rollcall/internal/rollout"
)

// maxMetadata bounds a target's metadata, in bytes of JSON.
const maxMetadata = 16 << 10

const noTargets = "are required: give them here, or in the definition of the service in this environment"

// readTargets reads the targets in the request's order.
func (q *request) readTargets() []rollout.Target {
	given := valueOr(q.body.Targets, nil)
	if q.body.Targets != nil && len(given) == 0 {
		q.add("/targets", noTargets)
	}
	byID, byAddress := map[string]int{}, map[string]int{}
	targets := make([]rollout.Target, len(given))
	for i := range given {
		pointer := fmt.Sprintf("/targets/%d", i)
		t, normal := q.readTarget(&given[i], pointer)
		q.requireUnique(byID, t.ID, i, pointer+"/id")
		if normal != "" {
			q.requireUnique(byAddress, normal, i, pointer+"/address")
		}
		targets[i] = t
	}
	return targets
}

// requireUnique reports the later of two targets that share a value.
func (q *request) requireUnique(seen map[string]int, value string, i int, pointer string) {
	if first, taken := seen[value]; taken {
		q.add(pointer, "duplicates /targets/%d", first)
		return
	}
	seen[value] = i
}

// readTarget reads one target; its canonical address is empty when the address is invalid.
func (q *request) readTarget(g *types.TargetRequest, pointer string) (t rollout.Target, normal string) {
	normal = q.readAddress(g.Address, pointer+"/address")
	t = rollout.Target{
		ID: g.ID, Name: valueOr(g.Name, g.ID), Address: g.Address, Slot: valueOr(g.Slot, ""), Metadata: valueOr(g.Metadata, nil),
		Version: valueOr(g.Version, ""), Weight: valueOr(g.Weight, 0), DeployURL: valueOr(g.DeployURL, ""),
	}
	q.checkVersion(t.Version, pointer+"/version")
	if g.DeployURL != nil {
		q.checkURL(*g.DeployURL, pointer+"/deploy_url")
		q.checkTemplate(*g.DeployURL, pointer+"/deploy_url")
	}
	if t.Metadata == nil {
		t.Metadata = map[string]any{}
	}
	if encoded, err := json.Marshal(t.Metadata); err != nil || len(encoded) > maxMetadata {
		q.add(pointer+"/metadata", "must be at most %d bytes", maxMetadata)
	}
	return t, normal
}

// readAddress checks a target's base URL and returns it in its canonical form; empty when it is invalid.
func (q *request) readAddress(raw, pointer string) string {
	u := q.checkURL(raw, pointer)
	if u == nil {
		return ""
	}
	if u.RawQuery != "" || u.ForceQuery {
		q.add(pointer, "must not have a query string: paths are appended to it")
		return ""
	}
	return rollout.CanonicalAddress(raw)
}

// checkURL checks a URL that will be called; nil when it is invalid. Its problems never quote the URL, which may contain a
// password.
func (q *request) checkURL(raw, pointer string) *url.URL {
	u, detail := parseURL(raw)
	if detail != "" {
		q.add(pointer, "%s", detail)
		return nil
	}
	if err := q.checkAddress(raw); err != nil {
		q.add(pointer, "%v", err)
		return nil
	}
	return u
}

func parseURL(raw string) (u *url.URL, detail string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return nil, "must be a URL"
	case !strings.EqualFold(u.Scheme, "http") && !strings.EqualFold(u.Scheme, "https"):
		return nil, "must be an absolute http or https URL"
	case u.Hostname() == "":
		return nil, "must have a host"
	case u.User != nil:
		return nil, "must not have a user or password"
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, "must not have a fragment"
	case !validPort(u):
		return nil, "must have a port from 1 to 65535"
	}
	return u, ""
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}
