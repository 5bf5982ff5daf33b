// Package servicetest gives tests the real servers of test/services: the one of each
// kind that all tests share ([Addr]), or a private [Server] that may be killed and
// paused. The scripts there put the servers in place and run them.
//
// Where a server can't be had a test is skipped, loudly. With LEAT_REQUIRE_SERVICES=1
// it fails instead: a gate that skips tests holds nothing.
package servicetest
