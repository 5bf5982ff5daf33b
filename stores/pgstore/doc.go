// Package pgstore keeps on PostgreSQL, 14 or later, what leat has to remember: which events
// were handled, and which are to be published; and read models.
//
//	store := pgstore.New(pool)
//	err := store.Migrate(ctx)
//	bus.Subscribe(b, "billing", charge, bus.With(store.InTx()))
//	go store.Relay(ctx, b)
//
// # Exactly one effect
//
// [Store.InTx] is a middleware that runs a handler in a transaction ([Tx]). What it does
// there, the record that its event was handled, and what it publishes commit together.
// There is no moment at which a crash doubles the effect, loses it, or lets one of the three
// happen without the others. [Store.InSQL] does the same with database/sql ([SQLTx]).
//
// A transaction holds a connection of the pool for as long as its handler runs: a group
// needs as many as it has workers. It is READ COMMITTED unless [Serializable] is said,
// whatever the role or the database has for a default; REPEATABLE READ would not do. A
// handler whose process dies, or loses its connection, is rolled back by the server as soon
// as that notices, at the latest after [Idle]; another delivery is postponed until then.
// What the database interrupts (a lost connection, a deadlock, a serialization failure) is
// begun again and is no failure of the event. What can't be committed is one (a deferred
// constraint says no, or who commits may not write what is to be recorded or published).
//
// The store itself is an [idempotency.Store] too, for handlers whose effect is elsewhere:
// idempotency.Middleware(store).
//
// # What is published
//
// Events published in such a handler are rows of the table outbox until a relay has
// published them; [Store.Publish] writes them there in any transaction, without a handler.
// [Store.Relay] publishes them through a bus. Any number of processes may run it: one is
// active, chosen by an advisory lock, and another takes over when its connection ends. It
// publishes again, by the same ids, what it can't know was accepted.
//
// The order is that of the commits: of two transactions of which one began its commit when
// the other's had returned, or had waited for a lock of the other, the events of the first
// go out first. The relay reads what was committed between two snapshots of the database,
// told by the transactions' numbers: a transaction that took its numbers early and
// committed late is in the span in which it committed. So nothing is skipped, and one that
// stays open holds up nobody, unlike with a reader that waits until all before have ended.
// Logical decoding would give the same order; it needs wal_level=logical, the right to
// replicate, and a slot, which keeps the log of a relay that is away.
//
// What the channel refuses for good (too large, delayed too long) is moved to the table
// refused, with the cause, told to [OnRefused], and sent again by [Store.Resend]. Without
// Relay nothing goes out, and the outbox grows: [Store.Backlog] says how much waits.
//
// # Read models
//
// [Store.Model] is a [query.Model]: tables that a projection fills, and in the same
// transactions how far it is. Handlers find theirs with [Tx], [Model.Read] reads.
//
//	m := store.Model(func(ctx context.Context, tx pgx.Tx) error {
//		_, err := tx.Exec(ctx, "create table orders (id text primary key, cents bigint)")
//		return err
//	})
//	p := query.Project(b, "order-list", m)
//
// Each generation of the tables has a schema of its own, named after the store's, the
// projection and a number, with a hash where that is too long or taken. It is the first of
// the search_path, before what the role has there: the same SQL works in each. The role
// needs the right to create schemas in the database. When the tables are to have another
// form, rebuild the projection.
//
// What is applied has a row for each position, which its transaction inserts: no row is
// written by two of them, so that events of different keys don't wait for each other. Of
// two for the same position, or of the same source and id, the second waits for the first,
// for some seconds. From time to time the rows are folded into ranges, by those who apply
// and by [Store.Keep]. To apply an event costs two round trips beside what its handler does,
// one that begins and one that commits; to pass one costs one.
//
// Who commits makes sure that the generation still serves, by an advisory lock that is
// shared until the commit; shared locks of a row would be written by each. Who lets another
// serve takes the lock. So a handler that takes its time doesn't hold up the switch: it runs
// again, in the new generation. The one before is dropped when nobody is in it any more.
//
// These transactions are READ COMMITTED, also with [Serializable]: one that sees only what
// was there when it began could miss what was folded since. The ids of events are kept for
// [Lately], those of events without a position, or that were dead, for [Window].
//
// # Time
//
// A record is kept for [Window] after its last change, or for the longest window that any
// store has had that worked in the same schema (the table kept). The tables are partitioned by time:
// the outbox by days, and what was handled by half windows, unless [Partition] says otherwise.
// What is past is dropped with its partition, nothing is deleted. Relay sees to that, and to partitions ahead; [Store.Keep] does only
// that. Partitions are made for a week ahead: without either for longer than that, nothing
// can be written, events are postponed, and the error says so. The clock is the server's.
//
// # What it can't do
//
// What was committed can be lost with a server whose standby was behind when it took over:
// with synchronous_commit off, or replication that isn't synchronous. Then records and effects
// are lost together, and so is what was published of them, unless it was out. A batch
// takes a lock for each of its events: some hundred are fine with max_locks_per_transaction
// as it is, 64.
//
// A topic that can't be published to, because it isn't there or nobody may, holds up the
// others: the relay publishes one page after the other, and tells [OnError]. In one handler
// events by [Store.Publish] go out behind those that it published with the bus. A
// transaction that publishes can't be prepared (two-phase commit).
//
// Through a pooler that gives each transaction another connection, pgbouncer say,
// transactions and claims work; Migrate, Keep, Relay and [Model.Build] need a session: give
// them a pool that goes to the server.
//
// A handler that ends its transaction by SQL text, or uses what it got from [Tx] when it has
// returned, gets an error where that can be noticed. Commit and rollback of database/sql
// have no time limit of their own.
//
// # Migrations
//
// [Store.Migrate] brings the tables to what this version needs; it may be called by many at
// once. Those with a tool of their own find the files in [Migrations]: each runs once, in
// order, in a transaction, with search_path set to the [Schema]. The user of the application
// needs the right to make and drop partitions, thus to own the tables; or another one calls
// Keep.
//
// After a dump was restored into another cluster transactions count anew: the relay notices,
// and publishes again what the outbox still has.
package pgstore
