-- leat on PostgreSQL 14 and later: what was handled (inbox) and what is to be published (outbox).
-- Run it with search_path set to a schema of its own, "leat" unless told otherwise.

-- The functions look here first, also where a session has temporary tables of these names.
do $$ begin
	perform set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
end $$;

create table migrations (
	version int primary key,
	applied timestamptz not null default now()
);

-- The partitions there are, each for a span of time. They are dropped when it is long past.
create table partitions (
	of     text        not null, -- inbox or outbox
	name   text        not null,
	since  timestamptz not null,
	until  timestamptz not null, -- exclusive
	done   pg_snapshot,          -- of the outbox: how far the relay was when it was to go
	primary key (of, name)
);

-- How long records are kept: the longest that anybody has asked for who works here.
create table kept (
	one boolean  primary key default true check (one),
	for_ interval not null default '0'
);
insert into kept default values;

-- What was claimed and what was done, in the partition of its last change. A key is in one
-- partition at most: who looks for it holds an advisory lock on its hash.
create table inbox (
	id          uuid        not null, -- hash of the key
	at          timestamptz not null, -- of the last change
	state       smallint    not null, -- 0 claimed, 1 released, 2 done, 3 failed for good
	fence       bigint      not null,
	attempts    int         not null,
	lease_until timestamptz,          -- of what is claimed
	fingerprint text,
	key         text        not null, -- for people
	record      bytea                 -- of what is done: its result, and what it published
) partition by range (at);

-- What is to be published. A transaction's number (xid) tells whether it was committed
-- between two snapshots; seq is the order within.
create table outbox (
	seq   bigint      not null,
	xid   xid8        not null,
	at    timestamptz not null,
	late  boolean     not null, -- seq is to be that of the commit
	topic text        not null,
	key   text        not null,
	id    text        not null, -- of the event
	type  text        not null, -- of the event
	event text        not null  -- a CloudEvent as JSON
) partition by range (at);

create index on outbox (xid);
create index on outbox (seq);
create sequence outbox_seq;

-- What no channel will ever take, and why.
create table refused (
	seq   bigint      not null,
	at    timestamptz not null default clock_timestamp(),
	cause text        not null,
	topic text        not null,
	id    text        not null,
	event text        not null,
	primary key (seq, id)
);

-- How far the relay is: all that was committed before the snapshot done is published, and
-- of what was committed before the snapshot next all up to seq.
create table relay (
	one     boolean     primary key default true check (one),
	epoch   bigint      not null default 0, -- of the process that publishes
	done    pg_snapshot not null default '1:1:',
	next    pg_snapshot,
	seq     bigint      not null default 0,
	waiting boolean     not null default false -- for a notification
);
insert into relay default values;

-- Of the functions that look for keys none reads a whole partition: a plan that was made
-- while it was empty, and known to be, would go on doing so when it is full.

-- claim_key claims a key, and answers with a state: 0 claimed, 1 busy, 2 done, 3 failed,
-- 4 known with another fingerprint. Without a lease it is done when the transaction commits.
-- It must see what others committed before it got the lock: read committed or serializable.
create function claim_key(
	lock_ bigint, id_ uuid, key_ text, fingerprint_ text, retake_ boolean, lease_ interval,
	out state_ int, out fence_ bigint, out attempts_ int, out left_ms bigint, out record_ bytea
) language plpgsql set search_path from current set enable_seqscan = off as $$
declare
	now_ timestamptz;
	known record;
begin
	if not pg_try_advisory_xact_lock(lock_) then
		state_ := 1;
		left_ms := 100;
		return;
	end if;
	select i.at, i.state, i.fence, i.attempts, i.lease_until, i.fingerprint, i.record into known
		from inbox i where i.id = id_;
	now_ := clock_timestamp();
	if not found then
		insert into inbox (id, at, state, fence, attempts, lease_until, fingerprint, key) values
			(id_, now_, case when lease_ is null then 2 else 0 end, 1, 1, now_ + lease_, fingerprint_, key_);
		state_ := 0;
		fence_ := 1;
		attempts_ := 1;
		return;
	end if;
	if known.fingerprint <> fingerprint_ then
		state_ := 4;
	elsif known.state = 2 then
		state_ := 2;
		record_ := known.record;
	elsif known.state = 3 and not retake_ then
		state_ := 3;
	elsif known.state = 0 and known.lease_until > now_ then
		state_ := 1;
		left_ms := ceil(extract(epoch from known.lease_until - now_) * 1000);
	else
		state_ := 0;
		fence_ := known.fence + 1;
		attempts_ := known.attempts + 1;
		update inbox set at = now_, state = case when lease_ is null then 2 else 0 end, fence = fence_, attempts = attempts_,
			lease_until = now_ + lease_, fingerprint = coalesce(fingerprint, fingerprint_), record = null
			where id = id_ and at = known.at;
	end if;
end $$;

-- claim_new claims a key that is new, as most are, until the transaction ends. Of others it
-- says no, and claim_key says what they are. It has the schema in its text, because to set
-- search_path for a call, and to return a row, cost as much as the claim. The lock comes
-- before the statement that looks: what that sees is what had been committed by then.
-- Who plans it while a partition is known to be empty must not plan to read all of it.
do $do$
begin
	execute format('create function claim_new(lock_ bigint, id_ uuid, key_ text, fingerprint_ text) returns boolean language plpgsql as %L', format($fn$
		declare
			scans text := current_setting('enable_seqscan');
			known bool;
		begin
			if not pg_try_advisory_xact_lock(lock_) then
				return false;
			end if;
			perform set_config('enable_seqscan', 'off', true);
			known := exists (select from %1$I.inbox where id = id_);
			perform set_config('enable_seqscan', scans, true);
			if known then
				return false;
			end if;
			insert into %1$I.inbox (id, at, state, fence, attempts, fingerprint, key) values
				(id_, clock_timestamp(), 2, 1, 1, fingerprint_, key_);
			return true;
		end
	$fn$, current_schema()));
end $do$;

-- claim_keys claims different keys in one transaction; the answers are in their order.
create function claim_keys(locks bigint[], ids uuid[], keys text[], fingerprints text[], retakes boolean[])
returns table (state_ int, left_ms bigint, record_ bytea)
language plpgsql set search_path from current set enable_seqscan = off as $$
declare
	got boolean[];
	known uuid[];
begin
	select array_agg(pg_try_advisory_xact_lock(l.lock_) order by l.n) into got
		from (select lock_, n from unnest(locks) with ordinality as u (lock_, n) offset 0) l;
	select array_agg(i.id) into known from inbox i where i.id = any (ids);
	insert into inbox (id, at, state, fence, attempts, fingerprint, key)
		select w.id, clock_timestamp(), 2, 1, 1, w.fingerprint, w.key
		from unnest(ids, keys, fingerprints, got) as w (id, key, fingerprint, got)
		where w.got and (known is null or w.id <> all (known));
	if known is null and true = all (got) then
		return query select 0, null::bigint, null::bytea from unnest(ids);
		return;
	end if;
	for n in 1 .. cardinality(ids) loop
		if ids[n] = any (known) then
			return query select c.state_, c.left_ms, c.record_
				from claim_key(locks[n], ids[n], keys[n], fingerprints[n], retakes[n], null) c;
		elsif got[n] then
			return query select 0, null::bigint, null::bytea;
		else
			return query select 1, 100::bigint, null::bytea;
		end if;
	end loop;
end $$;

-- settle_key ends a claim, or extends it, if it is still that of the fence.
create function settle_key(lock_ bigint, id_ uuid, fence_ bigint, to_ int, lease_ interval, record_ bytea) returns boolean
language plpgsql set search_path from current set enable_seqscan = off as $$
begin
	perform pg_advisory_xact_lock(lock_);
	update inbox set at = clock_timestamp(), state = to_, lease_until = clock_timestamp() + lease_, record = record_
		where id = id_ and state = 0 and fence = fence_;
	return found;
end $$;

-- record_key records what a transaction's claim led to. A function in SQL would be planned
-- at each call.
create function record_key(id_ uuid, record_ bytea) returns void
language plpgsql set search_path from current set enable_seqscan = off as $$
begin
	update inbox set record = record_ where id = id_;
end $$;

-- fail_key records that a key has failed for good, unless it was done.
create function fail_key(lock_ bigint, id_ uuid, key_ text) returns void
language plpgsql set search_path from current set enable_seqscan = off as $$
begin
	perform pg_advisory_xact_lock(lock_);
	update inbox set at = clock_timestamp(), state = 3 where id = id_ and state <> 2;
	if not found then
		insert into inbox (id, at, state, fence, attempts, key)
			select id_, clock_timestamp(), 3, 1, 1, key_ where not exists (select from inbox where id = id_);
	end if;
end $$;

-- put writes events into the outbox, in their order, and wakes the relay if it waits. The
-- transaction has its number before the events have theirs.
create function put(late_ boolean, topics text[], keys text[], ids text[], types text[], events text[]) returns void
language plpgsql set search_path from current as $$
declare
	xid_ xid8 := pg_current_xact_id();
begin
	insert into outbox (seq, xid, at, late, topic, key, id, type, event)
		select nextval('outbox_seq'), xid_, clock_timestamp(), late_, e.topic, e.key, e.id, e.type, e.event
		from (
			select * from unnest(topics, keys, ids, types, events) with ordinality as u (topic, key, id, type, event, n)
			order by n
		) e;
	if not late_ then
		perform wake();
	end if;
end $$;

create function wake() returns void
language plpgsql set search_path from current as $$
begin
	if exists (select from relay where waiting) then
		perform pg_notify('leat_outbox', current_schema());
	end if;
end $$;

-- at_commit gives an event its place: that of the commit of its transaction, so that of two
-- transactions of which one waited for the other the one that waited comes behind.
create function at_commit() returns trigger
language plpgsql set search_path from current as $$
begin
	update outbox set seq = nextval('outbox_seq') where seq = new.seq and at = new.at;
	perform wake();
	return null;
end $$;

create constraint trigger at_commit after insert on outbox
	deferrable initially deferred for each row when (new.late) execute function at_commit();

-- make_partitions makes the partitions of a table for some spans of time from now on, but
-- not for more than a week, or a span: a claim looks into each.
create function make_partitions(of_ text, span interval, ahead int) returns void
language plpgsql set search_path from current as $$
declare
	s numeric := extract(epoch from span); -- exact
	now_ timestamptz := clock_timestamp();
	since_ timestamptz := to_timestamp((floor(extract(epoch from now_) / s) * s)::float8);
	until_ timestamptz;
	name_ text;
begin
	select greatest(since_, max(p.until)) into since_ from partitions p where p.of = of_;
	while since_ < now_ + least(ahead * span, greatest(span, interval '7 days')) loop
		until_ := to_timestamp(((floor(extract(epoch from since_) / s) + 1) * s)::float8);
		name_ := of_ || to_char(since_ at time zone 'UTC', '_YYYYMMDD_HH24MISSMS');
		execute format('create table %I (like %I including defaults)', name_, of_);
		if of_ = 'inbox' then
			execute format('create unique index on %I (id)', name_);
		end if;
		execute format('alter table %I attach partition %I for values from (%L) to (%L)', of_, name_, since_, until_);
		insert into partitions values (of_, name_, since_, until_);
		since_ := until_;
	end loop;
end $$;

insert into migrations (version) values (1);
