package watermillbridge

// The topics of a group on a topic, beside that itself.
const (
	deadSuffix    = ".dead"    // its dead letters
	redriveSuffix = ".redrive" // events for this group alone
)

func deadTopic(topic, group string) string    { return topic + "." + group + deadSuffix }
func redriveTopic(topic, group string) string { return topic + "." + group + redriveSuffix }

// lettersGroup is who reads the dead letters of a group: those who look at them. It is
// none of the group's members, lest they share the letters with it.
func lettersGroup(group string) string { return group + ".letters" }
