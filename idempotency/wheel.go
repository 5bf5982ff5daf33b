package idempotency

import "time"

// wheel is the entries of a shard by when they expire: a bucket for each 64th of the window.
// A bucket goes as a whole, and nothing is looked for.
type wheel struct {
	first   int64 // number of the first bucket
	buckets [][]*entry
}

const bucketsOfWindow = 64

// bucketOf returns the number of the bucket that goes when what expires at a time has
// expired.
func bucketOf(at, window time.Duration) int64 {
	return int64(at/max(window/bucketsOfWindow, 1)) + 1
}

// add notes an entry in a bucket.
func (w *wheel) add(e *entry, n int64) {
	if len(w.buckets) == 0 {
		w.first = n
	}
	for n < w.first { // of a shorter lease than the first had
		w.buckets = append([][]*entry{nil}, w.buckets...)
		w.first--
	}
	for n >= w.first+int64(len(w.buckets)) {
		w.buckets = append(w.buckets, nil)
	}
	w.buckets[n-w.first] = append(w.buckets[n-w.first], e)
}

// next removes a bucket whose time has come.
func (w *wheel) next(now int64) (old []*entry, ok bool) {
	if len(w.buckets) == 0 || w.first >= now {
		return nil, false
	}
	old, w.buckets = w.buckets[0], w.buckets[1:]
	w.first++
	return old, true
}
