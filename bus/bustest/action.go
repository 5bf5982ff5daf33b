package bustest

import "fmt"

// actionKind is what can happen next in an exploration.
type actionKind uint8

const (
	actContinue actionKind = iota // a handler goes on from a step
	actSettle                     // what was decided reaches the broker
	actRun                        // a handler begins
	actFetch                      // deliveries are received
	actPublish                    // the next of the World's publishes
	actWait                       // time passes until something is due
	actEnd                        // nothing is left to do
	actCrash                      // a process dies; another starts
	actLose                       // a lease is lost: the delivery goes to another process
	actRepeat                     // the broker delivers an acked event once more
)

func (k actionKind) fault() bool { return k >= actCrash }

// action is one thing that can happen next. Two actions of two runs are the same
// when they are equal.
type action struct {
	kind  actionKind
	proc  int // from 1
	group int
	entry entryName
	step  string
}

// deviation is where a run leaves the undisturbed one: at the nth time that at would
// come next, do comes instead.
type deviation struct {
	at, do action
	nth    int
}

// tell says what an action does, for people.
func (s *simulation) tell(a action) string {
	switch a.kind {
	case actContinue:
		return fmt.Sprintf("process %d: %s goes on from step %q", a.proc, s.subject(a), a.step)
	case actSettle:
		return fmt.Sprintf("process %d: group %q settles", a.proc, s.groups[a.group])
	case actRun:
		return fmt.Sprintf("process %d: %s begins", a.proc, s.subject(a))
	case actFetch:
		return fmt.Sprintf("process %d: group %q receives", a.proc, s.groups[a.group])
	case actPublish:
		return "the next message is published"
	case actWait:
		return "time passes"
	case actEnd:
		return "everything has settled"
	case actCrash:
		return fmt.Sprintf("process %d dies, with %d deliveries not settled", a.proc, s.broker.inHand(s.proc(a.proc).endpoint))
	case actLose:
		return fmt.Sprintf("process %d: the lease of %s is lost", a.proc, s.subject(a))
	case actRepeat:
		return s.subject(a) + " is delivered once more"
	}
	return ""
}

func (s *simulation) subject(a action) string {
	return fmt.Sprintf("%v in group %q", a.entry, s.groups[a.group])
}
