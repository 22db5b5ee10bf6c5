//! Settings of the TextSecure door.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Bucket, ByteSize, Mode, Period, Secret, is_http_url};

/// The TextSecure door.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Textsecure {
    /// Whether the door is open.
    pub enabled: bool,
    /// The name under which peers know this node; empty: `domain`.
    pub name: String,
    /// Where clients reach the public listener, as in the URLs of attachments; empty: `https://<domain>`.
    pub url: String,
    /// Life of a verification code.
    pub code_life: Period,
    /// Tries that a verification code bears.
    pub code_tries: u32,
    /// Largest request body (a directory request with 50,000 tokens has 850 kB).
    pub body_limit: ByteSize,
    /// How long a message waits for its device.
    pub message_life: Period,
    /// Messages that wait for one device, receipts up to half of it; a further one is not taken, for nothing that was accepted is put
    /// aside.
    pub messages_per_device: u32,
    /// Devices of one number.
    pub devices: u16,
    /// How long a client waits for a federated node before it is answered 503, or its message is kept and tried again.
    pub relay_deadline: Period,
    /// How often the directories of peers are read.
    pub sync_every: Period,
    /// Passwords checked at once in one process; each takes 19 MiB for about 30 ms.
    pub password_checks: usize,
    /// Password checks that wait for a place; further ones are answered 503.
    pub password_checks_waiting: usize,
    /// Wrong passwords and codes from one address in a minute, before further ones are answered 413.
    pub wrong_passwords_per_ip: u32,
    /// Websockets open at once in one process; further ones are answered 503. Each takes one of `public.connections` as well.
    pub websockets: usize,
    /// A websocket over which nothing was heard for so long is closed; an answered ping counts.
    pub websocket_idle: Period,
    /// Files.
    pub attachments: Attachments,
    /// How often what may be done.
    pub limits: Limits,
    /// Federated nodes.
    pub peers: Vec<Peer>,
}

/// Files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachments {
    /// `local`: a directory, served by this node. `s3`: presigned URLs of an S3-compatible store.
    pub store: Store,
    /// The directory; empty: `<data_dir>/attachments`. All processes of the node, workers as well, need one that they share.
    pub directory: Option<PathBuf>,
    /// S3: the bucket.
    pub bucket: String,
    /// S3: the region.
    pub region: String,
    /// S3: where it is, if it is not Amazon's.
    pub endpoint: String,
    /// S3: access key.
    pub access_key: Secret,
    /// S3: secret key.
    pub secret_key: Secret,
    /// Largest file.
    pub largest: ByteSize,
    /// How long a URL is good.
    pub url_life: Period,
    /// How long a file is kept.
    pub life: Period,
}

/// Where files are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// In a directory, served by this node.
    #[default]
    Local,
    /// In an S3-compatible store.
    S3,
}

/// How often what may be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Codes by SMS, per number.
    pub sms: Bucket,
    /// Codes by voice, per number.
    pub voice: Bucket,
    /// Tries with a code, per number.
    pub verify: Bucket,
    /// Codes asked for from one address, for whatever numbers.
    pub codes_per_ip: Bucket,
    /// Attachments allocated, per number.
    pub attachments: Bucket,
    /// Directory tokens looked up, per number.
    pub contacts: Bucket,
    /// Keys fetched, per pair of numbers and device.
    pub prekeys: Bucket,
    /// Requests with messages, per sender.
    pub messages: Bucket,
    /// Delivery receipts, per sender.
    pub receipts: Bucket,
    /// Codes for further devices, per number.
    pub allocate_device: Bucket,
    /// Tries with such a code, per number.
    pub verify_device: Bucket,
    /// Push addresses given, per number: each new one is pushed what waits.
    pub push_addresses: Bucket,
}

/// A federated node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// What it is called, here and in `relay`.
    pub name: String,
    /// `https://host[:port]`.
    pub url: String,
    /// The shared secret, of both directions.
    pub token: Secret,
    /// PEM file with the only certificate, or authority, that is trusted for it; none: what the node trusts otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
}

impl Textsecure {
    /// What is wrong, each with the setting's name.
    pub(super) fn mistakes(&self, mode: Mode) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut wrong = |key: &str, what: &str| found.push((format!("textsecure.{key}"), what.to_owned()));
        let at_least_one = "must be at least 1";
        if self.code_life < Period::seconds(1) || self.code_life > Period::hours(24) {
            wrong("code_life", "must be between 1s and 24h");
        }
        if self.websocket_idle < Period::seconds(1) || self.websocket_idle > Period::hours(24) {
            wrong("websocket_idle", "must be between 1s and 24h");
        }
        if self.message_life < Period::seconds(60) || self.message_life > Period::days(365) {
            wrong("message_life", "must be between 1m and 365d");
        }
        if self.relay_deadline < Period::seconds(1) {
            wrong("relay_deadline", "must be at least 1s");
        }
        if self.sync_every < Period::seconds(1) {
            wrong("sync_every", "must be at least 1s");
        }
        if self.body_limit < ByteSize::kib(1) {
            wrong("body_limit", "must be at least 1KiB");
        }
        let numbers = [
            ("code_tries", self.code_tries > 0),
            ("messages_per_device", self.messages_per_device > 0),
            ("devices", self.devices > 0),
            ("password_checks", self.password_checks > 0),
        ];
        for (key, good) in numbers {
            if !good {
                wrong(key, at_least_one);
            }
        }
        if !self.url.is_empty() && !is_http_url(&self.url, mode) {
            wrong("url", "must be https://host[:port], with a path or none, and nothing behind it");
        }
        for (key, what) in self.attachments.mistakes(mode) {
            wrong(&format!("attachments.{key}"), what);
        }
        for (key, limit) in self.limits.all() {
            if !limit.is_one() {
                wrong(&format!("limits.{key}"), Bucket::MUST);
            }
        }
        let mut names = std::collections::BTreeSet::from([self.name.as_str()]);
        for peer in &self.peers {
            let in_a_path = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if peer.name.is_empty() || !peer.name.chars().all(in_a_path) {
                wrong("peers", "a name has letters, digits, dot, dash and underscore only, at least one");
            }
            if !names.insert(&peer.name) {
                wrong("peers", "two have the same name, or that of this node");
            }
            if !peer.url.starts_with("https://") {
                wrong("peers", "a url begins with https://");
            }
            if peer.token.is_empty() {
                wrong("peers", "a token must not be empty");
            }
        }
        found
    }
}

impl Attachments {
    fn mistakes(&self, mode: Mode) -> Vec<(&'static str, &'static str)> {
        let in_the_store = self.store == Store::S3;
        let must_be_set = "must be set with store = \"s3\"";
        let checks = [
            ("bucket", !in_the_store || !self.bucket.is_empty(), must_be_set),
            ("access_key", !in_the_store || !self.access_key.is_empty(), must_be_set),
            ("secret_key", !in_the_store || !self.secret_key.is_empty(), must_be_set),
            ("endpoint", self.endpoint.is_empty() || is_http_url(&self.endpoint, mode), "must be https://host[:port]"),
            ("largest", self.largest.bytes() > 0, "must be at least 1B"),
            // S3 signs for no longer than that.
            ("url_life", (Period::seconds(1)..=Period::days(7)).contains(&self.url_life), "must be between 1s and 7d"),
            ("life", self.life > self.url_life, "must be longer than url_life"),
        ];
        checks.into_iter().filter(|(_, good, _)| !good).map(|(key, _, what)| (key, what)).collect()
    }
}

impl Limits {
    /// All, with their names.
    fn all(&self) -> [(&'static str, Bucket); 12] {
        [
            ("sms", self.sms),
            ("voice", self.voice),
            ("verify", self.verify),
            ("codes_per_ip", self.codes_per_ip),
            ("attachments", self.attachments),
            ("contacts", self.contacts),
            ("prekeys", self.prekeys),
            ("messages", self.messages),
            ("receipts", self.receipts),
            ("allocate_device", self.allocate_device),
            ("verify_device", self.verify_device),
            ("push_addresses", self.push_addresses),
        ]
    }
}

impl Default for Textsecure {
    fn default() -> Self {
        Self {
            enabled: false,
            name: String::new(),
            url: String::new(),
            code_life: Period::seconds(600),
            code_tries: 10,
            body_limit: ByteSize::mib(2),
            message_life: Period::days(30),
            messages_per_device: 1000,
            devices: 6,
            relay_deadline: Period::seconds(10),
            sync_every: Period::hours(1),
            password_checks: 1,
            password_checks_waiting: 256,
            wrong_passwords_per_ip: 300,
            websockets: 6144,
            websocket_idle: Period::seconds(600),
            attachments: Attachments::default(),
            limits: Limits::default(),
            peers: Vec::new(),
        }
    }
}

impl Default for Attachments {
    fn default() -> Self {
        Self {
            store: Store::Local,
            directory: None,
            bucket: String::new(),
            region: String::new(),
            endpoint: String::new(),
            access_key: Secret::default(),
            secret_key: Secret::default(),
            largest: ByteSize::mib(100),
            url_life: Period::hours(1),
            life: Period::days(30),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let bucket = |bucket, per_minute| Bucket { bucket, per_minute };
        Self {
            sms: bucket(2, 2.0),
            voice: bucket(2, 0.5),
            verify: bucket(2, 2.0),
            codes_per_ip: bucket(100, 60.0),
            attachments: bucket(50, 50.0),
            contacts: bucket(50_000, 50_000.0),
            prekeys: bucket(3, 0.1),
            messages: bucket(60, 60.0),
            receipts: bucket(1000, 1000.0),
            allocate_device: bucket(2, 0.5),
            verify_device: bucket(2, 2.0),
            push_addresses: bucket(10, 2.0),
        }
    }
}
