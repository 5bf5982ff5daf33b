package bustest

import (
	"bytes"
	"iter"
	"runtime"

	"github.com/leat-go/leat/bus"
)

// coroutine runs handlers, one after the other; each can be suspended.
type coroutine struct {
	next  func() (suspended, alive bool)
	stop  func()
	yield func(suspended bool) bool

	st          *bus.Stepper
	group, pick int    // what is run next
	careful     bool   // learn who runs it
	goroutine   string // who does
}

func newCoroutine() *coroutine {
	c := &coroutine{}
	c.next, c.stop = iter.Pull(func(yield func(bool) bool) {
		c.yield = yield
		for {
			if c.careful {
				c.goroutine = goroutine()
			}
			c.st.Run(c.group, c.pick)
			if !yield(false) {
				return
			}
		}
	})
	return c
}

// suspend lets others run until the coroutine is resumed, or killed: then it does not
// return. Its deferred functions run, and no recover can keep it alive.
func (c *coroutine) suspend() {
	if !c.yield(true) {
		runtime.Goexit()
	}
}

// kill ends a coroutine that is suspended. Its Goexit ends whoever stops it too.
func (c *coroutine) kill() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.stop()
	}()
	<-ended
}

// pool keeps coroutines that have nothing to run.
type pool struct{ idle []*coroutine }

func (p *pool) take() *coroutine {
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return c
	}
	return newCoroutine()
}

func (p *pool) put(c *coroutine) {
	c.st = nil
	p.idle = append(p.idle, c)
}

// drain ends them all.
func (p *pool) drain() {
	for _, c := range p.idle {
		c.stop()
	}
	p.idle = nil
}

// goroutine returns the first line of the caller's stack up to its number. That is
// slow, and good for finding mistakes only.
func goroutine() string {
	var buf [64]byte
	line := buf[:runtime.Stack(buf[:], false)]
	if i := bytes.IndexByte(line, '['); i > 0 {
		line = line[:i]
	}
	return string(line)
}
