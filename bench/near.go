package bench

import (
	"context"
	"net"
	"time"
)

// latency is for how long a byte is under way between two machines of a data centre.
const latency = 250 * time.Microsecond

// nearby connects to a server as if it were on another machine: what is written and what
// is read arrive late. However much is under way, nothing waits for what is before it.
func nearby(ctx context.Context, network, address string) (net.Conn, error) {
	server, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	client, wire := net.Pipe()
	go carry(server, wire)
	go carry(wire, server)
	return client, nil
}

// piece is what was read at once.
type piece struct {
	data [16 << 10]byte
	n    int
	due  time.Time
}

// carry copies what comes, as late as it is to be, until one side ends, and ends the other.
func carry(to, from net.Conn) {
	const most = 64 // pieces under way
	underWay, free := make(chan *piece, most), make(chan *piece, most)
	for range most {
		free <- new(piece)
	}
	go func() {
		defer close(underWay)
		for p := range free {
			n, err := from.Read(p.data[:])
			p.n, p.due = n, time.Now().Add(latency)
			underWay <- p
			if err != nil {
				return
			}
		}
	}()
	defer from.Close()
	defer to.Close()
	a, err := newAlarm()
	if err != nil {
		return
	}
	defer a.close()
	for p := range underWay {
		a.wait(time.Until(p.due))
		if _, err := to.Write(p.data[:p.n]); err != nil {
			break
		}
		free <- p
	}
	close(free)
}
