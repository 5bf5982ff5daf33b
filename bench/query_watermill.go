package bench

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/components/requestreply"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

// replyWithin is how long an answer is waited for: leat's default, for all sides.
const replyWithin = 30 * time.Second

// replying is a way to set up Watermill's requestreply.
type replying struct {
	channel gochannel.Config
	shared  bool // one topic of replies, where everybody who waits gets every reply
}

func (w replying) name() string {
	if w.shared {
		return gochannelName(w.channel) + "-shared"
	}
	return gochannelName(w.channel)
}

// requestReplies are the ways that are measured. A topic of replies for each query is
// always possible; with one for all of them, many callers would hear each other's.
// Buffers are left out: messages go one by one in any case.
func requestReplies(callers int) []replying {
	all := []replying{
		{channel: gochannel.Config{BlockPublishUntilSubscriberAck: true}},
		{channel: gochannel.Config{}},
	}
	if callers == 1 {
		all = append(all,
			replying{channel: gochannel.Config{BlockPublishUntilSubscriberAck: true}, shared: true},
			replying{channel: gochannel.Config{}, shared: true})
	}
	return all
}

// openRequestReply starts Watermill's CommandBus and CommandProcessor, on a Router, with a
// backend of requestreply. Commands and replies have a gochannel each: on one, a
// publish that blocks and a new subscription wait for each other for good.
func openRequestReply(callers int, w replying) (*Stream, error) {
	commands, replies := gochannel.NewGoChannel(w.channel, nil), gochannel.NewGoChannel(w.channel, nil)
	backend, err := w.backend(replies)
	if err != nil {
		return nil, err
	}
	router := message.NewDefaultRouter(watermill.NopLogger{})
	sender, err := newCommandBus(commands, router, requestreply.NewCommandHandlerWithResult("echo", backend,
		func(_ context.Context, q *echo) ([]byte, error) { return q.data, nil }))
	if err != nil {
		return nil, err
	}
	ctx, cancel := Load{}.context()
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	<-router.Running()
	ask := func(data []byte) ([]byte, error) {
		reply, err := requestreply.SendWithReply(ctx, sender, backend, &echo{data})
		return reply.HandlerResult, errors.Join(err, reply.Error)
	}
	return openRemote(callers, ask, func() error {
		defer cancel()
		return errors.Join(router.Close(), <-ended, commands.Close(), replies.Close())
	}), nil
}

// backend returns one whose replies go over a channel.
func (w replying) backend(replies *gochannel.GoChannel) (*requestreply.PubSubBackend[[]byte], error) {
	topic := func(id requestreply.OperationID) string {
		if w.shared {
			return "replies"
		}
		return string(id)
	}
	timeout := replyWithin
	return requestreply.NewPubSubBackend(requestreply.PubSubBackendConfig{
		Publisher: replies,
		SubscriberConstructor: func(requestreply.PubSubBackendSubscribeParams) (message.Subscriber, error) {
			return replies, nil
		},
		GeneratePublishTopic: func(p requestreply.PubSubBackendPublishParams) (string, error) {
			return topic(p.OperationID), nil
		},
		GenerateSubscribeTopic: func(p requestreply.PubSubBackendSubscribeParams) (string, error) {
			return topic(p.OperationID), nil
		},
		ListenForReplyTimeout: &timeout,
		AckCommandErrors:      true,
	}, bytesReplies{})
}

// newCommandBus returns a bus whose commands go to a handler.
func newCommandBus(pubsub *gochannel.GoChannel, router *message.Router, h cqrs.CommandHandler) (*cqrs.CommandBus, error) {
	processor, err := cqrs.NewCommandProcessorWithConfig(router, cqrs.CommandProcessorConfig{
		GenerateSubscribeTopic: func(p cqrs.CommandProcessorGenerateSubscribeTopicParams) (string, error) {
			return p.CommandName, nil
		},
		SubscriberConstructor: func(cqrs.CommandProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return pubsub, nil
		},
		Marshaler: bytesCommands{},
	})
	if err != nil {
		return nil, err
	}
	if err := processor.AddHandlers(h); err != nil {
		return nil, err
	}
	return cqrs.NewCommandBusWithConfig(pubsub, cqrs.CommandBusConfig{
		GeneratePublishTopic: func(p cqrs.CommandBusGeneratePublishTopicParams) (string, error) { return p.CommandName, nil },
		Marshaler:            bytesCommands{},
	})
}

// bytesCommands is Watermill's marshaler for what is bytes already.
type bytesCommands struct{}

var _ cqrs.CommandEventMarshaler = bytesCommands{}

func (bytesCommands) Marshal(v any) (*message.Message, error) {
	q, ok := v.(*echo)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return newMessage(q.data), nil
}

func (bytesCommands) Unmarshal(m *message.Message, v any) error {
	q, ok := v.(*echo)
	if !ok {
		return errors.ErrUnsupported
	}
	q.data = m.Payload
	return nil
}

func (bytesCommands) Name(any) string { return "echo" }

func (bytesCommands) NameFromMessage(*message.Message) string { return "echo" }

// bytesReplies is the same for replies.
type bytesReplies struct{}

var _ requestreply.BackendPubsubMarshaler[[]byte] = bytesReplies{}

func (bytesReplies) MarshalReply(p requestreply.BackendOnCommandProcessedParams[[]byte]) (*message.Message, error) {
	m := message.NewMessage(watermill.NewUUID(), bytes.Clone(p.HandlerResult))
	if p.HandleErr != nil {
		m.Metadata.Set(requestreply.ErrorMetadataKey, p.HandleErr.Error())
	}
	return m, nil
}

func (bytesReplies) UnmarshalReply(m *message.Message) (requestreply.Reply[[]byte], error) {
	reply := requestreply.Reply[[]byte]{HandlerResult: m.Payload}
	if text := m.Metadata.Get(requestreply.ErrorMetadataKey); text != "" {
		reply.Error = errors.New(text)
	}
	return reply, nil
}
