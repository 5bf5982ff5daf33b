// Package architecture has no code: its tests hold the picture of leat's
// packages, so that it can't drift from what the packages import.
//
//	command/   query/   lake/             the styles built on the bus
//	─────────────────────────────────────
//	bus/ (and bus/request)                the runtime
//	─────────────────────────────────────
//	idempotency/   schema/   payload/     each usable alone
//	─────────────────────────────────────
//	event/                                events and the contract for channels
//
//	outside:  adapters   bus/memory, bus/kafka, stores/…, lake/s3lake, command/webhook, command/fcm, …
//	          kits       event/channeltest, bus/bustest, …
//	          people     examples/, cmd/, docs/
//	          internal/
//
// What may import what:
//
//   - The house imports downward only. Rooms of one row don't import each
//     other, and bus knows neither schema nor idempotency. No room imports an
//     adapter, a kit or a program.
//   - An adapter imports any room, and never another adapter or a kit.
//   - A kit imports what it tests, what that may import, and bus/memory.
//   - internal/ may be imported by all and imports, of leat, only event and
//     internal/.
//   - examples/, cmd/ and docs/ import what they like and nobody imports them.
//   - A package below a folder named internal belongs to the package that owns
//     that folder.
//   - A package that the picture doesn't know is a failure: put it in first.
package architecture
