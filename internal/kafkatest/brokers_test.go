package kafkatest

import (
	"slices"
	"testing"
)

func TestBrokersReadsTheVariable(t *testing.T) {
	t.Setenv("LEAT_KAFKA", "127.0.0.1:1, 127.0.0.1:2")
	if got := Brokers(t); !slices.Equal(got, []string{"127.0.0.1:1", "127.0.0.1:2"}) {
		t.Error(got)
	}
}
