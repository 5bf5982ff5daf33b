package bridgeamqp

import (
	"context"
	"fmt"
	"sync"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/singleflight"

	"github.com/leat-go/leat/event"
)

// link is a connection that is made when somebody needs it, and made anew when it was
// lost.
type link struct {
	set   *settings
	name  string
	dials singleflight.Group

	mu   sync.Mutex
	conn *amqp091.Connection
	over bool
}

// channel opens a channel. What waits for the broker waits for 10 s at most.
func (l *link) channel() (*amqp091.Channel, error) {
	conn, err := l.open()
	if err != nil {
		return nil, err
	}
	if conn == nil {
		made, err, _ := l.dials.Do("", func() (any, error) { return l.dial() })
		if err != nil {
			return nil, err
		}
		conn = made.(*amqp091.Connection)
	}
	return conn.Channel()
}

// open returns the connection; nil: there is none.
func (l *link) open() (*amqp091.Connection, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.over:
		return nil, event.ErrClosed
	case l.conn == nil || l.conn.IsClosed():
		return nil, nil //nolint:nilnil // as it says
	}
	return l.conn, nil
}

func (l *link) dial() (*amqp091.Connection, error) {
	if conn, err := l.open(); conn != nil || err != nil {
		return conn, err // somebody was faster
	}
	conn, err := amqp091.DialConfig(l.set.URI, l.set.client(l.name, amqp091.DefaultDial(dialTimeout)))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	l.mu.Lock()
	over := l.over
	if !over {
		l.conn = conn
	}
	l.mu.Unlock()
	if over {
		_ = conn.Close() // nobody has used it
		return nil, event.ErrClosed
	}
	return conn, nil
}

// close ends the connection. Those who wait for an answer of the broker get an error.
func (l *link) close() error {
	l.mu.Lock()
	conn, over := l.conn, l.over
	l.over = true
	l.mu.Unlock()
	if over || conn == nil || conn.IsClosed() {
		return nil
	}
	if err := conn.Close(); err != nil {
		return fmt.Errorf("bridgeamqp: close the connection: %w", err)
	}
	return nil
}

// use calls f with a channel of its own, until ctx ends: the client library knows no
// contexts.
func (l *link) use(ctx context.Context, f func(*amqp091.Channel) error) error {
	done := make(chan error, 1)
	go func() {
		ch, err := l.channel()
		if err == nil {
			err = f(ch)
			_ = ch.Close() // a refusal has closed it
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
