// Package request sends events that ask for an answer, and brings the answer back to the
// process that asked: packages command and query are built on it. Applications use those.
//
// # Promises
//
// Each Bus has one inbox, opened with the first request: a private subscription to the
// topic of replies of its App ("shop.replies"), which all its processes hear; a reply names the
// process that it is for, and the others drop it. It is closed by Shutdown, when no handler
// runs any more; who still waits then gets [event.ErrClosed].
//
// The address of an inbox is in the attribute replyto of a request. Only topics of replies
// are answered at: whoever can write a request can't choose where an answer is written
// beside these.
//
// An answer is sent at least once, until the time in replyby; who asked takes the first.
// It is in no store: when the process that asked ends, its answers are lost. What has to
// outlive it is a status, not a reply.
//
// # Goroutines
//
// One for an open inbox.
package request
