-- Read models: generations of their tables, in schemas of their own, and how far each is.
-- Run it with search_path set to the schema of 0001.

do $$ begin
	perform set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
end $$;

create table models (
	id         int      generated always as identity primary key,
	projection text     not null unique,
	serving    int,                          -- the generation that serves
	last       int      not null default 0,  -- the number given out last
	lately     interval not null default '0' -- for how long it is known which events are in it
);

create table generations (
	model      int     not null references models,
	generation int     not null,
	namespace  text    not null,               -- the schema that has its tables
	gone       boolean not null default false, -- to be dropped: nobody begins anything in it
	primary key (model, generation)
);

-- How far a generation is with a lane: what was in applied until it was folded.
create table lanes (
	model      int            not null,
	generation int            not null,
	topic      text           not null,
	lane       int            not null,
	done       int8multirange not null default '{}', -- applied or passed, or without an event
	dead       int8multirange not null default '{}', -- what failed for good, none of it in done
	primary key (model, generation, topic, lane),
	foreign key (model, generation) references generations on delete cascade
) with (fillfactor = 50);

-- What a generation was done with since the last folding, a row for each: those who apply
-- events of different keys write nothing in common.
create table applied (
	model      int     not null,
	generation int     not null,
	topic      text    not null,
	lane       int     not null,
	last       bigint  not null, -- the position
	first      bigint  not null, -- where the gap before it begins
	dead       boolean not null,
	primary key (model, generation, topic, lane, last)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- The events that a generation was done with lately. Ids are hashes.
create table seen (
	model      int         not null,
	generation int         not null,
	event      uuid        not null, -- its source and id
	id         uuid        not null,
	cause      uuid,
	applied    boolean     not null, -- or passed
	until      timestamptz not null,
	primary key (model, generation, event)
);

create index on seen (model, generation, id);
create index on seen (model, generation, cause) where cause is not null;
create index on seen (until);

-- What a lane of a generation is done with, dead or not, folded or not.
create view progress as
	select model, generation, topic, lane, range_agg(r) as covered
	from (
		select model, generation, topic, lane, unnest(done + dead) as r from lanes
		union all
		select model, generation, topic, lane, int8range(first, last, '[]') from applied
	) x
	group by model, generation, topic, lane;

-- The locks. That of a generation is shared by who is in it, and taken by who drops it. That
-- of its commits is shared by who commits in it, and taken by who lets another serve. That of a model
-- is taken by who says which of its generations are gone. All are of transactions, but for
-- that of who builds the next generation.
create function lock_of(what text, model_ int, generation_ int) returns bigint language plpgsql stable set search_path from current as $$
begin
	return hashtextextended(concat_ws(' ', 'leat model', current_schema(), what, model_, generation_), 0);
end $$;

-- The functions for each event have the schema in their text: to set search_path for a call
-- costs as much as the call, and those that set it for the handler couldn't.
do $do$
declare
	here text := current_schema();
	prefix text := 'leat model ' || current_schema() || ' '; -- as in lock_of
begin
-- begin_step notes that an event is applied, and lets the transaction find the tables of the
-- generation, which it returns. 0: the position is done, or the event was applied at another.
-- -1: there is no such generation. It waits for others that have the same in hand.
--
-- A row is written before the folded ones are looked at, in a later statement: either the
-- row of another is still there, and this one conflicts, or its folding is seen. So it needs
-- read committed. What lies in the gap of another position is done as well, but not what
-- is dead.
execute format('create function begin_step(model_ int, generation_ int, topic_ text, lane_ int, first_ bigint, last_ bigint, '
	'event_ uuid, id_ uuid, cause_ uuid, again_ boolean, long_ interval) returns int language plpgsql as %L', format($fn$
declare
	waits text := current_setting('lock_timeout');
	path text := current_setting('search_path');
	g int;
	namespace_ text;
	lately_ interval;
	known record;
	was_dead boolean := false;
begin
	perform set_config('lock_timeout', '10s', true);
	loop
		select n.generation, n.namespace, m.lately into g, namespace_, lately_ from %1$I.models m join %1$I.generations n
			on n.model = m.id and n.generation = case generation_ when 0 then m.serving else generation_ end
			where m.id = model_ and not n.gone;
		if not found then
			return -1;
		end if;
		perform pg_advisory_xact_lock_shared(hashtextextended(%2$L || 'in ' || model_ || ' ' || g, 0));
		exit when exists (select from %1$I.generations n where n.model = model_ and n.generation = g and not n.gone);
	end loop;
	while last_ > 0 loop
		insert into %1$I.applied values (model_, g, topic_, lane_, last_, first_, false) on conflict do nothing;
		if found then
			select l.done @> last_ as done, l.dead @> last_ as dead, (
				select a.first <= last_ from %1$I.applied a
				where a.model = model_ and a.generation = g and a.topic = topic_ and a.lane = lane_ and a.last > last_
				order by a.last limit 1
			) as passed into known
				from (values (1)) one left join %1$I.lanes l
				on l.model = model_ and l.generation = g and l.topic = topic_ and l.lane = lane_;
			was_dead := coalesce(known.dead, false);
			if known.done or known.passed and not was_dead then
				return 0;
			end if;
			exit;
		end if;
		update %1$I.applied a set dead = false, first = least(a.first, first_)
			where a.model = model_ and a.generation = g and a.topic = topic_ and a.lane = lane_ and a.last = last_ and a.dead;
		if found then
			was_dead := true;
			exit;
		end if;
		if exists (select from %1$I.applied a
			where a.model = model_ and a.generation = g and a.topic = topic_ and a.lane = lane_ and a.last = last_ and not a.dead) then
			return 0;
		end if; -- else it was folded just now
	end loop;
	if event_ is not null then
		insert into %1$I.seen as s values (model_, g, event_, id_, cause_, true,
				clock_timestamp() + case when again_ or was_dead then greatest(lately_, long_) else lately_ end)
			on conflict (model, generation, event) do update set applied = true, until = greatest(s.until, excluded.until)
				where not s.applied;
		if not found then
			return 0;
		end if;
	end if;
	perform set_config('search_path', concat_ws(', ', quote_ident(namespace_), nullif(path, '')), true);
	perform set_config('lock_timeout', waits, true);
	return g;
end $fn$, here, prefix));

-- commit_step fails where the generation doesn't serve any more, or is gone. From then on
-- until the commit no other will serve. Who is told begins again.
execute format('create function commit_step(model_ int, generation_ int, serving_ boolean) returns void language plpgsql as %L', format($fn$
begin
	perform pg_advisory_xact_lock_shared(hashtextextended(%2$L || 'commit ' || model_ || ' ' || generation_, 0));
	if not exists (select from %1$I.models m join %1$I.generations n on n.model = m.id and n.generation = generation_
		where m.id = model_ and not n.gone and (not serving_ or m.serving = generation_)) then
		raise exception 'another generation of the read model serves' using errcode = 'serialization_failure';
	end if;
end $fn$, here, prefix));

-- pass_step notes that a generation is done with an event that isn't applied. It returns
-- whether there is such a generation.
execute format('create function pass_step(model_ int, generation_ int, topic_ text, lane_ int, first_ bigint, last_ bigint, '
	'event_ uuid, id_ uuid, cause_ uuid, dead_ boolean) returns boolean language plpgsql as %L', format($fn$
declare
	g int;
	lately_ interval;
begin
	loop
		select n.generation, m.lately into g, lately_ from %1$I.models m join %1$I.generations n
			on n.model = m.id and n.generation = case generation_ when 0 then m.serving else generation_ end
			where m.id = model_ and not n.gone;
		if not found then
			return false;
		end if;
		perform pg_advisory_xact_lock_shared(hashtextextended(%2$L || 'commit ' || model_ || ' ' || g, 0));
		exit when exists (select from %1$I.generations n where n.model = model_ and n.generation = g and not n.gone);
	end loop;
	while last_ > 0 loop
		insert into %1$I.applied values (model_, g, topic_, lane_, last_, first_, dead_) on conflict do nothing;
		if found then
			delete from %1$I.applied a using %1$I.lanes l
				where a.model = model_ and a.generation = g and a.topic = topic_ and a.lane = lane_ and a.last = last_
				and l.model = model_ and l.generation = g and l.topic = topic_ and l.lane = lane_ and l.done @> last_;
			exit;
		end if;
		update %1$I.applied a set dead = false
			where a.model = model_ and a.generation = g and a.topic = topic_ and a.lane = lane_ and a.last = last_ and a.dead and not dead_;
		exit when found;
		exit when exists (select from %1$I.applied a
			where a.model = model_ and a.generation = g and a.topic = topic_ and a.lane = lane_ and a.last = last_ and (dead_ or not a.dead));
	end loop; -- else it was folded just now
	if event_ is not null and not dead_ then
		insert into %1$I.seen values (model_, g, event_, id_, cause_, false, clock_timestamp() + lately_) on conflict do nothing;
	end if;
	return true;
end $fn$, here, prefix));

-- read_model lets a transaction find the tables of the generation that serves. false: it was
-- dropped since the transaction's snapshot was taken, and another transaction will do. The
-- lock of a table lets the session know what was dropped by then.
execute format('create function read_model(model_ int) returns boolean language plpgsql as %L', format($fn$
declare
	path text := current_setting('search_path');
	g int;
	namespace_ text;
begin
	select n.generation, n.namespace into g, namespace_ from %1$I.models m join %1$I.generations n
		on n.model = m.id and n.generation = m.serving
		where m.id = model_;
	perform pg_advisory_xact_lock_shared(hashtextextended(%2$L || 'in ' || model_ || ' ' || g, 0));
	lock table %1$I.applied in access share mode;
	if g is null or to_regnamespace(quote_ident(namespace_)) is null then
		return false;
	end if;
	perform set_config('search_path', concat_ws(', ', quote_ident(namespace_), nullif(path, '')), true);
	return true;
end $fn$, here, prefix));
end $do$;

-- fold_model folds what a generation was done with, 0 is the one that serves, or all of all, up to some rows of each
-- lane, and returns how many. What somebody else has in hand is left.
create function fold_model(model_ int, generation_ int, most int) returns bigint
language plpgsql set search_path from current as $$
declare
	g record;
	l record;
	rows record;
	dead_ int8multirange;
	n bigint := 0;
begin
	for g in -- they stay until the end
		select n.* from generations n join models m on m.id = n.model
			where (model_ is null or m.id = model_ and n.generation = case generation_ when 0 then m.serving else generation_ end) and not n.gone
			for key share of n skip locked
	loop
		insert into lanes (model, generation, topic, lane)
			select distinct a.model, a.generation, a.topic, a.lane from applied a where a.model = g.model and a.generation = g.generation
			on conflict do nothing;
		for l in
			select * from lanes where model = g.model and generation = g.generation
				and exists (select from applied a
					where a.model = lanes.model and a.generation = lanes.generation and a.topic = lanes.topic and a.lane = lanes.lane)
				order by topic, lane for update skip locked
		loop
			with gone as (
				delete from applied a where a.model = l.model and a.generation = l.generation and a.topic = l.topic and a.lane = l.lane
					and a.last in (
						select o.last from applied o
						where o.model = l.model and o.generation = l.generation and o.topic = l.topic and o.lane = l.lane
						order by o.last limit most for update skip locked
					)
					returning a.first, a.last, a.dead
			)
			select count(*) as n, range_agg(int8range(x.first, x.last, '[]')) as all_,
				coalesce(range_agg(int8range(x.last, x.last, '[]')) filter (where x.dead), '{}') as dead,
				coalesce(range_agg(int8range(x.last, x.last, '[]')) filter (where not x.dead), '{}') as done
				into rows from gone x;
			if rows.n > 0 then
				dead_ := l.dead + rows.dead - rows.done;
				update lanes set done = l.done + rows.all_ - dead_, dead = dead_
					where model = l.model and generation = l.generation and topic = l.topic and lane = l.lane;
				n := n + rows.n;
			end if;
		end loop;
	end loop;
	return n;
end $$;

-- forget_seen removes some of what was seen long ago, and returns how much.
create function forget_seen(most int) returns bigint
language plpgsql set search_path from current set enable_seqscan = off as $$
declare
	n bigint;
begin
	delete from seen where ctid = any (array(select ctid from seen where until < now() limit most for update skip locked));
	get diagnostics n = row_count;
	return n;
end $$;

-- missing_in returns how many positions the generation that serves is done with and another isn't.
create function missing_in(model_ int, generation_ int) returns numeric
language plpgsql set search_path from current as $$
begin
	return (
		select coalesce(sum(upper(r)::numeric - lower(r)), 0)
		from models m join progress s on s.model = m.id and s.generation = m.serving
		left join progress n on n.model = m.id and n.generation = generation_ and n.topic = s.topic and n.lane = s.lane,
		unnest(s.covered - coalesce(n.covered, '{}')) r
		where m.id = model_
	);
end $$;

-- switch_model lets a generation serve if it is done with all that the serving one is done
-- with. When little is missing it stops that one for a moment, so that the other comes up with it:
-- as long as it does, up to wait_. null: there is no such generation.
create function switch_model(model_ int, generation_ int, wait_ interval) returns boolean
language plpgsql set search_path from current as $$
declare
	until_ timestamptz := clock_timestamp() + wait_;
	moved timestamptz := clock_timestamp();
	missing numeric;
	still numeric;
	serving_ int;
begin
	perform set_config('lock_timeout', extract(epoch from wait_) || 's', true);
	perform pg_advisory_xact_lock(lock_of('model', model_, null));
	select m.serving into serving_ from models m join generations n on n.model = m.id and n.generation = generation_
		where m.id = model_ and not n.gone;
	if not found then
		return null;
	elsif serving_ = generation_ then
		return true;
	end if;
	missing := missing_in(model_, generation_);
	if missing > 1000 then
		return false;
	end if;
	perform pg_advisory_xact_lock(lock_of('commit', model_, serving_));
	loop
		still := missing_in(model_, generation_);
		exit when still = 0;
		if still < missing then
			missing := still;
			moved := clock_timestamp();
		end if;
		if clock_timestamp() > least(until_, moved + interval '100 ms') then
			return false;
		end if;
		perform pg_sleep(0.005);
	end loop;
	update models set serving = generation_ where id = model_;
	update generations set gone = true where model = model_ and generation = serving_;
	return true;
end $$;

-- abandon_generations lets nobody begin anything in what doesn't serve, if nobody builds it;
-- or if it is the caller who did. Who builds has the lock before the generation is there.
create function abandon_generations(model_ int, own boolean) returns void
language plpgsql set search_path from current as $$
begin
	perform pg_advisory_xact_lock(lock_of('model', model_, null));
	update generations n set gone = true where n.model = model_ and not n.gone
		and n.generation <> (select m.serving from models m where m.id = model_)
		and (own or not exists (
			select from pg_locks where locktype = 'advisory' and objsubid = 1 and granted
			and database = (select oid from pg_database where datname = current_database())
			and (classid::bigint << 32) | objid::bigint = lock_of('build', model_, null)
		));
end $$;

-- drop_generation drops one that is gone. It waits, for a while, for who is in it.
create function drop_generation(model_ int, generation_ int, wait_ text) returns void
language plpgsql set search_path from current as $$
declare
	namespace_ text;
begin
	perform set_config('lock_timeout', wait_, true);
	perform pg_advisory_xact_lock(lock_of('in', model_, generation_));
	select namespace into namespace_ from generations where model = model_ and generation = generation_ and gone;
	if not found then
		return;
	end if;
	execute format('drop schema if exists %I cascade', namespace_);
	delete from applied where model = model_ and generation = generation_;
	delete from generations where model = model_ and generation = generation_;
end $$;

insert into migrations (version) values (2);
