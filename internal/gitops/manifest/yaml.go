package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"rollcall/internal/gitops"
	"rollcall/internal/gitsource"
	"rollcall/internal/problem"

	"go.yaml.in/yaml/v3"
)

// Bounds of a document. Those of depth and fields are the API's, too.
const (
	maxDepth = 30
	maxNodes = 100_000
)

// Document is a YAML document as JSON, with the line of each part by its JSON pointer.
type Document struct {
	JSON  json.RawMessage
	value map[string]any
	lines map[string]int
}

// lineOf returns the line of a part, or of what it is missing from.
func (d *Document) lineOf(pointer string) int {
	for {
		if line, known := d.lines[pointer]; known {
			return line
		}
		cut := strings.LastIndexByte(pointer, '/')
		if cut < 0 {
			return 1
		}
		pointer = pointer[:cut]
	}
}

// readYAML reads one document whose value is a mapping. What it lets through means the same in every YAML reader: no
// aliases, no merge keys, no tags of its own, no name twice.
func readYAML(text []byte) (*Document, *gitsource.FileProblem) {
	if problem := checkText(text); problem != nil {
		return nil, problem
	}
	root, problem := parseDocument(text)
	if problem != nil {
		return nil, problem
	}
	r := nodeReader{lines: map[string]int{}}
	value, problem := r.readNode(root, "", 0)
	if problem != nil {
		return nil, problem
	}
	object, isObject := value.(map[string]any)
	if !isObject {
		return nil, problemAt(root, "", "must be a mapping of fields")
	}
	encoded, err := json.Marshal(object)
	if err != nil {
		return nil, problemAt(root, "", "cannot be written as JSON: "+err.Error())
	}
	return &Document{JSON: encoded, value: object, lines: r.lines}, nil
}

// checkText rejects text that is too large or not plain.
func checkText(text []byte) *gitsource.FileProblem {
	switch i := bytes.IndexByte(text, 0); {
	case len(text) > gitops.MaxFileBytes:
		return &gitsource.FileProblem{Detail: fmt.Sprintf("is larger than %d KiB", gitops.MaxFileBytes>>10)}
	case !utf8.Valid(text):
		return &gitsource.FileProblem{Detail: "is not UTF-8"}
	case i >= 0:
		return &gitsource.FileProblem{Line: 1 + bytes.Count(text[:i], []byte("\n")), Detail: "has a NUL character"}
	}
	return nil
}

// parseDocument returns the only document of the text.
func parseDocument(text []byte) (*yaml.Node, *gitsource.FileProblem) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	if err := dec.Decode(&first); errors.Is(err, io.EOF) {
		return nil, &gitsource.FileProblem{Detail: "is empty"}
	} else if err != nil {
		return nil, syntaxProblem(err)
	}
	if err := dec.Decode(&second); err == nil {
		return nil, problemAt(&second, "", "is a second document, and a file has one")
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxProblem(err)
	}
	if len(first.Content) != 1 {
		return nil, &gitsource.FileProblem{Detail: "is empty"}
	}
	return first.Content[0], nil
}

var lineOfError = regexp.MustCompile(`line (\d+): `)

// syntaxProblem returns an error of the YAML parser with its line.
func syntaxProblem(err error) *gitsource.FileProblem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	p := &gitsource.FileProblem{Detail: "is not YAML: " + gitops.LabelValue(lineOfError.ReplaceAllString(text, ""))}
	if found := lineOfError.FindStringSubmatch(text); found != nil {
		p.Line, _ = strconv.Atoi(found[1]) // the pattern is digits
	}
	return p
}

// problemAt returns a problem at a node's line.
func problemAt(n *yaml.Node, pointer, detail string) *gitsource.FileProblem {
	return &gitsource.FileProblem{Line: max(n.Line, 1), Pointer: pointer, Detail: detail}
}

// nodeReader converts nodes to JSON values.
type nodeReader struct {
	lines map[string]int
	nodes int
}

func (r *nodeReader) readNode(n *yaml.Node, pointer string, depth int) (any, *gitsource.FileProblem) {
	r.nodes++
	switch {
	case depth > maxDepth:
		return nil, problemAt(n, "", fmt.Sprintf("is nested deeper than %d levels", maxDepth))
	case r.nodes > maxNodes:
		return nil, problemAt(n, "", fmt.Sprintf("has more than %d values", maxNodes))
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return nil, problemAt(n, pointer, "is an anchor or an alias, which are not taken")
	}
	r.lines[pointer] = n.Line
	switch n.Kind {
	case yaml.MappingNode:
		return r.readMapping(n, pointer, depth)
	case yaml.SequenceNode:
		return r.readSequence(n, pointer, depth)
	case yaml.ScalarNode:
		return readScalar(n, pointer)
	default:
		return nil, problemAt(n, pointer, "is nothing that a definition can hold")
	}
}

func (r *nodeReader) readMapping(n *yaml.Node, pointer string, depth int) (any, *gitsource.FileProblem) {
	if tag := n.ShortTag(); tag != "!!map" {
		return nil, problemAt(n, pointer, "has the tag "+gitops.LabelValue(tag)+", which is not taken")
	}
	object := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := key.Value
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.ShortTag() == "!!merge" || key.ShortTag() == "!!null" {
			return nil, problemAt(key, pointer, "has a field whose name is not plain text")
		}
		below := pointer + "/" + problem.EscapePointer(name)
		if _, twice := object[name]; twice {
			return nil, problemAt(key, below, "is given more than once")
		}
		read, problem := r.readNode(value, below, depth+1)
		if problem != nil {
			return nil, problem
		}
		object[name], r.lines[below] = read, key.Line
	}
	return object, nil
}

func (r *nodeReader) readSequence(n *yaml.Node, pointer string, depth int) (any, *gitsource.FileProblem) {
	if tag := n.ShortTag(); tag != "!!seq" {
		return nil, problemAt(n, pointer, "has the tag "+gitops.LabelValue(tag)+", which is not taken")
	}
	list := make([]any, 0, len(n.Content))
	for i, item := range n.Content {
		read, problem := r.readNode(item, pointer+"/"+strconv.Itoa(i), depth+1)
		if problem != nil {
			return nil, problem
		}
		list = append(list, read)
	}
	return list, nil
}

// readScalar reads a plain value. A date is text: JSON has no dates.
func readScalar(n *yaml.Node, pointer string) (any, *gitsource.FileProblem) {
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		if strings.ContainsRune(n.Value, 0) {
			return nil, problemAt(n, pointer, "must not have NUL characters")
		}
		return n.Value, nil
	case "!!null":
		return nil, nil //nolint:nilnil // null is a value
	case "!!bool":
		var b bool
		return decodeScalar(n, pointer, &b)
	case "!!int":
		var i int64
		return decodeScalar(n, pointer, &i)
	case "!!float":
		var f float64
		value, problem := decodeScalar(n, pointer, &f)
		if problem == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return nil, problemAt(n, pointer, "is no number that JSON has")
		}
		return value, problem
	default:
		return nil, problemAt(n, pointer, "has the tag "+gitops.LabelValue(tag)+", which is not taken")
	}
}

func decodeScalar[T any](n *yaml.Node, pointer string, into *T) (any, *gitsource.FileProblem) {
	if err := n.Decode(into); err != nil {
		return nil, problemAt(n, pointer, "is out of range")
	}
	return *into, nil
}
