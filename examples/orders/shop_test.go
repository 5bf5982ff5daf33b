package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
)

// database makes a database that no other test has, and returns its URL.
func database(t *testing.T) string {
	t.Helper()
	addr, err := url.Parse(servicetest.Addr(t, "postgres"))
	require.NoError(t, err)
	name := "shop_" + strings.ToLower(event.NewID())
	admin := connect(t, addr.String())
	_, err = admin.Exec(t.Context(), "create database "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(context.WithoutCancel(t.Context()), "drop database "+name+" with (force)")
		require.NoError(t, err)
	})
	addr.Path = "/" + name
	return addr.String()
}

func connect(t *testing.T, addr string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// configure returns the configuration of a shop with some flags.
func configure(t *testing.T, postgres string, flags ...string) config {
	t.Helper()
	cfg, err := parse(append([]string{"-postgres", postgres, "-listen", "127.0.0.1:0"}, flags...), t.Output())
	require.NoError(t, err)
	cfg.log = slog.New(slog.NewTextHandler(t.Output(), nil))
	return cfg
}

// start runs a shop until the end of the test, and returns where its page is.
func start(t *testing.T, cfg config) string {
	t.Helper()
	out, says := io.Pipe()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, cfg, says)
		_ = says.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	_, at, ok := strings.Cut(strings.TrimSpace(line), "the shop is open: ")
	require.True(t, ok, line)
	return at
}

// buyer is somebody with a browser, but for the page.
type buyer struct {
	*http.Client

	t    *testing.T
	shop string
}

// patience is how long a test waits for an answer.
const patience = time.Minute

// enter opens the shop's page, as somebody new.
func enter(t *testing.T, shop string) *buyer {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	b := &buyer{Client: &http.Client{Jar: jar, Timeout: patience}, t: t, shop: shop}
	page := b.get("/")
	require.Equal(t, http.StatusOK, page.StatusCode)
	require.NoError(t, page.Body.Close())
	return b
}

// get returns an answer whose body the caller closes.
func (b *buyer) get(path string) *http.Response {
	b.t.Helper()
	answer, err := b.Get(b.shop + path)
	require.NoError(b.t, err)
	return answer
}

// order sends a command, and returns where its operation is.
func (b *buyer) order(command, item string) string {
	b.t.Helper()
	answer, err := b.Post(b.shop+"/commands/"+command, "application/json", strings.NewReader(`{"item":"`+item+`"}`))
	require.NoError(b.t, err)
	defer answer.Body.Close()
	require.Equal(b.t, http.StatusAccepted, answer.StatusCode)
	return answer.Header.Get("Location")
}
