package watermillbridge

import (
	"errors"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Metadata comes out as it went in, whatever its names are.
func TestMetadataComesOutAsItWentIn(t *testing.T) {
	for name, metadata := range map[string]message.Metadata{
		"none":                {},
		"an extension":        {"tenant": "acme"},
		"correlation":         {"correlation_id": "c"},
		"no extension's name": {"_watermill_requeuer_retries": "1", "Some-Header": "x", "ünlaut": "ö"},
		"an attribute's name": {"id": "1", "type": "t", "specversion": "0", "data": "d", "correlationid": "k", "notbefore": "soon"},
		"the rest's own name": {"watermill": "x"},
		"empty":               {"tenant": "", "other_name": "", "ce_subject": ""},
		"a long name":         {"averyveryverylongname": "x"},
		"attributes":          {"ce_type": "t", "ce_source": "/s", "ce_subject": "sub", "ce_datacontenttype": "text/plain", "ce_dataschema": "https://example.org/s", "ce_time": "2023-11-06T04:28:20.5Z", "partitionkey": "k"},
		"all sorts":           {"tenant": "acme", "a_b": "1", "name": "main.Ordered", "correlation_id": "c"},
	} {
		t.Run(name, func(t *testing.T) {
			m := message.NewMessage("uuid", []byte("data"))
			m.Metadata = metadata
			e, err := fromMessage(m, "/watermill", "topic")
			require.NoError(t, err)
			require.NoError(t, e.Validate())
			assert.Equal(t, "uuid", e.ID())

			b, err := event.AppendJSON(nil, e)
			require.NoError(t, err)
			e, err = event.ParseJSON(b)
			require.NoError(t, err)
			got := toMessage(e)
			assert.Equal(t, "uuid", got.UUID)
			assert.Equal(t, "data", string(got.Payload))
			for name, value := range metadata {
				v, there := got.Metadata[name]
				assert.True(t, there, name)
				assert.Equal(t, value, v, name)
			}
		})
	}
}

// An event that was published natively stays what it is when its message is published
// again.
func TestEventsPassThroughWatermill(t *testing.T) {
	e := event.Attributes{
		ID: "1", Source: "/shop", Type: "order-placed", Subject: "42", Key: "k", ContentType: "application/json",
		Schema: "https://example.org/s", Time: time.Date(2023, 11, 6, 4, 28, 20, 123456789, time.UTC), Data: []byte(`{}`),
		Extensions: []event.Extension{{Name: event.ExtCorrelationID, Value: "c"}, {Name: event.ExtTenant, Value: "acme"}},
	}.Event()
	m := toMessage(e)
	assert.Equal(t, "c", m.Metadata["correlation_id"])
	again, err := fromMessage(m.Copy(), "/other", "other")
	require.NoError(t, err)
	assert.True(t, e.Equal(again), "%v\n%v", e, again)

	delayed := e.WithNotBefore(time.Now())
	again, err = fromMessage(toMessage(delayed), "/other", "other")
	require.NoError(t, err)
	assert.True(t, again.NotBefore().IsZero(), "it was for this delivery")
}

func TestWhatIsNoTimeIsRefused(t *testing.T) {
	m := message.NewMessage("uuid", nil)
	m.Metadata.Set(MetadataTime, "soon")
	_, err := fromMessage(m, "/s", "t")
	require.ErrorContains(t, err, `ce_time of message "uuid" is no time`)
}

// A message of a service that knows no events is the same event each time it comes, also
// when it is redriven.
func TestPlainMessagesStayTheSame(t *testing.T) {
	m := message.NewMessage("uuid", []byte("data"))
	m.Metadata.Set("Some-Header", "x")
	e, err := Decode("orders", m)
	require.NoError(t, err)
	l := letter{message: m}
	again, err := Decode("orders", l.redriven())
	require.NoError(t, err)
	assert.True(t, e.Equal(again), "%v\n%v", e, again)
	assert.True(t, e.Time().IsZero())
	m.Metadata.Set(MetadataTime, "2023-11-06T04:28:20Z")
	e, err = Decode("orders", m)
	require.NoError(t, err)
	assert.Equal(t, time.Date(2023, 11, 6, 4, 28, 20, 0, time.UTC), e.Time().UTC())
}

func TestNackDelays(t *testing.T) {
	assert.Zero(t, nackDelay(1))
	assert.Equal(t, 10*time.Millisecond, nackDelay(2))
	assert.Equal(t, 20*time.Millisecond, nackDelay(3))
	assert.Equal(t, 10*time.Second, nackDelay(12))
	assert.Equal(t, 10*time.Second, nackDelay(1000))
}

// many returns so many pieces of metadata.
func many(n int, name, value string) message.Metadata {
	out := make(message.Metadata)
	for i := range n {
		out[name+strconv.Itoa(i)] = value
	}
	return out
}

// Values that no attribute may have, and names that mean the same, come out as they went
// in, too: of an event that was published, and of a plain message that failed.
func TestAwkwardMetadataComesOutAsItWentIn(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, metadata := range map[string]message.Metadata{
		"lines":          {"error": "one\ntwo", "correlation_id": "a\tb"},
		"both names":     {"tenant": "a", "ce_tenant": "b"},
		"correlation":    {"correlation_id": "a", "ce_correlationid": "b"},
		"the rest's own": {"ce_watermill": "x", "Some-Header": "y"},
		"a delay":        {"ce_notbefore": "2999-01-01T00:00:00Z"},
		"both keys":      {"partitionkey": "a", "ce_partitionkey": "b"},

		"controls":           {"error": "no\x7f", "c1": "a\u0085b", "na\u009fme": "x", "tenant": "\x00"},
		"noncharacters":      {"error": "a\ufffeb", "na\ufdd0me": "x", "tenant": "a\U0001ffffb"},
		"no UTF-8":           {"error": "caf\xe9", "caf\xe9": "x", "caf\xe8": "y", "": "z", "tenant": string(every)},
		"long":               {"error": strings.Repeat("x", 9<<10)},
		"long, an extension": {"stack": strings.Repeat("<x>", 9<<10)},
		"long, not ASCII":    {"error": "x" + strings.Repeat("🙂", 9<<10)},
		"long, no UTF-8":     {"error": strings.Repeat("\xe9", 40<<10)},
		"long, by the rest's own names": {
			"error": strings.Repeat("x", 20<<10), "watermill": "a", "watermill1": "b", "ce_watermill2": "c", "watermill9": "d",
		},
		"most":              {"error": strings.Repeat("x", 63<<10)},
		"many":              many(200, "name-", "x"),
		"many extensions":   many(200, "name", "x"),
		"many to be quoted": many(200, "name", "x\x7f"),
	} {
		t.Run(name, func(t *testing.T) {
			var first event.Event
			for range 20 { // metadata comes in any order
				m := message.NewMessage("uuid", nil)
				m.Metadata = metadata
				e, err := Decode("topic", m)
				require.NoError(t, err)
				require.NoError(t, e.WithKey("topic").Validate(), "a publisher adds the key")
				require.True(t, e.NotBefore().IsZero())
				if first.ID() == "" {
					first = e
				}
				require.True(t, first.Equal(e), "it is the same event each time")
				sent, err := Encode(e)
				require.NoError(t, err)
				e, err = Decode("topic", sent)
				require.NoError(t, err)
				got := toMessage(e)
				for name, value := range metadata {
					require.Equal(t, value, got.Metadata[name], name)
				}
			}
			m := message.NewMessage("uuid", nil)
			m.Metadata = metadata
			failed, err := newLetter("h", m, event.Cause{})
			require.NoError(t, err)
			l, err := readLetter("topic", "g", failed)
			require.NoError(t, err)
			require.Equal(t, metadata, l.message.Metadata)
		})
	}
}

// Who publishes what is too much learns how much it is.
func TestTooMuchMetadataIsRefused(t *testing.T) {
	for name, metadata := range map[string]message.Metadata{
		"the rest":   {"error": strings.Repeat("x", 65<<10)},
		"extensions": many(9, "name", strings.Repeat("x", 8<<10-5)),
	} {
		t.Run(name, func(t *testing.T) {
			m := message.NewMessage("uuid", nil)
			m.Metadata = metadata
			size := strconv.Itoa(sizeOf(m)-len("uuid")) + " bytes of metadata"
			_, err := Decode("topic", m)
			require.ErrorContains(t, err, size)
			_, err = NewPublisher(memory.New(), PublisherConfig{}).event("topic", m)
			require.ErrorContains(t, err, size)
			_, isAttribute := errors.AsType[*event.AttributeError](err)
			require.True(t, isAttribute)
		})
	}
}

// What other services look at stays an extension, however much metadata there is.
func TestKnownExtensionsStay(t *testing.T) {
	m := message.NewMessage("uuid", nil)
	m.Metadata = many(200, "a", "x")
	known := message.Metadata{"correlation_id": "c", "traceparent": "t", "tracestate": "s", "causationid": "i", "tenant": "acme", "schemaversion": "1"}
	maps.Copy(m.Metadata, known)
	e, err := fromMessage(m, "/s", "topic")
	require.NoError(t, err)
	require.NoError(t, e.Validate())
	assert.Equal(t, "c", e.Extension(event.ExtCorrelationID))
	for _, name := range []string{event.ExtTraceparent, event.ExtTracestate, event.ExtCausationID, event.ExtTenant, event.ExtSchemaVersion} {
		assert.Equal(t, known[name], e.Extension(name))
	}
}

// As many extensions as an event can have pass through Watermill as what they are.
func TestManyExtensionsPassThroughWatermill(t *testing.T) {
	e := event.New("/s", "t", nil).WithKey("k")
	for i := range event.MaxAttributes - 6 {
		e = e.WithExtension("name"+strconv.Itoa(i), "x")
	}
	require.NoError(t, e.Validate())
	again, err := fromMessage(toMessage(e), "/other", "other")
	require.NoError(t, err)
	assert.True(t, e.Equal(again), "%v\n%v", e, again)
}

// What is written in one extension, or by nobody of this package, is read as it is.
func TestTheRestIsReadByWhatItIs(t *testing.T) {
	for name, c := range map[string]struct{ extensions, want message.Metadata }{
		"before it was spread": {
			message.Metadata{"watermill": `{"Some-Header":"\u003cx\u003e\n"}`, "watermill1": "mine"},
			message.Metadata{"Some-Header": "<x>\n", "watermill1": "mine"},
		},
		"spread":           {message.Metadata{"watermill": `{"Some-`, "watermill1": `Header":`, "watermill2": `"x"}`}, message.Metadata{"Some-Header": "x"}},
		"any bytes":        {message.Metadata{"watermill": `["Y2Fm6Q==","6Q=="]`}, message.Metadata{"caf\xe9": "\xe9"}},
		"a part is away":   {message.Metadata{"watermill": `{"a":`, "watermill2": `"x"}`}, message.Metadata{"watermill": `{"a":`, "watermill2": `"x"}`}},
		"a name alone":     {message.Metadata{"watermill": `["Y2Fm6Q=="]`}, message.Metadata{"watermill": `["Y2Fm6Q=="]`}},
		"somebody else's":  {message.Metadata{"watermill": "yes", "watermill1": "no"}, message.Metadata{"watermill": "yes", "watermill1": "no"}},
		"JSON of no names": {message.Metadata{"watermill": "null"}, message.Metadata{"watermill": "null"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := event.New("/s", "t", nil)
			for name, value := range c.extensions {
				e = e.WithExtension(name, value)
			}
			got := toMessage(e).Metadata
			for _, name := range []string{MetadataType, MetadataSource, MetadataTime} {
				delete(got, name)
			}
			assert.Equal(t, c.want, got)
		})
	}
}

// What metadata holds makes no difference.
func FuzzMetadata(f *testing.F) {
	f.Add("Some-Header", "x", "tenant", "acme")
	f.Add("caf\xe9", "\x7f", "watermill", "\ufffe")
	f.Fuzz(func(t *testing.T, name, value, other, otherValue string) {
		m := message.NewMessage("uuid", nil)
		m.Metadata = message.Metadata{"x-" + name: value, "y-" + other: otherValue, "stack": value}
		e, err := fromMessage(m, "/s", "t")
		require.NoError(t, err)
		if e.Validate() != nil {
			require.Greater(t, sizeOf(m), 8<<10) // each byte may take six
			return
		}
		got := toMessage(e)
		for name, value := range m.Metadata {
			require.Equal(t, value, got.Metadata[name], name)
		}
	})
}

// A dead letter is hardly larger than what failed: it has to find room where that did.
func TestLettersAreHardlyLarger(t *testing.T) {
	failed, err := Encode(event.New("/s", "t", make([]byte, 1000)).WithExtension("markup", strings.Repeat("<&>", 2000)))
	require.NoError(t, err)
	letter, err := newLetter("h", failed, event.Cause{Text: strings.Repeat("<", event.MaxCauseText), Stack: strings.Repeat("\t", event.MaxCauseStack/2)})
	require.NoError(t, err)
	require.Less(t, sizeOf(letter), sizeOf(failed)+10<<10)
	read, err := readLetter("topic", "g", letter)
	require.NoError(t, err)
	require.Equal(t, failed.Metadata, read.message.Metadata)
}
