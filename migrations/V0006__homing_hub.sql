-- A Homing Space hub: spaces with their personas, sites with their sauces, welcomes, notices.

create table hub_keys (
    kind smallint not null check (kind in (1, 2, 3)),
    generation integer not null check (generation > 0),
    kid text not null unique,
    public bytea not null,
    secret bytea not null,
    created_at timestamptz not null,
    not_before timestamptz not null,
    not_after timestamptz,
    primary key (kind, generation),
    check (kind <> 3 or generation = 1)
);
comment on table hub_keys is 'The hub''s own keys. Processes that start together make the first generation together, and the primary key lets one of them win.';
comment on column hub_keys.kind is '1 signs releases, 2 opens what merchants box, 3 makes fingerprints: that one never changes, or nobody would be known again.';
comment on column hub_keys.public is 'What others are shown; of the third kind there is nothing to show, and it is empty.';
comment on column hub_keys.secret is 'The seed, sealed, bound to the kid.';
comment on column hub_keys.not_before is 'It is shown at once, and used from then on.';
comment on column hub_keys.not_after is 'Its successor is in use since a day. It is shown, and opens boxes, until then.';

create table hub_spaces (
    id uuid primary key,
    handle bytea not null unique,
    root_id text not null unique,
    sign_pk bytea not null check (octet_length(sign_pk) = 32),
    next_index bigint not null default 1 check (next_index > 0),
    created_at timestamptz not null,
    used boolean not null default false
);
create index hub_spaces_unused on hub_spaces (created_at) where not used;
comment on table hub_spaces is 'Somebody''s space: up to seven personas under one key.';
comment on column hub_spaces.handle is 'Keyed hash of hsp_…, which only its owner has.';
comment on column hub_spaces.root_id is 'What fingerprints are made of: the same for all its personas, and never shown.';
comment on column hub_spaces.next_index is 'The index of the next persona''s keys: none is used again.';
comment on column hub_spaces.used is 'Somebody has signed in to it. One that was never used, and has no persona, is forgotten after 30 days.';

create table hub_vaults (
    space_id uuid primary key references hub_spaces (id) on delete cascade,
    vault text not null check (octet_length(vault) <= 65536),
    version bigint not null check (version > 0),
    updated_at timestamptz not null
);
comment on table hub_vaults is 'What the owner''s browser has sealed under a password that never leaves it.';

create table hub_nonces (
    hash bytea primary key,
    handle bytea not null,
    expires_at timestamptz not null
);
create index hub_nonces_by_expiry on hub_nonces (expires_at);
comment on table hub_nonces is 'Asked for to sign in to a space: each is good once. Made for spaces that do not exist as well.';
comment on column hub_nonces.hash is 'Keyed hash.';

create table hub_sessions (
    hash bytea primary key,
    space_id uuid not null references hub_spaces (id) on delete cascade,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index hub_sessions_by_expiry on hub_sessions (expires_at);
create index hub_sessions_by_space on hub_sessions (space_id);
comment on column hub_sessions.hash is 'Keyed hash of the token.';

create table hub_personas (
    name text primary key check (name ~ '^[a-z][a-z0-9_-]{2,31}$'),
    space_id uuid not null references hub_spaces (id),
    slot smallint check (slot between 1 and 7),
    index bigint not null check (index > 0),
    box_pk bytea not null check (octet_length(box_pk) = 32),
    sign_pk bytea not null check (octet_length(sign_pk) = 32),
    created_at timestamptz not null,
    deleted_at timestamptz,
    unique (space_id, slot),
    unique (space_id, index),
    check ((slot is null) = (deleted_at is not null))
);
comment on table hub_personas is 'Names under which people are known. A deleted one keeps its row, so that nobody else ever has its name.';
comment on column hub_personas.slot is 'One of seven.';
comment on column hub_personas.index is 'Under which its keys are derived in the owner''s browser.';

create table hub_names (
    skeleton text primary key,
    space_id uuid not null references hub_spaces (id)
);
comment on table hub_names is 'What people are shown when they are asked, folded so that look-alikes are equal: names of sites and of the personas that have them. Each belongs to one space for good.';

create table hub_sites (
    id text primary key,
    space_id uuid not null references hub_spaces (id),
    persona text not null references hub_personas (name),
    name text not null check (octet_length(name) between 1 and 60),
    scope_prefix text not null unique,
    fingerprint_mode smallint not null check (fingerprint_mode in (1, 2, 3)),
    otp_alg smallint not null check (otp_alg in (1, 2)),
    trial_ends_at timestamptz,
    created_at timestamptz not null,
    revoked_at timestamptz,
    deleted boolean not null default false,
    check (revoked_at is not null or not deleted)
);
create index hub_sites_by_space on hub_sites (space_id, id);
create index hub_sites_by_persona on hub_sites (persona);
comment on table hub_sites is 'Where personas are welcomed. Its keys are those of its persona.';
comment on column hub_sites.scope_prefix is 'What scopes of its own begin with.';
comment on column hub_sites.fingerprint_mode is 'Whom a fingerprint is for: 1 this site, 2 all sites of the same space, 3 everybody.';
comment on column hub_sites.otp_alg is '1 crypto_auth, 2 the MD5 of the original''s sample as well.';
comment on column hub_sites.revoked_at is 'Nobody is welcomed there from then on: its owner has deleted it, or its persona, or an operator has taken it back.';
comment on column hub_sites.deleted is 'By its owner: it is not shown any more, and does not come back.';
comment on column hub_sites.trial_ends_at is 'Null: it has none, or an operator has lifted it.';

create table hub_endpoints (
    site_id text not null references hub_sites (id) on delete cascade,
    url text not null,
    primary key (site_id, url)
);
comment on table hub_endpoints is 'Where a site''s users may be sent, to the letter.';

create table hub_sauces (
    id uuid primary key,
    site_id text not null references hub_sites (id) on delete cascade,
    secret bytea not null,
    created_at timestamptz not null,
    not_after timestamptz
);
create index hub_sauces_by_site on hub_sauces (site_id);
create index hub_sauces_by_end on hub_sauces (not_after) where not_after is not null;
comment on table hub_sauces is 'Secret sauces: what a site''s one-time passwords are made with.';
comment on column hub_sauces.secret is 'Sealed, bound to the id.';
comment on column hub_sauces.not_after is 'It was rotated, and is good until then.';

create table hub_seen (
    site_id text not null,
    n text not null,
    expires_at timestamptz not null,
    primary key (site_id, n)
);
create index hub_seen_by_expiry on hub_seen (expires_at);
comment on table hub_seen is 'Which welcomes a site has asked for: each once.';

create table hub_challenges (
    id text primary key,
    site_id text not null references hub_sites (id),
    username text not null,
    space_id uuid references hub_spaces (id),
    sealed bytea not null,
    release bytea,
    state smallint not null default 0 check (state in (0, 1, 2, 3)),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    decided_at timestamptz,
    check ((state = 0) = (decided_at is null)),
    check (state <> 0 or release is not null)
);
create index hub_challenges_by_username on hub_challenges (username, created_at) where state = 0;
create index hub_challenges_by_space on hub_challenges (space_id, created_at) where state = 0;
create index hub_challenges_by_expiry on hub_challenges (expires_at);
comment on table hub_challenges is 'Welcomes, from when a merchant asks until a while after they are over.';
comment on column hub_challenges.username is 'Whom it is for, whether or not there is such a persona.';
comment on column hub_challenges.space_id is 'Who is asked; null: nobody, because there is no such persona, or because it is to hear nothing of this site for now.';
comment on column hub_challenges.sealed is 'What the persona sees, sealed to its box key; to one that nobody has where nobody is asked.';
comment on column hub_challenges.release is 'Where it leads, with the query, sealed, bound to the id; taken away when it is decided.';
comment on column hub_challenges.state is '0 pending, 1 released, 2 denied, 3 expired.';

create table hub_blocks (
    persona text not null references hub_personas (name),
    site_id text not null references hub_sites (id) on delete cascade,
    denials integer not null,
    denied_at timestamptz not null,
    until timestamptz,
    primary key (persona, site_id)
);
create index hub_blocks_by_time on hub_blocks (denied_at);
comment on table hub_blocks is 'Denials of late: a persona that keeps saying no is not asked any more for a while.';
comment on column hub_blocks.until is 'Until then it hears nothing of the site.';

create table hub_stats (
    site_id text not null references hub_sites (id) on delete cascade,
    day date not null,
    requests integer not null default 0,
    approved integer not null default 0,
    denied integer not null default 0,
    expired integer not null default 0,
    failed integer not null default 0,
    unique_fing integer not null default 0,
    primary key (site_id, day)
) with (fillfactor = 70);
create index hub_stats_by_day on hub_stats (day);
comment on table hub_stats is 'What a site''s owner sees of each day.';
comment on column hub_stats.failed is 'Signed requests that were refused.';
comment on column hub_stats.unique_fing is 'How many different people were let in.';

create table hub_fings (
    site_id text not null references hub_sites (id) on delete cascade,
    day date not null,
    hash bytea not null,
    primary key (site_id, day, hash)
);
create index hub_fings_by_day on hub_fings (day);
comment on table hub_fings is 'Who was let in on a day, as keyed hashes of fingerprints; for counting only.';

create table hub_notices (
    id uuid primary key,
    space_id uuid not null references hub_spaces (id) on delete cascade,
    kind smallint not null check (kind in (1, 2, 3)),
    destination text not null,
    address bytea not null,
    secret bytea,
    created_at timestamptz not null,
    confirmed_at timestamptz,
    failed_at timestamptz,
    check ((kind = 1) = (secret is not null))
);
create index hub_notices_by_space on hub_notices (space_id, id);
create index hub_notices_unconfirmed on hub_notices (created_at) where confirmed_at is null;
comment on table hub_notices is 'Where somebody wants to hear of welcomes.';
comment on column hub_notices.kind is '1 webhook, 2 Web Push, 3 mail.';
comment on column hub_notices.destination is 'Of its deliveries: notice:HOST, and notice:mail for mail.';
comment on column hub_notices.address is 'URL, subscription or mailbox, sealed, bound to the id.';
comment on column hub_notices.secret is 'What a webhook''s deliveries are signed with, sealed, bound to the id.';
comment on column hub_notices.confirmed_at is 'A mailbox counts once its owner has shown the code that was sent there.';
comment on column hub_notices.failed_at is 'Its push service knows it no more: nothing goes there.';

comment on column messages.channel is '1 openmsg, 2 webhook, 3 sms, 4 voice, 5 email, 6 push, 7 relay, 8 notice.';
