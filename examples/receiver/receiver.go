package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// record is what must survive a restart of the receiver.
type record struct {
	Version string `json:"version"`          // what runs
	Fence   int64  `json:"fence"`            // the highest one seen
	ID      string `json:"id,omitempty"`     // the webhook id of the last finished call
	Status  int    `json:"status,omitempty"` // the response to it
	Text    string `json:"text,omitempty"`
}

// call is the body of a deploy call, as far as it is used here.
type call struct {
	Action, Service, Environment, Version string
	PreviousVersion                       string `json:"previous_version"`
	Target                                struct{ ID string }
}

type receiver struct {
	file    string
	key     []byte // nil: signatures are not checked
	health  string
	command []string
	timeout time.Duration

	mu   sync.Mutex // guards the rest
	last record
	busy bool
}

func (r *receiver) serveDeploy(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 1<<20))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	if r.key != nil && !verifySignature(r.key, req.Header, body, time.Now()) {
		http.Error(w, "the signature is not valid", http.StatusUnauthorized)
		return
	}
	var c call
	fence, fenceErr := strconv.ParseInt(req.Header.Get("Rollcall-Fence"), 10, 64)
	if err := errors.Join(json.Unmarshal(body, &c), fenceErr); err != nil {
		http.Error(w, "not a deploy call: "+err.Error(), http.StatusBadRequest)
		return
	}
	id := req.Header.Get("webhook-id")
	if status, text := r.beginCall(w.Header(), id, fence); status != 0 {
		http.Error(w, text, status)
		return
	}
	status, text := r.runCommand(c)
	if err := r.finishCall(id, c.Version, status, text); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Error(w, text, status)
}

// beginCall records the fence of a new call. It returns the response to a call that must not be carried out, else 0.
func (r *receiver) beginCall(header http.Header, id string, fence int64) (status int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case fence < r.last.Fence:
		header.Set("Rollcall-Fence", strconv.FormatInt(r.last.Fence, 10))
		return http.StatusConflict, "a call with a higher fence has been seen"
	case r.busy:
		header.Set("Retry-After", "1")
		return http.StatusTooManyRequests, "another deploy is running"
	case id == r.last.ID:
		return r.last.Status, r.last.Text
	}
	r.last.Fence = fence
	if err := r.saveRecord(); err != nil {
		return http.StatusInternalServerError, err.Error()
	}
	r.busy = true
	return 0, ""
}

// runCommand runs the command. It does not end with the connection: the work of a call whose response is lost is finished.
func (r *receiver) runCommand(c call) (status int, text string) {
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	command := exec.CommandContext(ctx, r.command[0], r.command[1:]...)
	command.Env = append(os.Environ(), "ROLLCALL_ACTION="+c.Action, "ROLLCALL_VERSION="+c.Version,
		"ROLLCALL_PREVIOUS_VERSION="+c.PreviousVersion, "ROLLCALL_SERVICE="+c.Service,
		"ROLLCALL_ENVIRONMENT="+c.Environment, "ROLLCALL_TARGET="+c.Target.ID)
	output, err := command.CombinedOutput()
	if _, writeErr := os.Stderr.Write(output); writeErr != nil {
		err = errors.Join(err, writeErr)
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		return http.StatusUnprocessableEntity, fmt.Sprintf("%v: %s", err, lines[len(lines)-1]) // final: it is not repeated
	}
	return http.StatusOK, "done"
}

// finishCall records the result, and the new version if the command succeeded.
func (r *receiver) finishCall(id, version string, status int, text string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
	r.last.ID, r.last.Status, r.last.Text = id, status, text
	if status == http.StatusOK {
		r.last.Version = version
	}
	return r.saveRecord()
}

func (r *receiver) serveHealth(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	version := r.last.Version
	r.mu.Unlock()
	if err := r.checkService(req.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(map[string]string{"version": version}); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
	}
}

// checkService asks the service itself, where its URL is known.
func (r *receiver) checkService(ctx context.Context) error {
	if r.health == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.health, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		err = fmt.Errorf("%s answered %s", r.health, res.Status)
	}
	return errors.Join(err, res.Body.Close())
}

// loadRecord reads the record of an earlier run, if there is one.
func (r *receiver) loadRecord(running string) error {
	text, err := os.ReadFile(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		r.last.Version = running
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, &r.last)
}

// saveRecord replaces the file in one step, so that a crash leaves the old record or the new one.
func (r *receiver) saveRecord() error {
	text, err := json.Marshal(r.last)
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(r.file+".new", r.file)
}
