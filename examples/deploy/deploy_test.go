// Package deploy checks the files beside it with the programs that read them, or with their types.
package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSystemd_UnitIsValidAndConfined(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not there")
	}
	// The program that the unit names need not be installed here.
	unit := filepath.Join(t.TempDir(), "rollcall.service")
	text := bytes.ReplaceAll(read(t, "rollcall.service"), []byte("/usr/local/bin/rollcall-server"), []byte("/bin/true"))
	if err := os.WriteFile(unit, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	// The exposure in tenths: a service without any of this has 9.6.
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit).CombinedOutput()
	if err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
}

func TestCompose_FileIsValid(t *testing.T) {
	t.Parallel()
	program := []string{"docker", "compose"}
	if exec.CommandContext(t.Context(), "docker", "compose", "version").Run() != nil {
		program = []string{"docker-compose"}
	}
	if _, err := exec.LookPath(program[0]); err != nil {
		t.Skip("Docker Compose is not there")
	}
	cmd := exec.CommandContext(t.Context(), program[0], append(program[1:len(program):len(program)], "--file=compose.yaml", "config")...)
	cmd.Env = append(os.Environ(), "ROLLCALL_IMAGE=rollcall", "DATABASE_URL=postgres://db")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// manifests decodes kubernetes.yaml into the types of Kubernetes' API; a field that these do not have is an error.
func manifests(t *testing.T) map[string]any {
	t.Helper()
	types := map[string]func() any{
		"batch/v1 Job": func() any { return &batchv1.Job{} }, "apps/v1 Deployment": func() any { return &appsv1.Deployment{} },
		"v1 Service": func() any { return &corev1.Service{} }, "policy/v1 PodDisruptionBudget": func() any { return &policyv1.PodDisruptionBudget{} },
	}
	found := map[string]any{}
	for text := range bytes.SplitSeq(read(t, "kubernetes.yaml"), []byte("\n---\n")) {
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(text, &kind); err != nil {
			t.Fatal(err)
		}
		name := kind.APIVersion + " " + kind.Kind
		if types[name] == nil {
			t.Fatalf("%q is of no known type", name)
		}
		found[kind.Kind] = types[name]()
		if err := yaml.UnmarshalStrict(text, found[kind.Kind]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	return found
}

func TestKubernetes_ManifestFitsSchema(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	server, ok := all["Deployment"].(*appsv1.Deployment)
	service, found := all["Service"].(*corev1.Service)
	budget, guarded := all["PodDisruptionBudget"].(*policyv1.PodDisruptionBudget)
	job, migrates := all["Job"].(*batchv1.Job)
	if !ok || !found || !guarded || !migrates {
		t.Fatalf("something is missing: %v", all)
	}
	pods := server.Spec.Template
	for name, selector := range map[string]map[string]string{
		"deployment": server.Spec.Selector.MatchLabels, "service": service.Spec.Selector, "budget": budget.Spec.Selector.MatchLabels,
	} {
		for label, value := range selector {
			if pods.Labels[label] != value {
				t.Errorf("the %s's selector %s=%s does not match the pods' labels", name, label, value)
			}
		}
		if job.Spec.Template.Labels["app.kubernetes.io/component"] == selector["app.kubernetes.io/component"] {
			t.Errorf("the %s selects the migration, too", name)
		}
	}
	for _, pod := range []corev1.PodSpec{pods.Spec, job.Spec.Template.Spec} {
		assertRestricted(t, pod)
		assertMounted(t, pod)
	}
}

// assertRestricted checks what Kubernetes' "restricted" policy demands, and a read-only root file system.
func assertRestricted(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	if c := pod.SecurityContext; c == nil || c.RunAsNonRoot == nil || !*c.RunAsNonRoot || c.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod is not confined: %+v", c)
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" {
			t.Errorf("%s is not confined: %+v", c.Name, s)
		}
	}
}

// assertMounted checks that each mount has its volume, and each file its mount.
func assertMounted(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	for _, c := range pod.Containers {
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s mounts %s, which is no volume", c.Name, m.Name)
			}
		}
		for _, v := range c.Env {
			if strings.HasPrefix(v.Value, "/") && !strings.HasPrefix(v.Value, "/secrets/") {
				t.Errorf("%s names %s, which is not mounted", v.Name, v.Value)
			}
		}
	}
}
