package request

import (
	"fmt"
	"strings"

	"github.com/leat-go/leat/event"
)

// Address is where answers go: a topic of replies, and the process that waits there.
type Address struct {
	Topic    string // "shop.replies"
	Instance string // an id that the inbox made up
}

const replies = "replies"

// topicOf returns the topic of replies of an application.
func topicOf(app string) string {
	if app == "" {
		return replies
	}
	return app + "." + replies
}

// String returns the address as it is in the attribute replyto.
func (a Address) String() string { return a.Topic + "/" + a.Instance }

// isWritten reports whether a text is the address.
func (a Address) isWritten(text string) bool {
	n := len(a.Topic)
	return len(text) > n && text[n] == '/' && text[:n] == a.Topic && text[n+1:] == a.Instance
}

// maxAddress bounds an address, which comes from outside.
const maxAddress = 256

// ParseAddress reads an address: of a topic of replies, and nothing else.
func ParseAddress(s string) (Address, error) {
	topic, instance, ok := strings.Cut(s, "/")
	app, named := strings.CutSuffix(topic, replies)
	switch {
	case len(s) > maxAddress, !ok, !named, instance == "", !plain(instance):
	case app == "":
		return Address{topic, instance}, nil
	case strings.HasSuffix(app, ".") && len(app) > 1 && plain(app[:len(app)-1]):
		return Address{topic, instance}, nil
	}
	return Address{}, fmt.Errorf("request: %s is no address of replies", event.ExtReplyTo)
}

// plain reports whether a text is of letters, digits, '-' and '_', as names of
// applications are.
func plain(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
