package bustest

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// plan is a schedule that can be made shorter, and written down.
type plan struct {
	eager      bool
	deviations []deviation
	skip       []bool // publishes that are left out
}

func (p *plan) schedule() schedule { return schedule{eager: p.eager, plan: p.deviations} }

// The words of a plan that is written down.
const (
	wordEager = "eager"
	wordSkip  = "skip"
)

var kindWords = [...]string{
	actContinue: "go", actSettle: "settle", actGiveBack: "giveback", actRun: "run", actFetch: "fetch",
	actPublish: "publish", actWait: "wait", actEnd: "end", actCrash: "die", actLose: "lose", actRepeat: "repeat", actJoin: "join",
}

// text writes a plan down: words with a space between them. A deviation is
// at=do, or at*nth=do.
func (p *plan) text(s *symbols) string {
	var words []string
	if p.eager {
		words = append(words, wordEager)
	}
	for i, left := range p.skip {
		if left {
			words = append(words, fmt.Sprintf("%s/%d", wordSkip, i+1))
		}
	}
	for _, d := range p.deviations {
		words = append(words, d.text(s))
	}
	return strings.Join(words, " ")
}

func (d deviation) text(s *symbols) string {
	at := d.at.text(s)
	if d.nth > 1 {
		at += "*" + strconv.Itoa(d.nth)
	}
	return at + "=" + d.do.text(s)
}

// text writes an action down: kind/process/group/event/place/twin, as far as there is
// something to say.
func (a action) text(s *symbols) string {
	parts := []string{
		kindWords[a.kind], strconv.Itoa(int(a.proc)), strconv.Itoa(int(a.group)),
		s.names[a.entry].text(), s.names[a.step].text(), strconv.Itoa(int(a.twin)),
	}
	for last := parts[len(parts)-1]; last == "" || last == "0"; last = parts[len(parts)-1] {
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts, "/")
}

// text writes a name down: typ:id, or typ::n.
func (n name) text() string {
	if n == (name{}) {
		return ""
	}
	text := url.QueryEscape(n.typ) + ":" + url.QueryEscape(n.id)
	if n.n != 0 {
		text += ":" + strconv.Itoa(n.n)
	}
	return text
}

// fits returns an error when the run did not do all that was planned.
func (p *plan) fits(r *result, s *symbols) error {
	for _, d := range p.deviations {
		if !slices.Contains(r.did, d) {
			return fmt.Errorf("the schedule of Replay doesn't fit the World any more: %s can't happen", d.text(s))
		}
	}
	return nil
}

// parsePlan reads what text has written.
func parsePlan(text string, publishes int, s *symbols) (*plan, error) {
	p := &plan{skip: make([]bool, publishes)}
	for word := range strings.FieldsSeq(text) {
		if err := p.parse(word, s); err != nil {
			return nil, fmt.Errorf("Replay: %q: %w", word, err)
		}
	}
	if len(p.deviations) == 0 {
		return nil, fmt.Errorf("Replay(%q) says nothing that goes wrong", text)
	}
	return p, nil
}

func (p *plan) parse(word string, s *symbols) error {
	if word == wordEager {
		p.eager = true
		return nil
	}
	if n, skips := strings.CutPrefix(word, wordSkip+"/"); skips {
		i, err := number(n, len(p.skip))
		if err != nil || i == 0 {
			return fmt.Errorf("the World publishes no message-%s", n)
		}
		p.skip[i-1] = true
		return nil
	}
	at, do, _ := strings.Cut(word, "=")
	at, times, _ := strings.Cut(at, "*")
	d := deviation{nth: 1}
	var err error
	if times != "" {
		if d.nth, err = number(times, maxChoices); err != nil {
			return err
		}
	}
	if d.at, err = parseAction(at, s); err != nil {
		return err
	}
	if d.do, err = parseAction(do, s); err != nil {
		return err
	}
	p.deviations = append(p.deviations, d)
	return nil
}

func parseAction(text string, s *symbols) (a action, err error) {
	parts := strings.Split(text, "/")
	if len(parts) > 6 {
		return a, fmt.Errorf("%d parts", len(parts))
	}
	parts = append(parts, make([]string, 6-len(parts))...)
	kind := slices.Index(kindWords[:], parts[0])
	if kind < 0 {
		return a, fmt.Errorf("%q is nothing that happens", parts[0])
	}
	var n [3]int
	for i, at := range [...]int{1, 2, 5} {
		if n[i], err = number(parts[at], 255); err != nil {
			return a, err
		}
	}
	a = action{kind: actionKind(kind), proc: int16(n[0]), group: int16(n[1]), twin: uint8(n[2])}
	if a.entry, err = parseName(parts[3], s); err != nil {
		return a, err
	}
	a.step, err = parseName(parts[4], s)
	return a, err
}

func parseName(text string, s *symbols) (symbol, error) {
	if text == "" {
		return 0, nil
	}
	parts := append(strings.Split(text, ":"), "")
	if len(parts) > 4 {
		return 0, fmt.Errorf("%q is no name", text)
	}
	var n name
	var err error
	if n.typ, err = url.QueryUnescape(parts[0]); err != nil {
		return 0, err
	}
	if n.id, err = url.QueryUnescape(parts[1]); err != nil {
		return 0, err
	}
	if len(parts) > 3 {
		n.n, err = number(parts[2], maxChoices)
	}
	return s.symbol(n), err
}

// number reads a number up to most; nothing is 0.
func number(text string, most int) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err == nil && (n < 0 || n > most) {
		err = fmt.Errorf("%d is not from 0 to %d", n, most)
	}
	return n, err
}
