-- What those who run the node need: who changed what, and which processes hold which node keys.

create table audit (
    id uuid primary key,
    at timestamptz not null,
    via smallint not null check (via between 1 and 4),
    actor text not null check (char_length(actor) between 1 and 200),
    key_id uuid,
    action text not null check (char_length(action) between 1 and 200),
    subject text not null check (char_length(subject) <= 400),
    outcome smallint check (outcome between 100 and 599),
    ended_at timestamptz,
    check ((outcome is null) = (ended_at is null))
);
create index audit_by_actor on audit (actor, id);
comment on table audit is 'Every change of the node that somebody asked for, refused ones too. A row is written before the change and ended after it.';
comment on column audit.id is 'Sorts by time.';
comment on column audit.at is 'When it was asked for.';
comment on column audit.via is '1 API, 2 command line, 3 console, 4 a command on the node''s own machine.';
comment on column audit.actor is 'The sender of the API key, the name somebody was signed in under, or the user of the machine.';
comment on column audit.key_id is 'The API key; keys that were revoked keep their rows in api_keys. Null: no key was used.';
comment on column audit.action is 'Method and route, or what the command is called. Never anything of a request''s own.';
comment on column audit.subject is 'What it was done to: ids, names, addresses, names of fields. No secrets, no bodies; phone numbers are shortened.';
comment on column audit.outcome is 'The HTTP status of the answer; of commands 200 or 500. Null: it goes on, or its process died or its caller left before the end, and it may or may not have been done.';
comment on column audit.ended_at is 'When the outcome was written.';

create table node_keys (
    number integer primary key check (number between 1 and 65535),
    key_check bytea not null,
    added_at timestamptz not null,
    seals_since timestamptz
);
comment on table node_keys is 'Which node keys there are. The keys themselves are in the key file only.';
comment on column node_keys.number is 'What sealed values name their key by.';
comment on column node_keys.key_check is 'A known text sealed by the key: a key file that does not open it belongs to another database.';
comment on column node_keys.added_at is 'When a process first held it.';
comment on column node_keys.seals_since is 'Since when something may be sealed by it: a process that lacks it takes no work. Null: it was added, and only opens so far.';

create table key_holders (
    process uuid primary key,
    kind text not null check (kind in ('serve', 'work')),
    host text not null,
    pid integer not null,
    numbers integer[] not null,
    seen_at timestamptz not null
);
comment on table key_holders is 'Processes alive, and which node keys they hold: a new key seals only once everybody can open what it sealed.';
comment on column key_holders.process is 'Made anew at each start.';
comment on column key_holders.kind is 'What it runs: the doors, or the workers.';
comment on column key_holders.host is 'For people.';
comment on column key_holders.pid is 'For people.';
comment on column key_holders.numbers is 'The one that seals first.';
comment on column key_holders.seen_at is 'Reported every few seconds; a row that is not is deleted.';
