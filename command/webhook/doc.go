// Package webhook tells others by HTTP what became of their commands, by signed requests
// after the specification Standard Webhooks 1.0.0 (https://www.standardwebhooks.com), and
// verifies such requests.
//
//	hooks, err := webhook.New(webhook.Config{Targets: func(ctx context.Context, o command.Operation) ([]webhook.Target, error) {
//		return db.WebhooksOf(ctx, o.Subject)
//	}})
//
// # What is sent
//
// A POST with a [Body] in JSON, and three headers:
//
//   - webhook-id names what happened. It follows from the id and the version of the operation,
//     and so is the same whenever the same state is told again, to whatever target.
//   - webhook-timestamp is the time of this attempt, in seconds since 1970.
//   - webhook-signature has a signature for each of the target's secrets, separated by
//     spaces: v1, and the HMAC-SHA256 of id.timestamp.body in base64. So that secrets can be
//     changed, a target can have several at a time.
//
// # What is success
//
// A status of 2xx. 410 says that the target wants no more: [Config].OnGone is told, and the
// target is not tried again for this operation. Everything else is a failure, also 3xx:
// redirects are not followed. A wait that a receiver asks for by Retry-After, with 429, 502,
// 503 or 504, is kept, up to [Config].MaxWait. What can't be helped by another attempt is
// permanent ([event.Permanent]): a URL or a secret that isn't one, and an address that is
// refused.
//
// # At least once
//
// [Notifier.Notify] asks each target once, up to 8 at a time, and one that fails keeps no
// other from being told. If one failed, Notify returns an error that names it, and when
// Notify is called again all targets are told again, those too that have it. Receivers
// tell repeats by webhook-id. Whoever wants none gives each target a group of its own.
//
// # Where to
//
// Users choose the URLs, and the service that calls them stands inside of a network. So
// only https is allowed, without a user in the URL, and only public addresses: what is
// private, shared, loopback, link-local, multicast, reserved or unspecified is refused,
// written as IPv4 or IPv6, mapped, or through NAT64 or 6to4, and so are the addresses at
// which clouds tell credentials. What is looked at is the address that is dialled, when it
// is dialled: a name that has another address the next time gets nowhere by that. Proxies
// of the environment aren't used, since what they dial nobody here would see.
//
// The answer's body is read up to 64 KiB and dropped.
//
// # What is told of it
//
// Errors name a target by its host and port alone, since URLs can have secrets in them. No
// secret, payload or answer is in an error. Nothing is logged.
//
// # Goroutines
//
// Notify starts up to 8 and waits for them. Connections that are kept for the next request
// have two each, for 30 s at most; [Notifier.Close] ends them.
package webhook
