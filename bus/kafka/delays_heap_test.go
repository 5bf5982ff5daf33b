package kafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// What a tenure has delayed isn't kept when it has ended.
func TestDelaysForgetATenure(t *testing.T) {
	d := delays{fire: func() {}}
	defer d.stop()
	now := time.Now()
	mine, others := &lane{t: new(tenure)}, &lane{t: new(tenure)}
	for i := range 10 {
		d.add(now.Add(-time.Duration(i)*time.Second), mine, uint64(i))
		d.add(now.Add(-time.Duration(i*7%10)*time.Second), others, uint64(i))
	}
	d.forget(mine.t)
	var left []time.Time
	for {
		next, ok := d.next(now)
		if !ok {
			break
		}
		assert.Same(t, others, next.l)
		left = append(left, next.at)
	}
	assert.Len(t, left, 10)
	assert.IsNonDecreasing(t, times(left))
}

func times(ts []time.Time) (ns []int64) {
	for _, t := range ts {
		ns = append(ns, t.UnixNano())
	}
	return ns
}
