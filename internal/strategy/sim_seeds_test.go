//go:build !race

package strategy_test

// defaultSeeds is how many seeds an ordinary run of the tests plays.
const defaultSeeds = 3000
