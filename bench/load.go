package bench

import (
	"encoding/binary"
	"errors"
	"strconv"
	"sync"

	"github.com/leat-go/leat/event"
)

const (
	source  = "/shop"
	placed  = "order-placed" // type and topic
	noted   = "order-noted"  // of the events that handlers publish
	payload = 256            // bytes
)

var keys = func() []string {
	all := make([]string, 1024)
	for i := range all {
		all[i] = "customer-" + strconv.Itoa(i)
	}
	return all
}()

// Load says what raw events are sent and what the handlers do. Zero numbers
// count as 1.
type Load struct {
	Producers int
	Workers   int  // of each group
	Groups    int  // each gets every event
	Batch     int  // events per publish
	Keyed     bool // events have 1024 keys, whose order is kept
	Chain     bool // the handler publishes another event; who handles that one counts
	Retry     bool // the handler fails on the first run for each event

	Background bool // leat publishes under a context that can't end
}

func (l Load) withDefaults() Load {
	l.Producers = max(l.Producers, 1)
	l.Workers = max(l.Workers, 1)
	l.Groups = max(l.Groups, 1)
	l.Batch = max(l.Batch, 1)
	return l
}

// maker makes what one producer sends. Every event has its number in its data.
type maker struct {
	keyed bool
	data  []byte
}

// next returns the data of event i. It is good until the next call: events and
// messages keep a copy.
func (m *maker) next(i int) []byte {
	binary.LittleEndian.PutUint64(m.data, uint64(i))
	return m.data
}

func (m *maker) event(i int) event.Event {
	if !m.keyed {
		return event.New(source, placed, m.next(i))
	}
	return event.Attributes{Source: source, Type: placed, Key: keys[i%len(keys)], Data: m.next(i)}.Event()
}

// number returns the number in an event's data.
func number(data []byte) int { return int(binary.LittleEndian.Uint64(data)) }

// produce runs the producers. Each sends its share of n events, batch by batch:
// send is called for the events from up to to.
func (l Load) produce(n int, send func(m *maker, from, to int) error) error {
	errs := make([]error, l.Producers)
	share := (n + l.Producers - 1) / l.Producers
	var wg sync.WaitGroup
	for p := range l.Producers {
		wg.Go(func() {
			m := &maker{l.Keyed, make([]byte, payload)}
			end := min((p+1)*share, n)
			for i := p * share; i < end && errs[p] == nil; i += l.Batch {
				errs[p] = send(m, i, min(i+l.Batch, end))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
