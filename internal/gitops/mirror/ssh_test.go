package mirror

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"rollcall/internal/gitops/gittest"
	"rollcall/internal/gitsource"
	"rollcall/internal/secret"
)

// sshHost is a real ssh server that serves git-upload-pack to one key. Its known_hosts line and a private key belong to it.
type sshHost struct {
	address, knownHosts, key string
}

func newSSHHost(t *testing.T) *sshHost {
	t.Helper()
	_, hostKey := newKey(t)
	text, allowed := newKey(t)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(allowed.PublicKey().Marshal()) {
			return nil, io.EOF
		}
		return nil, nil
	}}
	config.AddHostKey(hostKey)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveSSH(conn, config)
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return &sshHost{
		address: "git@git.example.com:" + port, key: text,
		knownHosts: "[git.example.com]:" + port + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(hostKey.PublicKey()))),
	}
}

func newKey(t *testing.T) (string, ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), signer
}

func serveSSH(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			var command struct{ Text string }
			if r.Type != "exec" || ssh.Unmarshal(r.Payload, &command) != nil {
				_ = r.Reply(r.Type == "env", nil)
				continue
			}
			_ = r.Reply(true, nil)
			path := strings.Trim(strings.TrimPrefix(command.Text, "git-upload-pack "), "'")
			cmd := exec.Command("git", "upload-pack", path)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = channel, channel, channel.Stderr()
			status := struct{ Code uint32 }{}
			if cmd.Run() != nil {
				status.Code = 1
			}
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(&status))
			_ = channel.Close()
			break
		}
	}
}

func TestSSH_ReadsWithKeyFromKnownHost(t *testing.T) {
	t.Parallel()
	r, host := gittest.New(t), newSSHHost(t)
	commit := r.Commit("one", map[string]string{"a.yaml": "a: 1"})
	s := &gitsource.Source{
		ID: "id", URL: "ssh://" + host.address + r.Dir, Branch: "main", KnownHosts: host.knownHosts,
		Secrets: gitsource.Secrets{SSHKey: secret.Secret(host.key)},
	}
	m := newMirrors(t)
	if _, got := fetchMirror(t, m, s); got != commit {
		t.Fatalf("fetched %s, not %s", got, commit)
	}
	otherKey, otherHost := newKey(t)
	stranger, impostor := *s, *s
	stranger.Secrets.SSHKey = secret.Secret(otherKey)
	if err := fetchError(t, m, &stranger); !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("a stranger's key: %v", err)
	}
	name, _, _ := strings.Cut(host.knownHosts, " ")
	impostor.KnownHosts = name + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(otherHost.PublicKey())))
	if err := fetchError(t, m, &impostor); !strings.Contains(err.Error(), "HAS CHANGED") {
		t.Errorf("another host's key: %v", err)
	}
	if left := sizeOf(m.Folder) - sizeOf(m.Folder+"/id.git"); left != 0 {
		t.Errorf("%d bytes of keys are left on the disk", left)
	}
}
