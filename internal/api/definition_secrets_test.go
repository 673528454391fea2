package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/secret"
	"rollcall/internal/store"
)

// guardedBy is a definition whose check carries a credential to the targets' addresses.
func guardedBy(value, address string) string {
	return fmt.Sprintf(`{"targets":[{"id":"web-1","address":%q}],"health_checks":[{"name":"up","type":"http","headers":{"Authorization":%q}}]}`,
		address, value)
}

func credential(t *testing.T, s *store.Store) secret.Secret {
	t.Helper()
	d, err := s.Definition(t.Context(), "checkout", "production")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Headers) == 0 {
		return ""
	}
	return d.Headers[0]["Authorization"]
}

func TestDefinition_HeaderValueIsWriteOnly(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	c.put(guardedBy("***", "http://10.0.0.1")).wantProblem(t, 422, "/health_checks/0/headers/Authorization")
	c.put(guardedBy("Bearer hunter2", "http://10.0.0.1")).want(t, http.StatusCreated)
	shown := c.get(definitionAt).want(t, http.StatusOK)
	if bytes.Contains(shown.body, []byte("hunter2")) || !bytes.Contains(shown.body, []byte(`"Authorization":"***"`)) {
		t.Errorf("%s", shown.body)
	}
	c.put(guardedBy("***", "http://10.0.0.1:80/")).want(t, http.StatusOK)
	if got := credential(t, s); got != "Bearer hunter2" {
		t.Errorf("kept %q", got.Reveal())
	}
	id := c.created(shortRequest)
	if d, err := s.Deployment(t.Context(), id); err != nil || d.Spec.Checks[0].Headers["Authorization"] != "Bearer hunter2" {
		t.Errorf("the deployment's check sends %v, %v", d.Spec.Checks, err)
	}
	c.post(`{"service":"checkout","version":"v2","health_checks":[{"type":"http","headers":{"A":"***"}}]}`).
		wantProblem(t, 422, "/health_checks/0/headers/A")
	key := `{"client_cert":"x","client_key":"***"}`
	c.post(with("tls", key)).wantProblem(t, 422, "/tls/client_key")
	c.put(definition("tls", key)).wantProblem(t, 422, "/tls/client_key")
}

func TestDefinition_NewAddressClearsSecrets(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	signed := func(address string) any {
		return c.put(fmt.Sprintf(`{"targets":[{"id":"web-1","address":%q}]}`, address)).object(t)["signed"]
	}
	c.put(`{"targets":[{"id":"web-1","address":"http://10.0.0.1"},{"id":"web-2","address":"http://10.0.0.2"}],"deploy":{"secret":"` + secretOne + `"}}`)
	if signed("http://10.0.0.2/base") != true {
		t.Error("an address that was there cleared the secret")
	}
	if signed("http://10.0.0.66") != false || signed("http://10.0.0.2") != false {
		t.Error("the secret went along to a new address, or came back")
	}
	c.put(guardedBy("Bearer hunter2", "http://10.0.0.1"))
	c.put(guardedBy("***", "http://10.0.0.66")).wantProblem(t, 422, "/health_checks/0/headers/Authorization")
	if got := credential(t, s); got != "Bearer hunter2" {
		t.Errorf("a refused request changed the secret to %q", got.Reveal())
	}
	for _, change := range []string{
		`,"traffic":{"type":"webhook","url":"http://10.0.0.66/"}}`, `,"tls":{}}`,
	} {
		a := c.put(strings.TrimSuffix(guardedBy("***", "http://10.0.0.1"), "}") + change)
		if kept := a.StatusCode == http.StatusOK; kept != strings.Contains(change, "tls") {
			t.Errorf("%s: %d %s", change, a.StatusCode, a.body)
		}
	}
}

func TestDefinition_SecretsGoToNoOtherAddress(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	elsewhere := `{"service":"checkout","version":"v2","targets":[{"id":"x","address":"http://10.0.0.66"}]}`
	c.put(definition("deploy", `{"secret":"`+secretOne+`"}`)).want(t, http.StatusCreated)
	d, err := s.Deployment(t.Context(), c.created(elsewhere))
	if err != nil || d.DeploySecret != "" {
		t.Errorf("signed for a stranger: %v", err)
	}
	c.put(guardedBy("Bearer hunter2", "http://10.0.0.1")).want(t, http.StatusOK)
	c.post(elsewhere).wantProblem(t, 422, "/health_checks/0/headers")
	c.created(strings.TrimSuffix(elsewhere, "}") + `,"health_checks":[{"type":"tcp"}]}`)
}

func TestDefinition_TakesTwoSigningKeysNotThree(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	c.put(definition("deploy", `{"secret":"`+secretTwo+" "+secretOne+`"}`)).want(t, http.StatusCreated)
	if d, err := s.Definition(t.Context(), "checkout", "production"); err != nil || d.DeploySecret != secretTwo+" "+secretOne {
		t.Errorf("%v %v", d.DeploySecret.Reveal(), err)
	}
	for _, bad := range []string{secretOne + " " + secretOne + " " + secretTwo, secretOne + " ", secretOne + ",x", "whsec_YQ=="} {
		c.put(definition("deploy", `{"secret":"`+bad+`"}`)).wantProblem(t, 422, "/deploy/secret")
	}
}
