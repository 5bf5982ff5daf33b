package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// ErrAddress is the error of an address that is refused: it isn't public.
var ErrAddress = errors.New("webhook: the address is not public")

// control looks at an address right before it is dialled.
type control = func(ctx context.Context, network, address string, _ syscall.RawConn) error

// guard refuses addresses that are not public; where private ones are allowed, those of
// metadata alone.
func guard(allowPrivate bool) control {
	refused := private
	if allowPrivate {
		refused = metadata
	}
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || refused(at.Addr()) {
			return fmt.Errorf("%w: %s", ErrAddress, at.Addr())
		}
		return nil
	}
}

// metadataAddrs are those at which clouds tell their machines and containers credentials.
var metadataAddrs = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), // most
	netip.MustParseAddr("169.254.170.2"),   // AWS, tasks of ECS
	netip.MustParseAddr("169.254.170.23"),  // AWS, pods of EKS
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd00:ec2::23"),    // AWS, pods of EKS
	netip.MustParseAddr("fd20:ce::254"),    // Google
	netip.MustParseAddr("168.63.129.16"),   // Azure: public, and not to be had from outside
	netip.MustParseAddr("192.0.0.192"),     // Oracle
	netip.MustParseAddr("100.100.100.200"), // Alibaba
}

// specialIPv4 is what isn't to be reached globally: the IANA IPv4 Special-Purpose Address
// Registry (RFC 6890), multicast, and the class that is reserved.
var specialIPv4 = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)

// globalIPv6 is all that is in use as global unicast; the rest is local, multicast or
// reserved (RFC 4291, section 2.4).
var globalIPv6 = netip.MustParsePrefix("2000::/3")

// specialIPv6 is what isn't to be reached globally of it: the IANA IPv6 Special-Purpose
// Address Registry. 2001::/23 has Teredo in it, which leads to IPv4 as 6to4, 2002::/16, does.
var specialIPv6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

// nat64 leads to the IPv4 address in its last four bytes (RFC 6052, section 2.1). In networks
// of IPv6 alone that is how public addresses look.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// plain returns an address as what it leads to. A zone would be in no prefix.
func plain(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

// Two more that lead to IPv4: 6to4 (RFC 3056) and NAT64 of a network's own (RFC 8215). They are
// refused as such, so it counts only for metadata what they lead to.
var (
	sixToFour  = netip.MustParsePrefix("2002::/16")
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")
)

// tunnelled returns an address as what it leads to by way of these.
func tunnelled(a netip.Addr) netip.Addr {
	a = plain(a)
	switch {
	case sixToFour.Contains(a):
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[2:6]))
	case localNAT64.Contains(a):
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

// metadata reports whether a cloud tells credentials there.
func metadata(a netip.Addr) bool { return slices.Contains(metadataAddrs, tunnelled(a)) }

// private reports whether an address isn't one of the public internet.
func private(a netip.Addr) bool {
	if metadata(a) {
		return true
	}
	a = plain(a)
	special := specialIPv4
	if a.Is6() {
		if !globalIPv6.Contains(a) {
			return true
		}
		special = specialIPv6
	}
	return slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}
