package api

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/httpkit"
	"rollcall/internal/problem"
)

func errNotFound(detail string) error {
	return &problem.Error{Code: problem.CodeNotFound, Message: detail}
}

func errNoRoute(*http.Request) error { return errNotFound("no such path") }

func errMethod(r *http.Request, allowed []string) error {
	return &httpkit.Refusal{
		Status: http.StatusMethodNotAllowed, Kind: "method-not-allowed", Title: "Method not allowed",
		Detail: "not supported by this path: " + strconv.Quote(r.Method), Allow: allowed,
	}
}

// parameterError returns the error of a parameter that the generated code could not bind; other errors unchanged.
func parameterError(err error) error {
	if e, ok := errors.AsType[*gen.TooManyValuesForParamError](err); ok {
		return httpkit.MalformedError("the header " + e.ParamName + " must be given once")
	}
	if e, ok := errors.AsType[*gen.InvalidParamFormatError](err); ok {
		return httpkit.InvalidField("/"+e.ParamName, "is not valid")
	}
	if e, ok := errors.AsType[*gen.RequiredParamError](err); ok {
		return httpkit.InvalidField("/"+e.ParamName, "is required")
	}
	return err
}

// decodingError returns the error of a body that its schema accepts and Go cannot decode: a number such as 1.0 or 1e2 for
// an integer.
func decodingError(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		pointer := "/" + strings.ReplaceAll(e.Field, ".", "/")
		return httpkit.InvalidField(pointer, "must be an integer within range")
	}
	return err
}

// writeError responds with the problem of err.
func (s *server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	httpkit.WriteError(w, r, parameterError(err), s.log.With("request_id", requestID(r.Context())))
}

// ruleExtension says in openapi.yaml, for people, what a pattern demands.
const ruleExtension = "x-rule"

// fieldErrorsOf returns the violations of a schema, in the order of their pointers.
func fieldErrorsOf(err error) []problem.FieldError {
	var problems []problem.FieldError
	for _, e := range schemaErrors(err) {
		if problems = append(problems, fieldErrors(e)...); len(problems) > httpkit.MaxFieldErrors*httpkit.MaxFieldErrors {
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

func fieldErrors(e *openapi3.SchemaError) []problem.FieldError {
	var pointer strings.Builder
	for _, step := range e.JSONPointer() {
		pointer.WriteString("/" + problem.EscapePointer(step))
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
		if _, known := e.Schema.Properties[name]; !known && len(problems) < httpkit.MaxFieldErrors {
			problems = append(problems, problem.FieldError{
				Pointer: pointer + "/" + problem.EscapePointer(name), Detail: "is not a known field",
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
