package bustest

import "fmt"

// actionKind is what can happen next in an exploration.
type actionKind uint8

const (
	actContinue actionKind = iota // a handler goes on from a step
	actSettle                     // what was decided reaches the broker
	actGiveBack                   // keys that wait for retries go back
	actRun                        // a handler begins
	actFetch                      // deliveries are received
	actPublish                    // the next of the World's publishes
	actWait                       // time passes until something is due
	actEnd                        // nothing is left to do
	actCrash                      // a process dies; another starts
	actLose                       // a lease is lost: the delivery goes to another process
	actRepeat                     // the broker delivers an acked event once more
	actJoin                       // another process starts
)

func (k actionKind) fault() bool { return k >= actCrash }

// action is one thing that can happen next. Two actions of two runs are the same
// when they are equal.
type action struct {
	kind  actionKind
	twin  uint8 // how many the same come before it
	proc  int16 // from 1
	group int16
	entry symbol
	step  symbol
}

// deviation is where a run leaves the undisturbed one: at the nth time that at would
// come next, do comes instead.
type deviation struct {
	at, do action
	nth    int
}

// tell says what a fault, or the passing of time, does, for people.
func (s *simulation) tell(a action) string {
	switch a.kind {
	case actCrash:
		return fmt.Sprintf("process %d dies, with %s", a.proc, s.holding(s.proc(a.proc)))
	case actLose:
		return fmt.Sprintf("process %d loses the lease of %v in group %q", a.proc, s.symbols.names[a.entry], s.groups[a.group])
	case actRepeat:
		return fmt.Sprintf("%v is delivered to group %q once more", s.symbols.names[a.entry], s.groups[a.group])
	case actJoin:
		return "another process starts"
	default:
		return "time passes"
	}
}

// holding says what a process has in hand.
func (s *simulation) holding(p *process) string {
	n := 0
	var only *entry
	s.broker.inHand(p.endpoint, func(en *entry) { n, only = n+1, en })
	switch n {
	case 0:
		if en := p.left(); en != nil {
			return fmt.Sprintf("what follows the settlement of %v not done", s.nameOf(en))
		}
		return "nothing unsettled"
	case 1:
		return fmt.Sprintf("%v not settled", s.nameOf(only))
	default:
		return fmt.Sprintf("%d deliveries not settled", n)
	}
}

func (s *simulation) nameOf(en *entry) name { return s.symbols.names[en.name] }
