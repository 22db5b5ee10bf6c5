//! Settings of logins by code: the mesibo door, and what it shares with our own API.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Bucket, ByteSize, Config, Mode, Period, is_host, is_http_url};

/// The mesibo door, and logins by code.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Mesibo {
    /// Whether the door is open. The same logins over our own API need no door.
    pub enabled: bool,
    /// Host names under which the door is; empty: all.
    pub hosts: Vec<String>,
    /// Largest request body.
    pub body_limit: ByteSize,
    /// Origins whose pages may call the door; `*`: all, which is safe because the door knows no cookies.
    pub origins: Vec<String>,
    /// Where a request without an `op` is sent; empty: it is answered with an error.
    pub empty_op_redirect: String,
    /// Life of a code.
    pub code_life: Period,
    /// Tries that a code bears.
    pub code_tries: u32,
    /// Waits between the messages to one address, the last one for each further message within an hour. Who asks earlier is answered
    /// as if a message had gone: the code that is there stays good.
    pub spacing: Vec<Period>,
    /// Messages to one address within an hour.
    pub sends_per_hour: u32,
    /// Messages to one address within a day.
    pub sends_per_day: u32,
    /// Wrong codes for one address within a day, before it has to wait for a day.
    pub failures_per_day: u32,
    /// Wrong codes for one address in a row, over any time, before an operator must unlock it (NIST SP 800-63B, 5.2.2).
    pub failures_in_a_row: u32,
    /// How long a right code may be repeated when what makes the token failed.
    pub grace: Period,
    /// How often a right code may be used so, the first time included.
    pub grace_calls: u32,
    /// How long a call to what makes tokens may take.
    pub backend_timeout: Period,
    /// Calls to one application's back end at once, in one worker process: at most 128, so that no few that hang take all places.
    pub backend_calls: usize,
    /// How long a token of our own is good, whatever happens.
    pub session_life: Period,
    /// How long it is good without being used.
    pub session_idle: Period,
    /// How often what may be done.
    pub limits: LoginLimits,
    /// Whether `test_codes` may be used with `mode = "production"`.
    pub allow_test_codes: bool,
    /// Addresses that are sent nothing, and have one code: for the reviewers of app stores, for instance.
    pub test_codes: Vec<TestCode>,
}

/// How often what may be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct LoginLimits {
    /// Logins begun, per IPv4 address or IPv6 /64.
    pub starts_per_ip: Bucket,
    /// The same per IPv4 /24 or IPv6 /48.
    pub starts_per_network: Bucket,
    /// Codes tried, per IPv4 address or IPv6 /64.
    pub tries_per_ip: Bucket,
    /// The same per IPv4 /24 or IPv6 /48.
    pub tries_per_network: Bucket,
    /// Logins begun, per application.
    pub starts_per_app: Bucket,
    /// Codes tried, per application.
    pub tries_per_app: Bucket,
    /// Codes sent by message or call, per country (E.164 country code), over all applications.
    pub sends_per_country: Bucket,
}

/// One address with one code.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestCode {
    /// Of which application.
    pub app: String,
    /// Phone number or mail address.
    pub address: String,
    /// Six digits.
    pub code: super::Secret,
    /// Until when.
    pub valid_until: Timestamp,
}

impl Mesibo {
    /// What is wrong, each with the setting's name.
    pub(super) fn mistakes(&self, config: &Config) -> Vec<(String, String)> {
        let periods = Period::seconds(60)..=Period::seconds(600);
        let grace = Period::seconds(1)..=Period::seconds(600);
        let test_codes = config.mode == Mode::Development || self.allow_test_codes || self.test_codes.is_empty();
        let redirect = self.empty_op_redirect.is_empty() || is_http_url(&self.empty_op_redirect, config.mode);
        let digits = |code: &str| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
        let checks = [
            ("hosts", self.hosts.iter().all(|host| is_host(host)), "names of hosts, lower-case and without ports"),
            ("body_limit", self.body_limit >= ByteSize::kib(1), "must be at least 1KiB"),
            ("empty_op_redirect", redirect, "must be https://host[/path]"),
            ("code_life", periods.contains(&self.code_life), "must be between 60s and 10m"),
            ("code_tries", (3..=10).contains(&self.code_tries), "must be between 3 and 10"),
            ("spacing", !self.spacing.is_empty(), "needs at least one wait"),
            ("sends_per_hour", self.sends_per_hour > 0, "must be at least 1"),
            ("sends_per_day", (1..=1000).contains(&self.sends_per_day), "must be between 1 and 1000"),
            ("failures_per_day", self.failures_per_day > 0, "must be at least 1"),
            ("failures_in_a_row", (1..=100).contains(&self.failures_in_a_row), "must be between 1 and 100"),
            ("grace", grace.contains(&self.grace), "must be between 1s and 10m"),
            ("grace_calls", self.grace_calls > 0, "must be at least 1"),
            ("backend_timeout", self.backend_timeout >= Period::seconds(1), "must be at least 1s"),
            ("backend_calls", (1..=128).contains(&self.backend_calls), "must be between 1 and 128"),
            ("session_life", self.session_life >= Period::seconds(60), "must be at least 1m"),
            ("session_idle", self.session_idle >= Period::seconds(60), "must be at least 1m"),
            ("test_codes", test_codes, "refused with mode = \"production\", unless allow_test_codes is set"),
            ("test_codes", self.test_codes.iter().all(|test| digits(test.code.reveal())), "a code has six digits"),
        ];
        let wrong = checks.into_iter().filter(|(_, good, _)| !good);
        let limits = self.limits.all().into_iter().filter(|(_, limit)| !limit.is_one());
        wrong
            .map(|(key, _, what)| (format!("mesibo.{key}"), what.to_owned()))
            .chain(limits.map(|(key, _)| (format!("mesibo.limits.{key}"), Bucket::MUST.to_owned())))
            .collect()
    }
}

impl LoginLimits {
    /// All, with their names.
    fn all(&self) -> [(&'static str, Bucket); 7] {
        [
            ("starts_per_ip", self.starts_per_ip),
            ("starts_per_network", self.starts_per_network),
            ("tries_per_ip", self.tries_per_ip),
            ("tries_per_network", self.tries_per_network),
            ("starts_per_app", self.starts_per_app),
            ("tries_per_app", self.tries_per_app),
            ("sends_per_country", self.sends_per_country),
        ]
    }
}

impl Default for Mesibo {
    fn default() -> Self {
        Self {
            enabled: false,
            hosts: Vec::new(),
            body_limit: ByteSize::kib(16),
            origins: vec!["*".into()],
            empty_op_redirect: String::new(),
            code_life: Period::seconds(300),
            code_tries: 5,
            spacing: [60, 120, 300, 600].map(Period::seconds).to_vec(),
            sends_per_hour: 5,
            sends_per_day: 10,
            failures_per_day: 20,
            failures_in_a_row: 100,
            grace: Period::seconds(60),
            grace_calls: 3,
            backend_timeout: Period::seconds(30),
            backend_calls: 32,
            session_life: Period::days(365),
            session_idle: Period::days(90),
            limits: LoginLimits::default(),
            allow_test_codes: false,
            test_codes: Vec::new(),
        }
    }
}

impl Default for LoginLimits {
    fn default() -> Self {
        let bucket = |bucket, per_minute| Bucket { bucket, per_minute };
        Self {
            starts_per_ip: bucket(10, 0.33),
            starts_per_network: bucket(100, 5.0),
            tries_per_ip: bucket(30, 6.0),
            tries_per_network: bucket(300, 60.0),
            starts_per_app: bucket(1000, 17.0),
            tries_per_app: bucket(5000, 84.0),
            sends_per_country: bucket(500, 8.5),
        }
    }
}
