package bridgeamqp

import (
	"net"
	"sync"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/leat-go/leat/event"
)

// line is what a connection of the library runs on. The library goes on dialling when it
// was closed while the broker was away, and lets such a connection stand: the line is
// over then.
type line struct {
	mu   sync.Mutex
	conn net.Conn
	over bool
}

func (l *line) dial(network, address string) (net.Conn, error) {
	if !l.take(nil) {
		return nil, event.ErrClosed
	}
	conn, err := amqp091.DefaultDial(dialTimeout)(network, address)
	if err != nil {
		return nil, err
	}
	if !l.take(conn) {
		_ = conn.Close() // nobody has used it
		return nil, event.ErrClosed
	}
	return conn, nil
}

// take notes a connection, and reports whether the line is open.
func (l *line) take(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.conn = conn
	}
	return !l.over
}

// end cuts the line for good.
func (l *line) end() {
	l.mu.Lock()
	conn := l.conn
	l.over = true
	l.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // mostly it is closed already
	}
}
