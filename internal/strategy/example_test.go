package strategy_test

import (
	"encoding/json"
	"fmt"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
)

// A canary of ten targets is resolved into its waves.
func ExamplePrepare() {
	var targets []rollout.Target
	for i := range 10 {
		id := fmt.Sprintf("web-%d", i+1)
		targets = append(targets, rollout.Target{ID: id, Address: "http://" + id})
	}
	canary := json.RawMessage(`{"type": "canary", "stages": [10, 50, 100]}`)
	prepared, err := strategy.Prepare(rollout.Deployment{Version: "v2"}, targets, canary, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, wave := range prepared.Deployment.Spec.Waves {
		fmt.Printf("wave %d: %d targets, weight %d %%, bake %s\n", i+1, wave.Size, wave.Weight, wave.Bake.Std())
	}
	// Output:
	// wave 1: 1 targets, weight 10 %, bake 1m0s
	// wave 2: 4 targets, weight 50 %, bake 1m0s
	// wave 3: 5 targets, weight 100 %, bake 1m0s
}
