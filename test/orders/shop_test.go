package orders_test

import (
	"bufio"
	"context"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
)

// shop is a process of examples/orders.
type shop struct {
	url string
	db  string
}

// Once its standard input ends, also because the test's process has, so does the program; and
// when the program does, its standard output ends.
const guarded = `"$@" & exec >&-; cat >/dev/null; kill $! 2>/dev/null; wait $!`

// open builds the program and runs it until the end of the test.
func open(t *testing.T, flags ...string) *shop {
	t.Helper()
	s := &shop{db: database(t)}
	program := filepath.Join(t.TempDir(), "orders")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-o", program, "./examples/orders")
	said, err := build.CombinedOutput()
	require.NoError(t, err, string(said))

	run := []string{"-c", guarded, "sh", program, "-postgres", s.db, "-listen", "127.0.0.1:0"}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "sh", append(run, flags...)...)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	_, at, ok := strings.Cut(strings.TrimSpace(line), "the shop is open: ")
	require.True(t, ok, line)
	s.url = at
	return s
}

// database makes a database that no other test has, and returns its URL.
func database(t *testing.T) string {
	t.Helper()
	addr, err := url.Parse(servicetest.Addr(t, "postgres"))
	require.NoError(t, err)
	name := "page_" + strings.ToLower(event.NewID())
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

// ordered returns the items of all orders.
func (s *shop) ordered(t *testing.T) []string {
	t.Helper()
	rows, err := connect(t, s.db).Query(t.Context(), "select item from shop.orders order by id")
	require.NoError(t, err)
	items, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return items
}
