package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// The topics of a group have no end to their retention: what is done with is removed
// from them. That needs the right to delete records; without it they grow.

// keepDone is how long what was done with dead letters is kept: owners that come later
// read it.
const keepDone = time.Hour

// trim removes what nobody needs from the beginning of a dead-letter topic: up to the
// first letter that is there, the first redrive that isn't done, and where the next
// owner begins to read.
func (ch *Channel) trim(ctx context.Context, ls *letters) {
	adm, err := ch.admin()
	if err != nil {
		return
	}
	owners, err := committed(ctx, adm, ls.group, ls.name)
	if err != nil {
		return // the next time
	}
	at := make(kadm.Offsets)
	for n, f := range ls.folds {
		owner, _ := owners.Lookup(ls.name, n)
		if to := min(f.restart(), f.aged, owner.At); to > ls.of[n].from {
			at.AddOffset(ls.name, n, to, -1)
		}
	}
	ch.deleteBefore(ctx, at)
}

// trim removes what is settled, and known to be, from the redrive topic.
func (s *session) trim(ctx context.Context) {
	c := s.c
	at := make(kadm.Offsets)
	c.mu.Lock()
	for _, t := range c.tenures {
		if l := &t.again; t.s == s && l.committed > l.trimmed {
			l.trimmed = l.committed
			at.AddOffset(l.topic, l.partition, l.committed, -1)
		}
		for _, v := range t.levels {
			if t.s == s && v.committed > v.trimmed {
				v.trimmed = v.committed
				at.AddOffset(delayTopic(t.topic, c.sub.Group), int32(v.k), v.committed, -1)
			}
		}
	}
	c.mu.Unlock()
	c.ch.deleteBefore(ctx, at)
}

func (ch *Channel) deleteBefore(ctx context.Context, at kadm.Offsets) {
	if len(at) == 0 {
		return
	}
	adm, err := ch.admin()
	if err != nil {
		return
	}
	_, _ = adm.DeleteRecords(ctx, at) // the next time, or never: it costs room alone
}

// age notes that a record of the dead-letter topic is old.
func (f *fold) age(offset int64, at time.Time, old time.Time) {
	if f.aged == offset && at.Before(old) {
		f.aged = offset + 1
	}
}
