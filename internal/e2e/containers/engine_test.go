package containers

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// docker runs the client to its end, and returns what it printed.
func docker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// composeProgram returns the command of Docker Compose: a part of the client, or a program of its own.
func composeProgram(t testing.TB) []string {
	t.Helper()
	if exec.CommandContext(t.Context(), "docker", "compose", "version").Run() == nil {
		return []string{"docker", "compose"}
	}
	if _, err := exec.LookPath("docker-compose"); err != nil {
		t.Skip("neither docker compose nor docker-compose is there")
	}
	return []string{"docker-compose"}
}

// moduleSettings are Go's settings for fetching modules, which a build in a container does not have by itself.
func moduleSettings(t testing.TB) []string {
	t.Helper()
	var set []string
	for _, name := range []string{"GOPROXY", "GOSUMDB", "GOPRIVATE"} {
		value, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, name+"="+strings.TrimSpace(string(value)))
	}
	return set
}

// checkout copies the files of the repository, so that secrets and settings made in them are a test's own.
func checkout(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = "../../.."
	files, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	archive := exec.CommandContext(t.Context(), "sh", "-c", `tar --create --null --files-from=- | tar --extract --directory="$0"`, folder)
	archive.Dir, archive.Stdin, archive.Stderr = list.Dir, bytes.NewReader(files), os.Stderr
	if err := archive.Run(); err != nil {
		t.Fatal(err)
	}
	return folder
}

// buildImage builds the image, as docker-compose.yml does.
func buildImage(t testing.TB) string {
	t.Helper()
	const name = "rollcall-test"
	args := []string{"build", "--quiet", "--tag=" + name}
	for _, setting := range moduleSettings(t) {
		args = append(args, "--build-arg="+setting)
	}
	docker(t, append(args, checkout(t))...)
	t.Cleanup(func() { docker(t, "rmi", name) })
	return name
}

// runToEnd runs the client, and returns what it printed and its exit code.
func runToEnd(t testing.TB, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "docker", args...)
	printed, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(printed), cmd.ProcessState.ExitCode()
}
