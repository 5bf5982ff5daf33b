package command

import (
	"net/http"
	"sync"
)

// streams counts the requests that last, in all and for each subject.
type streams struct {
	most, each int

	mu  sync.Mutex
	all int
	by  map[owner]int
}

type owner struct{ tenant, subject string }

func newStreams(most, each int) *streams {
	return &streams{most: most, each: each, by: make(map[owner]int)}
}

// enter counts a request in, unless there are too many. leave counts it out.
func (s *streams) enter(p Principal) (leave func(), err error) {
	who := owner{p.Tenant, p.Subject}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.by[who] >= s.each:
		return nil, refusal{
			status: http.StatusTooManyRequests, code: "too_many_streams",
			detail: "there are too many streams of this subject", after: defaultReconnect,
		}
	case s.all >= s.most:
		return nil, errBusy
	}
	s.all++
	s.by[who]++
	return func() { s.leave(who) }, nil
}

func (s *streams) leave(who owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.by[who]--; s.by[who] == 0 {
		delete(s.by, who)
	}
}
