package operationstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
)

// full is an operation with everything in it.
func full(id string) command.Operation {
	return command.Operation{
		ID: id, Name: "resize-image", State: command.Failed, Subject: "Jörg \"the 1st\" κόσμε <a&b>\n", Tenant: "größe",
		NotBefore: time.Date(1996, 2, 29, 23, 59, 59, 123456000, time.FixedZone("", -5*3600)),
		Expires:   time.Date(2199, 12, 31, 1, 2, 3, 654321000, time.UTC),
		Attempt:   3, Progress: &command.Stage{Percent: 42, Note: "ünterwegs"},
		Result:  &event.Result{ContentType: "application/octet-stream", Data: []byte("\x00\xff{\"\r\n\x80")},
		Problem: event.NewError("sold_out", "none left, <sorry>").WithDetails(map[string]any{"left": 0, "of": []string{"ä", "b"}}),
		Dead:    true, Begun: true, Sent: true, Fingerprint: "sha256:ab+/=",
	}
}

// difference tells in what two operations differ, or "".
func difference(got, want command.Operation) string {
	var all []string
	differ := func(what string, same bool, got, want any) {
		if !same {
			all = append(all, fmt.Sprintf("%s is %v, not %v", what, got, want))
		}
	}
	for what, times := range map[string][2]time.Time{
		"Created": {got.Created, want.Created}, "Updated": {got.Updated, want.Updated},
		"NotBefore": {got.NotBefore, want.NotBefore}, "Expires": {got.Expires, want.Expires},
	} {
		differ(what, sameTime(times[0], times[1]), times[0], times[1])
	}
	differ("Progress", reflect.DeepEqual(got.Progress, want.Progress), got.Progress, want.Progress)
	differ("Result", sameResult(got.Result, want.Result), got.Result, want.Result)
	differ("Problem", sameProblem(got.Problem, want.Problem), got.Problem, want.Problem)
	differ("the rest", plain(got) == plain(want), plain(got), plain(want))
	return strings.Join(all, "; ")
}

// plain is what can be compared as it is.
func plain(o command.Operation) command.Operation {
	o.Created, o.Updated, o.NotBefore, o.Expires = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	o.Progress, o.Result, o.Problem = nil, nil, nil
	return o
}

// sameTime reports whether two times are the same to the microsecond.
func sameTime(a, b time.Time) bool {
	return a.Sub(b).Abs() < time.Microsecond && a.IsZero() == b.IsZero()
}

func sameResult(a, b *event.Result) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ContentType == b.ContentType && bytes.Equal(a.Data, b.Data)
}

func sameProblem(a, b *event.Error) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Code == b.Code && a.Message == b.Message && sameJSON(a.Details, b.Details)
}

// sameJSON reports whether two texts are the same as JSON: a store may write it its way.
func sameJSON(a, b json.RawMessage) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	var v, w any
	for raw, to := range map[*json.RawMessage]*any{&a: &v, &b: &w} {
		d := json.NewDecoder(bytes.NewReader(*raw))
		d.UseNumber()
		if d.Decode(to) != nil {
			return false
		}
	}
	return reflect.DeepEqual(v, w)
}
