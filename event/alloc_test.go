package event

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	sinkEvent  Event
	sinkEvents []Event
	sinkString string
)

func TestSizes(t *testing.T) {
	assert.Equal(t, uintptr(112), unsafe.Sizeof(core{}))
	assert.Equal(t, unsafe.Sizeof(uintptr(0)), unsafe.Sizeof(Event{}))
}

// allocations is how many f may make.
func allocations(t *testing.T, what string, most float64, f func()) {
	t.Helper()
	f()
	assert.LessOrEqual(t, testing.AllocsPerRun(100, f), most, what)
}

func TestAllocations(t *testing.T) {
	data := []byte(`{"order":42}`)
	allocations(t, "New", 2, func() { sinkEvent = New("/shop", "order-placed", data) })
	allocations(t, "Event, data kept", 1, func() {
		sinkEvent = Attributes{Source: "/shop", Type: "order-placed", Key: "k", Data: data, KeepData: true}.Event()
	})
	e := benchEvent()
	allocations(t, "One", 0, func() { sinkEvents = e.One() })
	allocations(t, "ID", 0, func() { sinkString = e.ID() })
	allocations(t, "Validate", 0, func() { _ = e.Validate() })
	allocations(t, "WithID", 1, func() { sinkEvent = e.WithID("1") })
	allocations(t, "WithType", 1, func() { sinkEvent = e.WithType("order-paid") })
	allocations(t, "WithKey", 1, func() { sinkEvent = e.WithKey("1") })
	rich := e.WithExtension(ExtTenant, "acme").WithExtension(ExtCorrelationID, "c").WithSubject("s")
	allocations(t, "Extensions", 0, func() {
		for _, value := range rich.Extensions() {
			sinkString = value
		}
	})
	allocations(t, "Equal", 0, func() { _ = e.Equal(rich) })
}

func TestCodecAllocations(t *testing.T) {
	e := benchEvent()
	rich := e.WithExtension(ExtTenant, "acme").WithExtension(ExtCorrelationID, "c").WithExtension("myown", "x").WithSubject("s")
	buf := make([]byte, 0, 4096)
	for _, e := range []Event{e, rich} {
		allocations(t, "AppendJSON", 0, func() { buf, _ = AppendJSON(buf[:0], e) })
	}
	nothing := e.WithKey("")
	raw, err := AppendJSON(nil, nothing)
	require.NoError(t, err)
	allocations(t, "ParseJSON: core, data", 2, func() { sinkEvent, _ = ParseJSON(raw) })
	allocations(t, "ParseJSON, data kept: core", 1, func() { sinkEvent, _ = Decoder{KeepData: true}.ParseJSON(raw) })
	raw, err = AppendJSON(nil, rich)
	require.NoError(t, err)
	allocations(t, "ParseJSON: core, data, texts, rare attributes", 4, func() { sinkEvent, _ = ParseJSON(raw) })

	headers := make([]Header, 0, 16)
	allocations(t, "AppendHeaders: values", 1, func() { headers, _ = AppendHeaders(headers[:0], KafkaHeaders, e) })
	allocations(t, "ParseHeaders, data kept: core, key", 2, func() {
		sinkEvent, _ = Decoder{KeepData: true}.ParseHeaders(KafkaHeaders, headers, e.Data())
	})
}
