-- The mailbox: people of this node who read and write in a browser. Their messages are where all messages are.

create table mailbox_users (
    account_id uuid primary key references accounts (id) on delete cascade,
    password text,
    password_at timestamptz,
    invitation bytea unique,
    invited_until timestamptz,
    check ((password is null) = (password_at is null)),
    check ((invitation is null) = (invited_until is null))
);
comment on table mailbox_users is 'Who may sign in to the mailbox, and with what.';
comment on column mailbox_users.password is 'Argon2id, with its parameters and salt; null: none was set yet.';
comment on column mailbox_users.password_at is 'When it was set.';
comment on column mailbox_users.invitation is 'Keyed hash of a link under which a password can be set, once.';
comment on column mailbox_users.invited_until is 'Until when.';

create table mailbox_sessions (
    id uuid primary key,
    hash bytea not null unique,
    account_id uuid not null references accounts (id) on delete cascade,
    agent text not null check (char_length(agent) <= 200),
    network text not null,
    created_at timestamptz not null,
    seen_at timestamptz not null,
    expires_at timestamptz not null
) with (fillfactor = 80);
create index mailbox_sessions_by_account on mailbox_sessions (account_id, id);
create index mailbox_sessions_by_expiry on mailbox_sessions (expires_at);
comment on table mailbox_sessions is 'Browsers that are signed in to the mailbox.';
comment on column mailbox_sessions.id is 'Names it to its owner, and opens nothing.';
comment on column mailbox_sessions.hash is 'Keyed hash of the cookie''s value.';
comment on column mailbox_sessions.agent is 'What the browser said it is, shortened; for its owner.';
comment on column mailbox_sessions.network is 'From where somebody signed in: an IPv4 address or an IPv6 /64; for its owner.';
comment on column mailbox_sessions.seen_at is 'When it was last used, to the minute.';
