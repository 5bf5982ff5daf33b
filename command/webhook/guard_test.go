package webhook

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command"
)

func TestGuard(t *testing.T) {
	strict, lax := guard(false), guard(true)
	for _, a := range []string{
		"0.0.0.0", "0.1.2.3", // unspecified, this network
		"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", // private
		"100.64.0.1", "100.127.255.255", // shared by a carrier's customers
		"127.0.0.1", "127.255.255.254", // loopback
		"169.254.1.1", // link-local
		"192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", // multicast, reserved, broadcast
		"::", "::1", "::10.0.0.1", "::8.8.8.8", // unspecified, loopback, IPv4-compatible
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a00:1", // mapped
		"64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "64:ff9b:1::8.8.8.8", // NAT64
		"100::1", "fc00::1", "fdff::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "5f00::1",
		"2001::1", "2001:0:7f00:1::", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "3fff::1",
		"4000::1", // not assigned
	} {
		at := netip.AddrPortFrom(netip.MustParseAddr(a), 443).String()
		require.ErrorIs(t, strict(t.Context(), "tcp", at, nil), ErrAddress, a)
		require.NoError(t, lax(t.Context(), "tcp", at, nil), a)
	}
	for _, a := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
		"172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
		"::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2001:4860:4860::8888", "2600::1", "2a00:1450::1", "2001:200::1", "3ffe::1",
	} {
		at := netip.AddrPortFrom(netip.MustParseAddr(a), 443).String()
		require.NoError(t, strict(t.Context(), "tcp", at, nil), a)
	}
	// What clouds tell credentials at is refused where private addresses are allowed too.
	for _, a := range []string{
		"169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
		"168.63.129.16", "192.0.0.192", "100.100.100.200",
		"::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "64:ff9b:1::a9fe:a9fe", "fd00:ec2::254%eth0",
	} {
		at := netip.AddrPortFrom(netip.MustParseAddr(a), 80).String()
		require.ErrorIs(t, strict(t.Context(), "tcp", at, nil), ErrAddress, a)
		require.ErrorIs(t, lax(t.Context(), "tcp", at, nil), ErrAddress, a)
	}
	for _, at := range []string{"", "host:80", "1.1.1.1", "/run/x.sock"} {
		require.ErrorIs(t, strict(t.Context(), "unix", at, nil), ErrAddress, at)
		require.ErrorIs(t, lax(t.Context(), "unix", at, nil), ErrAddress, at)
	}
}

// The standard library has no rule by which an address is private that isn't one here.
func TestGuardKnowsWhatNetKnows(t *testing.T) {
	for _, p := range append(append(prefixes("fc00::/7", "fe80::/10", "ff00::/8", "::1/128"), specialIPv4...), specialIPv6...) {
		for _, a := range []netip.Addr{p.Addr(), p.Addr().Next()} {
			ip := net.IP(a.AsSlice())
			if ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
				require.True(t, private(a), a)
			}
		}
	}
}

// Proxies of the environment are not used: what they dial isn't looked at.
func TestNoProxy(t *testing.T) {
	require.Nil(t, newTransport(Config{}, guard(false)).Proxy)
}

// No more than eight targets are asked at a time.
func TestTargetsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets := make([]Target, 30)
		for i := range targets {
			targets[i] = Target{URL: "http://" + strconv.Itoa(i) + ".example", Secrets: []Secret{NewSecret()}}
		}
		n, err := New(Config{AllowPlain: true, Targets: func(context.Context, command.Operation) ([]Target, error) { return targets, nil }})
		require.NoError(t, err)
		var mu sync.Mutex
		var now, most, all int
		n.transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			mu.Lock()
			all++
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second) // virtual
			mu.Lock()
			now--
			mu.Unlock()
			return nil, errStop
		}
		require.ErrorContains(t, n.Notify(t.Context(), command.Operation{}), "30 of 30")
		require.Equal(t, 8, most)
		require.Equal(t, 30, all)
	})
}
