package fcm

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/leat-go/leat/command"
)

// Config says who sends what to whom. ServiceAccount and Tokens are needed; all else may be
// zero.
type Config struct {
	// ServiceAccount is the JSON file of a service account's key, as the console gives it.
	// It needs the right to send, such as by the role Firebase Cloud Messaging API Admin.
	ServiceAccount []byte
	// Project is the id of the Firebase project. Empty: that of the service account.
	Project string
	// Tokens are the registration tokens of users.
	Tokens Tokens
	// Message says what an operation's user is told. It may be called concurrently. The
	// zero Message is told to nobody. Nil: data alone, with the operation's id, name,
	// state and version under the keys operation, name, state and version.
	Message func(o command.Operation) Message

	// Endpoint is where to send to, without a path: for tests. Empty: https://fcm.googleapis.com.
	Endpoint string
	// Transport makes the requests, also those for access tokens. It follows no redirects.
	// Nil: one of this notifier, that uses the proxies of the environment.
	Transport http.RoundTripper

	Timeout time.Duration // of a request, all in all; 0: 15 s
	MaxWait time.Duration // the longest Retry-After that is kept; 0: an hour
}

// Tokens are the registration tokens of users: a table of the application. Its methods may
// be called concurrently.
type Tokens interface {
	// Of returns the tokens of a subject. None is no failure. Its error is returned by
	// Notify, with its mark if it has one.
	Of(ctx context.Context, subject string) ([]string, error)
	// Remove forgets a token that isn't registered any more. It is called again for one
	// that was forgotten before, if two notifications go out at a time. An error is a
	// failure of the notification.
	Remove(ctx context.Context, subject, token string) error
}

// The defaults of Config, and other bounds.
const (
	defaultEndpoint = "https://fcm.googleapis.com"
	defaultTimeout  = 15 * time.Second
	defaultMaxWait  = time.Hour
	quotaWait       = time.Minute // after a 429 that says no other

	maxAtOnce = 8        // tokens of an operation that are sent to at a time
	maxAnswer = 64 << 10 // bytes of an answer that are read
)

// Notifier is a [command.Notifier] that sends by FCM. Its methods may be called
// concurrently.
type Notifier struct {
	cfg  Config
	url  string
	auth *bearer
}

var _ command.Notifier = (*Notifier)(nil)

// New returns a notifier. It sends nothing, and fails with all that is wrong with the
// configuration, without quoting it.
func New(cfg Config) (*Notifier, error) {
	account, err := readAccount(cfg.ServiceAccount)
	wrong := []error{err}
	if cfg.Tokens == nil {
		wrong = append(wrong, errors.New("fcm: Config.Tokens is nil"))
	}
	if cfg.Project == "" && account != nil {
		cfg.Project = account.project
	}
	if cfg.Project == "" && account != nil {
		wrong = append(wrong, errors.New("fcm: neither Config.Project nor the service account names a project"))
	}
	if cfg.Endpoint == "" {
		cfg.Endpoint = defaultEndpoint
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		wrong = append(wrong, errors.New("fcm: Config.Endpoint is no URL of http or https"))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Notifier{
		cfg:  cfg,
		url:  strings.TrimSuffix(cfg.Endpoint, "/") + "/v1/projects/" + url.PathEscape(cfg.Project) + "/messages:send",
		auth: newBearer(account.jwt, cfg.Transport, cfg.Timeout),
	}, nil
}

func (c Config) withDefaults() Config {
	c.ServiceAccount = nil // its key is in the bearer, and needed nowhere else
	if c.Message == nil {
		c.Message = plainMessage
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.MaxWait <= 0 {
		c.MaxWait = defaultMaxWait
	}
	if c.Transport == nil {
		c.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxIdleConnsPerHost:    maxAtOnce,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
		}
	}
	return c
}
