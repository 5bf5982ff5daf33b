package kafka

import (
	"fmt"
	"slices"
	"strings"
)

// The topics of a group on a topic, beside that itself. Those of dead
// letters and redrives have as many partitions, and what concerns an event of partition
// n is in their partition n.
const (
	deadSuffix    = ".dead"    // dead letters, and what became of them
	redriveSuffix = ".redrive" // events for this group alone
	delaySuffix   = ".delay"   // events that are not due for a while; its partitions are levels
)

func deadTopic(topic, group string) string    { return topic + "." + group + deadSuffix }
func redriveTopic(topic, group string) string { return topic + "." + group + redriveSuffix }
func delayTopic(topic, group string) string   { return topic + "." + group + delaySuffix }

// ownTopics returns the topics of a group on a topic that are always there.
func ownTopics(topic, group string) []string {
	return []string{deadTopic(topic, group), redriveTopic(topic, group)}
}

// waitingTopics returns the topics where there may be events for a group.
func waitingTopics(topic, group string) []string {
	return []string{topic, redriveTopic(topic, group), delayTopic(topic, group)}
}

// isOwn reports whether a topic is a group's own.
func isOwn(name, group string) bool {
	return slices.ContainsFunc([]string{deadSuffix, redriveSuffix, delaySuffix}, func(suffix string) bool {
		return strings.HasSuffix(name, "."+group+suffix)
	})
}

// maxName is the longest name of a topic that a broker takes (Topic.java of Apache
// Kafka).
const maxName = 249

// checkTopic says what is wrong with the name of a topic.
func checkTopic(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("kafka: the name of a topic is empty")
	case name == "." || name == "..":
		return fmt.Errorf("kafka: %q can't be the name of a topic", name)
	case len(name) > maxName:
		return fmt.Errorf("kafka: the topic %q has a name of %d bytes: brokers take %d", name[:60]+"…", len(name), maxName)
	}
	if i := strings.IndexFunc(name, notInTopic); i >= 0 {
		return fmt.Errorf("kafka: the topic %q: brokers take letters, digits and ._- in names alone, not %q", name, name[i:i+1])
	}
	return nil
}

func notInTopic(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
		return false
	}
	return true
}

// checkGroup says what is wrong with the name of a group on a topic: it is part of
// the names of topics.
func checkGroup(group, topic string) error {
	if group == "" {
		return fmt.Errorf("kafka: the name of a group is empty")
	}
	if err := checkTopic(topic); err != nil {
		return err
	}
	if err := checkTopic(redriveTopic(topic, group)); err != nil {
		return fmt.Errorf("kafka: group %q on topic %q needs a topic for its dead letters: %w", group, topic, err)
	}
	return nil
}
