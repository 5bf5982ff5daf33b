package event_test

import (
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// A copy with other data doesn't keep the data alive that it doesn't have.
func TestWithDataLetsGo(t *testing.T) {
	data := make([]byte, 1<<20)
	of := weak.Make(&data[0])
	e := event.Attributes{
		Source: "/s", Type: "t", Subject: "s", Data: data, KeepData: true,
		Extensions: []event.Extension{{Name: "a", Value: "1"}},
	}.Event()
	small := e.WithData("text/plain", []byte("small"))
	runtime.GC()
	require.NotNil(t, of.Value(), "the event has it")
	runtime.KeepAlive(data)
	runtime.KeepAlive(e)
	runtime.GC()
	require.Nil(t, of.Value(), "nobody has it")
	require.Equal(t, "1", small.Extension("a"))
	require.Equal(t, "s", small.Subject())
}
