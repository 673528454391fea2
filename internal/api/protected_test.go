package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/authz"
	"rollcall/internal/rollout"
)

func TestAProtectedDeploymentIsPromotedBySomeoneElse(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	operator.put(definition("protected", "true")).want(t, http.StatusCreated)
	ci := operator.holder("ci", authz.RoleDeployer, "*/*")
	ann, bob := operator.holder("ann", authz.RoleApprover, "*/*"), operator.holder("bob", authz.RoleApprover, "*/*")

	plan := ann.do(http.MethodPost, "/deployments?dry_run=true", shortRequest).want(t, http.StatusOK).object(t)
	made := ann.post(shortRequest).want(t, http.StatusAccepted).object(t)
	if plan["protected"] != true || made["protected"] != true || made["approved_by"] != nil ||
		!strings.Contains(fmt.Sprint(made["reason"]), "someone other") {
		t.Errorf("%v, %v", plan, made)
	}
	promote := fmt.Sprintf("/deployments/%s/promote", made["id"])
	ci.do(http.MethodPost, promote, "").want(t, http.StatusForbidden)
	ann.do(http.MethodPost, promote, "").wantProblem(t, http.StatusForbidden, noPointer)
	if d := bob.do(http.MethodPost, promote, "").want(t, http.StatusOK).object(t); d["approved_by"] != "token:bob" {
		t.Errorf("%v", d)
	}
	carol := operator.holder("carol", authz.RoleApprover, "*/*")
	if d := carol.do(http.MethodPost, promote, "").want(t, http.StatusOK).object(t); d["approved_by"] != "token:bob" {
		t.Errorf("approved twice: %v", d)
	}
}

// A deployment that carries targets of its own is a deployment of the service all the same.
func TestAnInlineRequestDoesNotEscapeProtection(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	operator.put(definition("protected", "true")).want(t, http.StatusCreated)
	if d := operator.post(deploymentOf("checkout", "production")).want(t, http.StatusAccepted).object(t); d["protected"] != true {
		t.Errorf("%v", d)
	}
	if d := operator.post(deploymentOf("checkout", "staging")).want(t, http.StatusAccepted).object(t); d["protected"] != false {
		t.Errorf("%v", d)
	}
}

func TestOnlyAnAdminProtectsAndUnprotects(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	bob := operator.holder("bob", authz.RoleApprover, "*/*")
	bob.put(definition("protected", "true")).wantProblem(t, http.StatusForbidden, noPointer)
	bob.put(defined).want(t, http.StatusCreated)
	bob.put(definition("protected", "true")).want(t, http.StatusForbidden)
	operator.put(definition("protected", "true")).want(t, http.StatusOK)
	bob.put(defined).want(t, http.StatusForbidden)
	bob.do(http.MethodDelete, definitionAt, "").want(t, http.StatusForbidden)
	if d := operator.get(definitionAt).object(t); d["protected"] != true || d["revision"] != 2.0 {
		t.Errorf("%v", d)
	}
	operator.put(defined).want(t, http.StatusOK)
	bob.do(http.MethodDelete, definitionAt, "").want(t, http.StatusNoContent)
}

func TestARetryIsProtectedAsTheServiceIsNow(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, protected := range []bool{true, false} {
		id := s.ended("checkout", "v2", 3, rollout.StateFailed, lastFails)
		s.do(http.MethodPut, definitionAt, strings.Replace(defined, "{", map[bool]string{true: `{"protected":true,`, false: "{"}[protected], 1))
		if d := s.verb(id, "retry", "").want(t, http.StatusAccepted).object(t); d["protected"] != protected {
			t.Errorf("protected %t: %v", protected, d)
		} else {
			s.verb(fmt.Sprint(d["id"]), "abort", "").want(t, http.StatusOK)
		}
	}
}
