package bridgekafka

import (
	"strconv"
	"sync"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"
)

// sessions knows in which session of the group each message was read. Watermill doesn't
// tell, and lets a handler that is still at work keep the whole group from rebalancing.
// It is Watermill's tracer because that is handed every session.
type sessions struct {
	mu   sync.Mutex
	last uint64
	open map[string]<-chan struct{} // closed when they end
}

// sessionHeader names the session of a message, to us alone.
const sessionHeader = "leat_session"

func newSessions() *sessions { return &sessions{open: make(map[string]<-chan struct{})} }

// lost returns what is closed when the session of a message has ended.
func (ss *sessions) lost(m *message.Message) <-chan struct{} {
	id := m.Metadata[sessionHeader]
	if id == "" { // of no group
		return nil
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if end := ss.open[id]; end != nil {
		return end
	}
	ended := make(chan struct{})
	close(ended)
	return ended
}

// WrapConsumer implements Watermill's tracer.
func (ss *sessions) WrapConsumer(c sarama.Consumer) sarama.Consumer { return c }

// WrapPartitionConsumer implements Watermill's tracer.
func (ss *sessions) WrapPartitionConsumer(c sarama.PartitionConsumer) sarama.PartitionConsumer {
	return c
}

// WrapSyncProducer implements Watermill's tracer.
func (ss *sessions) WrapSyncProducer(_ *sarama.Config, p sarama.SyncProducer) sarama.SyncProducer {
	return p
}

// WrapConsumerGroupHandler implements Watermill's tracer.
func (ss *sessions) WrapConsumerGroupHandler(h sarama.ConsumerGroupHandler) sarama.ConsumerGroupHandler {
	return &handler{h, ss}
}

// handler marks the messages of a session.
type handler struct {
	sarama.ConsumerGroupHandler

	ss *sessions
}

// ConsumeClaim implements [sarama.ConsumerGroupHandler].
func (h *handler) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	id, leave := h.ss.enter(s.Context().Done())
	defer leave()
	marked := &claim{ConsumerGroupClaim: c, id: id, messages: make(chan *sarama.ConsumerMessage)}
	ended := make(chan struct{})
	defer close(ended)
	go marked.pass(ended)
	return h.ConsumerGroupHandler.ConsumeClaim(s, marked)
}

// enter notes a session.
func (ss *sessions) enter(end <-chan struct{}) (id string, leave func()) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.last++
	id = strconv.FormatUint(ss.last, 10)
	ss.open[id] = end
	return id, func() {
		ss.mu.Lock()
		defer ss.mu.Unlock()
		delete(ss.open, id)
	}
}

// claim is a partition whose messages are marked.
type claim struct {
	sarama.ConsumerGroupClaim

	id       string
	messages chan *sarama.ConsumerMessage
}

// Messages returns the marked ones.
func (c *claim) Messages() <-chan *sarama.ConsumerMessage { return c.messages }

// pass marks messages until there are no more, or nobody wants them.
func (c *claim) pass(ended <-chan struct{}) {
	defer close(c.messages)
	for m := range c.ConsumerGroupClaim.Messages() {
		m.Headers = append(m.Headers, &sarama.RecordHeader{Key: []byte(sessionHeader), Value: []byte(c.id)})
		select {
		case c.messages <- m:
		case <-ended:
			return
		}
	}
}
