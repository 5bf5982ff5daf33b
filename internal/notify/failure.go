package notify

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leat-go/leat/event"
)

// Failure is why one receiver couldn't be told.
type Failure struct {
	Err     error         // why; nil: it was told
	ForGood bool          // another attempt can't help
	After   time.Duration // when Timed: how long the receiver wants to be left alone
	Timed   bool          // After was said
}

// Of reads a failure from an error that may be marked, as those of users' functions are.
func Of(err error) Failure {
	if err == nil {
		return Failure{}
	}
	v := event.VerdictOf(err)
	return Failure{Err: err, ForGood: v.Kind == event.FailedForGood, After: v.After, Timed: v.Timed}
}

// Join makes one error of what became of all receivers: nil if all were told. It is
// permanent if none of the failures would be helped by another attempt. Else, if some
// receivers said how long they want to be left alone, it asks for the longest of these.
// prefix begins the text.
func Join(prefix string, all []Failure) error {
	var (
		after   time.Duration
		timed   bool
		again   bool
		reasons []error
	)
	for _, f := range all {
		if f.Err == nil {
			continue
		}
		reasons = append(reasons, f.Err)
		again = again || !f.ForGood
		if f.Timed && !f.ForGood {
			timed, after = true, max(after, f.After)
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	err := &joined{prefix, len(all), reasons}
	switch {
	case !again:
		return event.Permanent(err)
	case timed:
		return event.RetryAfter(after, err)
	}
	return err
}

// joined are several failures. It has no Unwrap: a mark on one of them must not be taken for
// one on all.
type joined struct {
	prefix  string
	of      int
	reasons []error
}

// maxReasons are told in full.
const maxReasons = 3

// Error tells the first reasons, and how many there are.
func (j *joined) Error() string {
	var b strings.Builder
	b.WriteString(j.prefix)
	if j.of > 1 {
		fmt.Fprintf(&b, ": %d of %d", len(j.reasons), j.of)
	}
	for i, err := range j.reasons {
		if i == maxReasons {
			fmt.Fprintf(&b, "; and %d more", len(j.reasons)-i)
			break
		}
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + err.Error())
	}
	return b.String()
}

// Is reports whether one of the reasons is target.
func (j *joined) Is(target error) bool {
	for _, err := range j.reasons {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
