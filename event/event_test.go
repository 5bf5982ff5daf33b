package event_test

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// noon is a time with nanoseconds, in a zone.
var noon = time.Date(2026, 11, 20, 12, 30, 15, 123456789, time.FixedZone("CET", 3600))

// full is an event with everything.
func full() event.Event {
	return event.Attributes{
		ID: "id-1", Source: "/shop", Type: "order-placed", Subject: "order 42", Time: noon, Key: "customer-7",
		NotBefore: noon.Add(time.Hour), ContentType: "application/json", Schema: "https://shop.example/order.json",
		Extensions: []event.Extension{
			{Name: event.ExtTenant, Value: "acme"},
			{Name: "appname", Value: "till"},
			{Name: event.ExtCorrelationID, Value: "conversation"},
			{Name: "zone", Value: "b"},
		},
		Data: []byte(`{"n":42}`),
	}.Event()
}

func TestAccessors(t *testing.T) {
	e := full()
	assert.Equal(t, "id-1", e.ID())
	assert.Equal(t, "/shop", e.Source())
	assert.Equal(t, "order-placed", e.Type())
	assert.Equal(t, "order 42", e.Subject())
	assert.Equal(t, time.Date(2026, 11, 20, 11, 30, 15, 123456789, time.UTC), e.Time())
	assert.Equal(t, "customer-7", e.Key())
	assert.Equal(t, time.Date(2026, 11, 20, 12, 30, 15, 123456789, time.UTC), e.NotBefore())
	assert.Equal(t, "application/json", e.ContentType())
	assert.Equal(t, "https://shop.example/order.json", e.Schema())
	assert.Equal(t, []byte(`{"n":42}`), e.Data())
	assert.Equal(t, "conversation", e.CorrelationID())
	assert.False(t, e.IsZero())
	require.NoError(t, e.Validate())

	want := [][2]string{
		{"appname", "till"},
		{"correlationid", "conversation"},
		{"notbefore", "2026-11-20T12:30:15.123456789Z"},
		{"partitionkey", "customer-7"},
		{"tenant", "acme"},
		{"zone", "b"},
	}
	var got [][2]string
	for name, value := range e.Extensions() {
		got = append(got, [2]string{name, value})
		assert.Equal(t, value, e.Extension(name), name)
	}
	assert.Equal(t, want, got, "sorted, with the key and notbefore")
	assert.Empty(t, e.Extension("nothing"))
}

func TestExtensionsStopsWhenTold(t *testing.T) {
	for n := range 7 {
		var names []string
		for name := range full().Extensions() {
			if len(names) == n {
				break
			}
			names = append(names, name)
		}
		assert.Len(t, names, min(n, 6))
	}
	onlyKey := event.New("/s", "t", nil).WithKey("k")
	assert.Equal(t, map[string]string{"partitionkey": "k"}, maps.Collect(onlyKey.Extensions()))
	assert.Empty(t, maps.Collect(event.New("/s", "t", nil).Extensions()))
}

func TestNewEventHasIDAndTime(t *testing.T) {
	before := time.Now()
	data := []byte("text")
	e := event.New("/shop", "order-placed", data)
	data[0] = 'X'
	assert.Equal(t, "text", string(e.Data()), "New keeps a copy")
	assert.Len(t, e.ID(), 26)
	assert.NotEqual(t, e.ID(), event.New("/shop", "order-placed", nil).ID())
	assert.WithinRange(t, e.Time(), before.Add(-time.Millisecond), time.Now().Add(time.Millisecond))
	assert.Equal(t, time.UTC, e.Time().Location())
	assert.Equal(t, e.ID(), e.CorrelationID(), "it starts a conversation")

	given := event.Attributes{ID: "mine", Source: "/s", Type: "t"}.Event()
	assert.Equal(t, "mine", given.ID())
	assert.False(t, given.Time().IsZero())
	timed := event.Attributes{Time: noon, Source: "/s", Type: "t"}.Event()
	assert.Len(t, timed.ID(), 26)
	assert.True(t, timed.Time().Equal(noon))
}

func TestKeepDataKeepsTheSlice(t *testing.T) {
	data := []byte("text")
	kept := event.Attributes{Source: "/s", Type: "t", Data: data, KeepData: true}.Event()
	assert.Same(t, &data[0], &kept.Data()[0])
	assert.Nil(t, event.Attributes{Data: []byte{}, KeepData: true}.Event().Data(), "no data and empty data are the same")
}

func TestDataCannotBeAppendedTo(t *testing.T) {
	room := append(make([]byte, 0, 64), "text"...)
	e := event.Attributes{Source: "/s", Type: "t", Data: room, KeepData: true}.Event()
	_ = append(e.Data(), "more"...)
	assert.Equal(t, "text\x00\x00\x00\x00", string(room[:8]), "an append doesn't write behind the data")
}

func TestZeroEvent(t *testing.T) {
	var e event.Event
	assert.True(t, e.IsZero())
	for name, got := range map[string]string{
		"id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(), "key": e.Key(), "content type": e.ContentType(),
		"schema": e.Schema(), "tenant": e.Extension("tenant"), "notbefore": e.Extension(event.ExtNotBefore), "correlation": e.CorrelationID(),
	} {
		assert.Empty(t, got, name)
	}
	assert.True(t, e.Time().IsZero())
	assert.True(t, e.NotBefore().IsZero())
	assert.Nil(t, e.Data())
	assert.Empty(t, maps.Collect(e.Extensions()))
	assert.Equal(t, []event.Event{{}}, e.One())
	assert.True(t, e.Equal(event.Event{}))
	assert.False(t, e.Equal(full()))
	require.Error(t, e.Validate())

	set := e.WithID("1").WithSource("/s").WithType("t").WithSubject("x").WithExtension("a", "b")
	require.NoError(t, set.Validate())
	assert.False(t, set.IsZero())
	assert.True(t, set.Time().IsZero(), "With… adds nothing on its own")
	assert.True(t, e.IsZero())
	var other event.Event
	assert.Empty(t, other.WithID("2").Subject(), "the zero event is shared by nobody's changes")
}

// changes is each With… with a value that full has not.
var changes = map[string]func(event.Event) event.Event{
	"id":          func(e event.Event) event.Event { return e.WithID("id-2") },
	"long id":     func(e event.Event) event.Event { return e.WithID("an-id-that-does-not-fit-the-core-of-an-event") },
	"source":      func(e event.Event) event.Event { return e.WithSource("/other") },
	"type":        func(e event.Event) event.Event { return e.WithType("order-paid") },
	"subject":     func(e event.Event) event.Event { return e.WithSubject("other") },
	"no subject":  func(e event.Event) event.Event { return e.WithSubject("") },
	"time":        func(e event.Event) event.Event { return e.WithTime(noon.Add(time.Nanosecond)) },
	"no time":     func(e event.Event) event.Event { return e.WithTime(time.Time{}) },
	"key":         func(e event.Event) event.Event { return e.WithKey("other") },
	"no key":      func(e event.Event) event.Event { return e.WithExtension(event.ExtKey, "") },
	"notbefore":   func(e event.Event) event.Event { return e.WithNotBefore(noon) },
	"at once":     func(e event.Event) event.Event { return e.WithNotBefore(time.Time{}) },
	"schema":      func(e event.Event) event.Event { return e.WithSchema("urn:other") },
	"no schema":   func(e event.Event) event.Event { return e.WithSchema("") },
	"data":        func(e event.Event) event.Event { return e.WithData("application/json", []byte("43")) },
	"media type":  func(e event.Event) event.Event { return e.WithData("text/plain", []byte(`{"n":42}`)) },
	"no data":     func(e event.Event) event.Event { return e.WithData("application/json", nil) },
	"extension":   func(e event.Event) event.Event { return e.WithExtension("appname", "desk") },
	"first":       func(e event.Event) event.Event { return e.WithExtension("aaa", "1") },
	"last":        func(e event.Event) event.Event { return e.WithExtension("zzz", "1") },
	"no tenant":   func(e event.Event) event.Event { return e.WithExtension(event.ExtTenant, "") },
	"by its name": func(e event.Event) event.Event { return e.WithExtension(event.ExtNotBefore, "2030-01-01T00:00:00Z") },
	"unreadable":  func(e event.Event) event.Event { return e.WithExtension(event.ExtNotBefore, "soon") },
}

// snapshot is all that can be seen of an event.
func snapshot(e event.Event) any {
	type pair struct{ name, value string }
	var xs []pair
	for name, value := range e.Extensions() {
		xs = append(xs, pair{name, value})
	}
	return []any{
		e.ID(), e.Source(), e.Type(), e.Subject(), e.Time(), e.Key(), e.NotBefore(), e.ContentType(), e.Schema(), string(e.Data()), xs,
	}
}

func TestWithNeverChangesTheOriginal(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			e := full()
			was := snapshot(e)
			changed := change(e)
			assert.Equal(t, was, snapshot(e))
			assert.NotEqual(t, was, snapshot(changed))
			assert.True(t, e.Equal(full()))
			assert.False(t, e.Equal(changed))
			assert.False(t, changed.Equal(e))
			assert.Equal(t, snapshot(changed), snapshot(changed.One()[0]), "One is of the copy")
			for _, next := range changes { // a copy is an original too, and shares what it didn't change
				is := snapshot(changed)
				next(changed)
				assert.Equal(t, is, snapshot(changed))
				assert.Equal(t, was, snapshot(e))
			}
		})
	}
}

func TestWithSetsExactlyThis(t *testing.T) {
	e := full()
	assert.Equal(t, "id-2", e.WithID("id-2").ID())
	long := e.WithID("an-id-that-does-not-fit-the-core-of-an-event")
	assert.Equal(t, "an-id-that-does-not-fit-the-core-of-an-event", long.ID())
	assert.Equal(t, "id-1", long.WithID("id-1").ID())
	assert.True(t, long.WithID("id-1").Equal(e))
	assert.Empty(t, long.WithID("").ID())
	assert.Equal(t, "/other", e.WithSource("/other").Source())
	assert.Equal(t, "other", e.WithType("other").Type())
	assert.Empty(t, e.WithSubject("").Subject())
	assert.True(t, e.WithTime(time.Time{}).Time().IsZero())
	assert.Equal(t, "k", e.WithKey("k").Key())
	assert.Equal(t, "k", e.WithExtension(event.ExtKey, "k").Key())
	assert.Equal(t, "k", e.WithKey("k").Extension(event.ExtKey))
	assert.Equal(t, "urn:s", e.WithSchema("urn:s").Schema())
	changed := e.WithData("text/plain", []byte("x"))
	assert.Equal(t, "text/plain", changed.ContentType())
	assert.Equal(t, "x", string(changed.Data()))

	data := []byte("mine")
	copied := e.WithData("", data)
	data[0] = 'X'
	assert.Equal(t, "mine", string(copied.Data()))
}

func TestNotBeforeByEitherName(t *testing.T) {
	e := event.New("/s", "t", nil)
	byName := e.WithExtension(event.ExtNotBefore, "2030-01-01T01:00:00.5+01:00")
	assert.Equal(t, time.Date(2030, 1, 1, 0, 0, 0, 5e8, time.UTC), byName.NotBefore())
	assert.Equal(t, "2030-01-01T00:00:00.5Z", byName.Extension(event.ExtNotBefore))
	assert.True(t, byName.Equal(e.WithNotBefore(byName.NotBefore())))
	assert.True(t, byName.WithExtension(event.ExtNotBefore, "").Equal(e))

	bad := byName.WithExtension(event.ExtNotBefore, "soon")
	assert.Equal(t, "soon", bad.Extension(event.ExtNotBefore), "visible, so that Validate can name it")
	assert.True(t, bad.NotBefore().IsZero())
	assert.Equal(t, map[string]string{event.ExtNotBefore: "soon"}, maps.Collect(bad.Extensions()))
	requireNames(t, bad.Validate(), event.ExtNotBefore)
	for _, mended := range []event.Event{
		bad.WithExtension(event.ExtNotBefore, "2030-01-01T00:00:00.5Z"),
		bad.WithNotBefore(byName.NotBefore()),
	} {
		require.NoError(t, mended.Validate())
		assert.True(t, mended.Equal(byName))
	}
	assert.True(t, bad.WithNotBefore(time.Time{}).Equal(e))
}

func TestAttributesExtensionsWinAgainstFields(t *testing.T) {
	e := event.Attributes{
		Source: "/s", Type: "t", Key: "field", NotBefore: noon,
		Extensions: []event.Extension{
			{Name: event.ExtKey, Value: "extension"},
			{Name: event.ExtNotBefore, Value: "2030-01-01T00:00:00Z"},
			{Name: "b", Value: "1"},
			{Name: "a", Value: "1"},
			{Name: "b", Value: "2"},
			{Name: "c", Value: ""},
		},
	}.Event()
	assert.Equal(t, "extension", e.Key())
	assert.Equal(t, 2030, e.NotBefore().Year())
	assert.Equal(t, "2", e.Extension("b"), "the last counts")
	names := []string{}
	for name := range e.Extensions() {
		names = append(names, name)
	}
	assert.Equal(t, []string{"a", "b", "notbefore", "partitionkey"}, names)
}

func TestAttributesDoNotKeepTheSlices(t *testing.T) {
	xs := []event.Extension{{Name: "a", Value: "1"}}
	e := event.Attributes{Source: "/s", Type: "t", Extensions: xs}.Event()
	xs[0].Value = "2"
	assert.Equal(t, "1", e.Extension("a"))
}

func TestEqual(t *testing.T) {
	e := full()
	same := e
	assert.True(t, e.Equal(same))
	assert.True(t, e.Equal(full()))
	assert.True(t, e.Equal(full().WithTime(noon.UTC())), "times are instants")
	assert.True(t, e.WithData("", nil).Equal(e.WithData("", []byte{})))
	now := time.Now()
	assert.True(t, e.WithTime(now).Equal(e.WithTime(now.Round(0))), "a monotonic reading isn't part of the time")
	// The same by another way.
	assert.True(t, e.WithSubject("x").WithSubject("order 42").Equal(e))
	assert.True(t, e.WithExtension("new", "1").WithExtension("new", "").Equal(e))
	bare := event.New("/s", "t", nil)
	assert.True(t, bare.WithSubject("x").WithSubject("").Equal(bare))
	for name, change := range changes {
		assert.False(t, e.Equal(change(e)), name)
	}
	assert.False(t, e.WithTime(time.Unix(0, 0)).Equal(e.WithTime(time.Time{})), "the epoch is a time")
	// What moves between attributes makes a difference.
	assert.False(t, e.WithSource("/ab").WithType("c").Equal(e.WithSource("/a").WithType("bc")))
}

func TestOneIsShared(t *testing.T) {
	e := full()
	one := e.One()
	assert.Len(t, one, 1)
	assert.Equal(t, 1, cap(one), "an append makes a copy")
	assert.True(t, one[0].Equal(e))
	assert.Same(t, &one[0], &e.One()[0])
}

func TestStringHasNoData(t *testing.T) {
	e := full().WithData("text/plain", []byte("secret"))
	assert.Equal(t, "order-placed /shop id-1", e.String())
}
