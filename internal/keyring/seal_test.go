package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const place = "definitions.secrets:checkout/production"

func box(t *testing.T, current Key, older ...Key) *Keyring {
	t.Helper()
	b, err := New(current, older...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sealed(t *testing.T, b *Keyring, secret string) []byte {
	t.Helper()
	s, err := b.Seal(place, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeyring_OpensInItsContextOnly(t *testing.T) {
	t.Parallel()
	b := box(t, NewKey(time.Now()))
	s := sealed(t, b, "hunter2")
	if got, err := b.Open(place, s); err != nil || string(got) != "hunter2" {
		t.Errorf("%q, %v", got, err)
	}
	for _, elsewhere := range []string{"", place + "2", "deployments.secrets:checkout/production"} {
		if got, err := b.Open(elsewhere, s); err == nil {
			t.Errorf("opened at %q: %q", elsewhere, got)
		}
	}
}

func TestKeyring_SealedShowsNothingAndIsUnique(t *testing.T) {
	t.Parallel()
	b := box(t, NewKey(time.Now()))
	one, two := sealed(t, b, "hunter2"), sealed(t, b, "hunter2")
	if bytes.Equal(one, two) || bytes.Contains(one, []byte("hunter2")) {
		t.Errorf("%x and %x", one, two)
	}
}

func TestKeyring_DetectsEveryChangedByte(t *testing.T) {
	t.Parallel()
	b := box(t, NewKey(time.Now()), NewKey(time.Now()))
	s := sealed(t, b, "hunter2")
	for i := range s {
		changed := bytes.Clone(s)
		changed[i] ^= 1
		if _, err := b.Open(place, changed); err == nil {
			t.Errorf("byte %d may be changed", i)
		}
		if _, err := b.Open(place, s[:i]); err == nil {
			t.Errorf("%d bytes are enough", i)
		}
	}
}

func TestKeyring_OlderKeyOnlyOpens(t *testing.T) {
	t.Parallel()
	old, fresh := NewKey(time.Now()), NewKey(time.Now())
	s := sealed(t, box(t, old), "hunter2")
	b := box(t, fresh, old)
	if got, err := b.Open(place, s); err != nil || string(got) != "hunter2" {
		t.Errorf("%q, %v", got, err)
	}
	if b.SealedWithCurrent(s) || !b.SealedWithCurrent(sealed(t, b, "x")) {
		t.Error("fresh is what the current key sealed")
	}
	if _, err := box(t, fresh).Open(place, s); err == nil || !strings.Contains(err.Error(), old.ID()) {
		t.Errorf("the missing key is not named: %v", err)
	}
	if _, err := New(fresh, fresh); err == nil {
		t.Error("two keys of one id")
	}
}

func TestKeyring_EmptySealsAndOpensNothing(t *testing.T) {
	t.Parallel()
	var none *Keyring
	if s, err := none.Seal(place, []byte("hunter2")); err == nil || s != nil {
		t.Errorf("%x, %v", s, err)
	}
	if _, err := none.Open(place, sealed(t, box(t, NewKey(time.Now())), "hunter2")); err == nil {
		t.Error("opened")
	}
	if _, err := New(Key{}); err == nil {
		t.Error("the zero key was taken")
	}
}

func TestKey_RoundTripsAndIsNeverPrinted(t *testing.T) {
	t.Parallel()
	k := NewKey(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	if got, err := ParseKey(k.Text() + "\n"); err != nil || got != k || !strings.HasPrefix(k.ID(), "2026-05-01-") {
		t.Errorf("%v, %v", got, err)
	}
	secret := strings.TrimPrefix(k.Text(), k.ID()+":")
	encoded, err := json.Marshal(map[string]any{"key": k})
	if shown := fmt.Sprintf("%v %+v %#v %s %x", k, &k, k, k, k) + string(encoded); err != nil ||
		strings.Contains(shown, secret[:10]) || strings.Contains(shown, fmt.Sprintf("%x", k.bytes[:4])) {
		t.Errorf("%s, %v", shown, err)
	}
	short := base64.StdEncoding.EncodeToString(make([]byte, 31))
	for _, bad := range []string{"", "x", secret, ":" + secret, "UP:" + secret, "k:" + secret[:20], "k:" + short, "a b:" + secret} {
		if _, err := ParseKeys(bad); err == nil || len(bad) > 2 && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestKeyFile_CreatedOnceForOwnerOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret-key")
	ids := make([]string, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			if keys, err := LoadOrCreateFile(path); err != nil {
				t.Error(err)
			} else {
				ids[i] = keys[0].ID()
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Fatalf("ids %q", ids)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestKeyFile_ReadableByOthersIsRejected(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret-key")
	if err := os.WriteFile(path, []byte(NewKey(time.Now()).Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, fine := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); (err == nil) != fine {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	if _, err := ReadFile(t.TempDir()); err == nil {
		t.Error("a folder was read")
	}
}

// A container's secret belongs to its creator, and the container is in its group.
func TestKeyFile_ForeignMayBeGroupReadable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret-key")
	if err := os.WriteFile(path, []byte(NewKey(time.Now()).Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65531, 65531); err != nil {
		t.Skipf("only root can give a file away: %v", err)
	}
	for mode, fine := range map[os.FileMode]bool{0o640: true, 0o440: true, 0o600: true, 0o660: false, 0o644: false, 0o604: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); (err == nil) != fine {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k, err := ParseKey("k:" + base64.StdEncoding.EncodeToString(make([]byte, keyBytes)))
	if err != nil {
		f.Fatal(err)
	}
	b, err := New(k)
	if err != nil {
		f.Fatal(err)
	}
	good, err := b.Seal(place, []byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{version, 255, 'k'})
	f.Fuzz(func(t *testing.T, s []byte) {
		if got, err := b.Open(place, s); err == nil && string(got) != "x" {
			t.Fatalf("%x opened as %q", s, got)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	for _, seed := range []string{"", "k:NvVv/iA6EeGwvNVfSD2LhAotX4kZ0VbUdw4b3MVexyA=", "k:x l:y", ":", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys(text)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%q: %d keys, %v", text, len(keys), err)
		}
		for _, k := range keys {
			if again, err := ParseKey(k.Text()); err != nil || again != k {
				t.Fatalf("%q: %v is read as %v, %v", text, k, again, err)
			}
		}
	})
}
