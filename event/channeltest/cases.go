package channeltest

// testCase is one promise and how to break it.
type testCase struct {
	name    string
	promise string // printed when it is broken
	needs   []need
	stands  bool // faults of the channel, at any time
	run     func(e *env)
}

// topicOfCases is the cases about one thing.
type topicOfCases struct {
	name  string
	cases []testCase
}

// suite returns all cases, in the order in which an engine is built.
func suite() []topicOfCases {
	return []topicOfCases{
		{"Delivery", deliveryCases},
		{"Start", startCases},
		{"Bytes", bytesCases},
		{"Produce", produceCases},
		{"Settle", settleCases},
		{"Order", orderCases},
		{"Attempts", attemptCases},
		{"Delay", delayCases},
		{"Hold", holdCases},
		{"Close", closeCases},
		{"Context", contextCases},
		{"Lease", leaseCases},
		{"DeadLetters", deadLetterCases},
		{"Redrive", redriveCases},
		{"Park", parkCases},
		{"Room", roomCases},
		{"Ephemeral", ephemeralCases},
		{"Provisioner", provisionerCases},
		{"Census", censusCases},
		{"Lag", lagCases},
		{"Quiet", quietCases},
		{"GroupProducer", groupProducerCases},
		{"Positions", positionCases},
		{"Ends", endsCases},
		{"Gap", gapCases},
		{"Seeker", seekerCases},
		{"Scheduler", schedulerCases},
		{"Durable", durableCases},
		{"Many", manyCases},
		{"Faults", faultsCases},
	}
}

// need is something that a case can't do without.
type need struct {
	without string // says that it is missing
	met     func(s *spec) bool
}

var (
	order = need{"the channel keeps no order per key", func(s *spec) bool { return s.Guarantees.OrderPerKey }}
	// Giving back one delivery while others of the lane are in hand.
	givesBack     = need{"the channel can't give deliveries back", func(s *spec) bool { return s.Guarantees.GivesBack }}
	retriesLater  = need{"the channel can't delay a retry", func(s *spec) bool { return s.Guarantees.GivesBack && s.Guarantees.MaxRetry != 0 }}
	delays        = need{"the channel can't delay events", func(s *spec) bool { return s.Guarantees.MaxDelay != 0 }}
	limitedRetry  = need{"a retry may have any delay", func(s *spec) bool { return s.Guarantees.MaxRetry >= 0 }}
	attempts      = need{"the channel doesn't count attempts", func(s *spec) bool { return s.Guarantees.CountsAttempts }}
	keepsFailures = need{"the channel doesn't keep failures", func(s *spec) bool { return s.Guarantees.KeepsFailures }}
	history       = need{"the channel has no history", func(s *spec) bool { return s.Guarantees.History }}
	noHistory     = need{"the channel has a history", func(s *spec) bool { return !s.Guarantees.History }}
	parks         = need{"the channel can't park keys", func(s *spec) bool { return s.Guarantees.Parks }}
	parksNot      = need{"the channel can park keys", func(s *spec) bool { return !s.Guarantees.Parks }}
	positions     = need{"the channel has no positions", func(s *spec) bool { return s.Guarantees.Positions }}
	lease         = need{"the length of a lease isn't known", func(s *spec) bool { return s.Guarantees.Lease > 0 }}
	limitedSize   = need{"events may have any size", func(s *spec) bool { return s.Guarantees.MaxBytes > 0 }}
	limitedDelay  = need{"events may have any delay", func(s *spec) bool { return s.Guarantees.MaxDelay >= 0 }}

	renews = need{"deliveries can't be in hand for long", func(s *spec) bool { return s.Guarantees.MaxHold == 0 }}

	two   = members(2)
	three = members(3)

	ephemeral      = need{"the harness doesn't declare Ephemeral", func(s *spec) bool { return s.Ephemeral }}
	bounded        = need{"the harness has no Bounded", func(s *spec) bool { return s.Bounded != nil }}
	crash          = need{"the harness has no Crash", func(s *spec) bool { return s.Crash != nil }}
	crashAfterDead = need{"the harness has no CrashAfterDead", func(s *spec) bool { return s.CrashAfterDead != nil }}
	reopen         = need{"the harness has no Reopen", func(s *spec) bool { return s.Reopen != nil }}
	putRaw         = need{"the harness has no PutRaw", func(s *spec) bool { return s.PutRaw != nil }}

	canProvision   = has(Provisioner)
	hasDeadLetters = has(DeadLetters)
	toGroup        = has(GroupProducer)
	atPosition     = has(PositionProducer)
	cancels        = has(Scheduler)
	knowsGroups    = has(Census)
	seeks          = has(Seeker)
	reportsLag     = has(LagReporter)
	knowsQuiet     = has(Quiescer)
	knowsEnds      = has(Ends)
)

func has(c Capability) need {
	return need{"the channel is no " + c.String(), func(s *spec) bool { return s.Capabilities&c == c }}
}

// atOnce is for cases in which a member has n deliveries in hand, whatever their keys.
func atOnce(n int) need {
	return need{"a member can't have as many deliveries in hand", func(s *spec) bool { return s.handful(n) == n }}
}

// handful returns n, or as many deliveries as a member can have in hand.
func (s *spec) handful(n int) int {
	if most := s.Guarantees.InHand; most > 0 {
		return min(n, most)
	}
	return n
}

func members(n int) need {
	return need{"the harness declares fewer members", func(s *spec) bool { return s.Members == 0 || s.Members >= n }}
}
