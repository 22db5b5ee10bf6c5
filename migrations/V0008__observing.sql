-- What the node is doing, for those who watch it.

-- First of all: nothing is held while this waits for its table.
alter table messages add column trace bytea;
comment on column messages.trace is 'W3C trace context of the request that was accepted, if that was sampled: 16 bytes trace id, 8 bytes span id. Every attempt, however late, joins that trace.';

create table activity (
    at timestamptz primary key,
    accepted bigint not null default 0,
    attempts bigint not null default 0,
    delivered bigint not null default 0,
    failed bigint not null default 0,
    received bigint not null default 0
) with (fillfactor = 50);
comment on table activity is 'What all processes did in each ten seconds of the last two hours: for watching, not for accounting (a process that is killed takes its last two seconds with it).';
comment on column activity.at is 'When the ten seconds began.';
comment on column activity.accepted is 'Deliveries taken into the books.';
comment on column activity.attempts is 'Tries settled.';
comment on column activity.delivered is 'Deliveries that ended well.';
comment on column activity.failed is 'Deliveries that failed, expired, or whose outcome nobody knows.';
comment on column activity.received is 'Messages of other nodes stored for our accounts.';

-- The few that are not well are counted without a look at the others. At the end: destinations are written all the time.
create index destinations_unwell on destinations (name) where paused or breaker <> 0 or closed_until is not null;
