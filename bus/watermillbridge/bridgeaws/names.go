package bridgeaws

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// The longest names, as the references of CreateTopic and CreateQueue say.
const (
	longestTopic = 256
	longestQueue = 80
)

// hashed is the length of the end of a name that tells it from others.
const hashed = 1 + 2*10

// TopicName returns the name of the SNS topic of a topic. It is the topic's own where SNS
// allows that: ASCII letters, digits, - and _, 256 at most. Else - stands for what isn't
// allowed, what is too long is cut, and an underscore and a hash of the topic's name in 20
// hexadecimal digits follow. Names that end like that themselves get another such end:
// no two topics have the same name.
func TopicName(topic string) string {
	if topic != "" && len(topic) <= longestTopic && plain(topic) == topic && !endsHashed(topic) {
		return topic
	}
	return withHash(longestTopic, topic, topic)
}

// QueueName returns the name of the SQS queue of a group on a topic: both names with -
// between them and for what SQS doesn't allow, cut to the 80 characters of the longest
// name, and with a hash at the end as in [TopicName], always: no two pairs of group and
// topic have the same queue.
func QueueName(topic, group string) string {
	return withHash(longestQueue, topic+"-"+group, topic+"\x00"+group)
}

// withHash returns a name that is like another one, with a hash of what it is for.
func withHash(longest int, like, of string) string {
	sum := sha256.Sum256([]byte(of))
	like = plain(like)
	return like[:min(len(like), longest-hashed)] + "_" + hex.EncodeToString(sum[:hashed/2])
}

// plain returns s with - for what names can't have.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, s)
}

// endsHashed reports whether a name ends as those with a hash do.
func endsHashed(s string) bool {
	if len(s) < hashed || s[len(s)-hashed] != '_' {
		return false
	}
	return strings.Trim(s[len(s)-hashed+1:], "0123456789abcdef") == ""
}
