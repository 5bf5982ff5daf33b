package event_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// lines shows headers, in their order.
func lines(headers []event.Header) (s []string) {
	for _, h := range headers {
		s = append(s, h.Key+": "+string(h.Value))
	}
	return s
}

// headersOf reads them from lines.
func headersOf(lines ...string) (headers []event.Header) {
	for _, l := range lines {
		key, value, _ := strings.Cut(l, ": ")
		headers = append(headers, event.Header{Key: key, Value: []byte(value)})
	}
	return headers
}

func TestKafkaHeaders(t *testing.T) {
	e := full().WithSubject("é 50%").WithExtension("own", `"x"`)
	headers, err := event.AppendHeaders(headersOf("first: 1"), event.KafkaHeaders, e)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"first: 1", "ce_specversion: 1.0", "ce_id: id-1", "ce_source: /shop", "ce_type: order-placed", "ce_time: 2026-11-20T11:30:15.123456789Z",
		"ce_subject: é 50%", "ce_dataschema: https://shop.example/order.json", "ce_appname: till", "ce_correlationid: conversation",
		"ce_notbefore: 2026-11-20T12:30:15.123456789Z", `ce_own: "x"`, "ce_partitionkey: customer-7", "ce_tenant: acme", "ce_zone: b",
		"content-type: application/json",
	}, lines(headers))
	back, err := event.ParseHeaders(event.KafkaHeaders, headers, e.Data())
	require.NoError(t, err)
	assert.Equal(t, snapshot(e), snapshot(back))
}

func TestHTTPHeaders(t *testing.T) {
	e := valid().WithSubject(`Euro € 😀 "50%"~!`).WithData("text/plain; charset=utf-8", []byte("x"))
	headers, err := event.AppendHeaders(nil, event.HTTPHeaders, e)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"ce-specversion: 1.0", "ce-id: 1", "ce-source: /s", "ce-type: t", "ce-time: 2026-11-20T11:30:15.123456789Z",
		"ce-subject: Euro%20%E2%82%AC%20%F0%9F%98%80%20%2250%25%22~!", "content-type: text/plain; charset=utf-8",
	}, lines(headers))
	back, err := event.ParseHeaders(event.HTTPHeaders, headers, e.Data())
	require.NoError(t, err)
	assert.Equal(t, snapshot(e), snapshot(back))
}

func TestHeadersOfAnotherPrefix(t *testing.T) {
	f := event.HeaderFormat{Prefix: "cloudEvents_"}
	headers, err := event.AppendHeaders(nil, f, full())
	require.NoError(t, err)
	assert.Contains(t, lines(headers), "cloudEvents_id: id-1")
	back, err := event.ParseHeaders(f, headers, full().Data())
	require.NoError(t, err)
	assert.True(t, back.Equal(full()))
}

func TestHeaderValuesCannotBeAppendedTo(t *testing.T) {
	headers, err := event.AppendHeaders(nil, event.KafkaHeaders, full())
	require.NoError(t, err)
	want := lines(headers)
	for _, h := range headers {
		_ = append(h.Value, "more"...)
	}
	assert.Equal(t, want, lines(headers))
	headers[1].Value[0] = 'X'
	assert.Equal(t, "id-1", full().ID())
}

func TestAppendHeadersRefuses(t *testing.T) {
	kept := headersOf("kept: 1")
	for contentType, bad := range map[string]bool{
		event.MediaTypeEvent: true, event.MediaTypeBatch: true, "Application/CloudEvents+avro": true, "application/cloudevents": true,
		"application/cloudevent+json": false,
	} {
		headers, err := event.AppendHeaders(kept, event.KafkaHeaders, valid().WithData(contentType, nil))
		if bad {
			requireNames(t, err, "datacontenttype")
			assert.Equal(t, kept, headers)
		} else {
			require.NoError(t, err)
		}
	}
	headers, err := event.AppendHeaders(kept, event.HTTPHeaders, valid().WithSubject("a\r\nce-id: 2"))
	requireNames(t, err, "subject")
	assert.Equal(t, kept, headers)
}

// with are the headers of a minimal event, and more.
func with(prefix string, more ...string) []event.Header {
	return append(headersOf(prefix+"specversion: 1.0", prefix+"id: 1", prefix+"source: /s", prefix+"type: t"), headersOf(more...)...)
}

func TestParseHeaders(t *testing.T) {
	bare := event.Event{}.WithID("1").WithSource("/s").WithType("t")
	kafka, http := event.KafkaHeaders, event.HTTPHeaders
	for what, c := range map[string]struct {
		f       event.HeaderFormat
		headers []event.Header
		data    string
		want    event.Event
	}{
		"minimal":               {kafka, with("ce_"), "", bare},
		"foreign headers":       {kafka, with("ce_", "traceparent: x", "ce: 1", "ce-id: 2", "c: 3", "Content-Length: 4", ": 5"), "", bare},
		"content type":          {kafka, with("ce_", "content-type: text/plain"), "x", bare.WithData("text/plain", []byte("x"))},
		"content type's case":   {kafka, with("ce_", "Content-Type: text/plain"), "x", bare.WithData("text/plain", []byte("x"))},
		"no content type":       {kafka, with("ce_"), "x", bare.WithData("", []byte("x"))},
		"extension":             {kafka, with("ce_", "ce_own: %41", "ce_partitionkey: k"), "", bare.WithExtension("own", "%41").WithKey("k")},
		"empty is absent":       {kafka, with("ce_", "ce_own: ", "ce_partitionkey: ", "ce_notbefore: "), "", bare},
		"any case in HTTP":      {http, headersOf("Ce-Specversion: 1.0", "CE-ID: 1", "cE-sOURCE: /s", "ce-type: t", "Content-TYPE: text/plain"), "x", bare.WithData("text/plain", []byte("x"))},
		"percent":               {http, with("ce-", "ce-own: a%20%c3%A9%25"), "", bare.WithExtension("own", "a é%")},
		"longest":               {http, with("ce-", "ce-own: "+strings.Repeat("%41", event.MaxAttributeValue)), "", bare.WithExtension("own", strings.Repeat("A", event.MaxAttributeValue))},
		"needless percent":      {http, with("ce-", "ce-own: %41%62"), "", bare.WithExtension("own", "Ab")},
		"one round":             {http, with("ce-", "ce-own: %2541"), "", bare.WithExtension("own", "%41")},
		"quoted":                {http, with("ce-", `ce-own: "a b"`), "", bare.WithExtension("own", "a b")},
		"quoted and escaped":    {http, with("ce-", `ce-own: "a\"\\\b%20"`), "", bare.WithExtension("own", `a"\b `)},
		"quoted, empty":         {http, with("ce-", `ce-own: ""`), "", bare},
		"a quote":               {http, with("ce-", `ce-own: "`), "", bare.WithExtension("own", `"`)},
		"quoted in part":        {http, with("ce-", `ce-own: a"b"`), "", bare.WithExtension("own", `a"b"`)},
		"structured":            {kafka, headersOf("content-type: application/cloudevents+json"), minimal(`,"data":1`), bare.WithData("", []byte("1"))},
		"structured, parameter": {http, headersOf("Content-Type: Application/CloudEvents+JSON ; charset=UTF-8"), minimal(`,"data":1`), bare.WithData("", []byte("1"))},
		"structured, headers":   {kafka, with("ce_", "content-type: application/cloudevents+json", "ce_own: x"), minimal(""), bare},
	} {
		t.Run(what, func(t *testing.T) {
			e, err := event.ParseHeaders(c.f, c.headers, []byte(c.data))
			require.NoError(t, err)
			assert.Equal(t, snapshot(c.want), snapshot(e))
		})
	}
}

func TestParseHeadersRefuses(t *testing.T) {
	var many []string
	for i := range event.MaxAttributes {
		many = append(many, fmt.Sprintf("ce_x%d: v", i))
	}
	kafka, http := event.KafkaHeaders, event.HTTPHeaders
	long := strings.Repeat("a", event.MaxAttributeValue+1)
	for what, c := range map[string]struct {
		f       event.HeaderFormat
		headers []event.Header
		name    string
	}{
		"nothing":                 {kafka, nil, "specversion"},
		"another prefix":          {kafka, with("ce-"), "specversion"},
		"no id":                   {kafka, headersOf("ce_specversion: 1.0", "ce_source: /s", "ce_type: t"), "id"},
		"unknown version":         {kafka, headersOf("ce_specversion: 0.3"), "specversion"},
		"id is empty":             {kafka, headersOf("ce_specversion: 1.0", "ce_id: "), "id"},
		"subject is empty":        {kafka, with("ce_", "ce_subject: "), "subject"},
		"content type is empty":   {kafka, with("ce_", "content-type: "), "datacontenttype"},
		"content type is no type": {kafka, with("ce_", "content-type: xyz"), "datacontenttype"},
		"content type twice":      {kafka, with("ce_", "content-type: a/b", "Content-Type: a/b"), "datacontenttype"},
		"content type by name":    {kafka, with("ce_", "ce_datacontenttype: a/b"), "datacontenttype"},
		"data":                    {kafka, with("ce_", "ce_data: x"), "data"},
		"data_base64":             {kafka, with("ce_", "ce_data_base64: x"), "data_base64"},
		"twice":                   {kafka, with("ce_", "ce_id: 1"), "id"},
		"extension twice":         {kafka, with("ce_", "ce_own: 1", "ce_own: 2"), "own"},
		"twice in HTTP":           {http, with("ce-", "CE-ID: 2"), "id"},
		"extension twice in HTTP": {http, with("ce-", "ce-own: 2", "Ce-Own: 2"), "own"},
		"upper case":              {kafka, with("ce_", "ce_ID: 2"), "ID"},
		"prefix in upper case":    {kafka, with("ce_", "CE_id: 2"), "CE_id"},
		"Kelvin is no k":          {http, with("ce-", "ce-\u212aey: 2"), "\u212aey"},
		"bad name":                {kafka, with("ce_", "ce_my-own: 2"), "my-own"},
		"no name":                 {kafka, with("ce_", "ce_: 2"), ""},
		"long name":               {kafka, with("ce_", "ce_"+long+": 2"), long[:event.MaxAttributeName]},
		"long name in HTTP":       {http, with("ce-", "ce-A"+long+": 2"), "A" + long[:event.MaxAttributeName-1]},
		"long prefix":             {kafka, with("ce_", "CE_"+long+": 2"), ("CE_" + long)[:event.MaxAttributeName]},
		"long value":              {kafka, with("ce_", "ce_own: "+long), "own"},
		"long value, percent":     {http, with("ce-", "ce-own: "+strings.Repeat("%41", len(long))), "own"},
		"many":                    {kafka, with("ce_", many...), ""},
		"control":                 {kafka, with("ce_", "ce_own: a\nb"), "own"},
		"NUL":                     {kafka, with("ce_", "ce_own: \x00"), "own"},
		"bad UTF-8":               {kafka, with("ce_", "ce_own: \xff"), "own"},
		"percent control":         {http, with("ce-", "ce-own: a%0D%0Ab"), "own"},
		"percent bad UTF-8":       {http, with("ce-", "ce-own: %C0%A0"), "own"},
		"percent half":            {http, with("ce-", "ce-own: %4"), "own"},
		"percent bad":             {http, with("ce-", "ce-own: %4g"), "own"},
		"percent alone":           {http, with("ce-", "ce-own: 50%"), "own"},
		"quote in quotes":         {http, with("ce-", `ce-own: "a"b"`), "own"},
		"backslash at the end":    {http, with("ce-", `ce-own: "a\"`), "own"},
		"time":                    {kafka, with("ce_", "ce_time: lunchtime"), "time"},
		"notbefore":               {kafka, with("ce_", "ce_notbefore: soon"), "notbefore"},
		"batch":                   {kafka, headersOf("content-type: application/cloudevents-batch+json"), "datacontenttype"},
		"another format":          {kafka, headersOf("content-type: application/cloudevents+avro"), "datacontenttype"},
		"structured, nothing":     {kafka, headersOf("content-type: application/cloudevents+json"), ""},
	} {
		t.Run(what, func(t *testing.T) {
			e, err := event.ParseHeaders(c.f, c.headers, nil)
			requireNames(t, err, c.name)
			assert.True(t, e.IsZero())
			assert.Less(t, len(err.Error()), 400)
			text := err.Error()
			for _, h := range c.headers {
				for i := range h.Value {
					h.Value[i] = 'X'
				}
			}
			assert.Equal(t, text, err.Error(), "the error keeps nothing of the input")
		})
	}
}

func TestParseHeadersKeepsNothing(t *testing.T) {
	e := full().WithSource("/not-interned-yet-either").WithID("an-id-that-does-not-fit-the-core-of-an-event")
	headers, err := event.AppendHeaders(nil, event.KafkaHeaders, e)
	require.NoError(t, err)
	data := []byte(`{"n":42}`)
	back, err := event.ParseHeaders(event.KafkaHeaders, headers, data)
	require.NoError(t, err)
	kept, err := event.Decoder{KeepData: true}.ParseHeaders(event.KafkaHeaders, headers, data)
	require.NoError(t, err)
	assert.Same(t, &data[0], &kept.Data()[0])
	for _, h := range headers {
		clear(h.Value)
	}
	clear(data)
	assert.Equal(t, snapshot(e), snapshot(back))
}

func TestParseHeadersMaxBytes(t *testing.T) {
	headers := with("ce_", "foreign: header")
	size := 3
	for _, h := range headers {
		size += len(h.Key) + len(h.Value)
	}
	_, err := event.Decoder{MaxBytes: size}.ParseHeaders(event.KafkaHeaders, headers, []byte("xyz"))
	require.NoError(t, err)
	_, err = event.Decoder{MaxBytes: size - 1}.ParseHeaders(event.KafkaHeaders, headers, []byte("xyz"))
	require.ErrorIs(t, err, event.ErrTooLarge)
	requireNames(t, err, "")
}
