package planner

import (
	"slices"
	"testing"
)

func TestDivide_ExactInSumAndClosestInPart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sum  int
		full []int
		want []int
	}{
		{172, []int{100, 25, 50}, []int{98, 25, 49}},
		{43, []int{40}, []int{43}},
		{10, []int{1, 1, 1}, []int{4, 3, 3}},
		{3, []int{256, 1, 1}, []int{1, 1, 1}},
		{4, []int{256, 1, 1}, []int{2, 1, 1}},
		{2, []int{1, 1, 1}, []int{1, 1, 0}},
		{512, []int{100, 1, 1}, []int{256, 128, 128}},
		{768, []int{1, 1, 1}, []int{256, 256, 256}},
	} {
		if got := divideInProportion(c.sum, c.full); !slices.Equal(got, c.want) {
			t.Errorf("%d over %v is %v, want %v", c.sum, c.full, got, c.want)
		}
	}
}

func FuzzDivide(f *testing.F) {
	f.Add(172, 100, 25, 50)
	f.Add(3, 256, 1, 1)
	f.Fuzz(func(t *testing.T, sum, a, b, c int) {
		full := []int{a, b, c}
		if sum < 0 || sum > 3*maxWeight || slices.Min(full) < 1 || slices.Max(full) > maxWeight {
			return
		}
		got, total := divideInProportion(sum, full), 0
		for _, weight := range got {
			if total += weight; weight < 0 || weight > maxWeight || sum >= 3 && weight == 0 {
				t.Fatalf("%d over %v is %v", sum, full, got)
			}
		}
		if total != sum {
			t.Fatalf("%d over %v is %v", sum, full, got)
		}
	})
}
