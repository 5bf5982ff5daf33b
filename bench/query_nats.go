package bench

import (
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

func natsName(inside bool) string {
	if inside {
		return "nats-inside"
	}
	return "nats-tcp"
}

// openNATS starts a server of NATS in this process, and two connections to it, one that
// asks and one that answers: inside the process, or over its loopback.
func openNATS(callers int, inside bool) (*Stream, error) {
	s, err := startNATS(inside)
	if err != nil {
		return nil, err
	}
	var options []nats.Option
	if inside {
		options = append(options, nats.InProcessServer(s))
	}
	client, err := nats.Connect(s.ClientURL(), options...)
	if err != nil {
		return nil, err
	}
	answers, err := nats.Connect(s.ClientURL(), options...)
	if err != nil {
		return nil, err
	}
	if _, err = answers.Subscribe("echo", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		return nil, err
	}
	ask := func(data []byte) ([]byte, error) {
		m, err := client.Request("echo", data, replyWithin)
		if err != nil {
			return nil, err
		}
		return m.Data, nil
	}
	return openRemote(callers, ask, func() error {
		client.Close()
		answers.Close()
		s.Shutdown()
		s.WaitForShutdown()
		return nil
	}), answers.Flush()
}

func startNATS(inside bool) (*server.Server, error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, DontListen: inside, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, errors.New("bench: the server of NATS doesn't start")
	}
	return s, nil
}
