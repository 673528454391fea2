package traffic

import (
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
)

// fault is how a router, or the wire to it, goes wrong at the next write.
type fault string

const (
	hangs   fault = "hangs"   // takes the write, does nothing, says nothing
	refuses fault = "refuses" // will never do it
	loses   fault = "loses"   // does it, and its answer is lost
	drifts  fault = "drifts"  // takes it, and does something else
	gone    fault = "gone"    // nothing listens
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

func (b *bench) setWeights(t *testing.T, percent int) rollout.CallResult {
	t.Helper()
	return New(Config{}).SetWeights(t.Context(), b.deployment, b.targets, callFor(setting(percent)))
}

// wantReading checks that the router reports the weights of a split.
func (b *bench) wantReading(t *testing.T, percent int) {
	t.Helper()
	reading, err := New(Config{}).Read(t.Context(), b.deployment, b.targets)
	if err != nil || len(reading.Backends) != 2 {
		t.Fatalf("reading %+v, %v", reading, err)
	}
	for i, want := range setting(percent).Backends {
		if got := reading.Backends[i]; got.Target != want.Target || got.Weight != want.Weight || !got.Serving || got.HeldBy != "" || got.Effective != 100 {
			t.Errorf("reading %+v, want %+v", got, want)
		}
	}
	if s := reading.Weights; s != nil && (s.NewWeight != percent || s.OldWeight != 100-percent) {
		t.Errorf("shares %+v", s)
	}
}

func (b *bench) wantWeights(t *testing.T, percent int) {
	t.Helper()
	if got := b.weights(); got["web-1"] != percent || got["web-2"] != 100-percent {
		t.Errorf("the router has %v, want %d and %d", got, percent, 100-percent)
	}
}

// useShortTimeout bounds the next calls, for faults that end with a timeout.
func (b *bench) useShortTimeout() {
	b.deployment.Spec.Traffic.Timeout = duration.Duration(100 * time.Millisecond)
}

func (b *bench) useLongTimeout() { b.deployment.Spec.Traffic.Timeout = duration.Duration(longTimeout) }

// testRouter tests what each kind of router that can be read back must keep.
func testRouter(t *testing.T, open func(*testing.T) *bench) {
	t.Helper()
	for name, rule := range map[string]func(*testing.T, *bench){
		"AWriteThatIsTakenIsReported":            writeIsDone,
		"ZeroIsSet":                              zeroIsSet,
		"AWriteWithoutAnAnswerIsLostAndBounded":  hangIsLost,
		"ARefusalIsFinal":                        refusalIsFinal,
		"AfterALostAnswerTheRouterTellsTheTruth": lostAnswerIsAskedFor,
		"ARouterThatDoesSomethingElseSaysSo":     driftIsReported,
		"ARouterThatIsGoneWasNotWrittenTo":       goneIsNotSent,
		"AWriteGivenUpBeforehandWasNotSent":      givenUpIsNotSent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule(t, open(t))
		})
	}
}

func writeIsDone(t *testing.T, b *bench) {
	for _, percent := range []int{10, 50, 10} {
		got := b.setWeights(t, percent)
		want(t, got, rollout.ResultDone, "")
		if got.Latency <= 0 {
			t.Errorf("latency %v", got.Latency)
		}
		b.wantWeights(t, percent)
		b.wantReading(t, percent)
	}
}

func zeroIsSet(t *testing.T, b *bench) {
	want(t, b.setWeights(t, 100), rollout.ResultDone, "")
	b.wantWeights(t, 100)
	want(t, b.setWeights(t, 0), rollout.ResultDone, "")
	b.wantWeights(t, 0)
}

func hangIsLost(t *testing.T, b *bench) {
	want(t, b.setWeights(t, 10), rollout.ResultDone, "")
	b.fail(hangs)
	b.useShortTimeout()
	got := b.setWeights(t, 50)
	want(t, got, rollout.ResultUnknown, "nothing within")
	if got.Latency > longTimeout/2 {
		t.Errorf("it took %v", got.Latency)
	}
	b.useLongTimeout()
	b.wantReading(t, 10)
	b.wantWeights(t, 10)
}

func refusalIsFinal(t *testing.T, b *bench) {
	want(t, b.setWeights(t, 10), rollout.ResultDone, "")
	b.fail(refuses)
	want(t, b.setWeights(t, 50), rollout.ResultRefused, "absent")
	b.wantWeights(t, 10)
}

func lostAnswerIsAskedFor(t *testing.T, b *bench) {
	b.fail(loses)
	want(t, b.setWeights(t, 50), rollout.ResultUnknown, "the connection was")
	b.wantReading(t, 50)
	b.wantWeights(t, 50)
}

func driftIsReported(t *testing.T, b *bench) {
	b.fail(drifts)
	want(t, b.setWeights(t, 50), rollout.ResultDone, "")
	reading, err := New(Config{}).Read(t.Context(), b.deployment, b.targets)
	if err != nil || reading.Backends[0].Weight != 7 {
		t.Errorf("reading %+v, %v", reading, err)
	}
	want(t, b.setWeights(t, 50), rollout.ResultDone, "")
	b.wantWeights(t, 50)
}

func goneIsNotSent(t *testing.T, b *bench) {
	b.fail(gone)
	want(t, b.setWeights(t, 50), rollout.ResultNotSent, "not sent: ")
	if reading, err := New(Config{}).Read(t.Context(), b.deployment, b.targets); err == nil || err.Error() == "" {
		t.Errorf("read %+v", reading)
	}
}

func givenUpIsNotSent(t *testing.T, b *bench) {
	b.deployment.Spec.Traffic.Timeout = duration.Duration(time.Nanosecond)
	want(t, b.setWeights(t, 50), rollout.ResultNotSent, "not sent: nothing within")
}

func TestKinds_PassTheSuite(t *testing.T) {
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
				testRouter(t, open)
			})
		}
	}
}
