package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Login is a user's name and password. It prints without the password.
type Login struct{ User, Password string }

// String implements [fmt.Stringer].
func (l Login) String() string { return l.User + ":***" }

// GoString implements [fmt.GoStringer].
func (l Login) GoString() string { return l.String() }

// Plain returns the mechanism PLAIN, which sends the password itself: with TLS only.
func Plain(user, password string) sasl.Mechanism { return PlainFrom(always(user, password)) }

// PlainFrom is [Plain] with a password that may change: ask is called for each new
// connection, and where the brokers limit a session also for its renewal.
func PlainFrom(ask func(ctx context.Context) (Login, error)) sasl.Mechanism {
	return plain.Plain(func(ctx context.Context) (plain.Auth, error) {
		l, err := ask(ctx)
		return plain.Auth{User: l.User, Pass: l.Password}, err
	})
}

// ScramSHA256 returns the mechanism SCRAM-SHA-256, which proves that both sides know
// the password and doesn't send it.
func ScramSHA256(user, password string) sasl.Mechanism {
	return ScramSHA256From(always(user, password))
}

// ScramSHA256From is [ScramSHA256] with a password that may change, see [PlainFrom].
func ScramSHA256From(ask func(ctx context.Context) (Login, error)) sasl.Mechanism {
	return scram.Sha256(scramAuth(ask))
}

// ScramSHA512 returns the mechanism SCRAM-SHA-512, see [ScramSHA256].
func ScramSHA512(user, password string) sasl.Mechanism {
	return ScramSHA512From(always(user, password))
}

// ScramSHA512From is [ScramSHA512] with a password that may change, see [PlainFrom].
func ScramSHA512From(ask func(ctx context.Context) (Login, error)) sasl.Mechanism {
	return scram.Sha512(scramAuth(ask))
}

// OAuthBearer returns the mechanism OAUTHBEARER. token is called for each new
// connection, and for the renewal of a session before its token expires; it should
// keep a token while that is good.
func OAuthBearer(token func(ctx context.Context) (string, error)) sasl.Mechanism {
	return bearer{oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		t, err := token(ctx)
		return oauth.Auth{Token: t}, err
	})}
}

// AWSCredentials are what an AWS credentials provider returns. They print without
// the secrets.
type AWSCredentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // of temporary credentials; else ""
}

// String implements [fmt.Stringer].
func (c AWSCredentials) String() string { return c.AccessKeyID + ":***" }

// GoString implements [fmt.GoStringer].
func (c AWSCredentials) GoString() string { return c.String() }

// MSKIAM returns the mechanism AWS_MSK_IAM of Amazon MSK. credentials is called for
// each new connection and for the renewal of a session. The region is read from the
// broker's name, or else from AWS_REGION or AWS_DEFAULT_REGION. With the SDK of AWS:
//
//	kafka.MSKIAM(func(ctx context.Context) (kafka.AWSCredentials, error) {
//		c, err := cfg.Credentials.Retrieve(ctx)
//		return kafka.AWSCredentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, err
//	})
func MSKIAM(credentials func(ctx context.Context) (AWSCredentials, error)) sasl.Mechanism {
	return aws.ManagedStreamingIAM(func(ctx context.Context) (aws.Auth, error) {
		c, err := credentials(ctx)
		if err == nil && (c.AccessKeyID == "" || c.SecretAccessKey == "") {
			err = errors.New("access key id and secret access key must be non-empty")
		}
		return aws.Auth{AccessKey: c.AccessKeyID, SecretKey: c.SecretAccessKey, SessionToken: c.SessionToken}, err
	})
}

func always(user, password string) func(context.Context) (Login, error) {
	return func(context.Context) (Login, error) { return Login{user, password}, nil }
}

func scramAuth(ask func(context.Context) (Login, error)) func(context.Context) (scram.Auth, error) {
	return func(ctx context.Context) (scram.Auth, error) {
		l, err := ask(ctx)
		return scram.Auth{User: l.User, Pass: l.Password}, err
	}
}

// bearer says why a broker refuses a token: the client's mechanism doesn't.
type bearer struct{ sasl.Mechanism }

// Authenticate implements [sasl.Mechanism].
func (b bearer) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	s, first, err := b.Mechanism.Authenticate(ctx, host)
	return bearing{s}, first, err
}

// bearing is one presentation of a token.
type bearing struct{ sasl.Session }

// Challenge implements [sasl.Session]. An answer that isn't empty is a refusal (RFC
// 7628, 3.2.2).
func (b bearing) Challenge(answer []byte) (bool, []byte, error) {
	var why struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(answer, &why) == nil && why.Status != "" {
		return false, nil, fmt.Errorf("the broker refuses the token: %.100q", why.Status)
	}
	return b.Session.Challenge(answer)
}
