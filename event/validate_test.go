package event_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// requireNames requires an error that names an attribute.
func requireNames(t *testing.T, err error, name string) {
	t.Helper()
	var bad *event.AttributeError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, name, bad.Name, bad.Reason)
	require.NotEmpty(t, bad.Reason)
}

func valid() event.Event {
	return event.Attributes{ID: "1", Source: "/s", Type: "t", Time: noon}.Event()
}

func TestValidateRequired(t *testing.T) {
	require.NoError(t, valid().Validate())
	requireNames(t, valid().WithID("").Validate(), "id")
	requireNames(t, valid().WithSource("").Validate(), "source")
	requireNames(t, valid().WithType("").Validate(), "type")
	requireNames(t, event.Event{}.Validate(), "source")
}

// setters puts a value into each attribute that holds a string.
var setters = map[string]func(string) event.Event{
	"id":              valid().WithID,
	"source":          valid().WithSource,
	"type":            valid().WithType,
	"subject":         valid().WithSubject,
	"datacontenttype": func(s string) event.Event { return valid().WithData(s, nil) },
	"dataschema":      valid().WithSchema,
	event.ExtKey:      valid().WithKey,
	event.ExtTenant:   func(s string) event.Event { return valid().WithExtension(event.ExtTenant, s) },
	"myown":           func(s string) event.Event { return valid().WithExtension("myown", s) },
}

func TestValidateValues(t *testing.T) {
	bad := map[string]string{
		"NUL": "a\x00b", "newline": "a\nb", "carriage return": "a\rb", "tab": "a\tb", "unit separator": "\x1f", "delete": "a\x7f",
		"C1": "a\u0080", "C1 end": "\u009f", "bad UTF-8": "a\xff", "half a rune": "\xe2\x82", "surrogate": "\xed\xa0\x80", "overlong": "\xc0\xaf",
		"noncharacter": "\uffff", "noncharacter FDD0": "\ufdd0", "noncharacter FDEF": "\ufdef", "noncharacter of a plane": "\U0001fffe",
		"late newline": strings.Repeat("a", 40) + "\n",
	}
	for name, set := range setters {
		for what, value := range bad {
			err := set(value).Validate()
			requireNames(t, err, name)
			assert.NotContains(t, err.Error(), value, what)
		}
	}
	for _, value := range []string{"a b", "~", "\u00a0", "€ 😀", "\ufffd", "\ufdcf\ufdf0", strings.Repeat("é", 100)} {
		for _, name := range []string{"id", "type", "subject", event.ExtKey, event.ExtTenant, "myown"} {
			require.NoError(t, setters[name](value).Validate(), "%s %q", name, value)
		}
	}
}

func TestValidateValueLength(t *testing.T) {
	for name, set := range setters {
		value := strings.Repeat("a", event.MaxAttributeValue)
		switch name {
		case "datacontenttype":
			value = "text/" + value[5:]
		case "dataschema":
			value = "urn:" + value[4:]
		}
		require.NoError(t, set(value).Validate(), name)
		requireNames(t, set(value+"a").Validate(), name)
	}
}

func TestValidateNames(t *testing.T) {
	for _, name := range []string{"a", "0", "a1", "myextension", strings.Repeat("a", event.MaxAttributeName)} {
		require.NoError(t, valid().WithExtension(name, "x").Validate(), name)
	}
	for _, name := range []string{"A", "myExtension", "my-extension", "my_extension", "my.extension", "é", "a b", "a\n", "\xff"} {
		requireNames(t, valid().WithExtension(name, "x").Validate(), name)
	}
	requireNames(t, valid().WithExtension("", "x").Validate(), "")
	long := strings.Repeat("a", event.MaxAttributeName+1)
	requireNames(t, valid().WithExtension(long, "x").Validate(), long[:event.MaxAttributeName])
	for _, name := range []string{
		"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "data_base64",
	} {
		requireNames(t, valid().WithExtension(name, "x").Validate(), name)
	}
}

func TestValidateCount(t *testing.T) {
	// specversion, id, source, type and time are there.
	fill := func(e event.Event, n int) event.Event {
		for i := range n {
			e = e.WithExtension(fmt.Sprintf("x%d", i), "v")
		}
		return e
	}
	require.NoError(t, fill(valid(), event.MaxAttributes-5).Validate())
	requireNames(t, fill(valid(), event.MaxAttributes-4).Validate(), "")
	require.NoError(t, fill(valid().WithTime(time.Time{}), event.MaxAttributes-4).Validate())
	everything := valid().WithSubject("s").WithKey("k").WithNotBefore(noon).WithData("text/plain", nil).WithSchema("urn:s")
	require.NoError(t, fill(everything, event.MaxAttributes-10).Validate())
	requireNames(t, fill(everything, event.MaxAttributes-9).Validate(), "")
}

func TestValidateSum(t *testing.T) {
	// Each extension has 8192 bytes with its name; the rest of the sum is in the last one.
	e := valid().WithSubject("subject").WithKey("key").WithNotBefore(noon).WithData("text/plain", nil).WithSchema("urn:s")
	rest := event.MaxAttributesBytes
	for name, value := range map[string]string{
		"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": "subject", "partitionkey": "key", "dataschema": "urn:s",
		"datacontenttype": "text/plain", "time": "2026-11-20T11:30:15.123456789Z", "notbefore": "2026-11-20T11:30:15.123456789Z",
	} {
		rest -= len(name) + len(value)
	}
	for i := range 7 {
		e = e.WithExtension(fmt.Sprintf("x%d", i), strings.Repeat("v", 8190))
		rest -= 8192
	}
	last := func(n int) event.Event { return e.WithExtension("y0", strings.Repeat("v", n)) }
	require.NoError(t, last(rest-2).Validate())
	requireNames(t, last(rest-1).Validate(), "")
}

func TestValidateTimes(t *testing.T) {
	first, last := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
	for _, good := range []time.Time{first, last} {
		require.NoError(t, valid().WithTime(good).Validate())
		require.NoError(t, valid().WithNotBefore(good).Validate())
		assert.Equal(t, good, valid().WithTime(good).Time())
	}
	far := time.Unix(1<<40, 0)
	for _, bad := range []time.Time{first.Add(-1), last.Add(1), far} {
		requireNames(t, valid().WithTime(bad).Validate(), "time")
		requireNames(t, valid().WithNotBefore(bad).Validate(), event.ExtNotBefore)
		assert.True(t, valid().WithTime(bad).Time().Equal(bad), "an instant beyond the nanoseconds of 64 bits is kept")
		assert.NotPanics(t, func() { _ = valid().WithNotBefore(bad).Extension(event.ExtNotBefore) })
	}
}

func TestValidateSource(t *testing.T) {
	for _, good := range []string{
		"/shop", "shop", "1-555-123-4567", "urn:uuid:6e8bc430", "mailto:a@b.example", "https://u:p@h.example:8080/a/b;c=d?x=[1]&y='(2)'#f",
		"//authority/path", "#fragment", "?query", "a%20b", "a%20", "./a:b", "/a:b", "!$&'()*+,;=-._~", "http://[::1]/", "x+y-z.1:a",
	} {
		require.NoError(t, valid().WithSource(good).Validate(), good)
	}
	for _, bad := range []string{
		"a b", `a"b`, "<a>", "a\\b", "a^b", "a`b", "{a}", "a|b", "é", "a%", "a%2", "a%2g", "a%g2", "a#b#c", ":a", "1a:b", "a_b:c", "a%20:b",
	} {
		requireNames(t, valid().WithSource(bad).Validate(), "source")
	}
}

func TestValidateSchema(t *testing.T) {
	for _, good := range []string{"urn:a", "https://shop.example/schemas/1#order", "a:"} {
		require.NoError(t, valid().WithSchema(good).Validate(), good)
	}
	for _, bad := range []string{"/schemas/1", "#order", "order.json", "urn:a b", "//host/path"} {
		requireNames(t, valid().WithSchema(bad).Validate(), "dataschema")
	}
}

func TestValidateContentType(t *testing.T) {
	for _, good := range []string{
		"text/plain", "application/json; charset=utf-8", "application/vnd.shop.order.v1+json", `a/b;c="d e"`, "TEXT/PLAIN", "a/b ; c=d", "x-a/*",
	} {
		require.NoError(t, valid().WithData(good, nil).Validate(), good)
	}
	for _, bad := range []string{"xyz", "text/", "/plain", "text plain", "a/b/c", "a b/c", " a/b", "a/b ", "a/b; ", "a/é", "a/b; c=é", ";a/b"} {
		requireNames(t, valid().WithData(bad, nil).Validate(), "datacontenttype")
	}
}

func TestAttributeErrorText(t *testing.T) {
	err := valid().WithExtension("BAD\n", "x").Validate()
	assert.Equal(t, `event: attribute "BAD\n": name must be lower-case letters and digits`, err.Error())
	err = &event.AttributeError{Reason: "too much"}
	assert.Equal(t, "event: envelope: too much", err.Error())
}

func TestDataIsAlwaysValid(t *testing.T) {
	e := valid().WithData("application/json", []byte("\xff\x00 not JSON"))
	require.NoError(t, e.Validate())
}

// That an event was valid says nothing about its changed copies.
func TestValidateAgain(t *testing.T) {
	e := event.New("/s", "t", nil).WithExtension("a", "1").WithSubject("s")
	for range 2 {
		require.NoError(t, e.Validate())
		for name, changed := range map[string]event.Event{
			"subject":          e.WithSubject("\x00"),
			"a":                e.WithExtension("a", "\x00"),
			"b":                e.WithExtension("b", "\x00"),
			event.ExtNotBefore: e.WithNotBefore(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)),
			event.ExtKey:       e.WithKey("\x00"),
			"id":               e.WithID(strings.Repeat("\x00", 40)),
			"":                 largest(e).WithKey(strings.Repeat("k", event.MaxAttributeValue)),
		} {
			var bad *event.AttributeError
			require.ErrorAs(t, changed.Validate(), &bad, name)
			require.Equal(t, name, bad.Name)
		}
		require.NoError(t, e.Validate())
	}
}

// largest is e with attributes that leave no room for others, found valid.
func largest(e event.Event) event.Event {
	for _, name := range []string{"f", "g", "h", "i", "j", "k", "l"} {
		e = e.WithExtension(name, strings.Repeat("x", event.MaxAttributeValue))
	}
	if err := e.Validate(); err != nil {
		panic(err)
	}
	return e
}

// Events that are equal stay so for those who compare them deeply, as tests do, whatever was
// asked of one of them.
func TestValidateLeavesNoTrace(t *testing.T) {
	e := event.New("/s", "t", nil).WithExtension("a", "1").WithSubject("s")
	same := e.WithSubject("s")
	require.NoError(t, e.Validate())
	require.Equal(t, same, e)
}
