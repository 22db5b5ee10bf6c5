-- Everything a node keeps. Ids are UUIDs of version 7: they sort by time, so partitions are ranges of them.
-- Secrets are sealed under the node key, which is not in this database; codes and keys are stored as keyed hashes only.

create table node (
    single boolean primary key default true check (single),
    id uuid not null,
    broker_epoch integer not null default 0,
    key_check bytea
);
comment on table node is 'One row: this node.';
comment on column node.single is 'Holds the table to one row.';
comment on column node.id is 'Names this node in its broker, so that another node''s broker is not taken for ours.';
comment on column node.broker_epoch is 'Counts the brokers this node has met: raised when the broker turns out to be empty. A publish to an older epoch is void.';
comment on column node.key_check is 'A constant sealed under the node key: proves at start that the right key file is in place.';
insert into node (id) values (gen_random_uuid());

create table workers (
    id uuid primary key,
    host text not null,
    pid integer not null,
    started_at timestamptz not null,
    lease_until timestamptz not null
);
comment on table workers is 'Worker processes alive, by their heartbeat.';
comment on column workers.id is 'Made anew at each start, and when a worker finds that it was declared dead.';
comment on column workers.host is 'For people.';
comment on column workers.pid is 'For people.';
comment on column workers.started_at is 'When it first reported.';
comment on column workers.lease_until is 'Past it the row may be deleted and what the worker holds handed on; a worker whose row is gone starts anew.';

create table accounts (
    id uuid primary key,
    address text not null unique,
    name text not null check (char_length(name) between 1 and 40),
    accepts_messages boolean not null default true,
    disabled_at timestamptz,
    created_at timestamptz not null
);
comment on table accounts is 'Someone of this node.';
comment on column accounts.address is 'Openmsg address, ID*domain, domain in lower case.';
comment on column accounts.name is 'Display name, told to peers.';
comment on column accounts.accepts_messages is 'False: peers are answered SM_E002.';
comment on column accounts.disabled_at is 'Set: the account answers like one that does not exist.';

create table api_keys (
    id uuid primary key,
    sender text not null check (sender <> ''),
    scopes text[] not null,
    account_id uuid references accounts (id),
    key_hash bytea not null unique,
    created_at timestamptz not null,
    revoked_at timestamptz
);
comment on table api_keys is 'Who may use the API.';
comment on column api_keys.sender is 'The name under which limits, fair shares and idempotency keys are counted.';
comment on column api_keys.scopes is 'What the key may do: names, NAME:read, or *.';
comment on column api_keys.account_id is 'Set: the key may act for this account only.';
comment on column api_keys.key_hash is 'Keyed hash of the key''s secret part.';
comment on column api_keys.revoked_at is 'Set: refused.';

create table codes (
    id uuid primary key,
    purpose smallint not null,
    account_id uuid not null references accounts (id) on delete cascade,
    code_hash bytea not null,
    state smallint not null default 0 check (state in (0, 1, 2)),
    taken_by uuid,
    restored smallint not null default 0 check (restored between 0 and 3),
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    check ((state = 0) = (taken_by is null))
);
create index codes_by_account on codes (account_id, purpose);
create unique index codes_taken on codes (taken_by) where taken_by is not null;
create index codes_by_expiry on codes (expires_at);
comment on table codes is 'One-time secrets.';
comment on column codes.purpose is '1 pass code. A code made for one purpose opens nothing else.';
comment on column codes.code_hash is 'Keyed hash of purpose, account and code.';
comment on column codes.state is '0 live; 1 burnt for an ask whose callback has not begun; 2 burnt for good, or withdrawn.';
comment on column codes.taken_by is 'The ask, or the handshake, that burnt it.';
comment on column codes.restored is 'How often a callback that never left this machine gave it back: at most 3 times.';
comment on column codes.expires_at is 'Never moved, also not by giving the code back.';

create table counters (
    scope text not null,
    key text not null,
    since timestamptz not null,
    n integer not null check (n >= 0),
    primary key (scope, key, since)
);
create index counters_by_since on counters (since);
comment on table counters is 'Limits that hold across processes: events per scope, key and window.';
comment on column counters.scope is 'What is counted, such as wrong-code-account.';
comment on column counters.key is 'For whom: an account id, an address, a domain.';
comment on column counters.since is 'Start of the window.';
comment on column counters.n is 'Events in the window.';

create table connections (
    id uuid primary key,
    account_id uuid not null references accounts (id),
    self_address text not null,
    other_address text not null,
    other_name text not null,
    self_accepts boolean not null,
    other_accepts boolean not null,
    other_remembers boolean not null default false,
    other_padded boolean not null default false,
    secrets bytea not null,
    ident_hash bytea not null,
    older_secrets bytea,
    older_ident_hash bytea,
    blocked_at timestamptz,
    broken_at timestamptz,
    broken_why text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (self_address, other_address),
    check ((older_secrets is null) = (older_ident_hash is null)),
    check ((broken_at is null) = (broken_why is null))
);
create index connections_by_ident on connections (ident_hash);
create index connections_by_older_ident on connections (older_ident_hash) where older_ident_hash is not null;
create index connections_by_account on connections (account_id, id);
comment on table connections is 'Finished handshakes, seen from one of our accounts.';
comment on column connections.self_accepts is 'We take messages over it: false after a handshake of ours that forbade replies (SM_E002).';
comment on column connections.other_accepts is 'The other side takes messages (sending_allow_replies; always true where we were the initiator).';
comment on column connections.other_remembers is 'The other side is a handfast node: it knows a repeated message by its id, so repeating is harmless.';
comment on column connections.other_padded is 'The other side reads standard, padded base64 only (nodes from before 2025-06-25); found out by trying.';
comment on column connections.secrets is 'auth_code, ident_code and message_crypt_key, sealed, bound to both addresses (which are known before the row is, and outlive it).';
comment on column connections.ident_hash is 'Keyed hash of self_address and ident_code, for look-ups.';
comment on column connections.older_secrets is 'Make before break: the secrets before the last handshake, kept until a message under newer ones has passed.';
comment on column connections.blocked_at is 'Set by our user: the peer is answered SM_E002, and we send nothing.';
comment on column connections.broken_at is 'Set when the peer answers that our secrets are void; a new handshake mends it.';

create table handshakes (
    id uuid primary key,
    sender text not null,
    account_id uuid not null references accounts (id),
    self_address text not null,
    other_address text not null,
    allow_replies boolean not null,
    code bytea,
    state smallint not null check (state in (0, 1, 2, 3)),
    tries smallint not null default 0,
    due_at timestamptz not null,
    published_at timestamptz,
    published_to integer,
    claim uuid,
    worker uuid,
    asking boolean not null default false,
    confirm_tries smallint not null default 0,
    error text,
    connection_id uuid,
    created_at timestamptz not null,
    deadline timestamptz not null,
    finished_at timestamptz,
    check ((state = 1) = (claim is not null)),
    check ((state in (2, 3)) = (finished_at is not null)),
    check (finished_at is null or code is null),
    check (not asking or state = 1)
);
create index handshakes_due on handshakes (due_at) where state = 0;
create index handshakes_held on handshakes (worker) where state = 1;
create index handshakes_asking on handshakes (other_address) where asking;
create index handshakes_finished on handshakes (finished_at) where finished_at is not null;
comment on table handshakes is 'Handshakes our accounts start: a job each, on the interactive lane.';
comment on column handshakes.code is 'The pass code, sealed, bound to this row''s id; gone when the handshake ends.';
comment on column handshakes.state is '0 waiting, 1 a worker has it, 2 connected, 3 failed.';
comment on column handshakes.asking is 'Our auth request is open: exactly then a peer''s auth-confirm may find this row.';
comment on column handshakes.confirm_tries is 'auth-confirm requests that named this row''s receiving address, counted before they are compared; six close it.';
comment on column handshakes.deadline is 'Failed when not connected by then.';

create table messages (
    id uuid not null,
    connection_id uuid not null,
    sender text not null,
    from_address text not null,
    to_address text not null,
    lane smallint not null check (lane in (0, 1)),
    tag text,
    content bytea not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    primary key (id)
) partition by range (id);
create index messages_by_sender on messages (from_address, id);
create index messages_by_tag on messages (tag, id) where tag is not null;
comment on table messages is 'What was handed over. Inserted, never updated.';
comment on column messages.lane is '0 interactive, 1 bulk.';
comment on column messages.content is 'The text, sealed, bound to this row''s id.';

create table chunks (
    id uuid not null,
    lane smallint not null check (lane in (0, 1)),
    destination text not null,
    n smallint not null check (n > 0),
    state smallint not null default 0 check (state in (0, 1, 2)),
    due_at timestamptz not null,
    published_at timestamptz,
    published_to integer,
    claim uuid,
    worker uuid,
    tries smallint not null default 0,
    settled_at timestamptz,
    primary key (id),
    check ((state = 1) = (claim is not null)),
    check ((state = 2) = (settled_at is not null))
) partition by range (id);
comment on table chunks is 'Up to 1,000 deliveries that are published, claimed and settled as one: the only row of the three that changes.';
comment on column chunks.destination is 'The domain all its deliveries go to; empty when they go to several.';
comment on column chunks.state is '0 ready, 1 claimed, 2 settled.';
comment on column chunks.due_at is 'Not claimed before. Moved ahead when a worker hands the chunk back because its destination already holds too much.';
comment on column chunks.published_at is 'When the broker confirmed it; null means publish it.';
comment on column chunks.published_to is 'The broker epoch of that publish.';
comment on column chunks.claim is 'Guards the settle: a result with another claim is late and changes nothing.';
create index chunks_ready on chunks (due_at) where state = 0;
create index chunks_held on chunks (worker) where state = 1;

create table deliveries (
    chunk uuid not null,
    seq smallint not null check (seq >= 0),
    message_id uuid not null,
    channel smallint not null,
    destination text not null,
    primary key (chunk, seq)
) partition by range (chunk);
create index deliveries_by_message on deliveries (message_id);
comment on table deliveries is 'One message to one destination over one channel. Inserted, never updated. Its id is its chunk''s with the last two bytes being seq.';
comment on column deliveries.channel is '1 openmsg.';

create table exceptions (
    chunk uuid not null,
    seq smallint not null,
    lane smallint not null,
    destination text not null,
    state smallint not null check (state between 1 and 7),
    tries smallint not null default 0,
    due_at timestamptz,
    published_at timestamptz,
    published_to integer,
    claim uuid,
    worker uuid,
    reason text,
    updated_at timestamptz not null,
    primary key (chunk, seq),
    check ((state = 1) = (due_at is not null)),
    check ((state = 2) = (claim is not null))
) partition by range (chunk);
create index exceptions_due on exceptions (due_at) where state = 1;
create index exceptions_held on exceptions (worker) where state = 2;
comment on table exceptions is 'A delivery that has left its chunk. This row, where it exists, decides over the chunk''s.';
comment on column exceptions.state is '1 due again, 2 claimed, 3 cancelled, 4 expired, 5 failed, 6 unconfirmed, 7 delivered.';
comment on column exceptions.tries is 'Attempts made so far.';
comment on column exceptions.reason is 'Why, in a word or code; never a peer''s text.';

create table attempts (
    chunk uuid not null,
    seq smallint not null,
    at timestamptz not null,
    no smallint not null,
    ms integer not null,
    outcome smallint not null check (outcome between 0 and 4),
    status smallint,
    code text,
    answer bytea,
    late boolean not null,
    worker uuid not null,
    primary key (chunk, seq, at)
) partition by range (chunk);
comment on table attempts is 'Every try of a delivery. Inserted, never updated.';
comment on column attempts.outcome is '0 delivered, 1 refused for now, 2 refused for good, 3 not sent, 4 unknown (sent, no answer).';
comment on column attempts.status is 'HTTP status, if any.';
comment on column attempts.code is 'Response code or error class.';
comment on column attempts.answer is 'First bytes of the answer when it was not a success.';
comment on column attempts.late is 'Reported by a worker that no longer held the delivery: the state did not follow it. Two delivered attempts are a double.';

create table outbox (
    hash bytea primary key,
    nonce text not null,
    chunk uuid not null,
    seq smallint not null,
    connection_id uuid not null,
    recipient text not null,
    body bytea not null,
    worker uuid not null,
    posted_at timestamptz not null,
    expires_at timestamptz not null,
    asked_at timestamptz
) with (fillfactor = 70);
create index outbox_by_delivery on outbox (chunk, seq);
comment on table outbox is 'Openmsg POSTs in flight: what a peer''s message-confirm is answered from. Committed before the POST, deleted with its settle.';
comment on column outbox.hash is 'message_hash.';
comment on column outbox.nonce is 'The first 32 characters of the package, as sent.';
comment on column outbox.recipient is 'Whom it is for: an incoming message with this hash and another recipient is a reflection.';
comment on column outbox.body is 'The request as sent, sealed, bound to the hash: repeated byte for byte when the outcome is unknown.';
comment on column outbox.asked_at is 'When the peer asked for it: after that it may have been accepted. Committed before the confirm is answered.';

create table inbox (
    id uuid not null,
    account_id uuid not null,
    connection_id uuid,
    from_address text not null,
    from_name text not null,
    content bytea not null,
    sent_at timestamptz not null,
    received_at timestamptz not null,
    acknowledged_at timestamptz,
    primary key (id)
) partition by range (id);
create index inbox_by_account on inbox (account_id, id);
create index inbox_open on inbox (account_id, id) where acknowledged_at is null;
comment on table inbox is 'Messages received.';
comment on column inbox.connection_id is 'Null for a notice of the node itself.';
comment on column inbox.content is 'The text, sealed, bound to this row''s id.';

create table seen (
    connection_id uuid not null,
    value bytea not null,
    hash bytea not null,
    expires_at timestamptz not null,
    primary key (connection_id, value)
);
create index seen_by_expiry on seen (expires_at);
comment on table seen is 'What was received, for as long as a repeat could be believed: nonces (24 bytes) and handfast message ids (16 bytes).';
comment on column seen.hash is 'message_hash it came with: the same again is a repeat, another is a reused nonce.';

create table idempotency (
    sender text not null,
    key_hash bytea not null,
    body_hash bytea not null,
    message_id uuid not null,
    expires_at timestamptz not null,
    primary key (sender, key_hash)
);
create index idempotency_by_expiry on idempotency (expires_at);
comment on table idempotency is 'Idempotency keys, written in the transaction that accepts the message.';
comment on column idempotency.body_hash is 'Hash of the content: the same key with another one is refused.';

-- Weekly partitions; the node makes them ahead and drops old ones (workers/keep_partitions.rs).
create function uuid_at(moment timestamptz) returns uuid language sql immutable as
$$ select (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;
comment on function uuid_at is 'The smallest UUID of version 7 of a moment.';

create function make_partition(parent text, week date) returns void language plpgsql as
$$ begin
    execute format('create table if not exists %I partition of %I for values from (%L) to (%L)',
        parent || to_char(week, '_YYYYMMDD'), parent, uuid_at(week::timestamp at time zone 'utc'), uuid_at((week + 7)::timestamp at time zone 'utc'));
end $$;
comment on function make_partition is 'Makes the partition for the week that begins on this (UTC) day.';

do $$ declare parent text; ahead integer; begin
    foreach parent in array array['messages', 'chunks', 'deliveries', 'exceptions', 'attempts', 'inbox'] loop
        execute format('create table %I partition of %I default', parent || '_rest', parent);
        for ahead in -1..3 loop
            perform make_partition(parent, date_trunc('week', now() at time zone 'utc')::date + 7 * ahead);
        end loop;
    end loop;
end $$;
