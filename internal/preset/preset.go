// Package preset has the requests of receivers that people run: a file for each, and one table.
package preset

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"rollcall/internal/problem"
	"rollcall/internal/request"
	"rollcall/internal/secret"
)

// Preset is a receiver and how it is called.
type Preset struct {
	Name    string
	Summary string
	Params  []Param
	expand  func(params map[string]string) Deploy
}

// Param is a parameter of a preset.
type Param struct {
	Name        string
	Required    bool
	Description string
	// valid reports whether the value can stand where it is put, and rule says what it must be.
	valid func(string) bool
	rule  string
}

// Deploy is what a preset stands for. A request that gives one of these fields itself has its own.
type Deploy struct {
	Request request.Request
	RetryOn []string
	Done    *request.Done
}

// All returns the presets in the order of their names.
func All() []Preset { return []Preset{adnanhWebhook(), portainer(), watchtower()} }

// Expand returns what a preset stands for, or the parts of the request that are wrong; pointers begin at deploy.
func Expand(name string, given map[string]secret.Secret) (Deploy, []problem.FieldError) {
	all := All()
	i := slices.IndexFunc(all, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		names := make([]string, len(all))
		for i := range all {
			names[i] = all[i].Name
		}
		return Deploy{}, []problem.FieldError{{Pointer: "/preset", Detail: "must be one of " + strings.Join(names, ", ")}}
	}
	p := &all[i]
	if found := p.check(given); found != nil {
		return Deploy{}, found
	}
	params := map[string]string{}
	for name, value := range given {
		params[name] = value.Reveal()
	}
	return p.expand(params), nil
}

func (p *Preset) check(given map[string]secret.Secret) []problem.FieldError {
	var found []problem.FieldError
	add := func(name, detail string) {
		found = append(found, problem.FieldError{Pointer: "/params/" + problem.EscapePointer(name), Detail: detail})
	}
	for _, param := range p.Params {
		value, there := given[param.Name]
		switch {
		case !there && param.Required:
			add(param.Name, "is required by preset "+p.Name)
		case there && !param.valid(value.Reveal()):
			add(param.Name, "must be "+param.rule)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(p.Params, func(param Param) bool { return param.Name == name }) {
			add(name, "is not a parameter of preset "+p.Name)
		}
	}
	return found
}

var segments = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$`)

// pathParam is part of a path.
func pathParam(name, description string, required bool) Param {
	return Param{
		Name: name, Required: required, Description: description, valid: segments.MatchString,
		rule: `letters, digits, ".", "_" and "-", with "/" between them`,
	}
}

// tokenParam is part of a header.
func tokenParam(name, description string) Param {
	return Param{
		Name: name, Required: true, Description: description, rule: "printable ASCII without spaces",
		valid: func(value string) bool {
			return value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' })
		},
	}
}

// literal returns a text in which no brace is a placeholder.
func literal(text string) string { return strings.NewReplacer("{", "{{", "}", "}}").Replace(text) }
