package api

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"rollcall/internal/problem"

	"github.com/getkin/kin-openapi/openapi3"
)

// ruleExtension says in openapi.yaml, for people, what a pattern demands.
const ruleExtension = "x-rule"

// schemaProblems turns what a schema disliked into pointers and sentences, in the order of the pointers.
func schemaProblems(err error) []problem.FieldError {
	var problems []problem.FieldError
	for _, e := range schemaErrors(err) {
		if problems = append(problems, problemsOf(e)...); len(problems) > maxProblems*maxProblems {
			break
		}
	}
	slices.SortStableFunc(problems, func(a, b problem.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	return slices.Compact(problems)
}

func schemaErrors(err error) []*openapi3.SchemaError {
	if many, ok := errors.AsType[openapi3.MultiError](err); ok {
		var all []*openapi3.SchemaError
		for _, e := range many {
			all = append(all, schemaErrors(e)...)
		}
		return all
	}
	if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		return []*openapi3.SchemaError{e}
	}
	return nil
}

func problemsOf(e *openapi3.SchemaError) []problem.FieldError {
	var pointer strings.Builder
	for _, step := range e.JSONPointer() {
		pointer.WriteString("/" + escapePointer(step))
	}
	if e.SchemaField == "properties" {
		if problems := unknownFields(pointer.String(), e); len(problems) > 0 {
			return problems
		}
	}
	return []problem.FieldError{{Pointer: pointer.String(), Detail: detailOf(e)}}
}

// unknownFields names all fields that the object must not have; kin-openapi only points at the object.
func unknownFields(pointer string, e *openapi3.SchemaError) []problem.FieldError {
	object, ok := e.Value.(map[string]any)
	if !ok {
		return nil
	}
	var problems []problem.FieldError
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if _, known := e.Schema.Properties[name]; !known && len(problems) < maxProblems {
			problems = append(problems, problem.FieldError{
				Pointer: pointer + "/" + escapePointer(name), Detail: "is not a known field",
			})
		}
	}
	return problems
}

// detailOf never repeats the value: it may be a secret.
func detailOf(e *openapi3.SchemaError) string {
	switch e.SchemaField {
	case "required":
		return "is required"
	case "pattern":
		if rule, ok := e.Schema.Extensions[ruleExtension].(string); ok {
			return rule
		}
		return "does not have the right form"
	case "nullable":
		return "must not be null"
	case "":
		return "is not valid"
	default:
		return e.Reason
	}
}
