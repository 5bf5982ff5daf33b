package main

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/leat-go/leat/bench"
)

// table prints the ratios of one scenario. Each ratio is of two sides in the same
// round; but "fastest" is that of their fastest rounds, which others disturbed least.
func table(w io.Writer, s bench.Scenario, all []samples) {
	fmt.Fprintf(w, "\n**%s**: %s\n\n", s.Name, s.About)
	fmt.Fprintln(w, "| time of | by | median | quartiles | range | fastest | goal | allocations per event |")
	fmt.Fprintln(w, "|---|---|--:|--:|--:|--:|---|---|")
	leat := all[0]
	for i, side := range s.Sides[1:] {
		other := all[i+1]
		of, by, over, under := s.Sides[0].Name, side.Name, leat, other
		if side.Kind == bench.Peer {
			of, by, over, under = by, of, under, over
		}
		r := ratios(over.seconds, under.seconds)
		fmt.Fprintf(w, "| %s | %s | %.2f | %.2f–%.2f | %.2f–%.2f | %.2f | %s | %.1f : %.1f |\n",
			of, by, quantile(r, 0.5), quantile(r, 0.25), quantile(r, 0.75), r[0], r[len(r)-1],
			slices.Min(over.seconds)/slices.Min(under.seconds), verdict(side, quantile(r, 0.5)), median(over.allocs), median(under.allocs))
	}
}

// verdict tells the goal of a side and whether the median reaches it.
func verdict(side bench.Side, ratio float64) string {
	if side.Goal == 0 {
		return ""
	}
	sign, met := "≤", ratio <= side.Goal
	if side.Kind == bench.Peer {
		sign, met = "≥", ratio >= side.Goal
	}
	if met {
		return fmt.Sprintf("%s %.3g: met", sign, side.Goal)
	}
	return fmt.Sprintf("%s %.3g: missed", sign, side.Goal)
}

// ratios returns the ratios round by round, in order of size.
func ratios(over, under []float64) []float64 {
	r := make([]float64, len(over))
	for i := range r {
		r[i] = over[i] / under[i]
	}
	slices.Sort(r)
	return r
}

func median(values []float64) float64 {
	return quantile(slices.Sorted(slices.Values(values)), 0.5)
}

// quantile returns a quantile of sorted values, interpolated.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := int(math.Ceil(at))
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}
