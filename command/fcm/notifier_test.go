package fcm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/command/fcm"
	"github.com/leat-go/leat/event"
)

// table is the tokens of users in memory.
type table struct {
	mu      sync.Mutex
	tokens  map[string][]string
	removed []string
	fails   error // of Of
	keeps   error // of Remove
}

func tokensOf(subject string, tokens ...string) *table {
	return &table{tokens: map[string][]string{subject: tokens}}
}

func (t *table) Of(_ context.Context, subject string) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.tokens[subject]), t.fails
}

func (t *table) Remove(_ context.Context, subject, token string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keeps != nil {
		return t.keeps
	}
	t.tokens[subject] = slices.DeleteFunc(t.tokens[subject], func(s string) bool { return s == token })
	t.removed = append(t.removed, token)
	return nil
}

var operation = command.Operation{ID: "op-1", Name: "ship-order", State: command.Succeeded, Version: 4, Subject: "ada", Tenant: "acme"}

func shipped(command.Operation) fcm.Message {
	return fcm.Message{Title: "Your order", Body: "It has been shipped. ✓", Data: map[string]string{"parcel": "7"}}
}

func TestNotify(t *testing.T) {
	g := newGoogle(t)
	n := g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a", "hush-b"), Message: shipped})
	require.NoError(t, n.Notify(t.Context(), operation))
	slices.SortFunc(g.sent, func(a, b sent) int { return strings.Compare(a.Token, b.Token) })
	note := &shown{"Your order", "It has been shipped. ✓"}
	require.Equal(t, []sent{{"hush-a", note, map[string]string{"parcel": "7"}}, {"hush-b", note, map[string]string{"parcel": "7"}}}, g.sent)
}

// Without a Message the app has what it needs to ask, and to tell repeats.
func TestPlainMessage(t *testing.T) {
	g := newGoogle(t)
	require.NoError(t, g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a")}).Notify(t.Context(), operation))
	require.Equal(t, []sent{{"hush-a", nil, map[string]string{
		"operation": "op-1", "name": "ship-order", "state": "succeeded", "version": "4",
	}}}, g.sent)
}

// Nobody to tell, or nothing to say, is no failure and no request.
func TestNothingToDo(t *testing.T) {
	g := newGoogle(t)
	away := tokensOf("ada", "hush-a")
	away.fails = errors.New("asked")
	anonymous, stranger := operation, operation
	anonymous.Subject, stranger.Subject = "", "bob"
	require.NoError(t, g.notifier(fcm.Config{Tokens: away}).Notify(t.Context(), anonymous))
	require.NoError(t, g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a")}).Notify(t.Context(), stranger))
	silent := fcm.Config{Tokens: away, Message: func(command.Operation) fcm.Message { return fcm.Message{} }}
	require.NoError(t, g.notifier(silent).Notify(t.Context(), operation))
	grants, messages := g.counts()
	require.Zero(t, grants+messages)
}

func TestTokensFail(t *testing.T) {
	g := newGoogle(t)
	away := tokensOf("ada")
	away.fails = errors.New("the database is away")
	n := g.notifier(fcm.Config{Tokens: away})
	err := n.Notify(t.Context(), operation)
	require.ErrorIs(t, err, away.fails)
	require.Equal(t, event.Failed, event.VerdictOf(err).Kind)
	away.fails = event.Postpone(time.Minute, away.fails)
	require.Equal(t, event.Verdict{Kind: event.Postponed, Timed: true, After: time.Minute}, event.VerdictOf(n.Notify(t.Context(), operation)))
}

// What FCM would refuse isn't sent.
func TestMessages(t *testing.T) {
	many := map[string]string{}
	for i := range 100 {
		many[fmt.Sprintf("%020d", i)] = strings.Repeat("x", 20)
	}
	with := func(k, v string) fcm.Message { return fcm.Message{Data: map[string]string{k: v}} }
	for name, c := range map[string]struct {
		message fcm.Message
		want    error
		text    string
	}{
		"title alone":         {fcm.Message{Title: "x"}, nil, ""},
		"body alone":          {fcm.Message{Body: "x"}, nil, ""},
		"at the bound":        {fcm.Message{Title: strings.Repeat("x", 48), Body: strings.Repeat("x", 48), Data: many}, nil, ""},
		"above":               {fcm.Message{Title: strings.Repeat("x", 48), Body: strings.Repeat("x", 49), Data: many}, fcm.ErrTooLarge, "4097 bytes, and 4096"},
		"a long value":        {with("a", strings.Repeat("x", 4096)), fcm.ErrTooLarge, "4097 bytes"},
		"a long title":        {fcm.Message{Title: strings.Repeat("ä", 2049)}, fcm.ErrTooLarge, "4098 bytes"},
		"quotes count once":   {with("a", strings.Repeat(`"`, 4095)), nil, ""},
		"from":                {with("from", "hush"), fcm.ErrKey, `"from"`},
		"message_type":        {with("message_type", "hush"), fcm.ErrKey, `"message_type"`},
		"google":              {with("google", "hush"), fcm.ErrKey, `"google"`},
		"google.x":            {with("google.x", "hush"), fcm.ErrKey, `"google.x"`},
		"gcm":                 {with("gcm", "hush"), fcm.ErrKey, `"gcm"`},
		"gcm.notification":    {with("gcm.notification", "hush"), fcm.ErrKey, `"gcm.notification"`},
		"an empty key":        {with("", "hush"), fcm.ErrKey, `""`},
		"a long reserved key": {with("google"+strings.Repeat("x", 500), "hush"), fcm.ErrKey, `"googlexxx`},
		"within a word":       {with("my_gcm", "x"), nil, ""},
		"fromage":             {with("fromage", "x"), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGoogle(t)
			n := g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a"), Message: func(command.Operation) fcm.Message { return c.message }})
			err := n.Notify(t.Context(), operation)
			if c.want == nil {
				require.NoError(t, err)
				require.Len(t, g.sent, 1)
				require.Equal(t, c.message.Data, g.sent[0].Data)
				return
			}
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.text)
			require.NotContains(t, err.Error(), "hush")
			require.Less(t, len(err.Error()), 200)
			require.Equal(t, event.FailedForGood, event.VerdictOf(err).Kind)
			grants, messages := g.counts()
			require.Zero(t, grants+messages)
		})
	}
}

func TestAnswers(t *testing.T) {
	again, never := event.Verdict{Kind: event.Failed}, event.Verdict{Kind: event.FailedForGood}
	in := func(d time.Duration) event.Verdict { return event.Verdict{Kind: event.Failed, Timed: true, After: d} }
	for name, c := range map[string]struct {
		status    int
		canonical string
		code      string
		wait      string
		want      event.Verdict
		removed   bool
		text      string
	}{
		"unregistered":            {404, "NOT_FOUND", "UNREGISTERED", "", event.Verdict{}, true, ""},
		"a wrong project":         {404, "NOT_FOUND", "", "", again, false, "answered 404 NOT_FOUND"},
		"unregistered elsewhere":  {404, "UNREGISTERED", "", "", again, false, "answered 404 UNREGISTERED"},
		"a wrong token":           {400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "", never, false, "answered 400 INVALID_ARGUMENT"},
		"a wrong field":           {400, "INVALID_ARGUMENT", "", "", never, false, "answered 400 INVALID_ARGUMENT"},
		"of another sender":       {403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "", never, false, "answered 403 SENDER_ID_MISMATCH"},
		"without the right":       {403, "PERMISSION_DENIED", "", "", again, false, "answered 403 PERMISSION_DENIED"},
		"quota":                   {429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "", in(time.Minute), false, "answered 429 QUOTA_EXCEEDED"},
		"quota with a wait":       {429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "7", in(7 * time.Second), false, "answered 429"},
		"quota with a long wait":  {429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "86400", in(time.Hour), false, "answered 429"},
		"429 of another":          {429, "RESOURCE_EXHAUSTED", "", "", in(time.Minute), false, "answered 429 RESOURCE_EXHAUSTED"},
		"unavailable":             {503, "UNAVAILABLE", "UNAVAILABLE", "", again, false, "answered 503 UNAVAILABLE"},
		"unavailable with a wait": {503, "UNAVAILABLE", "UNAVAILABLE", "30", in(30 * time.Second), false, "answered 503 UNAVAILABLE"},
		"internal":                {500, "INTERNAL", "INTERNAL", "", again, false, "answered 500 INTERNAL"},
		"internal with a wait":    {500, "INTERNAL", "INTERNAL", "3", in(3 * time.Second), false, "answered 500 INTERNAL"},
		"a code that is none":     {400, "hush", "hush and more", "", again, false, "answered 400"},
		"redirect":                {307, "X", "", "", again, false, "answered 307"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGoogle(t)
			g.answer = func(w http.ResponseWriter, token string) {
				if token != "hush-a" {
					g.take(w, sent{Token: token})
					return
				}
				w.Header().Set("Location", g.URL+"/elsewhere")
				if c.wait != "" {
					w.Header().Set("Retry-After", c.wait)
				}
				failed(w, c.status, c.canonical, c.code)
			}
			tokens := tokensOf("ada", "hush-b", "hush-a", "hush-c")
			err := g.notifier(fcm.Config{Tokens: tokens, Message: shipped}).Notify(t.Context(), operation)
			require.Equal(t, c.want, event.VerdictOf(err), err)
			require.Len(t, g.sent, 2, "the others are told")
			_, messages := g.counts()
			require.Equal(t, 3, messages, "each is sent to once")
			if c.removed {
				require.Equal(t, []string{"hush-a"}, tokens.removed)
			} else {
				require.Empty(t, tokens.removed)
			}
			if c.text != "" {
				require.ErrorContains(t, err, "fcm: 1 of 3: token 2: "+c.text)
				require.NotContains(t, err.Error(), "hush")
				require.NotContains(t, err.Error(), "shipped")
			}
		})
	}
}

// The longest wait counts, and one that can be helped makes it no permanent failure.
func TestSeveralFail(t *testing.T) {
	g := newGoogle(t)
	g.answer = func(w http.ResponseWriter, token string) {
		switch token {
		case "invalid":
			failed(w, 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
		case "gone":
			failed(w, 404, "NOT_FOUND", "UNREGISTERED")
		case "quota":
			failed(w, 429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
		default:
			w.Header().Set("Retry-After", token)
			failed(w, 503, "UNAVAILABLE", "UNAVAILABLE")
		}
	}
	for want, tokens := range map[event.Verdict][]string{
		{Kind: event.Failed, Timed: true, After: 90 * time.Second}: {"invalid", "90", "quota", "10", "gone"},
		{Kind: event.Failed, Timed: true, After: time.Minute}:      {"quota", "invalid"},
		{Kind: event.Failed}:        {"invalid", ""},
		{Kind: event.FailedForGood}: {"invalid", "gone"},
		{}:                          {"gone"},
	} {
		tokens = slices.DeleteFunc(tokens, func(s string) bool { return s == "" })
		if want == (event.Verdict{Kind: event.Failed}) {
			tokens = append(tokens, "soon") // a wait that can't be read
		}
		err := g.notifier(fcm.Config{Tokens: tokensOf("ada", tokens...)}).Notify(t.Context(), operation)
		require.Equal(t, want, event.VerdictOf(err), tokens)
	}
	tokens := tokensOf("ada", "quota")
	err := g.notifier(fcm.Config{Tokens: tokens, MaxWait: time.Second}).Notify(t.Context(), operation)
	require.Equal(t, time.Second, event.VerdictOf(err).After)
}

// A token that can't be removed is a failure: it would be tried forever.
func TestRemoveFails(t *testing.T) {
	g := newGoogle(t)
	g.answer = func(w http.ResponseWriter, _ string) { failed(w, 404, "NOT_FOUND", "UNREGISTERED") }
	tokens := tokensOf("ada", "hush-a")
	tokens.keeps = errors.New("the database is away")
	n := g.notifier(fcm.Config{Tokens: tokens})
	err := n.Notify(t.Context(), operation)
	require.ErrorIs(t, err, tokens.keeps)
	require.Equal(t, event.Failed, event.VerdictOf(err).Kind)
	tokens.keeps = nil
	require.NoError(t, n.Notify(t.Context(), operation))
	require.Empty(t, tokens.tokens["ada"])
}

// No more than eight tokens are sent to at a time, all by one access token.
func TestTokensAtATime(t *testing.T) {
	g := newGoogle(t)
	account := g.account()
	synctest.Test(t, func(t *testing.T) {
		var grants, messages gauge
		transport := spy(func(r *http.Request) (*http.Response, error) {
			answer, at := "{}", &messages
			if r.URL.Path == "/token" {
				answer, at = `{"access_token": "hush", "token_type": "Bearer", "expires_in": 3599}`, &grants
			}
			at.enter()
			defer at.leave()
			time.Sleep(time.Second) // virtual
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(answer))}, nil
		})
		var tokens []string
		for i := range 30 {
			tokens = append(tokens, fmt.Sprint(i))
		}
		n, err := fcm.New(fcm.Config{ServiceAccount: account, Tokens: tokensOf("ada", tokens...), Transport: transport})
		require.NoError(t, err)
		require.NoError(t, n.Notify(t.Context(), operation))
		require.Equal(t, 8, messages.most)
		require.Equal(t, 1, grants.all)
		require.Equal(t, 30, messages.all)
		time.Sleep(59*time.Minute - 30*time.Second) // virtual
		require.NoError(t, n.Notify(t.Context(), operation))
		require.Equal(t, 1, grants.all, "it is kept until a minute before its end")
		time.Sleep(time.Minute) // virtual
		require.NoError(t, n.Notify(t.Context(), operation))
		require.Equal(t, 2, grants.all)
	})
}

// What isn't an answer of the API is a failure that quotes nothing and removes nothing.
func TestStrangeAnswers(t *testing.T) {
	for _, text := range []string{
		"hush", "", "<html>hush</html>", `{"error": "hush"}`, `{"error": {"status": 7, "details": "hush"}}`, `{"error": {"details": [7, "hush", {"errorCode": 3}]}}`,
		`{"error": {"details": [{"@type": "hush", "errorCode": "UNREGISTERED"}]}}`, `{"error": {"status": "` + strings.Repeat("A", 100) + `"}}`,
		strings.Repeat(" ", 64<<10) + `{"error": {"status": "INVALID_ARGUMENT"}}`,
	} {
		g := newGoogle(t)
		g.answer = func(w http.ResponseWriter, _ string) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, text)
		}
		tokens := tokensOf("ada", "hush-a")
		err := g.notifier(fcm.Config{Tokens: tokens}).Notify(t.Context(), operation)
		require.EqualError(t, err, "fcm: token 1: answered 400", text)
		require.Equal(t, event.Failed, event.VerdictOf(err).Kind)
		require.Empty(t, tokens.removed)
	}
	g := newGoogle(t)
	g.answer = func(w http.ResponseWriter, _ string) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_, _ = io.WriteString(conn, "hush\r\n\r\n")
			_ = conn.Close()
		}
	}
	err := g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a")}).Notify(t.Context(), operation)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hush")
}

func TestSlow(t *testing.T) {
	g := newGoogle(t)
	stuck := make(chan struct{})
	defer close(stuck)
	ctx, cancel := context.WithCancelCause(t.Context())
	var ends atomic.Bool
	g.answer = func(http.ResponseWriter, string) {
		if ends.Load() {
			cancel(event.ErrClosed)
		}
		<-stuck
	}
	long, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	err := g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a"), Timeout: 100 * time.Millisecond}).Notify(long, operation)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, long.Err())
	require.Equal(t, event.Failed, event.VerdictOf(err).Kind)

	ends.Store(true)
	require.Equal(t, event.ErrClosed, g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a")}).Notify(ctx, operation))
}

// gauge counts how many are at something at a time.
type gauge struct {
	mu             sync.Mutex
	now, most, all int
}

func (g *gauge) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all++
	g.now++
	g.most = max(g.most, g.now)
}

func (g *gauge) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now--
}
