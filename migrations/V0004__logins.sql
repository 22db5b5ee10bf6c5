-- Logins by code: applications, how addresses stand, sessions.

alter table codes drop constraint codes_state_check;
alter table codes add constraint codes_state_check check (state in (0, 1, 2, 3));
alter table codes add column device bytea;
alter table codes add column calls smallint not null default 0;
alter table codes add column grace_until timestamptz;
alter table codes add column busy_until timestamptz;
comment on column codes.purpose is '1 pass code, 2 verification code of a phone number, 3 verification code of a further device, 4 login, 5 a mailbox for notices. A code made for one purpose opens nothing else.';
comment on column codes.state is '0 live; 1 burnt for an ask whose callback has not begun; 2 burnt for good, or withdrawn; 3 a login''s: it was right, and what makes the token has not made one yet.';
comment on column codes.sealed is 'The code itself, bound to this row''s id, until it was sent; of a login, which may ask for it again, until it is used.';
comment on column codes.device is 'State 3: keyed hash of the device that knew it. Only this one may repeat it.';
comment on column codes.calls is 'State 3: calls to what makes the token.';
comment on column codes.grace_until is 'State 3: until then it may be repeated; never beyond its expiry.';
comment on column codes.busy_until is 'State 3: until then somebody else is calling.';

create table apps (
    appid text primary key check (appid ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'),
    name text not null,
    enabled boolean not null default true,
    definition bytea not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
comment on table apps is 'Applications that people sign in to.';
comment on column apps.name is 'What people know it by, in the words around a code.';
comment on column apps.definition is 'Everything else, sealed, bound to the appid: it holds the application''s token at its back end, and what its verifier is called with.';

create table login_addresses (
    appid text not null references apps (appid) on delete cascade,
    subject bytea not null,
    sent timestamptz[] not null default '{}',
    failed timestamptz[] not null default '{}',
    in_a_row integer not null default 0 check (in_a_row >= 0),
    blocked_until timestamptz,
    locked_at timestamptz,
    used_at timestamptz not null,
    primary key (appid, subject)
) with (fillfactor = 70);
create index login_addresses_by_use on login_addresses (used_at) where in_a_row = 0 and locked_at is null;
create index login_addresses_by_use_wrong on login_addresses (used_at) where in_a_row > 0 and locked_at is null;
comment on table login_addresses is 'How addresses stand with applications: messages sent, codes that were wrong. Its row is locked by whoever sends to it, and by whoever counts a try.';
comment on column login_addresses.subject is 'Keyed hash of application, kind and address.';
comment on column login_addresses.sent is 'When messages went, within a day; the oldest first.';
comment on column login_addresses.failed is 'When codes were wrong, within a day; the oldest first. A try is counted here before it is compared, and taken away if it was right.';
comment on column login_addresses.in_a_row is 'Wrong codes since the last right one.';
comment on column login_addresses.blocked_until is 'Too many were wrong within a day.';
comment on column login_addresses.locked_at is 'Too many were wrong in a row: until an operator unlocks it.';

create table login_sessions (
    id uuid primary key,
    appid text not null references apps (appid) on delete cascade,
    subject bytea not null,
    token_hash bytea not null,
    who bytea not null,
    upstream bytea,
    idles boolean not null,
    created_at timestamptz not null,
    seen_at timestamptz not null,
    expires_at timestamptz not null,
    ends_at timestamptz not null,
    revoked_at timestamptz
);
create unique index login_sessions_by_token on login_sessions (token_hash);
create index login_sessions_by_address on login_sessions (appid, subject, id);
create index login_sessions_by_app on login_sessions (appid, id);
create index login_sessions_by_end on login_sessions (ends_at);
comment on table login_sessions is 'Who is signed in to which application.';
comment on column login_sessions.subject is 'Keyed hash of application, kind and address.';
comment on column login_sessions.token_hash is 'Keyed hash of the token. The token itself is not here.';
comment on column login_sessions.who is 'Address, name, device and where from, sealed, bound to the id.';
comment on column login_sessions.upstream is 'The token of a back end that can revoke it, sealed, bound to the id.';
comment on column login_sessions.idles is 'Whether it ends when it is not used: of a token that others look up, nobody tells us.';
comment on column login_sessions.expires_at is 'The end of its life, whatever happens.';
comment on column login_sessions.ends_at is 'Its end as things stand: its expiry, or sooner when it is not used, or when it was revoked.';
