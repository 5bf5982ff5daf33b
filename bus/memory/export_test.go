package memory

// NeededMore reports whether all that waited for room ever needed more than
// [MaxOverBound].
func NeededMore(c *Channel) bool {
	c.passing.Lock()
	defer c.passing.Unlock()
	return c.leeway.size > 0
}
