//go:build !race

package bustest_test

const raceEnabled = false
