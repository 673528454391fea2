package traffic

import (
	"testing"
	"time"

	"rollcall/internal/rollout"
)

// fault is how a router, or the wire to it, goes wrong at the next write.
type fault string

const (
	hangs   fault = "hangs"   // takes the write, does nothing, says nothing
	refuses fault = "refuses" // will never do it
	loses   fault = "loses"   // does it, and its answer is lost
	drifts  fault = "drifts"  // takes it, and does something else
	gone    fault = "gone"    // nobody listens
)

// bench is a router with the deployment that steers it.
type bench struct {
	deployment *rollout.Deployment
	targets    []rollout.Target
	// fail makes the next write go wrong.
	fail func(fault)
	// weights are those that the router really has, by target.
	weights func() map[string]int
}

func (b *bench) set(t *testing.T, percent int) rollout.Answer {
	t.Helper()
	return New(Config{}).Set(t.Context(), b.deployment, b.targets, callFor(setting(percent)))
}

func (b *bench) ask(t *testing.T, percent int) (agrees, known bool, message string) {
	t.Helper()
	return New(Config{}).Ask(t.Context(), b.deployment, b.targets, setting(percent))
}

func (b *bench) has(t *testing.T, percent int) {
	t.Helper()
	if got := b.weights(); got["web-1"] != percent || got["web-2"] != 100-percent {
		t.Errorf("the router has %v, want %d and %d", got, percent, 100-percent)
	}
}

// impatient bounds the next calls, for faults that end with a timeout.
func (b *bench) impatient() {
	b.deployment.Spec.Traffic.Timeout = rollout.Duration(100 * time.Millisecond)
}

func (b *bench) patient() { b.deployment.Spec.Traffic.Timeout = rollout.Duration(patience) }

// everyRouter is what each kind of router that can be read back must keep.
func everyRouter(t *testing.T, open func(*testing.T) *bench) {
	t.Helper()
	for name, rule := range map[string]func(*testing.T, *bench){
		"AWriteThatIsReadBackIsDone":               writeIsDone,
		"ZeroIsSet":                                zeroIsSet,
		"AWriteWithoutAnAnswerIsLostAndBounded":    hangIsLost,
		"ARefusalIsFinal":                          refusalIsFinal,
		"AfterALostAnswerTheRouterTellsTheTruth":   lostAnswerIsAskedFor,
		"AWriteThatReadsBackOtherwiseIsTriedAgain": driftIsRetried,
		"ARouterThatIsGoneWasNotWrittenTo":         goneIsNotSent,
		"AWriteGivenUpBeforehandWasNotSent":        givenUpIsNotSent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule(t, open(t))
		})
	}
}

func writeIsDone(t *testing.T, b *bench) {
	for _, percent := range []int{10, 50, 10} {
		got := b.set(t, percent)
		want(t, got, rollout.AnswerDone, "read back")
		if got.Latency <= 0 {
			t.Errorf("latency %v", got.Latency)
		}
		b.has(t, percent)
	}
	if agrees, known, message := b.ask(t, 10); !agrees || !known || message == "" {
		t.Errorf("asked: %t %t %q", agrees, known, message)
	}
	if agrees, known, message := b.ask(t, 11); agrees || !known {
		t.Errorf("asked for another position: %t %t %q", agrees, known, message)
	}
}

func zeroIsSet(t *testing.T, b *bench) {
	want(t, b.set(t, 100), rollout.AnswerDone, "")
	b.has(t, 100)
	want(t, b.set(t, 0), rollout.AnswerDone, "")
	b.has(t, 0)
}

func hangIsLost(t *testing.T, b *bench) {
	want(t, b.set(t, 10), rollout.AnswerDone, "")
	b.fail(hangs)
	b.impatient()
	got := b.set(t, 50)
	want(t, got, rollout.AnswerLost, "nothing within")
	if got.Latency > patience/2 {
		t.Errorf("it took %v", got.Latency)
	}
	b.patient()
	if agrees, known, message := b.ask(t, 50); agrees || !known {
		t.Errorf("asked: %t %t %q", agrees, known, message)
	}
	b.has(t, 10)
}

func refusalIsFinal(t *testing.T, b *bench) {
	want(t, b.set(t, 10), rollout.AnswerDone, "")
	b.fail(refuses)
	want(t, b.set(t, 50), rollout.AnswerRefused, "nobody")
	b.has(t, 10)
}

func lostAnswerIsAskedFor(t *testing.T, b *bench) {
	b.fail(loses)
	want(t, b.set(t, 50), rollout.AnswerLost, "the connection was")
	if agrees, known, message := b.ask(t, 50); !agrees || !known {
		t.Errorf("asked: %t %t %q", agrees, known, message)
	}
	b.has(t, 50)
}

func driftIsRetried(t *testing.T, b *bench) {
	b.fail(drifts)
	want(t, b.set(t, 50), rollout.AnswerRetry, "7, not 50")
	if agrees, known, message := b.ask(t, 50); agrees || !known {
		t.Errorf("asked: %t %t %q", agrees, known, message)
	}
	want(t, b.set(t, 50), rollout.AnswerDone, "")
	b.has(t, 50)
}

func goneIsNotSent(t *testing.T, b *bench) {
	b.fail(gone)
	want(t, b.set(t, 50), rollout.AnswerNotSent, "not sent: ")
	if agrees, known, message := b.ask(t, 50); agrees || known || message == "" {
		t.Errorf("asked: %t %t %q", agrees, known, message)
	}
}

func givenUpIsNotSent(t *testing.T, b *bench) {
	b.deployment.Spec.Traffic.Timeout = rollout.Duration(time.Nanosecond)
	want(t, b.set(t, 50), rollout.AnswerNotSent, "not sent: nothing within")
}

func TestEveryKindPassesTheSuite(t *testing.T) {
	t.Parallel()
	benches := map[string]map[string]func(*testing.T) *bench{
		"webhook": {"http": webhookBench},
		"haproxy": {"unix": haproxyBench("unix"), "tcp": haproxyBench("tcp")},
	}
	for _, kind := range Types() {
		if len(benches[kind]) == 0 {
			t.Errorf("router %s has no bench", kind)
		}
		for way, open := range benches[kind] {
			t.Run(kind+"/"+way, func(t *testing.T) {
				t.Parallel()
				everyRouter(t, open)
			})
		}
	}
}
