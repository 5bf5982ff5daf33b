package memory

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A probability counts as the next one that there is, a negative delay as none.
func TestFaultsAreClamped(t *testing.T) {
	require.Equal(t, Faults{LoseAck: 1, Reorder: 1, FailSettle: 0.5}, newFaults(Faults{
		LoseAck: 2, Reorder: math.Inf(1), FailSettle: 0.5, Redeliver: -1, LoseLease: math.NaN(), FailProduce: math.Inf(-1), Delay: -5,
	}).Faults)
	sane := Faults{
		Seed: 1, Redeliver: 0.1, Delay: time.Second, LoseAck: 0.2, LoseLease: 0.3, FailSettle: 0.4, FailProduce: 0.5, FailReceive: 0.6, Reorder: 1,
	}
	require.Equal(t, sane, newFaults(sane).Faults)
	all := newFaults(Faults{Redeliver: 2, LoseAck: 2, LoseLease: 2, FailSettle: 2, FailProduce: 2, FailReceive: 2, Reorder: 2}).Faults
	require.Equal(t, Faults{Redeliver: 1, LoseAck: 1, LoseLease: 1, FailSettle: 1, FailProduce: 1, FailReceive: 1, Reorder: 1}, all)
}
