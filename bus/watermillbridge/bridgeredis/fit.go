package bridgeredis

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// fit looks at the server, once: it has to know all that the library asks for, and must
// not throw streams away. A server that doesn't tell is trusted.
func (s *server) fit(ctx context.Context) error {
	s.mu.Lock()
	done := s.isFit
	s.mu.Unlock()
	if done {
		return nil
	}
	info, err := s.client.Info(ctx).Result()
	switch {
	case redis.HasErrorPrefix(err, "NOPERM"), redis.HasErrorPrefix(err, "unknown command"):
	case err != nil:
		return err
	default:
		if err := fits(info); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isFit = true
	return nil
}

// fits says what is wrong with a server, by its answer to INFO.
func fits(info string) error {
	if version := field(info, "redis_version"); version != "" && !since62(version) {
		return fmt.Errorf("bridgeredis: the server is Redis %s: it can tell what vanished members had from 6.2 on (XPENDING IDLE)", version)
	}
	policy, most := field(info, "maxmemory_policy"), field(info, "maxmemory")
	if strings.HasPrefix(policy, "allkeys-") && most != "0" && most != "" {
		return fmt.Errorf("bridgeredis: the server has maxmemory-policy %s: it would throw streams away when its %s bytes are used; "+
			"with noeviction it refuses new events", policy, most)
	}
	return nil
}

// since62 reports whether a version is 6.2 or later.
func since62(version string) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(second)
	if err != nil || err2 != nil {
		return true // it counts otherwise
	}
	return major > 6 || major == 6 && minor >= 2
}

// field returns a field of an answer to INFO; "" if there is none.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
