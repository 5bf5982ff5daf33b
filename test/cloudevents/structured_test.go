package cloudevents

import (
	"encoding/json"
	"testing"

	sdk "github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

func TestStructuredFromLeatToSDK(t *testing.T) {
	for name, e := range leatEvents() {
		t.Run(name, func(t *testing.T) {
			raw, err := event.AppendJSON(nil, e)
			require.NoError(t, err)
			var got sdk.Event
			require.NoError(t, json.Unmarshal(raw, &got))
			assert.Equal(t, ofLeat(e), ofSDK(t, got))
		})
	}
}

func TestStructuredFromSDKToLeat(t *testing.T) {
	for name, e := range sdkEvents(t) {
		t.Run(name, func(t *testing.T) {
			raw, err := json.Marshal(e)
			require.NoError(t, err)
			got, err := event.ParseJSON(raw)
			require.NoError(t, err, "%s", raw)
			assert.Equal(t, ofSDK(t, e), ofLeat(got))
		})
	}
}

// A document that leat reads, and how.
type document struct {
	json string
	data string // that it has
	sdk  string // why the SDK refuses it; "": it reads the same
}

const head = `{"specversion":"1.0","id":"7","source":"/till","type":"com.example.sold"`

// documents hold what the specification of the JSON format says in chapters 2 to 4.
var documents = map[string]document{
	"minimal":               {json: head + `}`},
	"optional null":         {json: head + `,"datacontenttype":null,"dataschema":null,"subject":null}`, sdk: "a content type of null isn't absent"},
	"time null":             {json: head + `,"time":null}`},
	"an unset extension":    {json: head + `,"unset":null}`},
	"all attributes":        {json: head + `,"datacontenttype":"text/plain","dataschema":"https://till.example/s","subject":"x","time":"2026-04-05T17:31:00Z"}`},
	"time with nanoseconds": {json: head + `,"time":"2026-04-05T17:31:00.000000001Z"}`},
	"time east":             {json: head + `,"time":"2026-04-05T18:31:00+01:00"}`},
	"time west":             {json: head + `,"time":"2026-04-05T16:31:00-01:00"}`},
	"relative source":       {json: `{"source":"#fragment","specversion":"1.0","id":"7","type":"t"}`},
	"version last":          {json: `{"data":{"a":1},"source":"/s","id":"7","own":5,"type":"t","specversion":"1.0"}`, data: `{"a":1}`},
	"types of extensions":   {json: head + `,"int":10,"bool":true,"text":"t","uri":"https://till.example","moment":"2026-03-31T15:12:00Z","bytes":"TWE="}`},

	"object":            {json: head + `,"datacontenttype":"application/json","data":{ "a" : "b", "c" : [1, true] }}`, data: `{ "a" : "b", "c" : [1, true] }`},
	"array":             {json: head + `,"datacontenttype":"application/json","data":[]}`, data: `[]`},
	"number":            {json: head + `,"datacontenttype":"application/json","data":12.50}`, data: `12.50`},
	"boolean":           {json: head + `,"datacontenttype":"application/json","data":false}`, data: `false`},
	"null is a payload": {json: head + `,"datacontenttype":"application/json","data":null}`, data: `null`},
	"string":            {json: head + `,"datacontenttype":"application/json","data":"a string"}`, data: `"a string"`},
	"string of JSON":    {json: head + `,"datacontenttype":"application/json","data":"{\"a\":1}"}`, data: `"{\"a\":1}"`},
	"no type":           {json: head + `,"data":"I'm a string"}`, data: `"I'm a string"`},
	"suffix":            {json: head + `,"datacontenttype":"application/vnd.sold.v1+json","data":{"a":1}}`, data: `{"a":1}`, sdk: "+json isn't JSON"},
	"parameter":         {json: head + `,"datacontenttype":"application/json; charset=utf-8","data":{"a":1}}`, data: `{"a":1}`},
	"type behind data":  {json: head + `,"data":"<a/>","datacontenttype":"text/xml"}`, data: `<a/>`},
	"xml":               {json: head + `,"datacontenttype":"application/xml","data":"<much wow=\"xml\"/>"}`, data: `<much wow="xml"/>`},
	"text":              {json: head + `,"datacontenttype":"text/plain","data":"line\n\u00e9\ud83d\ude00"}`, data: "line\né😀"},
	"text is null":      {json: head + `,"datacontenttype":"text/plain","data":null}`},
	"base64":            {json: head + `,"datacontenttype":"application/vnd.apache.thrift.binary","data_base64":"AAH/"}`, data: "\x00\x01\xff"},
	"base64 of JSON":    {json: head + `,"datacontenttype":"application/json","data_base64":"eyJhIjoxfQ=="}`, data: `{"a":1}`},
	"base64, no type":   {json: head + `,"data_base64":"AAH/"}`, data: "\x00\x01\xff"},
	"escaped base64":    {json: head + `,"datacontenttype":"a/b","data_base64":"AAH\/"}`, data: "\x00\x01\xff"},
}

func TestDocuments(t *testing.T) {
	for name, d := range documents {
		t.Run(name, func(t *testing.T) {
			require.True(t, json.Valid([]byte(d.json)))
			got, err := event.ParseJSON([]byte(d.json))
			require.NoError(t, err)
			assert.Equal(t, d.data, string(got.Data()))
			var other sdk.Event
			err = json.Unmarshal([]byte(d.json), &other)
			if err == nil {
				err = other.Validate()
			}
			if d.sdk != "" {
				require.Error(t, err, "the SDK agrees now: take the remark away")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, ofLeat(got), ofSDK(t, other))
		})
	}
}

// Documents that leat refuses. The SDK takes some of them; of those leat doesn't know
// which of two meanings the sender had, or what others will read.
var refused = map[string]struct {
	json     string
	sdkTakes bool
}{
	"no specversion":      {`{"id":"7","source":"/s","type":"t"}`, false},
	"unknown specversion": {`{"specversion":"0.9","id":"7","source":"/s","type":"t"}`, false},
	"no id":               {`{"specversion":"1.0","source":"/s","type":"t"}`, false},
	"no source":           {`{"specversion":"1.0","id":"7","type":"t"}`, false},
	"no type":             {`{"specversion":"1.0","id":"7","source":"/s"}`, false},
	"empty id":            {`{"specversion":"1.0","id":"","source":"/s","type":"t"}`, false},
	"id is a number":      {`{"specversion":"1.0","id":7,"source":"/s","type":"t"}`, false},
	"time is no time":     {head + `,"time":"lunchtime"}`, false},
	"offset of 25 hours":  {head + `,"time":"2026-04-05T17:31:00+25:00"}`, false},
	"empty subject":       {head + `,"subject":""}`, true},
	"no media type":       {head + `,"datacontenttype":"xyz"}`, true},
	"relative schema":     {head + `,"dataschema":"/s"}`, false},
	"upper case":          {head + `,"MyOwn":"x"}`, true},
	"punctuation":         {head + `,"my.own":"x"}`, false},
	"fraction":            {head + `,"own":1.5}`, true},
	"object":              {head + `,"own":{}}`, false},
	"id twice":            {head + `,"id":"8"}`, true},
	"extension twice":     {head + `,"own":"a","own":"b"}`, true},
	"data and base64":     {head + `,"data":"x","data_base64":"eA=="}`, true},
	"half a pair":         {head + `,"own":"\ud800"}`, true},
	"text is an object":   {head + `,"datacontenttype":"text/plain","data":{}}`, false},
	"more follows":        {head + `}}`, false},
}

func TestRefused(t *testing.T) {
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			_, err := event.ParseJSON([]byte(c.json))
			var bad *event.AttributeError
			require.ErrorAs(t, err, &bad)
			var other sdk.Event
			err = json.Unmarshal([]byte(c.json), &other)
			if err == nil {
				err = other.Validate()
			}
			assert.Equal(t, c.sdkTakes, err == nil, "%v", err)
		})
	}
}

func TestBatch(t *testing.T) {
	var (
		ours   []event.Event
		theirs []sdk.Event
	)
	for _, e := range leatEvents() {
		ours = append(ours, e)
	}
	raw, err := event.AppendJSONBatch(nil, ours...)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &theirs))
	require.Len(t, theirs, len(ours))
	for i := range ours {
		assert.Equal(t, ofLeat(ours[i]), ofSDK(t, theirs[i]))
	}

	theirs = nil
	for _, e := range sdkEvents(t) {
		theirs = append(theirs, e)
	}
	raw, err = json.Marshal(theirs)
	require.NoError(t, err)
	ours, err = event.ParseJSONBatch(raw)
	require.NoError(t, err)
	require.Len(t, ours, len(theirs))
	for i := range ours {
		assert.Equal(t, ofSDK(t, theirs[i]), ofLeat(ours[i]))
	}
}
