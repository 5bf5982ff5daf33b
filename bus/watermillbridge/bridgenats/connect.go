package bridgenats

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
)

// connect opens the connection. Its errors don't tell what is secret in a URL.
func connect(cfg Config) (*nats.Conn, error) {
	secrets, err := secretsIn(cfg.URL)
	if err != nil {
		return nil, err
	}
	// By default the client gives up after two minutes, for good, and prints errors that
	// the calls return too.
	opts := []nats.Option{nats.Name("leat"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	opts = append(append(opts, cfg.Options...), nats.MaxReconnects(-1))
	nc, err := nats.Connect(cfg.URL, opts...)
	if err == nil {
		return nc, nil
	}
	for _, s := range secrets {
		if strings.Contains(err.Error(), s) {
			return nil, errors.New("bridgenats: the servers can't be reached")
		}
	}
	return nil, fmt.Errorf("bridgenats: %w", err)
}

// secretsIn returns the passwords and tokens in URLs.
func secretsIn(urls string) (secrets []string, err error) {
	for u := range strings.SplitSeq(urls, ",") {
		u = strings.TrimSpace(u)
		if !strings.Contains(u, "://") {
			u = "nats://" + u
		}
		parsed, err := url.Parse(u)
		if err != nil {
			return nil, errors.New("bridgenats: Config.URL is not of the form nats://host:port")
		}
		if parsed.User == nil {
			continue
		}
		secret, is := parsed.User.Password()
		if !is {
			secret = parsed.User.Username() // a token
		}
		if secret != "" {
			secrets = append(secrets, secret)
		}
	}
	return secrets, nil
}
