-- Phone numbers with devices, and what the TextSecure door keeps for them: keys, envelopes, attachments, the directory.

-- Codes belong to an account, or to whatever else they prove: then they are found by its keyed hash.
alter table codes alter column account_id drop not null;
alter table codes add column subject bytea;
alter table codes add column tries smallint not null default 0;
alter table codes add column sealed bytea;
alter table codes add constraint codes_whose check ((account_id is null) = (subject is not null));
create unique index codes_by_subject on codes (purpose, subject) where subject is not null;
comment on column codes.purpose is '1 pass code, 2 verification code of a phone number, 3 verification code of a further device. A code made for one purpose opens nothing else.';
comment on column codes.subject is 'Keyed hash of what it proves, a phone number for instance. It has one code at a time.';
comment on column codes.tries is 'Wrong and right tries, counted before the code is compared.';
comment on column codes.sealed is 'The code itself, bound to this row''s id, until it was sent.';

create table buckets (
    scope text not null,
    key text not null,
    level double precision not null check (level >= 0),
    at timestamptz not null,
    primary key (scope, key)
) with (fillfactor = 70);
create index buckets_by_time on buckets (at);
comment on table buckets is 'Leaky buckets: limits that hold across processes. A full one refuses, and takes nothing of what it refuses.';
comment on column buckets.level is 'What was in it at that time; it has leaked since.';

create table phones (
    number text primary key check (number ~ '^\+[0-9]{10,}$'),
    created_at timestamptz not null,
    registered_at timestamptz not null,
    disabled_at timestamptz
);
comment on table phones is 'Accounts that are a phone number.';
comment on column phones.registered_at is 'When the number was last proven.';
comment on column phones.disabled_at is 'Set by an operator: it answers like one that does not exist, and cannot register.';

create table devices (
    number text not null references phones (number) on delete cascade,
    device smallint not null check (device > 0),
    generation uuid not null,
    password text not null,
    signaling_key bytea not null,
    registration_id integer not null default 0,
    fetches_messages boolean not null default false,
    supports_sms boolean not null default false,
    push smallint check (push in (1, 2, 3)),
    push_address bytea,
    push_set_at timestamptz,
    push_failed_at timestamptz,
    created_at timestamptz not null,
    seen_on date not null,
    listener uuid,
    primary key (number, device),
    check ((push is null) = (push_address is null))
);
comment on table devices is 'Devices of phone numbers; 1 is the one that registered.';
comment on column devices.generation is 'Made anew when the device registers: what was verified or sent for the one before is not for this one.';
comment on column devices.password is 'Argon2id, in its own text form.';
comment on column devices.signaling_key is 'What its envelopes are encrypted with, sealed, bound to number and device.';
comment on column devices.fetches_messages is 'It reads over the websocket. Such a device, and one with a push address, is active.';
comment on column devices.push is 'How it is woken: 1 GCM or FCM, 2 APNs, 3 Web Push.';
comment on column devices.push_address is 'Its registration id, token or subscription, sealed, bound to number and device.';
comment on column devices.push_set_at is 'Since when it has this address: a push service that found it unknown before that is behind.';
comment on column devices.push_failed_at is 'When the push service last said that it knows nothing of this address, which was taken away then.';
comment on column devices.seen_on is 'The day it last signed in.';
comment on column devices.listener is 'The websocket that it opened last, whether or not it is still open: an older one that is finds itself replaced.';

create table prekeys (
    number text not null,
    device smallint not null,
    key_id integer not null check (key_id >= 0),
    place integer not null,
    public_key text not null,
    identity_key text not null,
    primary key (number, device, key_id, place)
);
comment on table prekeys is 'One-time keys: whoever is given one takes it away. They outlive a registration.';
comment on column prekeys.place is 'Its place in the upload, for clients that use a key id twice.';

create table device_keys (
    number text not null,
    device smallint not null,
    identity_key text,
    last_resort_id integer,
    last_resort_key text,
    last_resort_identity text,
    signed_id integer,
    signed_key text,
    signature text,
    updated_at timestamptz not null,
    primary key (number, device),
    check ((last_resort_id is null) = (last_resort_key is null) and (last_resort_id is null) = (last_resort_identity is null)),
    check ((signed_id is null) = (signed_key is null) and (signed_id is null) = (signature is null))
);
comment on table device_keys is 'Keys of a device that are given to everybody: the last resort, when no one-time key is left, and the signed one.';
comment on column device_keys.identity_key is 'As uploaded with the later form of keys, where it stands beside them.';
comment on column device_keys.last_resort_identity is 'The identity key that came with the last-resort key.';

create table directory (
    token bytea primary key,
    relay text,
    supports_sms boolean not null default false
);
create index directory_by_relay on directory (relay, token) where relay is not null;
comment on table directory is 'Who can be written to: the first 10 bytes of the SHA-1 of a number.';
comment on column directory.relay is 'The federated node it is registered with; null: this one.';

create table envelopes (
    id uuid primary key,
    number text not null,
    device smallint not null,
    content bytea not null,
    receipt boolean not null default false,
    expires_at timestamptz not null
);
create index envelopes_by_device on envelopes (number, device, id);
create index envelopes_by_expiry on envelopes (expires_at);
comment on table envelopes is 'Messages for devices, until they are taken. Written under the shared lock of the number''s row, so that none is left over from a registration that was replaced.';
comment on column envelopes.content is 'The envelope in the clear of its protocol, sealed, bound to the id.';
comment on column envelopes.receipt is 'A delivery receipt: it is pushed under another name, and makes none itself.';

create table attachments (
    id bigint primary key check (id >= 0),
    allocated_at timestamptz not null,
    uploaded_at timestamptz,
    bytes bigint,
    claimed_until timestamptz
);
create index attachments_by_age on attachments (allocated_at);
create index attachments_without_file on attachments (allocated_at) where uploaded_at is null;
comment on table attachments is 'Places for encrypted files. The files are in the object store, by id.';
comment on column attachments.uploaded_at is 'When this node stored it; null also where an outside store took the upload.';
comment on column attachments.claimed_until is 'Until then a worker is deleting it.';

create table peers (
    name text primary key,
    synced_at timestamptz,
    due_at timestamptz not null,
    worker uuid,
    failures integer not null default 0,
    contacts bigint not null default 0,
    error text
);
comment on table peers is 'Federated nodes: how their directories were last read.';
comment on column peers.due_at is 'When it is read next.';
comment on column peers.worker is 'Who reads it, under its lease.';
comment on column peers.contacts is 'Tokens of it in the directory after that.';
comment on column peers.error is 'Why the last try failed, in a word.';

comment on column messages.channel is '1 openmsg, 2 webhook, 3 sms, 4 voice, 5 email, 6 push, 7 relay.';
comment on column messages.destination is 'What limits and breakers apply to: the peer''s domain, the name of a webhook; what the node itself sends: KIND:NAME.';
