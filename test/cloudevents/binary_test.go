package cloudevents

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	sdkhttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

const url = "http://127.0.0.1/"

// request returns e as an HTTP request in binary mode.
func request(t *testing.T, e event.Event) *http.Request {
	t.Helper()
	headers, err := event.AppendHeaders(nil, event.HTTPHeaders, e)
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(e.Data()))
	require.NoError(t, err)
	for _, h := range headers {
		r.Header.Add(h.Key, string(h.Value))
	}
	return r
}

// parse reads an event from an HTTP request in any mode but batch.
func parse(t *testing.T, r *http.Request) (event.Event, error) {
	t.Helper()
	var headers []event.Header
	for key, values := range r.Header {
		for _, value := range values {
			headers = append(headers, event.Header{Key: key, Value: []byte(value)})
		}
	}
	var data []byte
	if r.Body != nil { // the SDK leaves it out when there is no data
		var err error
		data, err = io.ReadAll(r.Body)
		require.NoError(t, err)
	}
	return event.ParseHeaders(event.HTTPHeaders, headers, data)
}

func TestBinaryFromLeatToSDK(t *testing.T) {
	for name, e := range leatEvents() {
		t.Run(name, func(t *testing.T) {
			got, err := sdkhttp.NewEventFromHTTPRequest(request(t, e))
			require.NoError(t, err)
			assert.Equal(t, ofLeat(e), ofSDK(t, *got))
		})
	}
}

func TestBinaryFromSDKToLeat(t *testing.T) {
	for name, e := range sdkEvents(t) {
		t.Run(name, func(t *testing.T) {
			r, err := sdkhttp.NewHTTPRequestFromEvent(t.Context(), url, e)
			require.NoError(t, err)
			got, err := parse(t, r)
			require.NoError(t, err)
			assert.Equal(t, ofSDK(t, e), ofLeat(got))
		})
	}
}

func TestStructuredRequestToLeat(t *testing.T) {
	e := leatEvents()["all attributes"]
	raw, err := event.AppendJSON(nil, e)
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(raw))
	require.NoError(t, err)
	r.Header.Set("Content-Type", event.MediaTypeEvent+"; charset=UTF-8")
	got, err := parse(t, r.Clone(t.Context()))
	require.NoError(t, err)
	assert.Equal(t, ofLeat(e), ofLeat(got))

	r.Body = io.NopCloser(bytes.NewReader(raw))
	theirs, err := sdkhttp.NewEventFromHTTPRequest(r)
	require.NoError(t, err)
	assert.Equal(t, ofLeat(e), ofSDK(t, *theirs))
}

// The SDK knows nothing of the percent-encoding of the HTTP binding, §3.1.3.2: it
// reads values as they stand and sends what HTTP doesn't allow.
func TestPercentEncodingIsUnknownToTheSDK(t *testing.T) {
	e := leatEvents()["minimal"].WithSubject("50 €")
	got, err := sdkhttp.NewEventFromHTTPRequest(request(t, e))
	require.NoError(t, err)
	assert.Equal(t, "50%20%E2%82%AC", got.Subject(), "the SDK agrees now: make it a case of the others")
	back, err := parse(t, request(t, e))
	require.NoError(t, err)
	assert.Equal(t, ofLeat(e), ofLeat(back))
}
