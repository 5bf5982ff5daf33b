package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// transactor writes the transactions of a session, one at a time.
//
// Its producer is a client of its own, so that it can be replaced and the member stays
// one. The transactional id is that of one consumer and of no other, ever: two that
// share one fence each other off for good. What a vanished member left open therefore
// ends by its timeout, not by a successor; but the successor of a client, in the same
// consumer, ends what that left.
type transactor struct {
	s *session

	mu     sync.Mutex // never held while something is waited for
	cl     *kgo.Client
	closed bool
	v2     bool // cl speaks transactions of version 2 (KIP-890)
}

func newTransactor(s *session) *transactor { return &transactor{s: s} }

// transactionalID returns a new one. Its prefix is for access control.
func transactionalID(group string) string { return group + "." + rand.Text() }

// errReplaced is what a transaction ends with whose producer is of no use any more.
var errReplaced = errors.New("its producer is replaced")

// run writes a transaction and records what became of it.
func (w *transactor) run(x *transaction) {
	defer close(x.done)
	s := w.s
	if err := s.takeTurn(s.alive); err != nil {
		x.end(event.ErrLeaseLost)
		return
	}
	defer s.passTurn() // after what became of it is recorded: the next commit tells of it
	x.end(w.write(x))
	s.soil()
}

// write writes a transaction without what can't be written.
func (w *transactor) write(x *transaction) error {
	for {
		// Read before it is looked what is ours: a generation that began in between
		// refuses the offsets, one that is read after might take another's.
		by := w.membership()
		live, marks := x.arrange(by)
		if len(live) == 0 {
			return nil
		}
		ctx, cancel := context.WithTimeout(w.s.alive, w.s.c.ch.cfg.TransactionTimeout)
		committed, err := w.try(ctx, by, live, marks)
		cancel()
		switch {
		case committed:
			return nil
		case err == nil:
			continue // without those that were refused
		case errors.Is(err, errReplaced) && w.s.alive.Err() == nil:
			w.s.c.tell(err)
		}
		return err
	}
}

// try writes a transaction once. Neither committed nor an error: parts were refused.
func (w *transactor) try(ctx context.Context, by membership, live []*part, marks map[partition]mark) (committed bool, err error) {
	cl, err := w.client(ctx)
	if err != nil {
		return false, w.failed("begin", err)
	}
	if err := cl.BeginTransaction(); err != nil {
		return false, w.replace(cl, "begin", err)
	}
	w.at("begun")
	refused, err := w.produce(ctx, cl, live)
	if err != nil {
		return false, w.replace(cl, "produce", err)
	}
	w.at("produced")
	if refused {
		return false, w.abort(ctx, cl)
	}
	if err := w.offsets(ctx, cl, by, marks); err != nil {
		return false, errors.Join(w.failed("offsets", err), w.abort(ctx, cl))
	}
	w.at("offsets")
	w.at("end")
	err = cl.EndTransaction(ctx, kgo.TryCommit)
	w.at("ended")
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, kerr.OperationNotAttempted), errors.Is(err, kerr.TransactionAbortable):
		return false, errors.Join(w.failed("end", err), w.abort(ctx, cl))
	}
	return w.resolve(w.replace(cl, "end", err), live, marks)
}

// membership is who commits: in another generation it is somebody else.
type membership struct {
	member     string
	generation int32
}

func (w *transactor) membership() (m membership) {
	m.member, m.generation = w.s.cl.GroupMetadata()
	return m
}

// produce writes what the parts keep and waits for the answers. Parts that the brokers
// refuse are noted; any other error is one of the transaction.
func (w *transactor) produce(ctx context.Context, cl *kgo.Client, live []*part) (refused bool, err error) {
	var mu sync.Mutex
	var failed error
	answered := make(chan struct{})
	left := 0
	for _, p := range live {
		left += len(p.kept.records)
	}
	for _, p := range live {
		for i := range p.kept.records {
			r := p.kept.records[i] // the client writes into it
			cl.Produce(context.WithoutCancel(ctx), &r, func(r *kgo.Record, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					maybe, told := judge(r.Topic, err)
					if maybe {
						failed = told
					} else if p.err == nil {
						p.err, refused = fmt.Errorf("%w: %w", event.ErrFull, told), true
					}
				}
				if left--; left == 0 {
					close(answered)
				}
			})
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return false, err
	}
	select {
	case <-answered:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	mu.Lock()
	defer mu.Unlock()
	return refused, failed
}

// abort ends a transaction that can't be committed.
func (w *transactor) abort(ctx context.Context, cl *kgo.Client) error {
	if err := cl.EndTransaction(ctx, kgo.TryAbort); err != nil {
		return w.replace(cl, "abort", err)
	}
	return nil
}

// resolve finds out what became of a transaction whose end was not answered for. A new
// producer ends it if it is open; then the group's offsets tell. Nothing else of the
// group is committed meanwhile. Once others have the partitions it doesn't matter here:
// the brokers tell them nothing before the transaction is over.
func (w *transactor) resolve(unknown error, live []*part, marks map[partition]mark) (bool, error) {
	alive := w.s.alive
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		committed, err := w.look(alive, marks)
		switch {
		case err == nil && committed:
			w.s.c.tell(unknown)
			return true, nil
		case err == nil:
			return false, unknown
		case w.s.c.haveLost(live):
			return false, fmt.Errorf("%w: %w", event.ErrLeaseLost, unknown)
		case sleep(alive, pause) != nil:
			return false, unknown
		}
	}
}

// look reports whether what marks say is what is committed.
func (w *transactor) look(ctx context.Context, marks map[partition]mark) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, w.s.c.ch.cfg.TransactionTimeout)
	defer cancel()
	if _, err := w.client(ctx); err != nil {
		return false, err
	}
	return w.isCommitted(ctx, marks)
}

// client returns the producer, after it has ended what another of its id left open.
func (w *transactor) client(ctx context.Context) (*kgo.Client, error) {
	w.mu.Lock()
	cl, closed := w.cl, w.closed
	w.mu.Unlock()
	switch {
	case closed:
		return nil, event.ErrClosed
	case cl != nil:
		return cl, nil
	}
	v2, err := w.version2(ctx)
	if err != nil {
		return nil, err
	}
	ch := w.s.c.ch
	opts := append(ch.producing(), w.s.c.dialing()...)
	cl, err = kgo.NewClient(ch.options(append(opts,
		kgo.TransactionalID(w.s.c.txID),
		kgo.TransactionTimeout(ch.cfg.TransactionTimeout),
		kgo.ManualFlushing(), // what is written at once goes together
		kgo.MaxVersions(versions(v2)),
	)...)...)
	if err != nil {
		return nil, err
	}
	if _, _, err := cl.ProducerID(ctx); err != nil {
		cl.Close()
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		go cl.Close()
		return nil, event.ErrClosed
	}
	w.cl, w.v2 = cl, v2
	return cl, nil
}

// replace gives a producer up.
func (w *transactor) replace(cl *kgo.Client, doing string, err error) error {
	w.mu.Lock()
	if w.cl == cl {
		w.cl = nil
	}
	w.mu.Unlock()
	cl.Close()
	return fmt.Errorf("%w; %w", w.failed(doing, err), errReplaced)
}

func (w *transactor) failed(doing string, err error) error {
	return fmt.Errorf("kafka: group %q: transaction: %s: %w", w.s.c.sub.Group, doing, err)
}

// close gives up what is open; a session without transactions has none.
func (w *transactor) close() {
	if w == nil {
		return
	}
	w.mu.Lock()
	cl := w.cl
	w.cl, w.closed = nil, true
	w.mu.Unlock()
	if cl != nil {
		cl.Close()
	}
}

// at tells a test where a transaction is.
func (w *transactor) at(point string) {
	if f := w.s.c.onTransact; f != nil {
		f(point)
	}
}
