//go:build race

package strategy_test

// defaultSeeds is small under the race detector: the planner starts no goroutines.
const defaultSeeds = 300
