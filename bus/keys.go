package bus

import "hash/maphash"

// Sizes of a keyTable; powers of two.
const (
	keyBuckets    = 1024
	fewKeyBuckets = 16 // of a Stepper, which is made often and has little in hand
)

var keySeed = maphash.MakeSeed()

// keyTable lines up the items of each key in hand: the front of a line is with a
// worker, held, or about to be; the others wait behind it. It allocates nothing but
// its buckets, before the first delivery.
type keyTable struct {
	buckets []*item // fronts
}

// add lines an item up and returns the front of its key. Items without a key are
// their own.
func (t *keyTable) add(it *item) *item {
	key := it.d.Event.Key()
	if key == "" {
		return it
	}
	i := maphash.String(keySeed, key) & uint64(len(t.buckets)-1)
	for front := t.buckets[i]; front != nil; front = front.inBucket {
		if front.d.Event.Key() == key && front.d.Topic == it.d.Topic {
			front.last.next = it
			front.last = it
			return front
		}
	}
	it.bucket = int32(i) + 1
	it.last = it
	it.inBucket = t.buckets[i]
	t.buckets[i] = it
	return it
}

// advance takes the front of a key out and returns the next of the line, which is
// the front now, or nil.
func (t *keyTable) advance(it *item) *item {
	if it.bucket == 0 {
		return nil
	}
	place := &t.buckets[it.bucket-1]
	for *place != it {
		place = &(*place).inBucket
	}
	next := it.next
	if next == nil {
		*place = it.inBucket
	} else {
		next.last = it.last
		next.bucket = it.bucket
		next.inBucket = it.inBucket
		*place = next
	}
	it.bucket, it.next, it.last, it.inBucket = 0, nil, nil, nil
	return next
}

// keySet is a set of keys of topics.
type keySet map[[2]string]struct{}

// add adds a key; what has none stands for itself.
func (s *keySet) add(topic, key string) {
	if key == "" {
		return
	}
	if *s == nil {
		*s = make(keySet)
	}
	(*s)[[2]string{topic, key}] = struct{}{}
}

func (s *keySet) has(topic, key string) bool {
	_, ok := (*s)[[2]string{topic, key}]
	return ok
}
