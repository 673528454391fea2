package strategy_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/command"
)

const scriptEnd = "----\n"

// TestGolden_Stories plays the scripts in testdata and compares what happens with what is written there. Run it with
// -rewrite to write down what happens now, and read the difference.
//
// A script is a list of lines: "targets N [version]", "target ID {json}", "strategy {json}", "check {json}",
// "deploy {json}", "healthy_deadline 10s", "force", "active_slot blue", "router", "undo" (the story is that of the rollback of
// the deployment after its success), and "at 5s COMMAND", "at 5s promote 2", "at 5s promote full" or "at 5s crash 3s".
func TestGolden_Stories(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	rewrite := flag.Lookup("rewrite").Value.String() == "true"
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			checkStory(t, file, rewrite)
		})
	}
}

// TestMain declares the flag of the scripts.
func TestMain(m *testing.M) {
	flag.Bool("rewrite", false, "write the stories in testdata as they are now")
	flag.Parse()
	os.Exit(m.Run())
}

func checkStory(t *testing.T, file string, rewrite bool) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	script, want, _ := strings.Cut(string(text), scriptEnd)
	got, err := playStory(script)
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	if rewrite {
		if err := os.WriteFile(file, []byte(script+scriptEnd+got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("the story has changed; if it should have, run: go test -run Golden_Stories -rewrite\n%s", firstDifference(want, got))
	}
}

func firstDifference(want, got string) string {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(wants), len(gots)) {
		if wants[i] != gots[i] {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, wants[i], gots[i])
		}
	}
	return fmt.Sprintf("want %d lines, got %d", len(wants), len(gots))
}

// playStory plays a script and writes what people would see.
func playStory(script string) (string, error) {
	st, err := readStory(script)
	if err != nil {
		return "", err
	}
	return st.play()
}

func readStory(script string) (*story, error) {
	st := newStory()
	for number, line := range strings.Split(script, "\n") {
		if err := st.read(strings.TrimSpace(line)); err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", number+1, line, err)
		}
	}
	return st, nil
}

// ending plays a script and gives what is stored in the end.
func ending(t *testing.T, lines ...string) *rollout.Snapshot {
	t.Helper()
	script := strings.Join(lines, "\n")
	st, err := readStory(script)
	if err != nil {
		t.Fatal(err)
	}
	s, err := st.stage()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	if err := s.guarded(); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return s.stored
}

// story is a script that has been read.
type story struct {
	d        rollout.Deployment
	world    []*simTarget
	slots    map[string]string
	strategy json.RawMessage
	router   *simRouter
	undo     bool
	doings   []doing
}

// doing is what someone, or something, does at a time.
type doing struct {
	at      time.Duration
	command string
	away    time.Duration // of a crash
	wave    int           // of a promote
	full    bool
}

// boxJSON is what a script says of a target.
type boxJSON struct {
	Runs           string            `json:"runs"`
	Moods          []mood            `json:"moods"`
	Stubborn       bool              `json:"stubborn"`
	BadOn          string            `json:"bad_on"`
	UnhealthyAfter duration.Duration `json:"unhealthy_after"`
	Boot           duration.Duration `json:"boot"`
	// Silent targets do not report their versions when the deployment is created.
	Silent bool   `json:"silent"`
	Slot   string `json:"slot"`
}

func newStory() *story {
	st := &story{slots: map[string]string{}, d: rollout.Deployment{
		ID: "d1", Service: "checkout", Environment: "production", Version: newVersion, Kind: rollout.KindDeploy, CreatedAt: simStart,
	}}
	st.d.Spec.Deploy = rollout.Deploy{
		Path: "/deploy", Timeout: duration.Duration(5 * time.Second), Retries: 1, Backoff: duration.Duration(time.Second),
	}
	st.d.Spec.HealthyDeadline = duration.Duration(10 * time.Second)
	return st
}

func (st *story) read(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "", "#":
		return nil
	case "targets":
		return st.readTargets(rest)
	case "target":
		return st.readTarget(rest)
	case "strategy":
		st.strategy = json.RawMessage(rest)
		return nil
	case "check":
		return st.readCheck(rest)
	case "deploy":
		return json.Unmarshal([]byte(rest), &st.d.Spec.Deploy)
	case "healthy_deadline":
		return st.d.Spec.HealthyDeadline.UnmarshalText([]byte(rest))
	case "active_slot":
		st.d.Spec.ActiveSlot = rest
		return nil
	case "force":
		st.d.Spec.Force = true
		return nil
	case "undo":
		st.undo = true
		return nil
	case "router":
		st.readRouter()
		return nil
	case "at":
		return st.readDoing(strings.Fields(rest))
	default:
		return errors.New("is no word of the scripts")
	}
}

// readRouter has traffic moved by a router that does what it is sent.
func (st *story) readRouter() {
	st.router = &simRouter{moods: []routerMood{routerObeys}, readBack: true, exact: true, remembers: true}
	st.d.Spec.Traffic = &routing.Config{
		Type: "webhook", URL: "http://lb", ReadBack: true, Timeout: duration.Duration(time.Second), Retries: 1,
		Backoff: duration.Duration(time.Second),
	}
}

func (st *story) readTargets(rest string) error {
	n, version := 0, oldVersion
	if _, err := fmt.Sscan(rest, &n); err != nil {
		return err
	}
	for i := range n {
		id := fmt.Sprintf("t%02d", i+1)
		st.world = append(st.world, &simTarget{id: id, initial: version, running: version, remembers: true, moods: []mood{answers}})
	}
	return nil
}

func (st *story) readTarget(rest string) error {
	id, object, _ := strings.Cut(rest, " ")
	for _, w := range st.world {
		if w.id != id {
			continue
		}
		box := boxJSON{Runs: w.initial, Moods: w.moods}
		if err := json.Unmarshal([]byte(object), &box); err != nil {
			return err
		}
		w.initial, w.running, w.moods, w.stubborn, w.badOn = box.Runs, box.Runs, box.Moods, box.Stubborn, box.BadOn
		w.unhealthyAfter, w.boot, w.silent = box.UnhealthyAfter.Std(), box.Boot.Std(), box.Silent
		st.slots[id] = box.Slot
		return nil
	}
	return errors.New("no such target")
}

func (st *story) readCheck(rest string) error {
	c := healthcheck.Check{
		Type: "http", Critical: true, Interval: duration.Duration(time.Second), Timeout: duration.Duration(2 * time.Second),
		HealthyThreshold: 2, UnhealthyThreshold: 3,
	}
	if err := json.Unmarshal([]byte(rest), &c); err != nil {
		return err
	}
	st.d.Spec.Checks = append(st.d.Spec.Checks, c)
	return nil
}

func (st *story) readDoing(words []string) error {
	if len(words) < 2 {
		return errors.New("has no time and command")
	}
	at, err := time.ParseDuration(words[0])
	if err != nil {
		return err
	}
	do := doing{at: at, command: words[1]}
	switch {
	case len(words) < 3:
	case words[1] == "crash":
		do.away, err = time.ParseDuration(words[2])
	case words[2] == "full":
		do.full = true
	default:
		do.wave, err = strconv.Atoi(words[2])
	}
	st.doings = append(st.doings, do)
	return err
}

// play runs the story on the simulation, with all of its rules.
func (st *story) play() (string, error) {
	var lines []string
	s, err := st.stage()
	if err != nil {
		return "", err
	}
	s.lines = &lines
	err = s.guarded()
	return s.render(lines), err
}

// stage makes the story ready to run.
func (st *story) stage() (*sim, error) {
	var targets []rollout.Target
	for _, w := range st.world {
		t := rollout.Target{ID: w.id, Version: w.initial, Slot: st.slots[w.id]}
		if w.silent {
			t.Version = ""
		}
		targets = append(targets, t)
	}
	prepared, err := strategy.Prepare(st.d, targets, st.strategy, nil)
	if err != nil {
		return nil, err
	}
	sc := scenario{world: st.world, router: st.router}
	if st.undo {
		ended := &rollout.Snapshot{Deployment: prepared.Deployment, Targets: prepared.Targets}
		sc.end(nil, ended, true, newVersion)
		prepared = sc.undone(ended)
		prepared.Deployment.ID = "d1"
	}
	sc.adopt(prepared)
	for _, w := range sc.world {
		w.initial = w.running
	}
	s := newSim(0, sc, rand.New(rand.NewPCG(0, 0)), rand.New(rand.NewPCG(0, 0)))
	s.steady, s.alone = true, true
	for _, do := range st.doings {
		s.at(simStart.Add(do.at), func() { s.do(do) })
	}
	return s, nil
}

func (s *sim) do(do doing) {
	if do.command != "crash" {
		s.ask(command.Command{Kind: command.Kind(do.command), Actor: "ann", Wave: do.wave, SkipGates: do.full})
		return
	}
	if s.live != nil {
		s.dieFor("while it waits", do.away)
	}
}

// render keeps the lines that people would see, and adds how every target ended.
func (s *sim) render(lines []string) string {
	var b strings.Builder
	seen := []string{" event ", " status ", " person ", " crash ", " takeover "}
	for _, line := range lines {
		for _, kind := range seen {
			if strings.Contains(line[:min(len(line), 28)], kind) {
				b.WriteString(strings.TrimRight(line, " ") + "\n")
			}
		}
	}
	d := &s.stored.Deployment
	fmt.Fprintf(&b, "\n%s, success %t: %s\n", d.State, d.Result != nil && d.Result.Success, d.Reason)
	if r := d.Result; r != nil {
		for _, name := range slices.Sorted(maps.Keys(r.Metadata)) {
			if value := r.Metadata[name]; value != nil {
				fmt.Fprintf(&b, "  %s: %v\n", name, value)
			}
		}
	}
	for i := range s.stored.Targets {
		t := &s.stored.Targets[i]
		line := fmt.Sprintf("  %s wave %d %-12s %-4s attempts %d  %s", t.ID, t.Wave, t.State, t.Version, t.Attempts, t.Error)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
