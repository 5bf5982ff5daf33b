package cloudevents

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	sdk "github.com/cloudevents/sdk-go/v2/event"
	sdkhttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// random makes events.
type random struct{ *rand.Rand }

// text returns up to n letters of an alphabet.
func (r random) text(n int, alphabet string) string {
	letters := []rune(alphabet)
	text := make([]rune, r.IntN(n+1))
	for i := range text {
		text[i] = letters[r.IntN(len(letters))]
	}
	return string(text)
}

const (
	small     = "abcdefghijklmnopqrstuvwxyz0123456789"
	printable = small + "ABC-._~:/?#[]@!$&'()*+,;=<>|{}^`\\"
	anything  = printable + " %\"\u00a0é€😀\ufffd\u2028"
)

// event returns an event whose attributes are of an alphabet.
func (r random) event(alphabet string) event.Event {
	a := event.Attributes{
		ID: "i" + r.text(40, alphabet), Source: "/" + r.text(10, small), Type: "t" + r.text(10, alphabet),
		Time:    time.Unix(r.Int64N(4e9), r.Int64N(1e9)),
		Subject: "s" + r.text(20, alphabet), Key: r.text(20, alphabet), // the SDK takes a subject of spaces for none
	}
	for range r.IntN(12) {
		a.Extensions = append(a.Extensions, event.Extension{Name: "x" + r.text(5, small), Value: r.text(20, alphabet)})
	}
	switch r.IntN(4) {
	case 0:
		a.ContentType = "application/json"
		a.Data, _ = json.Marshal(map[string]any{r.text(9, anything): r.text(30, anything), "n": r.Float64(), "a": []any{nil, true, r.Int()}})
	case 1:
		a.ContentType, a.Data = "text/plain", []byte(r.text(60, anything+"\n\t\x00"))
	case 2:
		a.ContentType, a.Data = "application/octet-stream", make([]byte, r.IntN(60))
		for i := range a.Data {
			a.Data[i] = byte(r.Uint32())
		}
	}
	return a.Event()
}

func TestRandomStructured(t *testing.T) {
	r := random{rand.New(rand.NewPCG(1, 1))}
	for range 2000 {
		e := r.event(anything)
		raw, err := event.AppendJSON(nil, e)
		require.NoError(t, err)
		var theirs sdk.Event
		require.NoError(t, json.Unmarshal(raw, &theirs))
		require.Equal(t, ofLeat(e), ofSDK(t, theirs))

		raw, err = json.Marshal(theirs)
		require.NoError(t, err)
		back, err := event.ParseJSON(raw)
		require.NoError(t, err)
		require.Equal(t, ofLeat(e), ofLeat(back))
	}
}

func TestRandomBinary(t *testing.T) {
	r := random{rand.New(rand.NewPCG(2, 2))}
	for range 2000 {
		e := r.event(printable)
		theirs, err := sdkhttp.NewEventFromHTTPRequest(request(t, e))
		require.NoError(t, err)
		require.Equal(t, ofLeat(e), ofSDK(t, *theirs))

		there, err := sdkhttp.NewHTTPRequestFromEvent(t.Context(), url, *theirs)
		require.NoError(t, err)
		back, err := parse(t, there)
		require.NoError(t, err)
		require.Equal(t, ofLeat(e), ofLeat(back))
	}
}
