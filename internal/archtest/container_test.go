package archtest

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composed is a service of docker-compose.yml.
type composed struct {
	Image       string            `yaml:"image"`
	User        string            `yaml:"user"`
	ReadOnly    bool              `yaml:"read_only"`
	Privileged  bool              `yaml:"privileged"`
	CapDrop     []string          `yaml:"cap_drop"`
	CapAdd      []string          `yaml:"cap_add"`
	SecurityOpt []string          `yaml:"security_opt"`
	Environment map[string]string `yaml:"environment"`
	Secrets     []string          `yaml:"secrets"`
	Volumes     []string          `yaml:"volumes"`
	Ports       []string          `yaml:"ports"`
	PID         string            `yaml:"pid"`
	NetworkMode string            `yaml:"network_mode"`
}

func atRoot(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// compose is docker-compose.yml: its services, and the files of its secrets.
func compose(t *testing.T) (map[string]composed, map[string]string) {
	t.Helper()
	var file struct {
		Services map[string]composed `yaml:"services"`
		Volumes  map[string]any      `yaml:"volumes"`
		Secrets  map[string]struct {
			File string `yaml:"file"`
		} `yaml:"secrets"`
	}
	if err := yaml.Unmarshal(atRoot(t, "docker-compose.yml"), &file); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name, secret := range file.Secrets {
		files[name] = secret.File
	}
	for name, s := range file.Services {
		for _, volume := range s.Volumes {
			named, _, _ := strings.Cut(volume, ":")
			if _, known := file.Volumes[named]; !known && !strings.HasPrefix(named, "./") {
				t.Errorf("%s has a volume %s that is not declared", name, named)
			}
		}
	}
	return file.Services, files
}

func TestCompose_ContainersHaveMinimalRights(t *testing.T) {
	t.Parallel()
	services, _ := compose(t)
	ours := 0
	for name, s := range services {
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged || s.PID != "" || s.NetworkMode != "" {
			t.Errorf("%s may get more rights: %+v", name, s)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s can be called from elsewhere: %s", name, port)
			}
		}
		if s.Image != "rollcall" {
			continue
		}
		ours++
		if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(s.User) || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) ||
			len(s.CapAdd) > 0 || len(s.Volumes) > 0 {
			t.Errorf("%s is root, can write, or has capabilities: %+v", name, s)
		}
	}
	if ours < 3 {
		t.Errorf("only %d containers run Rollcall", ours)
	}
}

func TestCompose_SecretsAreFiles(t *testing.T) {
	t.Parallel()
	services, files := compose(t)
	for name, s := range services {
		for _, secret := range s.Secrets {
			if !strings.HasPrefix(files[secret], "./secrets/") {
				t.Errorf("%s: the secret %s is no file in secrets/", name, secret)
			}
		}
		for variable, value := range s.Environment {
			u, err := url.Parse(value)
			if _, has := u.User.Password(); err == nil && has {
				t.Errorf("%s: a password stands in %s", name, variable)
			}
			if regexp.MustCompile(`PASSWORD|TOKEN|SECRET|KEY`).MatchString(variable) && !strings.HasPrefix(value, "/run/secrets/") {
				t.Errorf("%s: %s holds a secret", name, variable)
			}
		}
		if !strings.HasPrefix(name, "server-") {
			continue
		}
		if user := strings.Split(s.Environment["DATABASE_URL"], "@")[0]; user != "postgres://rollcall_server" || s.Environment["ROLLCALL_OWNER_DATABASE_URL"] != "" {
			t.Errorf("%s works as %s, or as the owner, too", name, user)
		}
		for _, secret := range s.Secrets {
			if strings.HasPrefix(secret, "owner") {
				t.Errorf("%s is given %s", name, secret)
			}
		}
	}
	for _, ignored := range []string{".dockerignore", ".gitignore"} {
		if !regexp.MustCompile(`(?m)^/?secrets/?$`).Match(atRoot(t, ignored)) {
			t.Errorf("%s does not leave out secrets/", ignored)
		}
	}
}

func TestImage_RunsAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	text := string(atRoot(t, "Dockerfile"))
	last := text[strings.LastIndex(text, "\nFROM "):]
	if user := regexp.MustCompile(`(?m)^USER (\S+)$`).FindStringSubmatch(last); user == nil || !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user[1]) {
		t.Errorf("the image runs as %q", user)
	}
	for _, pkg := range []string{"ca-certificates", "git", "openssh-client"} {
		if !regexp.MustCompile(`apt-get install .*\b` + pkg + `\b`).MatchString(last) {
			t.Errorf("the image has no %s", pkg)
		}
	}
	if regexp.MustCompile(`(?m)^(ENV|ARG|ADD) `).MatchString(last) {
		t.Error("the image is given more than the programs")
	}
}
