package archtest

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
)

const onePlace = "all transitions of a target live in internal/strategy, so that they can be read, and proved, in one place"

func TestTransitions_LiveInPlannerOnly(t *testing.T) {
	t.Parallel()
	for _, f := range tree(t) {
		for _, broken := range transitions(f) {
			t.Error(broken)
		}
	}
}

func TestTransitions_RuleCatchesAssignments(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		"func f() { t.Phase = p }",
		"func f() { s.Targets[i].Phase, x = p, 1 }",
		"import r \"rollcall/internal/rollout\"\nfunc f() { t.State = r.TargetFailed }",
		"import \"rollcall/internal/rollout\"\nvar _ = rollout.Target{State: rollout.TargetFailed}",
		"import \"rollcall/internal/rollout\"\nvar _ = &rollout.Target{Phase: p}",
	} {
		if len(transitions(source(t, "internal/engine", code))) == 0 {
			t.Errorf("not caught: %s", code)
		}
		if broken := transitions(source(t, "internal/strategy", code)); broken != nil {
			t.Errorf("refused where it belongs: %v", broken)
		}
	}
	reading := "import \"rollcall/internal/rollout\"\nfunc f() { if t.Phase == rollout.PhaseNew { d.State = rollout.StatePaused } }"
	if broken := transitions(source(t, "internal/engine", reading)); broken != nil {
		t.Errorf("refused without need: %v", broken)
	}
}

// transitions lists what sets a target's phase, or its state to a new value. The store may, as may its
// tests: it reads back what the planner decided.
func transitions(f file) []string {
	switch f.pkg {
	case "internal/strategy", "internal/strategy/lifecycle", "internal/strategy/planner", "internal/store", "internal/storetest":
		return nil
	}
	words := ""
	for name, path := range f.imports() {
		if path == module+"/internal/rollout" {
			words = name
		}
	}
	var broken []string
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if assignsPhase(n) || assignsState(n, words) {
				broken = append(broken, fmt.Sprintf("%s: %s", f.at(n), onePlace))
			}
		case *ast.CompositeLit:
			if makesTarget(n, words) {
				broken = append(broken, fmt.Sprintf("%s: %s", f.at(n), onePlace))
			}
		}
		return true
	})
	return broken
}

func assignsPhase(n *ast.AssignStmt) bool {
	for _, to := range n.Lhs {
		if sel, ok := to.(*ast.SelectorExpr); ok && sel.Sel.Name == "Phase" {
			return true
		}
	}
	return false
}

// assignsState distinguishes a target's state from a deployment's by the constant: rollout.TargetFailed, rollout.StateFailed.
func assignsState(n *ast.AssignStmt, words string) bool {
	for i, to := range n.Lhs {
		sel, ok := to.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "State" || len(n.Rhs) != len(n.Lhs) {
			continue
		}
		if name, ok := word(n.Rhs[i], words); ok && strings.HasPrefix(name, "Target") {
			return true
		}
	}
	return false
}

// makesTarget reports a rollout.Target that is made with a state or a phase.
func makesTarget(n *ast.CompositeLit, words string) bool {
	if name, ok := word(n.Type, words); !ok || name != "Target" {
		return false
	}
	for _, element := range n.Elts {
		if field, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := field.Key.(*ast.Ident); ok && (key.Name == "State" || key.Name == "Phase") {
				return true
			}
		}
	}
	return false
}

// word gives X of an expression "rollout.X".
func word(e ast.Expr, words string) (string, bool) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return sel.Sel.Name, ok && words != "" && pkg.Name == words
}
