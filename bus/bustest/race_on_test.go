//go:build race

package bustest_test

const raceEnabled = true
