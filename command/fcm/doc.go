// Package fcm tells users on their phones and browsers what became of their commands, by
// Firebase Cloud Messaging: its HTTP v1 API.
//
//	push, err := fcm.New(fcm.Config{ServiceAccount: file, Tokens: tokens, Message: func(o command.Operation) fcm.Message {
//		return fcm.Message{Title: "Your order", Body: "It has been shipped.", Data: map[string]string{"operation": o.ID}}
//	}})
//
// # What is sent
//
// The [Message] of an operation goes to each token of its Subject, in a request of its own:
// the API has no other way. An operation without a Subject, or whose Subject has no token,
// is told to nobody, which is no failure. A message that FCM would refuse is permanent
// ([event.Permanent]) before anything is sent: one of more than [MaxMessage] bytes
// ([ErrTooLarge]) or with a key that FCM keeps for itself ([ErrKey]).
//
// # What the answers mean
//
// By the ErrorCode of the FCM reference:
//
//   - UNREGISTERED: the app isn't there any more. The token is removed ([Tokens].Remove),
//     and that is all.
//   - INVALID_ARGUMENT, SENDER_ID_MISMATCH: another attempt can't help this token. If no other
//     failed in another way the error is permanent.
//   - QUOTA_EXCEEDED, and any other 429: the wait that the answer asks for by Retry-After, and
//     a minute without ([event.RetryAfter]). UNAVAILABLE and any other 5xx: that wait if there
//     is one, else that of the bus. No wait is longer than [Config].MaxWait.
//   - 401: the access token is fetched again, once. Not for THIRD_PARTY_AUTH_ERROR, which is
//     about a certificate for APNs or a key for web push.
//   - All else is a failure, and is tried again as the bus says. A 404 that isn't
//     UNREGISTERED removes nothing: a wrong project or endpoint must not cost tokens.
//
// # At least once
//
// [Notifier.Notify] sends to each token once, up to 8 at a time, and one that fails keeps no
// other from being told. If one failed, Notify returns an error, and when it is called again
// all tokens are sent to again: those too that have the message. FCM doesn't drop repeats. An
// app can, by what the data says: without a Config.Message they have the operation's id and
// version.
//
// # Credentials
//
// An access token is fetched when one is needed, with a JWT that the service account's key
// signs (RFC 7523), is kept until a minute before its end, and is fetched by one caller for
// all. Credentials, tokens and what is in messages are in no error, and nothing is logged:
// errors name a token by its place in what Tokens returned.
//
// # Goroutines
//
// Notify starts up to 8 and waits for them.
package fcm
