package bustest

import (
	"reflect"
	"strings"
	"testing"
)

func TestPlansAreWrittenAndRead(t *testing.T) {
	s := newSymbols()
	odd := s.symbol(name{typ: `a/b:c=d*e "f" ✓`, id: "1 2%2F+3"})
	counted := s.symbol(name{typ: "welcome", n: 12})
	step := s.symbol(name{typ: "step", id: "a step/*=: "})
	p := &plan{
		eager: true,
		skip:  []bool{false, true, false, true},
		deviations: []deviation{
			{at: action{kind: actContinue, proc: 2, group: 3, entry: odd, step: step, twin: 4}, nth: 1, do: action{kind: actCrash, proc: 1}},
			{at: action{kind: actRun, proc: 1, entry: counted}, nth: 7, do: action{kind: actJoin}},
			{at: action{kind: actEnd}, nth: 1, do: action{kind: actRepeat, group: 1, entry: counted}},
		},
	}
	text := p.text(s)
	if strings.ContainsAny(text, "\"`\\") || strings.Count(text, " ") != 5 {
		t.Errorf("hard to copy: %s", text)
	}
	got, err := parsePlan(text, 4, s)
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%s\nread: %+v, %v\nwant: %+v", text, got, err, p)
	}
}

func TestEveryActionIsWritten(t *testing.T) {
	s := newSymbols()
	seen := map[string]bool{}
	for kind := range actJoin + 1 {
		a := action{kind: kind, proc: 1}
		text := a.text(s)
		if got, err := parseAction(text, s); err != nil || got != a || seen[text] {
			t.Errorf("%q is read as %+v, %v", text, got, err)
		}
		seen[text] = true
	}
}

func TestReplaysThatSayNothing(t *testing.T) {
	for text, want := range map[string]string{
		"eager":                            "says nothing that goes wrong",
		"skip/4 end=join":                  "the World publishes no message-4",
		"skip/0 end=join":                  "the World publishes no message-0",
		"skip/x end=join":                  "the World publishes no message-x",
		"end":                              `"" is nothing that happens`,
		"end=explode":                      `"explode" is nothing that happens`,
		"end*x=join":                       "invalid syntax",
		"end=die/300":                      "300 is not from 0 to 255",
		"end=die/1/2/3/4/5/6":              "7 parts",
		"run/1/0/a:b:c=join":               "invalid syntax",
		"run/1/0/a:b:1:2=join":             "is no name",
		"run/1/0/a:%zz=join":               "invalid URL escape",
		"run/1/0/%zz:b=join":               "invalid URL escape",
		"run/1/0/a:b/%zz=join":             "invalid URL escape",
		"run/1/0/booking:message-1=die/2":  "doesn't fit the World any more: run/1/0/booking:message-1=die/2 can't happen",
		"run/1/0/booking:message-9=die/1":  "doesn't fit the World any more",
		"end=join end*2=join":              "doesn't fit the World any more: end*2=join can't happen",
		"skip/1 skip/2 skip/3 end=end":     "doesn't fit the World any more",
		"run/1/0/booking:message-1/:=join": "doesn't fit the World any more",
	} {
		_, err := newExploration(smallWorld, nil).again(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Replay(%q): %v, want %s", text, err, want)
		}
	}
}

// A schedule that still fits and no longer fails passes.
func TestReplayOfWhatWasMended(t *testing.T) {
	r := Search(t, smallWorld, Replay("go/1/0/booking:message-1/step:begin=die/1"))
	if r.Failure != nil || r.Schedules != 1 {
		t.Errorf("got %+v", r)
	}
}
