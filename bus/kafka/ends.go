package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

var _ event.Ends = (*Channel)(nil)

// Ends implements [event.Ends]. The end of a partition is its last record that is no
// marker of a transaction and not of one that was aborted: markers and aborted records
// at the end are passed over, backwards, in each call anew. What an open transaction has
// written counts, though consumers don't get it, nor what is behind it, before it ends:
// it may be committed already, which its partitions learn a moment later. Should it be
// aborted and nothing follow, that end is never reached; whoever waits for it asks again.
// A partition of which nothing is left has no end.
func (ch *Channel) Ends(ctx context.Context, topic string) ([]event.Position, error) {
	ends, err := persistIf(ctx, func() ([]event.Position, error) { return ch.tryEnds(ctx, topic) }, func(err error) bool {
		return kerr.IsRetriable(err) && !unknown(err) || errors.Is(err, kerr.OffsetOutOfRange) // some was removed meanwhile
	})
	switch {
	case unknown(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("kafka: where topic %q ends: %w", topic, err)
	}
	return ends, nil
}

// How many records are read at once while the last event is looked for, from the end
// backwards: of most partitions it is the last record, or the one before its marker.
const (
	firstTail = 2
	mostTail  = 8 << 10
)

func (ch *Channel) tryEnds(ctx context.Context, topic string) (ends []event.Position, err error) {
	all, err := ch.stretchesTo(ctx, topic, (*kadm.Client).ListEndOffsets)
	if err != nil {
		return nil, err
	}
	left := make(map[int32]*search)
	for n, s := range all {
		left[n] = &search{left: s}
	}
	for width := int64(firstTail); len(left) > 0; width = min(16*width, mostTail) {
		for _, s := range left {
			s.at = max(s.left.from, s.left.to-width)
			s.next = s.at
		}
		if err := ch.readTails(ctx, topic, left); err != nil {
			return nil, err
		}
		for n, s := range left {
			at, found := s.last()
			if found {
				ends = append(ends, event.Position{Lane: n, Offset: at + 1})
			}
			if found || s.left.from >= s.left.to {
				delete(left, n)
			}
		}
	}
	return ends, nil
}

// search looks for the last event of a partition.
type search struct {
	left    stretch        // where to look
	at      int64          // from here to its end now
	next    int64          // to be read
	read    []*kgo.Record  // from at on
	aborted map[int64]bool // by producer: what the marker says that is behind
}

// last returns the offset of the last event of what was read; if there is none, that is
// done with.
func (s *search) last() (int64, bool) {
	for _, r := range slices.Backward(s.read) {
		switch {
		case r.Attrs.IsControl():
			if s.aborted == nil {
				s.aborted = make(map[int64]bool)
			}
			s.aborted[r.ProducerID] = isAbort(r)
		case !r.Attrs.IsTransactional() || !s.aborted[r.ProducerID]:
			return r.Offset, true
		}
	}
	s.left.to, s.read = s.at, nil
	return 0, false
}

// isAbort reports whether a control record is the marker of an aborted transaction: its
// key is a version and a type, which is 0 then.
func isAbort(r *kgo.Record) bool { return len(r.Key) >= 4 && binary.BigEndian.Uint16(r.Key[2:]) == 0 }
