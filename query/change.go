package query

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// Changed tells that the answers to queries have changed: each Bus of the channel that
// watches or caches one of them ([Watch], [Stream], [Cache]) asks again. Under a handler's
// context that is told if the handler succeeds, after its effect. Elsewhere this Bus knows it
// when Changed returns, others soon after; an error says that others may not learn of it.
//
// A query is known by its type, its encoding, which therefore has to be the same each
// time, and the tenant of ctx ([event.Origin]). What is sent is a hash of these, on the topic of
// the query with ".changed" behind it. More than 256 queries of a type in one call count as all
// of the type.
func Changed(ctx context.Context, b *bus.Bus, qs ...any) error {
	c := changesOf(b)
	if err := c.style.Accepts(ctx); err != nil {
		return err
	}
	var order []*news
	keys := make(map[*news][]key)
	for _, q := range qs {
		if q == nil {
			return errNilQuery
		}
		f, err := c.news(reflect.TypeOf(q))
		if err != nil {
			return err
		}
		k, err := c.key(tenantOf(ctx), q)
		if err != nil {
			return err
		}
		if keys[f] == nil {
			order = append(order, f)
		}
		keys[f] = append(keys[f], k)
	}
	for _, f := range order {
		if err := f.announce(ctx, keys[f]); err != nil {
			return err
		}
	}
	return nil
}

// ChangedAll is [Changed] for all queries of a type, of all tenants.
func ChangedAll[Q any](ctx context.Context, b *bus.Bus) error {
	c := changesOf(b)
	if err := c.style.Accepts(ctx); err != nil {
		return err
	}
	f, err := c.news(reflect.TypeFor[Q]())
	if err != nil {
		return err
	}
	return f.announce(ctx, nil)
}

// ChangedBy declares, before Start, that an event of type E changes the answers to the queries
// that which returns, for the tenant of the event; nil is none. Each Bus that watches or caches
// queries of type Q declares it and hears the topic of E, as its type says it. which must be quick; when it
// panics, or an event can't be decoded, all queries of the type count as changed.
//
// Where another handler of the same event keeps what the query reads, that handler may not
// have run yet when the query is asked again, and the old answer stays. Then [Changed] in that
// handler is what is needed, and not this.
func ChangedBy[E, Q any](b *bus.Bus, which func(E) []Q) {
	c := changesOf(b)
	c.style.MustBeNew("query.ChangedBy")
	if which == nil {
		c.style.Mistake(fmt.Errorf("query: ChangedBy: nil function for %v", reflect.TypeFor[E]()))
		return
	}
	typ, topic, err := c.style.Message(reflect.TypeFor[E]())
	if err == nil {
		var f *news
		if f, err = c.news(reflect.TypeFor[Q]()); err == nil {
			f.add(topic, typ, func(e event.Event) ([]key, error) { return readEvent(c, e, which) })
			return
		}
	}
	c.style.Mistake(fmt.Errorf("query: ChangedBy: %w", err))
}

// readEvent returns which queries an event changes.
func readEvent[E, Q any](c *changes, e event.Event, which func(E) []Q) ([]key, error) {
	var v E
	if err := c.style.Decode(e, &v); err != nil {
		return nil, err
	}
	keys := []key{}
	for _, q := range which(v) {
		k, err := c.key(e.Extension(event.ExtTenant), q)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// key tells queries of a type apart: a hash of encoding and tenant.
type key [sha256.Size]byte

func (c *changes) key(tenant string, q any) (key, error) {
	_, data, err := c.style.Encode(q)
	if err != nil {
		return key{}, fmt.Errorf("query: a query of type %T can't be encoded: %w", q, err)
	}
	return keyOf(tenant, data), nil
}

// keyOf hashes twice, so that where the encoding ends and the tenant begins is certain.
func keyOf(tenant string, data []byte) key {
	var buf [sha256.Size + 64]byte
	sum := sha256.Sum256(data)
	return sha256.Sum256(append(append(buf[:0], sum[:]...), tenant...))
}

func tenantOf(ctx context.Context) string {
	o, _ := event.OriginFrom(ctx)
	return o.Tenant
}

// typeChanged is the event type of changes.
const typeChanged = "query-changed"

// maxKeys is how many keys are in one event: more are all.
const maxKeys = 256

// changed is the data of the event that tells of changes.
type changed struct {
	Keys [][]byte `json:"keys,omitempty"`
	All  bool     `json:"all,omitempty"`
	By   string   `json:"by,omitempty"` // the Bus that knows it already
}

// announce tells all that queries have changed; nil: all of the type.
func (f *news) announce(ctx context.Context, keys []key) error {
	if len(keys) > maxKeys {
		keys = nil
	}
	if !f.c.style.HasChannel() {
		return f.tellAfter(ctx, keys)
	}
	m := changed{All: keys == nil}
	for i := range keys {
		m.Keys = append(m.Keys, keys[i][:])
	}
	later := event.Handling(ctx)
	if !later {
		m.By = f.c.id
	}
	e, err := f.event(ctx, m)
	if err == nil {
		err = f.c.b.Publish(ctx, e, bus.Topic(f.wire))
	}
	if !later { // also after an error: it has changed
		f.tell(keys)
	}
	if err != nil {
		return fmt.Errorf("query: tell that %s has changed: %w", f.typ, err)
	}
	return nil
}

// tellAfter tells this process, under a handler's context when it has succeeded.
func (f *news) tellAfter(ctx context.Context, keys []key) error {
	if event.Handling(ctx) {
		return event.OnOutcome(ctx, nil, func(_ context.Context, o event.Outcome) {
			if o.Kind == event.OutcomeAcked {
				f.tell(keys)
			}
		})
	}
	f.tell(keys)
	return nil
}

// event is made here, and not by the Bus, since its codec may be one for other values.
func (f *news) event(ctx context.Context, m changed) (event.Event, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return event.Event{}, err
	}
	a := event.Attributes{Source: "/" + f.c.style.App(), Type: typeChanged, ContentType: event.JSON.ContentType(), Data: data}
	if info, ok := event.FromContext(ctx); ok { // a redelivery tells it by the same id
		sum := sha256.Sum256(data)
		scope := fmt.Sprintf("%s %s %x", info.Group, f.wire, sum[:8])
		a.ID = event.DerivedID(scope, info.Event.Source(), info.Event.ID(), 0)
	}
	return event.Inherit(ctx, a.Event()), nil
}

// hear returns which queries an event of the news's own topic tells of. What can't be read may
// be any.
func (f *news) hear(e event.Event) (keys []key, all bool) {
	var m changed
	if json.Unmarshal(e.Data(), &m) != nil || m.All == (len(m.Keys) > 0) {
		return nil, true
	}
	if m.By == f.c.id {
		return nil, false
	}
	for _, k := range m.Keys {
		if len(k) != len(key{}) {
			return nil, true
		}
		keys = append(keys, key(k))
	}
	return keys, m.All
}
