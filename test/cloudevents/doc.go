// Package cloudevents checks leat's encodings of events against the official SDK of
// CloudEvents: what the one writes the other reads as the same event, in structured
// mode and in binary mode, and where they differ a test says so.
package cloudevents
