package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/slowtest"
)

const root = "../.."

// readme is the README with its fenced commands.
func readme(t *testing.T) (text string, blocks []string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(content), -1) {
		blocks = append(blocks, found[1])
	}
	return string(content), blocks
}

// blockWith is the first of the blocks that has the text.
func blockWith(t *testing.T, blocks []string, text string) string {
	t.Helper()
	for _, b := range blocks {
		if strings.Contains(b, text) {
			return b
		}
	}
	t.Fatalf("the README has no commands with %q", text)
	return ""
}

// neighbours are free ports that follow each other; the first is given.
func neighbours(t *testing.T, n int) int {
	t.Helper()
	for range 50 {
		_, port, err := net.SplitHostPort(unusedAddress(t))
		if err != nil {
			t.Fatal(err)
		}
		first, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		if free(first, n) {
			return first
		}
	}
	t.Fatal("no free ports follow each other")
	return 0
}

func free(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		_ = l.Close() // it was only tried
	}
	return true
}

// typed is a person at a shell in the checkout, who leaves what was started running until the test ends.
func typed(t *testing.T, commands string, environment ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("bash", "-c", commands)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // what has ended needs none
		_ = cmd.Wait()
	})
	return cmd
}

// pasted runs commands to their end, and gives what they print.
func pasted(t *testing.T, commands string, environment ...string) string {
	t.Helper()
	cmd := typed(t, commands, environment...)
	printed, err := os.CreateTemp(t.TempDir(), "printed") // a pipe would be held open by what stays in the background
	if err != nil {
		t.Fatal(err)
	}
	defer printed.Close()
	cmd.Stdout, cmd.Stderr = printed, printed
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(printed.Name())
		t.Fatalf("%s\n%v: %s", commands, err, text)
	}
	text, err := os.ReadFile(printed.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// awaitLine waits for the server to say that it is ready, and gives its address.
func awaitLine(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		seen = append(seen, lines.Text())
		var entry struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "rollcall is ready" {
			go func() {
				for lines.Scan() { // so that the server never waits for a reader
				}
			}()
			return entry.Address
		}
	}
	t.Fatalf("it never was ready:\n%s", strings.Join(seen, "\n"))
	return ""
}

func TestReadme_FirstCommandAndCurlDeploy(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	text, blocks := readme(t)
	first := strings.TrimSpace(strings.Split(regexp.MustCompile(`(?m)^    (\S.*)$`).FindString(text), "#")[0])
	if first != "make run" {
		t.Fatalf("the README begins with %q", first)
	}
	address := awaitLine(t, typed(t, first, "ROLLCALL_ADDR=127.0.0.1:0", "ROLLCALL_STATE_DIR="+privateFolder(t)))
	port := neighbours(t, 3)
	moved := strings.NewReplacer("localhost:8080", address, "cmd/fleet ", fmt.Sprintf("cmd/fleet --port=%d ", port),
		"9101", fmt.Sprint(port), "9102", fmt.Sprint(port+1), "9103", fmt.Sprint(port+2))
	commands := moved.Replace(blocks[0])
	if strings.Count(commands, fmt.Sprint(port+2)) < 2 || !strings.Contains(commands, address) {
		t.Fatalf("the README's first commands are others by now:\n%s", commands)
	}
	if said := pasted(t, "set -e\n"+commands); !strings.Contains(said, `"state":"pending"`) {
		t.Fatal(said)
	}
	var history string // the last command of the block: what is completed
	for line := range strings.Lines(commands) {
		if strings.Contains(line, "state=completed") {
			history = line
		}
	}
	for deadline := time.Now().Add(60 * time.Second); ; {
		said := pasted(t, history)
		if strings.Contains(said, `"success":true`) && strings.Contains(said, `"service":"checkout"`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s says %s", history, said)
		}
	}
}

// Without --dev the token is printed where people look, in a form that they can paste.
func TestReadme_PrintedTokenAndCurlDeploy(t *testing.T) {
	t.Parallel()
	p := serve(t, "", asInProduction("--allow-cidr=127.0.0.0/8", "--state-dir="+privateFolder(t))...)
	var export string
	for deadline := time.Now().Add(10 * time.Second); export == "" && time.Now().Before(deadline); {
		export = regexp.MustCompile(`export ROLLCALL_TOKEN=\S+`).FindString(p.printed.String())
	}
	f := newFleet(t, 1, "v1")
	body, err := json.Marshal(request(f, "v2", object{"type": "rolling"}))
	if err != nil {
		t.Fatal(err)
	}
	const curl = `curl -s -H "Authorization: Bearer $ROLLCALL_TOKEN" -H 'Content-Type: application/json' `
	said := pasted(t, export+"\n"+curl+p.url+"/deployments -d '"+string(body)+"'", "ROLLCALL_TOKEN=")
	var d deployment
	if err := json.Unmarshal([]byte(said), &d); err != nil || d.ID == "" {
		t.Fatalf("%q gave %s", export, said)
	}
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(said, `"state":"completed"`); {
		if said = pasted(t, export+"\n"+curl+p.url+"/deployments/"+d.ID); time.Now().After(deadline) {
			t.Fatal(said)
		}
	}
}

func TestReadme_AdminTokenCreatesTokens(t *testing.T) {
	t.Parallel()
	folder := privateFolder(t)
	address := unusedAddress(t)
	commands := strings.NewReplacer("localhost:8080", address, "bin/rollcall-server", binary).
		Replace(guideBlock(t, "how-to/install.md", "sh", "--admin-token-file"))
	said := pasted(t, "set -e\ncd "+folder+"\n"+commands, "ROLLCALL_ADDR="+address, "ROLLCALL_STATE_DIR="+folder+"/state", "ROLLCALL_ADMIN_TOKEN=")
	if !regexp.MustCompile(`"token":"rct_[A-Za-z0-9_-]{43}"`).MatchString(said) {
		t.Error(said)
	}
}
