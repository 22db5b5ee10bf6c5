-- A Homing Space merchant's side: attempts to sign in, accounts, what people said of themselves, sessions.

create table hs_attempts (
    n text primary key,
    username text not null,
    ts bigint not null,
    state_hash bytea not null check (length(state_hash) = 32),
    challenge text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    consumed_at timestamptz,
    outcome text,
    digits text check (digits ~ '^[0-9]{2}$'),
    held bytea,
    held_by bytea,
    check ((consumed_at is null) = (outcome is null)),
    check (held is null or outcome in ('asked', 'matched'))
);
create unique index hs_attempts_by_holder on hs_attempts (held_by) where held_by is not null;
create index hs_attempts_by_expiry on hs_attempts (expires_at);
comment on table hs_attempts is 'Logins that a hub made a welcome for. A row is written only when it did: where it did not, nothing can be consumed.';
comment on column hs_attempts.n is '16 random bytes as base64url, part of the query that comes back.';
comment on column hs_attempts.ts is 'Unix seconds, as in the query and the one-time password.';
comment on column hs_attempts.state_hash is 'SHA-256 of the cookie of the browser that began.';
comment on column hs_attempts.outcome is 'in; or why nobody was signed in, in a word: scope, policy, digits; asked and matched on the way, where another device approves.';
comment on column hs_attempts.digits is 'Shown where the login began, typed where it was approved; null: both are the same browser.';
comment on column hs_attempts.held is 'What came from the other device, sealed, until the digits are typed and the first device fetches its session.';
comment on column hs_attempts.held_by is 'SHA-256 of what the other device shows for itself.';

create table hs_accounts (
    id uuid primary key,
    f_in_g text not null,
    created_at timestamptz not null,
    last_login_at timestamptz not null
);
create index hs_accounts_by_fingerprint on hs_accounts (f_in_g, created_at);
comment on table hs_accounts is 'People as the merchant knows them.';
comment on column hs_accounts.f_in_g is 'The fingerprint of their space, as it last came. Personal data.';

create table hs_account_personas (
    username text primary key,
    account_id uuid not null references hs_accounts on delete cascade,
    created_at timestamptz not null
);
create index hs_account_personas_by_account on hs_account_personas (account_id);
comment on table hs_account_personas is 'Under which persona an account comes; several where policy is link.';

create table hs_claims (
    account_id uuid not null references hs_accounts on delete cascade,
    scope text not null,
    value bytea not null,
    updated_at timestamptz not null,
    primary key (account_id, scope)
);
comment on table hs_claims is 'What people said of themselves, by scope. Nobody verified it.';
comment on column hs_claims.value is 'Sealed, bound to account and scope.';

create table hs_sessions (
    id_hash bytea primary key check (length(id_hash) = 32),
    account_id uuid not null references hs_accounts on delete cascade,
    username text not null,
    granted text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index hs_sessions_by_account on hs_sessions (account_id);
create index hs_sessions_by_expiry on hs_sessions (expires_at);
comment on table hs_sessions is 'Browsers that are signed in.';
comment on column hs_sessions.id_hash is 'Keyed hash of the cookie''s value.';
comment on column hs_sessions.granted is 'Names of what was given at this login, with semicolons between.';
