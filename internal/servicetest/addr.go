package servicetest

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Addr returns where the server is that all tests share: what the variable LEAT_NAME
// says, for "rabbitmq" LEAT_RABBITMQ. Tests of other packages use the server at the same
// time: use topics, queues and keys of your own, and delete them in a Cleanup.
//
// Where the variable isn't set the test is skipped; with LEAT_REQUIRE_SERVICES=1 it
// fails.
func Addr(t testing.TB, name string) string {
	t.Helper()
	addr := strings.TrimSpace(os.Getenv(variable(name)))
	if addr == "" {
		missing(t, name, fmt.Sprintf(`%s is not set. Run: eval "$(test/services/up %s)"`, variable(name), name))
	}
	return addr
}

// variable returns what the name of a server's variable is.
func variable(name string) string { return "LEAT_" + strings.ToUpper(name) }

// missing ends a test that needs a server which isn't there.
func missing(t testing.TB, name, why string) {
	t.Helper()
	why = fmt.Sprintf("NO %s: %s", strings.ToUpper(name), why)
	if os.Getenv("LEAT_REQUIRE_SERVICES") == "1" {
		t.Fatal(why + " (LEAT_REQUIRE_SERVICES=1)")
	}
	t.Skip(why)
}
