package kafkatest

import "strings"

// Credentials are for SCRAM-SHA-512.
type Credentials struct{ User, Password string }

// SASLBrokers returns the addresses of the listener that WithSASL adds; without it,
// nil.
func (c *Cluster) SASLBrokers() []string {
	seeds := c.server.Var("LEAT_KAFKA_SASL")
	if seeds == "" {
		return nil
	}
	return strings.Split(seeds, ",")
}

// Admin returns the user who may do all.
func (c *Cluster) Admin() Credentials { return credentials(c.server.Var("LEAT_KAFKA_ADMIN")) }

// Limited returns the user who may do all with topics, groups and transactional ids
// that begin with "limited-", and nothing else.
func (c *Cluster) Limited() Credentials { return credentials(c.server.Var("LEAT_KAFKA_LIMITED")) }

func credentials(s string) Credentials {
	user, password, _ := strings.Cut(s, ":")
	return Credentials{User: user, Password: password}
}
