// Package watermill holds leat against Watermill: its cqrs, and its own pub/subs on the
// same topics.
package watermill
