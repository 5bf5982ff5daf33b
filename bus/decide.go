package bus

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/event"
)

// finishTimeout bounds each try to send what a handler published, and to run the
// functions before the settlement.
const finishTimeout = 30 * time.Second

// decide turns the handler's answer into what happens with the delivery.
func (g *group) decide(it *item, err error) action {
	r := it.run
	r.end(err == nil)
	switch gone := r.Context.Err() != nil; {
	case gone && errors.Is(context.Cause(r.Context), event.ErrLeaseLost):
		return actDrop
	case err == nil:
		it.outcome = event.Outcome{Kind: event.OutcomeAcked}
		return g.conclude(it)
	case gone: // cancelled by the shutdown: not the handler's failure
		it.released = true
		return g.again(it, err, 0)
	}
	verdict := event.VerdictOf(err)
	if unmarked := verdict == (event.Verdict{Kind: event.Failed}); unmarked && errors.Is(err, event.ErrFull) {
		g.stall(StallRoom, fullness(err))
		it.roomless = true
		return g.again(it, err, brief.wait(it.tried(), g.jitter, g.chance(it)))
	}
	switch verdict.Kind {
	case event.Rejected:
		it.outcome = event.Outcome{Kind: event.OutcomeRejected, Err: err}
		return g.conclude(it)
	case event.Postponed:
		return g.again(it, err, verdict.After)
	case event.FailedForGood, event.Done, event.Failed:
	}
	return g.failed(it, err, verdict)
}

// fullness returns what a handler's error says about the room in the channel. Its
// text is the handler's, so it is nothing for a log.
func fullness(err error) error {
	if full, ok := errors.AsType[*event.FullError](err); ok {
		return full
	}
	return event.ErrFull
}

// failed decides about a failure: another attempt, or a dead letter.
func (g *group) failed(it *item, err error, verdict event.Verdict) action {
	it.failures++
	if it.firstFailed.IsZero() {
		it.firstFailed = time.Now()
	}
	forGood := verdict.Kind == event.FailedForGood || final(err)
	if forGood || !it.h.opts.blockKey && it.failures >= it.h.retry.Attempts {
		return g.dead(it, err, forGood)
	}
	wait := verdict.After
	if !verdict.Timed {
		wait = it.h.retry.wait(it.failures, g.jitter, g.chance(it))
	}
	return g.again(it, err, wait)
}

// dead makes the delivery a dead letter, and parks its key if the handler says so.
func (g *group) dead(it *item, err error, forGood bool) action {
	it.outcome = event.Outcome{Kind: event.OutcomeDead, Err: err}
	it.settlement = it.deadLetter(g.cause(it, err, codeOf(err, forGood)))
	return g.conclude(it)
}

// again lets the handler run once more, after wait.
func (g *group) again(it *item, err error, wait time.Duration) action {
	it.outcome = event.Outcome{Kind: event.OutcomeRetried, Err: err}
	it.retryAt = time.Now().Add(wait)
	return g.conclude(it)
}

// tried counts a try that is no failure of the handler.
func (it *item) tried() int {
	it.tries++
	return it.tries
}

// conclude finishes an attempt whose outcome is decided: what was collected goes
// out, the functions before the settlement run, then it is settled or held. When a
// step fails, the delivery is held and goes on with that step.
func (g *group) conclude(it *item) action {
	r := it.run
	if len(r.collected) > 0 {
		if act, done := g.sendCollected(it); !done {
			return act
		}
	}
	before, after := r.Watched()
	if before {
		if err := g.runBefore(it); err != nil {
			g.stall(StallBefore, err)
			g.holdFor(it, stepBefore)
			return actHold
		}
	}
	if it.outcome.Kind == event.OutcomeRetried {
		if after {
			r.runAfter(it.outcome)
		}
		if before && !after {
			r.finish()
		}
		it.run, it.step, it.due = nil, stepRun, it.retryAt
		if it.released {
			it.settlement = event.Release(it.d.Token)
			return actSettle
		}
		if g.goesBack(it) {
			return actSettle
		}
		g.consumer.Hold(it.d.Token, it.failures)
		return actHold
	}
	if it.outcome.Kind != event.OutcomeDead {
		it.settlement = event.Ack(it.d.Token)
	}
	if !after {
		if before {
			r.finish()
		}
		it.run = nil
	}
	return actSettle
}

// goesBack reports whether a delivery that waits for a retry goes back now, because
// the group closes. It is not held then: held ones go back without their delay.
func (g *group) goesBack(it *item) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closing || !g.gives.GivesBack {
		return false
	}
	it.settlement = g.retryOf(it)
	return true
}

// sendCollected produces what the handler published; done is false when the
// attempt can't go on.
func (g *group) sendCollected(it *item) (act action, done bool) {
	r := it.run
	if errors.Is(context.Cause(r.Context), event.ErrLeaseLost) {
		return actDrop, false
	}
	ctx, cancel := context.WithTimeout(event.WithCollected(r.detached()), finishTimeout)
	err := r.produce(ctx)
	cancel()
	switch {
	case err == nil:
		return actNone, true
	case refused(err):
		r.end(false)
		it.outcome = event.Outcome{}
		return g.failed(it, &invalidError{codePublish, err}, event.Verdict{Kind: event.FailedForGood}), false
	case errors.Is(err, event.ErrFull):
		g.stall(StallRoom, err)
		g.holdFor(it, stepProduce)
		it.roomless = true
	default:
		g.stall(StallProduce, err)
		g.holdFor(it, stepProduce)
	}
	return actHold, false
}

func (g *group) runBefore(it *item) (err error) {
	defer recovered(&err)
	ctx, cancel := context.WithTimeout(it.run.detached(), finishTimeout)
	defer cancel()
	return it.run.RunBefore(ctx, it.outcome)
}

// holdFor keeps a delivery in hand to try a step again soon.
func (g *group) holdFor(it *item, s step) {
	it.step, it.roomless = s, false
	it.due = time.Now().Add(brief.wait(it.tried(), g.jitter, g.chance(it)))
	g.consumer.Hold(it.d.Token, it.failures)
}

// cause describes why a delivery becomes a dead letter, without its data.
func (g *group) cause(it *item, err error, code string) event.Cause {
	c := event.Cause{
		Code:          code,
		Text:          err.Error(),
		Handler:       g.name,
		Attempts:      max(it.d.Attempt+max(it.runs-1, 0), it.failures),
		Failures:      it.failures,
		FirstFailedAt: it.firstFailed,
	}
	if it.h != nil {
		c.Handler = it.h.name
	}
	if c.FirstFailedAt.IsZero() {
		c.FirstFailedAt = time.Now()
	}
	if p, ok := errors.AsType[*PanicError](err); ok {
		c.Stack = string(p.Stack)
	}
	return c.Bounded()
}
