package statstore

import (
	"math"
	"slices"
	"time"

	"rollcall/internal/dora"
)

// spreadOf sums up durations in µs, and changes their order. The percentiles are those of PostgreSQL's percentile_cont over
// seconds.
func spreadOf(micros []int64) dora.Percentiles {
	if len(micros) == 0 {
		return dora.Percentiles{}
	}
	return dora.Percentiles{Count: len(micros), P50: secondsDuration(percentileSeconds(micros, 0.5)), P95: secondsDuration(percentileSeconds(micros, 0.95))}
}

// percentileSeconds interpolates between the two values that are nearest to it, and returns seconds.
func percentileSeconds(micros []int64, fraction float64) float64 {
	place := fraction * float64(len(micros)-1)
	first := int(math.Floor(place))
	low := inSeconds(nthSmallest(micros, first))
	if float64(first) == place {
		return low
	}
	high := inSeconds(slices.Min(micros[first+1:])) // nthSmallest has left no smaller one there
	return low + float64((place-float64(first))*(high-low))
}

func inSeconds(micros int64) float64 { return float64(micros) / float64(time.Second/time.Microsecond) }

// nthSmallest returns the value that would stand at place n if the values were sorted. It brings what is not smaller behind that place
// (C. A. R. Hoare, Algorithm 65: Find).
func nthSmallest(values []int64, n int) int64 {
	low, high := 0, len(values)-1
	for low < high {
		pivot := medianOfThree(values[low], values[low+(high-low)/2], values[high])
		i, j := low, high
		for i <= j {
			for values[i] < pivot {
				i++
			}
			for values[j] > pivot {
				j--
			}
			if i <= j {
				values[i], values[j] = values[j], values[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			high = j
		case n >= i:
			low = i
		default:
			return values[n]
		}
	}
	return values[n]
}

func medianOfThree(a, b, c int64) int64 { return max(min(a, b), min(max(a, b), c)) }
