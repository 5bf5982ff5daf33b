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
type Model interface {
	// Open makes the model of a projection ready, its first generation too if there is
	// none. Start calls it, in each process.
	Open(ctx context.Context, projection string) error

	// Begin begins the transaction in which the event of a step is applied, or returns
	// [ErrApplied] if it was. Two for one step never both commit.
	Begin(ctx context.Context, s Step) (Update, error)

	// Pass notes that the event of a step isn't applied: it is of no interest, or, if
	// dead, it failed for good and may come again.
	Pass(ctx context.Context, s Step, dead bool) error

	// Seen reports whether an event with this id, or one that was caused by it, was
	// applied lately to the generation that serves.
	Seen(ctx context.Context, id string) (bool, error)

	// Reached reports whether the generation that serves is done with all positions of
	// a topic up to these, one for each lane.
	Reached(ctx context.Context, topic string, ends []event.Position) (bool, error)

	// Build makes a new, empty generation, for whoever calls it alone, in all processes, until
	// release: [ErrRebuilding] if somebody else builds one. What an earlier build left
	// unfinished is dropped.
	Build(ctx context.Context) (generation int, release func(), err error)

	// Switch lets a generation that was built serve if it is done with all that the
	// serving one is done with, and reports whether it does. What is applied meanwhile
	// waits. Then the one before is dropped.
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
	// Commit commits what the handler did, with the step.
	Commit(ctx context.Context) error
	// Rollback ends the transaction without an effect. After Commit it does nothing.
	Rollback(ctx context.Context)
}

// ErrApplied says that the event of a step is in the model already.
var ErrApplied = errors.New("query: the event is in the model")

// ErrRebuilding says that the model is being rebuilt already.
var ErrRebuilding = errors.New("query: the model is being rebuilt")
