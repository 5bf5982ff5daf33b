package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// data of a content type, and the member that it becomes.
var dataTable = []struct{ name, contentType, data, member string }{
	{"nothing", "application/json", "", ""},
	{"nothing, no type", "", "", ""},
	{"object", "application/json", `{"a" : [1, 2.50, "x"]}`, `"data":{"a" : [1, 2.50, "x"]}`},
	{"no type is JSON", "", `{"a":1}`, `"data":{"a":1}`},
	{"suffix", "application/vnd.order+json; v=2", "[]", `"data":[]`},
	{"text/json", "text/json", "1", `"data":1`},
	{"string", "application/json", `"I'm \u0061 string"`, `"data":"I'm \u0061 string"`},
	{"number of any size", "application/json", "-12345678901234567890.5e+4000", `"data":-12345678901234567890.5e+4000`},
	{"null", "application/json", "null", `"data":null`},
	{"true", "application/json", "true", `"data":true`},
	{"members twice", "application/json", `{"a":1,"a":2}`, `"data":{"a":1,"a":2}`},
	{"half a pair, escaped", "application/json", `"\ud800"`, `"data":"\ud800"`},
	{"unicode", "application/json", `"é€😀"`, `"data":"é€😀"`},
	{"lines", "application/json", "{\n\t\"a\": 1\r\n}", "\"data\":{\n\t\"a\": 1\r\n}"},
	{"a line", "application/json", "[\n]", "\"data\":[\n]"},
	{"a return", "application/json", "[\r]", "\"data\":[\r]"},
	{"64 levels", "application/json", strings.Repeat("[", 64) + strings.Repeat("]", 64), `"data":` + strings.Repeat("[", 64) + strings.Repeat("]", 64)},
	{"text in no JSON", "text/plain", "a \"b\" \\ / \x00\x1f\x7f\n\r\t\u2028é😀", `"data":"a \"b\" \\ / \u0000\u001f` + "\x7f" + `\n\r\t` + "\u2028é😀\""},
	{"xml", "application/xml", `<much wow="xml"/>`, `"data":"<much wow=\"xml\"/>"`},
	{"svg", "image/svg+xml", "<svg/>", `"data":"<svg/>"`},

	// What is base64, so that it comes back as it was.
	{"not JSON", "application/json", "{", `"data_base64":"ew=="`},
	{"space before", "application/json", " 1", `"data_base64":"IDE="`},
	{"space behind", "application/json", "1\n", `"data_base64":"MQo="`},
	{"two values", "application/json", "1 2", `"data_base64":"MSAy"`},
	{"a member more", "application/json", `1,"id":"x"`, `"data_base64":"MSwiaWQiOiJ4Ig=="`},
	{"bad UTF-8 in JSON", "application/json", "\"\xff\"", `"data_base64":"Iv8i"`},
	{"65 levels", "", strings.Repeat("[", 65) + strings.Repeat("]", 65), `"data_base64":"` + strings.Repeat("W1tb", 21) + "W1td" + strings.Repeat("XV1d", 21) + `XQ=="`},
	{"bad UTF-8 in text", "text/plain", "\xff", `"data_base64":"/w=="`},
	{"text of another charset", "text/plain; charset=iso-8859-1", "a", `"data_base64":"YQ=="`},
	{"no character in JSON", "application/json", "\"\uffff\"", `"data_base64":"Iu+/vyI="`},
	{"no character in text", "text/plain", "\ufffe", `"data_base64":"77++"`},
	{"the last character in text", "text/plain", "\ufffd", "\"data\":\"\ufffd\""},
	{"binary", "application/octet-stream", "text", `"data_base64":"dGV4dA=="`},
	{"no type, not JSON", "", "text", `"data_base64":"dGV4dA=="`},
}

func TestJSONData(t *testing.T) {
	for _, c := range dataTable {
		t.Run(c.name, func(t *testing.T) {
			e := valid().WithData(c.contentType, []byte(c.data))
			raw, err := event.AppendJSON(nil, e)
			require.NoError(t, err)
			want := `{"specversion":"1.0","source":"/s","type":"t"`
			if c.contentType != "" {
				want += `,"datacontenttype":"` + c.contentType + `"`
			}
			want += `,"id":"1","time":"2026-11-20T11:30:15.123456789Z"`
			if c.member != "" {
				want += "," + c.member
			}
			assert.Equal(t, want+"}", string(raw))
			assert.True(t, json.Valid(raw))
			assert.True(t, utf8.Valid(raw))
			back, err := event.ParseJSON(raw)
			require.NoError(t, err)
			assert.True(t, back.Equal(e))
			assert.Equal(t, c.data, string(back.Data()))
			assert.Equal(t, c.contentType, back.ContentType())
		})
	}
}

func TestJSONAttributes(t *testing.T) {
	e := full()
	raw, err := event.AppendJSON([]byte("kept "), e)
	require.NoError(t, err)
	assert.Equal(t, `kept {"specversion":"1.0","source":"/shop","type":"order-placed","datacontenttype":"application/json",`+
		`"dataschema":"https://shop.example/order.json","id":"id-1","time":"2026-11-20T11:30:15.123456789Z","subject":"order 42",`+
		`"appname":"till","correlationid":"conversation","notbefore":"2026-11-20T12:30:15.123456789Z","partitionkey":"customer-7",`+
		`"tenant":"acme","zone":"b","data":{"n":42}}`, string(raw))

	back, err := event.ParseJSON(raw[5:])
	require.NoError(t, err)
	assert.True(t, back.Equal(e))
	assert.Equal(t, snapshot(e), snapshot(back))
	again, err := event.AppendJSON(nil, back)
	require.NoError(t, err)
	assert.Equal(t, string(raw[5:]), string(again))
}

func TestJSONKeepsAllTextOfAttributes(t *testing.T) {
	for _, text := range []string{`"`, `\`, `\"`, "/", "é€😀", "\ufffd", "<&>", `{"a":1}`, strings.Repeat(`"\`, 4000), "\u00a0", `\u0000`} {
		e := event.Attributes{
			ID: text, Source: "/s'(2)", Type: text, Subject: text, Key: text, ContentType: `a/b;c="d"`,
			Extensions: []event.Extension{{Name: "x", Value: text}},
		}.Event()
		raw, err := event.AppendJSON(nil, e)
		require.NoError(t, err)
		back, err := event.ParseJSON(raw)
		require.NoError(t, err)
		assert.Equal(t, snapshot(e), snapshot(back))
	}
}

func TestAppendJSONRefusesInvalidEvents(t *testing.T) {
	dst := []byte("kept")
	for name, bad := range map[string]event.Event{"id": valid().WithID(""), "subject": valid().WithSubject("\n"), "source": {}} {
		for what, f := range map[string]func([]byte, event.Event) ([]byte, error){
			"AppendJSON": event.AppendJSON, "AppendJSONLine": event.AppendJSONLine,
			"AppendJSONBatch": func(dst []byte, e event.Event) ([]byte, error) { return event.AppendJSONBatch(dst, valid(), e) },
		} {
			got, err := f(dst, bad)
			requireNames(t, err, name)
			assert.Equal(t, "kept", string(got), what)
		}
	}
}

func TestAppendJSONLine(t *testing.T) {
	for _, c := range dataTable {
		e := valid().WithData(c.contentType, []byte(c.data))
		raw, err := event.AppendJSONLine([]byte("x\n"), e)
		require.NoError(t, err)
		lines := strings.SplitAfter(string(raw), "\n")
		require.Len(t, lines, 3, c.name)
		assert.NotContains(t, lines[1], "\r")
		back, err := event.ParseJSON([]byte(lines[1]))
		require.NoError(t, err)
		assert.True(t, back.Equal(e), c.name)
	}
}

func TestJSONOfAllKnownExtensions(t *testing.T) {
	e := valid()
	for _, name := range []string{
		event.ExtKey, event.ExtTraceparent, event.ExtTracestate, event.ExtCorrelationID, event.ExtCausationID, event.ExtTenant,
		event.ExtSchemaVersion,
	} {
		e = e.WithExtension(name, "of "+name)
	}
	raw, err := event.AppendJSON(nil, e)
	require.NoError(t, err)
	back, err := event.ParseJSON(raw)
	require.NoError(t, err)
	assert.Equal(t, snapshot(e), snapshot(back))
}

func TestMarshalJSON(t *testing.T) {
	type story struct {
		Event event.Event  `json:"event"`
		Other *event.Event `json:"other,omitempty"`
	}
	raw, err := json.Marshal(story{Event: full()})
	require.NoError(t, err)
	var back story
	require.NoError(t, json.Unmarshal(raw, &back))
	assert.True(t, back.Event.Equal(full()))

	raw, err = json.Marshal(story{})
	require.NoError(t, err)
	assert.JSONEq(t, `{"event":null}`, string(raw))
	back = story{Event: full()}
	require.NoError(t, json.Unmarshal(raw, &back))
	assert.True(t, back.Event.Equal(full()), "null changes nothing")

	_, err = json.Marshal(story{Event: valid().WithID("")})
	requireNames(t, err, "id")
	requireNames(t, json.Unmarshal([]byte(`{"event":{"specversion":"1.0","id":"1","source":"/s"}}`), &back), "type")
	assert.True(t, back.Event.Equal(full()), "a refused event changes nothing")
}

// minimal is an event with more members.
func minimal(members string) string {
	return `{"specversion":"1.0","id":"1","source":"/s","type":"t"` + members + `}`
}

func TestParseJSON(t *testing.T) {
	bare := event.Event{}.WithID("1").WithSource("/s").WithType("t")
	at := time.Date(2018, 4, 5, 17, 31, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		json string
		want event.Event
	}{
		"minimal":              {minimal(""), bare},
		"space":                {" \n\t\r{ \"specversion\" : \"1.0\" ,\"id\":\n\"1\",\"source\":\t\"/s\",\"type\"\r:\"t\" } \n", bare},
		"any order":            {`{"type":"t","data":1,"source":"/s","id":"1","specversion":"1.0"}`, bare.WithData("", []byte("1"))},
		"null is absent":       {minimal(`,"subject":null,"time":null,"datacontenttype":null,"dataschema":null,"own":null,"partitionkey":null,"notbefore":null`), bare},
		"empty is absent":      {minimal(`,"own":"","partitionkey":"","notbefore":""`), bare},
		"escapes":              {`{"specversion":"1\u002e0","\u0069d":"\u0031","source":"\/s","type":"t","subject":"\"\\\/\u00e9\ud83d\ude00"}`, bare.WithSubject(`"\/é😀`)},
		"integer":              {minimal(`,"own":2147483647,"other":-2147483648,"zero":0,"minus":-0`), bare.WithExtension("own", "2147483647").WithExtension("other", "-2147483648").WithExtension("zero", "0").WithExtension("minus", "0")},
		"boolean":              {minimal(`,"own":true,"other":false`), bare.WithExtension("own", "true").WithExtension("other", "false")},
		"key is an integer":    {minimal(`,"partitionkey":7`), bare.WithKey("7")},
		"time":                 {minimal(`,"time":"2018-04-05T18:31:00+01:00"`), bare.WithTime(at)},
		"the zero time":        {minimal(`,"time":"0001-01-01T00:00:00Z","notbefore":"0001-01-01T00:00:00Z"`), bare},
		"notbefore":            {minimal(`,"notbefore":"2018-04-05T17:31:00Z"`), bare.WithNotBefore(at)},
		"data":                 {minimal(`,"data": {"a" : [ ] } `), bare.WithData("", []byte(`{"a" : [ ] }`))},
		"data is a string":     {minimal(`,"data":"\u0061","datacontenttype":"application/json"`), bare.WithData("application/json", []byte(`"\u0061"`))},
		"data is null":         {minimal(`,"data":null`), bare.WithData("", []byte("null"))},
		"null isn't text":      {minimal(`,"data":null,"datacontenttype":"text/plain"`), bare.WithData("text/plain", nil)},
		"data is text":         {minimal(`,"data":"a\n\u00e9\ud83d\ude00\/","datacontenttype":"text/plain"`), bare.WithData("text/plain", []byte("a\né😀/"))},
		"data is text first":   {`{"data":"a\n","specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain"}`, bare.WithData("text/plain", []byte("a\n"))},
		"text of any type":     {minimal(`,"data":"a","datacontenttype":"application/octet-stream"`), bare.WithData("application/octet-stream", []byte("a"))},
		"empty text":           {minimal(`,"data":"","datacontenttype":"text/plain"`), bare.WithData("text/plain", nil)},
		"base64":               {minimal(`,"data_base64":"AP8\/","datacontenttype":"application/json"`), bare.WithData("application/json", []byte{0, 0xff, 0x3f})},
		"base64 empty or null": {minimal(`,"data_base64":null,"data":1`), bare.WithData("", []byte("1"))},
		"base64 empty":         {minimal(`,"data_base64":""`), bare},
		"nothing but a type":   {minimal(`,"datacontenttype":"application/json"`), bare.WithData("application/json", nil)},
		"64 levels":            {minimal(`,"data":` + strings.Repeat(`{"a":[`, 32) + strings.Repeat(`]}`, 32)), bare.WithData("", []byte(strings.Repeat(`{"a":[`, 32)+strings.Repeat(`]}`, 32)))},
		"a huge number":        {minimal(`,"data":1e999999999`), bare.WithData("", []byte("1e999999999"))},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := event.ParseJSON([]byte(c.json))
			require.NoError(t, err)
			assert.Equal(t, snapshot(c.want), snapshot(got))
			assert.True(t, got.Equal(c.want))
			raw, err := event.AppendJSON(nil, got)
			require.NoError(t, err)
			again, err := event.ParseJSON(raw)
			require.NoError(t, err)
			assert.True(t, again.Equal(got))
		})
	}
}

func TestParseJSONRefuses(t *testing.T) {
	attributes := func(n int) (s string) {
		for i := range n {
			s += fmt.Sprintf(`,"x%d":"v"`, i)
		}
		return s
	}
	long := strings.Repeat("a", event.MaxAttributeValue)
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	for what, c := range map[string]struct{ json, name string }{
		"nothing":                   {"", ""},
		"space":                     {" ", ""},
		"null":                      {"null", ""},
		"array":                     {"[]", ""},
		"string":                    {`"x"`, ""},
		"byte order mark":           {"\ufeff" + minimal(""), ""},
		"open":                      {`{`, ""},
		"not closed":                {minimal("")[:len(minimal(""))-1], ""},
		"more follows":              {minimal("") + "x", ""},
		"two events":                {minimal("") + minimal(""), ""},
		"NUL follows":               {minimal("") + "\x00", ""},
		"comma at the end":          {minimal(","), ""},
		"comma at the beginning":    {"{," + minimal("")[1:], ""},
		"no comma":                  {`{"specversion":"1.0" "id":"1"}`, ""},
		"no colon":                  {`{"specversion" "1.0"}`, ""},
		"name without quotes":       {`{specversion:"1.0"}`, ""},
		"single quotes":             {`{'specversion':'1.0'}`, ""},
		"comment":                   {minimal("/**/"), ""},
		"no value":                  {minimal(`,"own":`), "own"},
		"name isn't closed":         {`{"specversion`, ""},
		"name with control":         {"{\"spec\nversion\":\"1.0\"}", ""},
		"bad UTF-8 in a name":       {"{\"\xff\":\"1.0\"}", ""},
		"half a pair in a name":     {`{"\ud800":"1.0"}`, ""},
		"no specversion":            {`{"id":"1","source":"/s","type":"t"}`, "specversion"},
		"specversion is empty":      {`{"specversion":"","id":"1","source":"/s","type":"t"}`, "specversion"},
		"specversion is unknown":    {`{"specversion":"0.3","id":"1","source":"/s","type":"t"}`, "specversion"},
		"specversion is newer":      {`{"specversion":"1.0.2","id":"1","source":"/s","type":"t"}`, "specversion"},
		"specversion is a number":   {`{"specversion":1.0,"id":"1","source":"/s","type":"t"}`, "specversion"},
		"specversion is null":       {`{"specversion":null,"id":"1","source":"/s","type":"t"}`, "specversion"},
		"no id":                     {`{"specversion":"1.0","source":"/s","type":"t"}`, "id"},
		"id is empty":               {`{"specversion":"1.0","id":"","source":"/s","type":"t"}`, "id"},
		"id is null":                {`{"specversion":"1.0","id":null,"source":"/s","type":"t"}`, "id"},
		"id is a number":            {`{"specversion":"1.0","id":25,"source":"/s","type":"t"}`, "id"},
		"id is an object":           {`{"specversion":"1.0","id":{"a":"b"},"source":"/s","type":"t"}`, "id"},
		"no source":                 {`{"specversion":"1.0","id":"1","type":"t"}`, "source"},
		"source is empty":           {`{"specversion":"1.0","id":"1","source":"","type":"t"}`, "source"},
		"source is no reference":    {`{"specversion":"1.0","id":"1","source":"a b","type":"t"}`, "source"},
		"no type":                   {`{"specversion":"1.0","id":"1","source":"/s"}`, "type"},
		"type is empty":             {`{"specversion":"1.0","id":"1","source":"/s","type":""}`, "type"},
		"type is true":              {`{"specversion":"1.0","id":"1","source":"/s","type":true}`, "type"},
		"time is no time":           {minimal(`,"time":"lunchtime"`), "time"},
		"time is a number":          {minimal(`,"time":1522949460`), "time"},
		"time is empty":             {minimal(`,"time":""`), "time"},
		"time is out of bounds":     {minimal(`,"time":"0000-01-01T00:00:00+01:00"`), "time"},
		"notbefore is no time":      {minimal(`,"notbefore":"soon"`), "notbefore"},
		"notbefore is a number":     {minimal(`,"notbefore":7`), "notbefore"},
		"subject is empty":          {minimal(`,"subject":""`), "subject"},
		"subject is a number":       {minimal(`,"subject":5`), "subject"},
		"content type is empty":     {minimal(`,"datacontenttype":""`), "datacontenttype"},
		"content type is no type":   {minimal(`,"datacontenttype":"xyz"`), "datacontenttype"},
		"schema is empty":           {minimal(`,"dataschema":""`), "dataschema"},
		"schema is relative":        {minimal(`,"dataschema":"/s"`), "dataschema"},
		"extension is an object":    {minimal(`,"own":{}`), "own"},
		"extension is an array":     {minimal(`,"own":[]`), "own"},
		"extension is a fraction":   {minimal(`,"own":1.5`), "own"},
		"extension has an exponent": {minimal(`,"own":1e3`), "own"},
		"a huge exponent":           {minimal(`,"own":1e999999999`), "own"},
		"more than 32 bits":         {minimal(`,"own":2147483648`), "own"},
		"less than 32 bits":         {minimal(`,"own":-2147483649`), "own"},
		"a long number":             {minimal(`,"own":` + strings.Repeat("1", 5000)), "own"},
		"a number with a zero":      {minimal(`,"own":01`), "own"},
		"a lone minus":              {minimal(`,"own":-`), "own"},
		"no literal":                {minimal(`,"own":nul`), "own"},
		"no literal 2":              {minimal(`,"own":trve`), "own"},
		"upper case":                {minimal(`,"OWN":"x"`), "OWN"},
		"another case of id":        {minimal(`,"ID":"2"`), "ID"},
		"another case of data":      {minimal(`,"Data":"2"`), "Data"},
		"hyphen":                    {minimal(`,"my-own":"x"`), "my-own"},
		"object under a bad name":   {minimal(`,"my own":{}`), "my own"},
		"empty name":                {minimal(`,"":"x"`), ""},
		"id twice":                  {minimal(`,"id":"1"`), "id"},
		"id twice, escaped":         {minimal(`,"i\u0064":"2"`), "id"},
		"id twice, null":            {minimal(`,"id":null`), "id"},
		"time twice":                {minimal(`,"time":null,"time":"2018-04-05T17:31:00Z"`), "time"},
		"extension twice":           {minimal(`,"own":"a","own":"b"`), "own"},
		"extension twice, null":     {minimal(`,"own":null,"own":"b"`), "own"},
		"ninth extension twice":     {minimal(attributes(9) + `,"x8":"v"`), "x8"},
		"data twice":                {minimal(`,"data":1,"data":1`), "data"},
		"base64 twice":              {minimal(`,"data_base64":"AA==","data_base64":"AA=="`), "data_base64"},
		"base64 twice, null":        {minimal(`,"data_base64":null,"data_base64":"AA=="`), "data_base64"},
		"both kinds of data":        {minimal(`,"data":1,"data_base64":"AA=="`), "data_base64"},
		"both, null":                {minimal(`,"data_base64":"AA==","data":null`), "data_base64"},
		"base64 is a number":        {minimal(`,"data_base64":1`), "data_base64"},
		"base64 is nothing":         {minimal(`,"data_base64":`), "data_base64"},
		"base64 isn't padded":       {minimal(`,"data_base64":"AA"`), "data_base64"},
		"base64 of URLs":            {minimal(`,"data_base64":"_-8="`), "data_base64"},
		"base64 with lines":         {minimal(`,"data_base64":"AA\n=="`), "data_base64"},
		"base64 with bits left":     {minimal(`,"data_base64":"AB=="`), "data_base64"},
		"data isn't JSON":           {minimal(`,"data":{"a":}`), "data"},
		"data isn't closed":         {minimal(`,"data":[1`), "data"},
		"data is deep":              {minimal(`,"data":` + deep), "data"},
		"data has bad UTF-8":        {minimal(",\"data\":\"\xff\""), "data"},
		"data has a control":        {minimal(",\"data\":\"\n\""), "data"},
		"text is an object":         {minimal(`,"data":{},"datacontenttype":"text/plain"`), "data"},
		"text is a number":          {minimal(`,"data":1,"datacontenttype":"application/xml"`), "data"},
		"text has half a pair":      {minimal(`,"data":"\ud800","datacontenttype":"text/plain"`), "data"},
		"control":                   {minimal(",\"own\":\"a\nb\""), "own"},
		"escaped control":           {minimal(`,"own":"a\nb"`), "own"},
		"escaped NUL":               {minimal(`,"own":"\u0000"`), "own"},
		"escaped delete":            {minimal(`,"own":"\u007f"`), "own"},
		"escaped noncharacter":      {minimal(`,"own":"\uffff"`), "own"},
		"bad UTF-8":                 {minimal(",\"own\":\"\xff\""), "own"},
		"surrogate in UTF-8":        {minimal(",\"own\":\"\xed\xa0\x80\""), "own"},
		"high half":                 {minimal(`,"own":"\ud83d"`), "own"},
		"high half, more":           {minimal(`,"own":"\ud83dabcdef"`), "own"},
		"high half twice":           {minimal(`,"own":"\ud83d\ud83d"`), "own"},
		"low half":                  {minimal(`,"own":"\ude00"`), "own"},
		"high half at the end":      {minimal(`,"own":"\ud83d\u0"`), "own"},
		"unknown escape":            {minimal(`,"own":"\x"`), "own"},
		"short escape":              {minimal(`,"own":"\u12"`), "own"},
		"bad hex":                   {minimal(`,"own":"\u12g4"`), "own"},
		"escape at the end":         {minimal(`,"own":"\`), "own"},
		"value isn't closed":        {minimal(`,"own":"a`)[:len(minimal(`,"own":"a`))-1], "own"},
		"long value":                {minimal(`,"own":"` + long + `a"`), "own"},
		"long value, escaped":       {minimal(`,"own":"` + long + `\u0061"`), "own"},
		"very long, escaped":        {minimal(`,"own":"` + strings.Repeat(`\u0061`, event.MaxAttributeValue+1) + `"`), "own"},
		"long name":                 {minimal(`,"` + long + `":"a"`), long[:event.MaxAttributeName]},
		"long name, escaped":        {minimal(`,"` + long + `\u0061":"a"`), long[:event.MaxAttributeName]},
		"many attributes":           {minimal(attributes(event.MaxAttributes - 3)), ""},
		"many that are null":        {minimal(strings.ReplaceAll(attributes(event.MaxAttributes-3), `"v"`, "null")), ""},
		"much in attributes": {minimal(fmt.Sprintf(`,"a":%q,"b":%q,"c":%q,"d":%q,"e":%q,"f":%q,"g":%q,"h":%q`,
			long, long, long, long, long, long, long, long)), ""},
	} {
		t.Run(what, func(t *testing.T) {
			in := []byte(c.json)
			e, err := event.ParseJSON(in)
			requireNames(t, err, c.name)
			assert.True(t, e.IsZero())
			text := err.Error()
			assert.Less(t, len(text), 400)
			assert.True(t, utf8.ValidString(text))
			for i := range in {
				in[i] = 'X'
			}
			assert.Equal(t, text, err.Error(), "the error keeps nothing of the input")
		})
	}
	_, err := event.ParseJSON([]byte(minimal(attributes(event.MaxAttributes - 4))))
	require.NoError(t, err)
}

func TestParseJSONKeepsNothing(t *testing.T) {
	raw, err := event.AppendJSON(nil, full().WithSource("/not-interned-yet").WithID("an-id-that-does-not-fit-the-core-of-an-event"))
	require.NoError(t, err)
	e, err := event.ParseJSON(raw)
	require.NoError(t, err)
	want := snapshot(e)
	for i := range raw {
		raw[i] = 'X'
	}
	assert.Equal(t, want, snapshot(e))
}

func TestDecoderKeepsData(t *testing.T) {
	raw := []byte(minimal(`,"data":{"a":1}`))
	e, err := event.Decoder{KeepData: true}.ParseJSON(raw)
	require.NoError(t, err)
	assert.Same(t, &raw[bytes.IndexByte(raw[1:], '{')+1], &e.Data()[0])
	assert.Equal(t, len(e.Data()), cap(e.Data()))
}

func TestDecoderMaxBytes(t *testing.T) {
	raw := []byte(minimal(""))
	for limit, good := range map[int]bool{len(raw): true, len(raw) - 1: false, 0: true, -1: true, 1: false} {
		d := event.Decoder{MaxBytes: limit}
		_, err := d.ParseJSON(raw)
		assert.Equal(t, good, err == nil, limit)
		_, inBatch := d.ParseJSONBatch([]byte("[" + minimal("") + "]")[:len(raw)]) // of the same length
		assert.Equal(t, good, !errors.Is(inBatch, event.ErrTooLarge), limit)
		if !good {
			require.ErrorIs(t, err, event.ErrTooLarge)
			requireNames(t, err, "")
		}
	}
	big := []byte(minimal(`,"data":"` + strings.Repeat("a", event.DefaultMaxBytes) + `"`))
	_, err := event.ParseJSON(big)
	require.ErrorIs(t, err, event.ErrTooLarge)
	_, err = event.Decoder{MaxBytes: -1}.ParseJSON(big)
	require.NoError(t, err)
	_, err = event.ParseJSON(big[:len(big)-len(big)%event.DefaultMaxBytes])
	require.NotErrorIs(t, err, event.ErrTooLarge, "exactly the limit")
}

func TestJSONBatch(t *testing.T) {
	events := []event.Event{full(), valid().WithData("text/plain", []byte("x")), valid().WithData("image/png", []byte{1})}
	for n := range len(events) + 1 {
		raw, err := event.AppendJSONBatch([]byte("kept "), events[:n]...)
		require.NoError(t, err)
		assert.Equal(t, "kept [", string(raw[:6]))
		assert.True(t, json.Valid(raw[5:]))
		back, err := event.ParseJSONBatch(raw[5:])
		require.NoError(t, err)
		require.Len(t, back, n)
		assert.NotNil(t, back)
		for i := range back {
			assert.True(t, back[i].Equal(events[i]))
		}
	}
	back, err := event.ParseJSONBatch([]byte(" [ \n" + minimal("") + "\t,\r" + minimal("") + " ] "))
	require.NoError(t, err)
	assert.Len(t, back, 2)

	for what, c := range map[string]struct{ json, name string }{
		"nothing":       {"", ""},
		"object":        {minimal(""), ""},
		"not closed":    {"[" + minimal(""), ""},
		"more follows":  {"[]x", ""},
		"no comma":      {"[" + minimal("") + minimal("") + "]", ""},
		"comma at end":  {"[" + minimal("") + ",]", ""},
		"comma first":   {"[," + minimal("") + "]", ""},
		"null":          {"[null]", ""},
		"nested":        {"[[" + minimal("") + "]]", ""},
		"one is broken": {"[" + minimal("") + "," + minimal(`,"own":{}`) + "]", "own"},
	} {
		got, err := event.ParseJSONBatch([]byte(c.json))
		requireNames(t, err, c.name)
		assert.Nil(t, got, what)
	}
	_, err = event.ParseJSONBatch([]byte("[" + minimal("") + "," + minimal(`,"own":{}`) + "]"))
	assert.Contains(t, err.Error(), "event 2 of the batch")
}
