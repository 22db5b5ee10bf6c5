-- Delivery in volume: further channels, campaigns, order, dead letters, events; and less to write per delivery.

-- A message is one delivery, and is called by the delivery's id: its chunk's id with its number there in the last two bytes. So
-- what was two rows and three indexes is one row and one index, and the messages of a chunk lie side by side.
alter table messages add column channel smallint not null default 1;
alter table messages add column destination text not null default '';
alter table messages add column campaign uuid;
alter table messages add column ordering_key text;
alter table messages add column deliver_at timestamptz;
alter table messages alter column connection_id drop not null;
alter table messages alter column from_address drop not null;
alter table messages alter column to_address drop not null;
alter table messages drop column lane;

create function delivery_id(chunk uuid, seq smallint) returns uuid language sql immutable strict parallel safe as
$$ select overlay(chunk::text placing lpad(to_hex(seq::integer), 4, '0') from 33 for 4)::uuid $$;
comment on function delivery_id is 'A chunk''s id with a number in its last two bytes.';

alter table idempotency add column results bytea not null default '';
update idempotency i
set results = uuid_send(delivery_id(d.chunk, d.seq))
from deliveries d where d.message_id = i.message_id;
alter table idempotency drop column message_id;
comment on column idempotency.sender is 'Within what the key is unique: the sender, or a campaign.';
comment on column idempotency.results is 'What was accepted under it: 16 bytes a row of the request, zero where a row was refused.';
-- The content is bound to the id it was sealed under, so that is kept.
alter table messages add column sealed_as uuid;
update messages m
set id = delivery_id(d.chunk, d.seq), sealed_as = m.id,
    channel = d.channel, destination = d.destination
from deliveries d where d.message_id = m.id;
drop table deliveries;

drop index messages_by_sender;
drop index messages_by_tag;
create index messages_by_sender on messages (from_address, id) where from_address is not null;
create index messages_by_tag on messages (tag, id) where tag is not null;
create index messages_by_campaign on messages (campaign, id) where campaign is not null;
comment on column messages.id is 'Also its delivery''s id.';
comment on column messages.channel is '1 openmsg, 2 webhook.';
comment on column messages.destination is 'What limits and breakers apply to: the peer''s domain, or the name of a webhook.';
comment on column messages.connection_id is 'Openmsg: what it goes over.';
comment on column messages.campaign is 'The campaign it is a row of.';
comment on column messages.ordering_key is 'It goes after those of its destination with the same key that were accepted before it.';
comment on column messages.deliver_at is 'Not tried before, if its sender said so.';
comment on column messages.content is 'What is delivered, sealed, bound to this row''s id.';
comment on column messages.sealed_as is 'The id it had when it was sealed, where that was another (before version 2 of the schema).';

alter table chunks drop constraint chunks_lane_check;
alter table chunks add constraint chunks_lane_check check (lane in (0, 1, 2));
alter table chunks drop constraint chunks_state_check;
alter table chunks add constraint chunks_state_check check (state between 0 and 5);
alter table chunks add column sender text not null default '';
alter table chunks add column campaign uuid;
create index chunks_waiting on chunks (lane, sender, destination, id) where state = 3;
create index chunks_of_campaign on chunks (campaign, state) where campaign is not null;
create index chunks_cancelled on chunks (id) where state = 5;
create index chunks_of_destination on chunks (destination, state) where state in (0, 1, 3, 4);
comment on column chunks.lane is '0 interactive, 1 bulk, 2 status.';
comment on column chunks.state is '0 ready, 1 claimed, 2 settled, 3 waits for its destination or its sender''s share, 4 its campaign is paused, 5 cancelled.';
comment on column chunks.sender is 'Whose it is: shares of the way out are fair between senders.';
comment on column chunks.campaign is 'The campaign that all its deliveries are of.';

alter table exceptions drop constraint exceptions_state_check;
alter table exceptions add constraint exceptions_state_check check (state between 1 and 9);
alter table exceptions add column expires_at timestamptz;
create index exceptions_waiting on exceptions (destination, chunk, seq) where state = 8;
-- Dead letters are found without a look at what went well, newest first: those of a destination, and all of them. The conditions
-- mean the same and are written apart: who asks with `between` can only be given the first, also by a planner without figures.
create index exceptions_ended on exceptions (destination, chunk, seq) where state between 3 and 6;
create index exceptions_ended_newest on exceptions (chunk, seq) where state in (3, 4, 5, 6);
create index exceptions_open on exceptions (chunk, seq) where state in (1, 2, 8, 9);
comment on column exceptions.state is '1 due again, 2 claimed, 3 cancelled, 4 expired, 5 failed, 6 unconfirmed, 7 delivered, 8 waits for its destination, 9 waits for its turn.';
comment on column exceptions.expires_at is 'Its life since it was replayed; null: its message''s.';

-- Unordered: rows come in the order of their time, and are only ever looked for by "older than".
drop index idempotency_by_expiry;
create index idempotency_by_expiry on idempotency using brin (expires_at);

create table ordering_keys (
    destination text not null,
    key text not null,
    last bigint not null,
    used_at timestamptz not null,
    primary key (destination, key)
);
comment on table ordering_keys is 'Lines of deliveries that go one after the other. Its row is locked by whoever joins the line or moves it on.';
comment on column ordering_keys.last is 'The place given out last.';
comment on column ordering_keys.used_at is 'When it was given out; a line that nobody stands in is forgotten an hour later.';

create table turns (
    destination text not null,
    key text not null,
    place bigint not null,
    chunk uuid not null,
    seq smallint not null,
    skip boolean not null,
    primary key (destination, key, place)
);
create unique index turns_by_delivery on turns (chunk, seq);
comment on table turns is 'Deliveries in a line, from accepted to settled; the one with the least place is tried.';
comment on column turns.skip is 'True: when it fails, the line goes on. False: it waits until this one is delivered, cancelled or expired.';

create table webhooks (
    name text primary key check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    sender text not null,
    host text not null,
    definition bytea not null,
    events text[] not null default '{}',
    disabled_at timestamptz,
    gone_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
comment on table webhooks is 'HTTPS endpoints that deliveries go to. Names have no dot, so they are never the domain of a peer.';
comment on column webhooks.sender is 'Who made it.';
comment on column webhooks.host is 'The URL''s host, for people.';
comment on column webhooks.definition is 'URL, signing secrets with their ends, headers, credentials: sealed, bound to the name.';
comment on column webhooks.events is 'Kinds of status events that are sent to it, in batches.';
comment on column webhooks.disabled_at is 'Set by an operator: nothing is sent, everything waits.';
comment on column webhooks.gone_at is 'When it last answered 410: its owner may want it removed. Nothing else follows from it.';

create table feeds (
    webhook text primary key references webhooks (name) on delete cascade,
    xid xid8 not null,
    n bigint not null,
    part integer not null,
    at timestamptz not null,
    updated_at timestamptz not null
);
comment on table feeds is 'How far the events have been handed over to each webhook that wants them.';
comment on column feeds.xid is 'Cursor into events: transaction, number, and how many parts of that row were taken.';
comment on column feeds.at is 'When that row was written: older partitions need not be looked at.';

create table destinations (
    name text primary key,
    concurrency integer check (concurrency > 0),
    rate real check (rate > 0),
    schedule integer[],
    paused boolean not null default false,
    breaker smallint not null default 0 check (breaker in (0, 1, 2)),
    closed_until timestamptz,
    why text,
    trips smallint not null default 0,
    failures integer not null default 0,
    counted_ok integer not null default 0,
    counted_failed integer not null default 0,
    counted_since timestamptz,
    congestion real,
    threshold real,
    slowed_at timestamptz,
    tokens real,
    tokens_at timestamptz,
    contended boolean not null default false,
    changed_at timestamptz not null
);
create index destinations_by_change on destinations (changed_at);
comment on table destinations is 'Pace and health of what deliveries go to, for all processes: a row from the first delivery on.';
comment on column destinations.concurrency is 'Calls at once, over all processes; null: the node''s default.';
comment on column destinations.rate is 'Calls a second; null: unlimited.';
comment on column destinations.schedule is 'Seconds between attempts; null: the node''s default.';
comment on column destinations.paused is 'By an operator: nothing is sent, everything waits.';
comment on column destinations.breaker is '0 closed (all is well), 1 open (nothing goes), 2 half open (one call probes).';
comment on column destinations.closed_until is 'Nothing goes before: the breaker is open, or the destination asked for a pause (Retry-After).';
comment on column destinations.why is 'Why, in a word.';
comment on column destinations.trips is 'How often in a row the breaker has opened: the longer it stays open.';
comment on column destinations.failures is 'Failures in a row.';
comment on column destinations.counted_ok is 'Successes since counted_since, for the share of failures.';
comment on column destinations.congestion is 'Calls at once that it seems to bear: grows with successes, halves with refusals. Null: not slowed down.';
comment on column destinations.threshold is 'Up to here congestion grows by one a success, above it by one a round.';
comment on column destinations.slowed_at is 'When congestion was last halved: calls of before that say nothing new.';
comment on column destinations.tokens is 'Calls that may be made now, of its rate, at tokens_at.';
comment on column destinations.contended is 'A worker wants more of it than is free: those who hold more than their share give back.';

create table shares (
    destination text not null,
    worker uuid not null,
    slots integer not null check (slots >= 0),
    wanted integer not null,
    primary key (destination, worker)
) with (fillfactor = 70);
create index shares_by_worker on shares (worker);
comment on table shares is 'Calls at once that a worker may make to a destination. Their sum is at most the destination''s.';

create table campaigns (
    id uuid primary key,
    sender text not null,
    account_id uuid,
    name text not null,
    template bytea not null,
    lane smallint not null check (lane in (0, 1)),
    tag text,
    rate real check (rate > 0),
    scheduled boolean not null default false,
    state smallint not null default 0 check (state between 0 and 3),
    closed boolean not null default false,
    taken bigint not null default 0,
    accepted bigint not null default 0,
    repeated bigint not null default 0,
    refused bigint not null default 0,
    next_due timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    finished_at timestamptz
);
create index campaigns_by_sender on campaigns (sender, id);
comment on table campaigns is 'One template, many rows.';
comment on column campaigns.template is 'What each row becomes, sealed, bound to the id.';
comment on column campaigns.rate is 'Deliveries a second; null: as fast as they go.';
comment on column campaigns.scheduled is 'Its rows say themselves when they are to be delivered: these times are never moved.';
comment on column campaigns.state is '0 running, 1 paused, 2 cancelled, 3 finished.';
comment on column campaigns.closed is 'No more rows are taken.';
comment on column campaigns.taken is 'Rows taken, good or not: an upload that broke off goes on from here.';
comment on column campaigns.repeated is 'Rows whose key had come before.';
comment on column campaigns.next_due is 'When the next row is due, with a rate.';

create index campaigns_open on campaigns (id) where state in (0, 1);
create index campaigns_finished on campaigns (finished_at) where finished_at is not null;

create table campaign_chunks (
    campaign uuid not null references campaigns (id) on delete cascade,
    chunk uuid not null,
    rows bigint[] not null,
    keys text[] not null,
    primary key (campaign, chunk)
);
comment on table campaign_chunks is 'Which deliveries a campaign''s rows became: by chunk, in the order of their numbers there. Ordered deliveries, which have no row in chunks, are found by it too.';
comment on column campaign_chunks.rows is 'The rows, counted from 1.';
comment on column campaign_chunks.keys is 'Their keys, null where they have none.';

create table campaign_errors (
    campaign uuid not null references campaigns (id) on delete cascade,
    row bigint not null,
    key text,
    problem text not null,
    primary key (campaign, row)
);
comment on table campaign_errors is 'Rows that could not be accepted, and why.';

-- A delivery's place from its id.
create function chunk_of(delivery uuid) returns uuid language sql immutable strict parallel safe as
$$ select (left(delivery::text, 32) || '0000')::uuid $$;
create function seq_of(delivery uuid) returns smallint language sql immutable strict parallel safe as
$$ select (get_byte(uuid_send(delivery), 14) * 256 + get_byte(uuid_send(delivery), 15))::smallint $$;

-- What nearly every try is: a delivery from its chunk, at the first go, answered well. A row for all of a settle.
create table arrivals (
    chunk uuid not null,
    seq smallint not null,
    at timestamptz not null,
    late boolean not null,
    worker uuid not null,
    seqs smallint[] not null,
    ats timestamptz[] not null,
    nos smallint[],
    ms integer[] not null,
    statuses smallint[],
    codes text[],
    primary key (chunk, seq, at)
) partition by range (chunk);
alter table arrivals alter seqs set storage external, alter ats set storage external, alter nos set storage external,
    alter ms set storage external, alter statuses set storage external;
comment on table arrivals is 'Tries that delivered, those of a chunk that were settled together in one row. Inserted, never updated. Every other try is in attempts.';
comment on column arrivals.seq is 'The first of seqs; with at, the first of ats, it names the row: a settle that is repeated finds it there.';
comment on column arrivals.seqs is 'The deliveries'' numbers in their chunk. The other arrays have the same order.';
comment on column arrivals.nos is 'Which tries they were; null: the first, all of them.';
comment on column arrivals.statuses is 'HTTP statuses; null: none has one.';
comment on column arrivals.codes is 'Response codes; null: none has one.';
create table arrivals_rest partition of arrivals default;
-- As many weeks as there are of chunks: they are dropped together.
select make_partition('arrivals', to_date(right(c.relname, 8), 'YYYYMMDD'))
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'chunks'::regclass and c.relname ~ '_[0-9]{8}$';

create view tries as
select chunk, seq, at, no, ms, outcome, status, code, answer, late, worker from attempts
union all
select a.chunk, x.seq, x.at, coalesce(x.no, 1::smallint), x.ms, 0::smallint, x.status, x.code, null, a.late, a.worker
from arrivals a cross join lateral unnest(a.seqs, a.ats, a.nos, a.ms, a.statuses, a.codes) as x(seq, at, no, ms, status, code);
comment on view tries is 'Every try, a row each.';

create function tries_of(chunk uuid) returns setof tries language sql stable as
$$ select t.chunk, t.seq, t.at, t.no, t.ms, t.outcome, t.status, t.code, t.answer, t.late, t.worker
   from attempts t where t.chunk = $1
   union all
   select a.chunk, x.seq, x.at, coalesce(x.no, 1::smallint), x.ms, 0::smallint, x.status, x.code, null, a.late, a.worker
   from arrivals a cross join lateral unnest(a.seqs, a.ats, a.nos, a.ms, a.statuses, a.codes) as x(seq, at, no, ms, status, code)
   where a.chunk = $1 $$;
comment on function tries_of(uuid) is 'The tries of a chunk. Not by the view: joined to it, the chunk would be compared with every try there is.';

create function tries_of(chunk uuid, seq smallint) returns setof tries language sql stable as
$$ select t.chunk, t.seq, t.at, t.no, t.ms, t.outcome, t.status, t.code, t.answer, t.late, t.worker
   from attempts t where t.chunk = $1 and t.seq = $2
   union all
   select a.chunk, $2, a.ats[x.place], coalesce(a.nos[x.place], 1::smallint), a.ms[x.place], 0::smallint, a.statuses[x.place], a.codes[x.place], null, a.late, a.worker
   from arrivals a cross join lateral (select array_position(a.seqs, $2) as place offset 0) x where a.chunk = $1 and x.place is not null $$;
comment on function tries_of(uuid, smallint) is 'The tries of a delivery: without taking the rows of its chunk apart.';

create table operations (
    id uuid primary key,
    kind smallint not null check (kind in (1, 2)),
    sender text not null,
    filter jsonb not null,
    state smallint not null default 0 check (state between 0 and 3),
    rate real check (rate > 0),
    matching bigint not null default 0,
    seen bigint not null default 0,
    done bigint not null default 0,
    stopping bigint not null default 0,
    skipped bigint not null default 0,
    cursor_at uuid,
    worker uuid,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    finished_at timestamptz
);
create index operations_open on operations (id) where state = 0;
comment on table operations is 'What is done to many deliveries at a time: carried on by another process when its own dies.';
comment on column operations.kind is '1 replay, 2 cancel.';
comment on column operations.filter is 'Which deliveries.';
comment on column operations.state is '0 running, 1 paused, 2 cancelled, 3 finished.';
comment on column operations.matching is 'How many there were when it began; what cannot be counted in a moment is counted as far as that went.';
comment on column operations.seen is 'Deliveries looked at.';
comment on column operations.done is 'Of them, replayed or stopped.';
comment on column operations.stopping is 'Of them, in the hands of a worker, and not known yet whether stopped or gone.';
comment on column operations.skipped is 'Of them, those that were no longer what the filter looks for: gone.';
comment on column operations.cursor_at is 'Looked at down to this delivery, newest first; all zeros when that is done.';
comment on column operations.worker is 'Who carries it on, under its lease.';

create table operation_results (
    operation uuid not null references operations (id) on delete cascade,
    chunk uuid not null,
    seq smallint not null,
    seqs smallint[] not null,
    result smallint not null check (result between 1 and 5),
    primary key (operation, chunk, seq)
);
create index operation_results_stopping on operation_results (operation) where result = 2;
comment on table operation_results is 'What an operation did to each delivery: a row for all of a chunk that were treated alike together.';
comment on column operation_results.seq is 'The least of seqs.';
comment on column operation_results.result is '1 stopped, 2 stopping, 3 gone, 4 replayed, 5 skipped.';

create sequence events_n cache 100;
create table events (
    at timestamptz not null,
    xid xid8 not null default pg_current_xact_id(),
    n bigint not null default nextval('events_n'),
    kind smallint not null,
    chunk uuid,
    seqs smallint[],
    items uuid[],
    about text,
    primary key (at, xid, n)
) partition by range (at);
create index events_in_order on events (xid, n);
comment on table events is 'What happened, to be told. One row for all of a chunk that were settled together.';
comment on column events.xid is 'The transaction that wrote it: what is below the oldest one still running is complete, so a cursor misses nothing.';
comment on column events.kind is '1 delivered, 2 failed, 3 expired, 4 unconfirmed, 5 cancelled (all of deliveries), 6 message received, 7 breaker opened, 8 breaker closed, 9 campaign finished.';
comment on column events.chunk is 'Deliveries: their chunk, and their numbers there in seqs.';
comment on column events.items is 'Inbox entries; the campaign.';
comment on column events.about is 'Destination; the campaign''s name.';

create function make_partition_by_time(parent text, week date) returns void language plpgsql as
$$ begin
    execute format('create table if not exists %I partition of %I for values from (%L) to (%L)',
        parent || to_char(week, '_YYYYMMDD'), parent, week::timestamp at time zone 'utc', (week + 7)::timestamp at time zone 'utc');
end $$;
comment on function make_partition_by_time is 'As make_partition, for tables partitioned by a time stamp.';

create table events_rest partition of events default;
do $$ declare ahead integer; begin
    for ahead in -1..3 loop
        perform make_partition_by_time('events', date_trunc('week', now() at time zone 'utc')::date + 7 * ahead);
    end loop;
end $$;

create index chunks_published on chunks (lane, sender, destination) include (n) where state = 0 and published_at is not null;
