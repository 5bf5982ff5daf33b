package query

import (
	"context"
	"errors"

	"github.com/leat-go/leat/event"
)

// Model is a read model with the place it has come to: what a projection changes, and how far it
// is, change in one transaction. [Memory] and pgstore implement it; package modeltest
// tests one. Its methods may be called concurrently, by many processes.
//
// A model has generations. One serves; a rebuild fills the next from the start of the
// history beside it, and takes its place when it has all that the one that serves has.
//
// Of each topic and lane a model knows exactly which positions it is done with: an offset
// up to which all are, and ranges beyond it, since events of different keys overtake each
// other. A step is done with its position and with those of its gap.
type Model interface {
	// Open makes the model of a projection ready, its first generation too if there is
	// none. Start calls it, in each process. A model is that of one projection.
	Open(ctx context.Context, projection string) error

	// Begin begins the transaction in which the event of a step is applied, or returns
	// [ErrApplied]: the model is done with the position, other than by a Pass that was dead;
	// or an event of this source and id was applied lately, at whatever position.
	// Two for one step never both commit.
	Begin(ctx context.Context, s Step) (Update, error)

	// Pass notes that the event of a step isn't applied: it is of no interest, or, if
	// dead, it failed for good and may come again. Of what was applied or passed
	// before it changes nothing, but that one that was dead can be passed for good. A step
	// whose position isn't valid only lets its event be seen.
	Pass(ctx context.Context, s Step, dead bool) error

	// Seen reports, for each of these ids, whether the generation that serves is done lately
	// with an event of this id, or with one that was caused by it: applied, or passed and
	// not dead.
	Seen(ctx context.Context, ids ...string) ([]bool, error)

	// Reached returns, for each lane of a topic that the generation that serves knows, the
	// position up to which it is done with all, those that are dead included. A lane
	// whose first positions aren't done has none, or one with the offset 0.
	Reached(ctx context.Context, topic string) ([]event.Position, error)

	// Build makes a new, empty generation, for whoever calls it alone, in all processes, until
	// release: [ErrRebuilding] if somebody else builds one. What was built and doesn't
	// serve is dropped by release, or by the next Build where a process ended before.
	// No generation has the number of an earlier one.
	Build(ctx context.Context) (generation int, release func(), err error)

	// Switch lets a generation that was built serve if it is done with all that the
	// serving one is done with, and reports whether it does. What is applied meanwhile
	// waits. Then the one before is dropped; a transaction that was begun in it doesn't
	// commit.
	Switch(ctx context.Context, generation int) (bool, error)
}

// Step is an event on its way into a model.
type Step struct {
	Generation int            // 0: the one that serves when the transaction begins
	Topic      string         // where the event stands
	At         event.Position // in the topic; not valid for one that was sent again from elsewhere
	Gap        int64          // how many positions right before At hold no event
	Redriven   bool           // a dead letter that comes again
	Source, ID string         // of the event
	Cause      string         // the id of what caused it; "": nothing
}

// Update is the transaction of a step. It isn't used concurrently.
type Update interface {
	// Context returns a context under which the handler finds the transaction.
	Context(ctx context.Context) context.Context
	// Commit commits what the handler did, with the step. [ErrApplied] says that another has
	// committed the step before, [ErrAborted] that what the handler did can't be
	// committed: its failure. After any other error it may have committed, or not: the step
	// is tried again.
	Commit(ctx context.Context) error
	// Rollback ends the transaction without an effect. After Commit it does nothing.
	Rollback(ctx context.Context)
	// Interrupted reports whether an error of the handler, or of Commit, isn't its own: the
	// connection is gone, or the transaction has to give way to others. The step is tried
	// again, and nobody has failed.
	Interrupted(err error) bool
}

// ErrApplied says that the event of a step is in the model already.
var ErrApplied = errors.New("query: the event is in the model")

// ErrAborted says that a transaction can't be committed for what the handler did in it.
var ErrAborted = errors.New("query: what the handler did can't be committed")

// ErrRebuilding says that the model is being rebuilt already.
var ErrRebuilding = errors.New("query: the model is being rebuilt")
