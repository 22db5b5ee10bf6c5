//! Settings of the Homing Space doors.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Bucket, Config, Mode, Period, Secret, is_host, is_http_url};
use crate::homing::otp::Sauce;
use crate::homing::scopes::Scopes;
use crate::homing::{Persona, ids, keys};
use crate::webhooks::WebhookName;

/// The Homing Space doors.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Homing {
    /// A merchant's side.
    pub gateway: Gateway,
    /// The side of spaces and personas.
    pub hub: Hub,
}

/// A merchant's side: `/homing/…`. Its settings come from the merchant's site at a hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Gateway {
    /// Whether the door is open.
    pub enabled: bool,
    /// Host names under which the door is; empty: all that are not the hub's.
    pub hosts: Vec<String>,
    /// Where browsers reach the merchant, `https://shop.example`; empty: `https://<domain>`.
    pub url: String,
    /// Where the hub is: its address as its pages have it, `https://hub.example/homing/hub`.
    pub hub: String,
    /// The hub's public sign keys (base64), all that are good: two while the hub changes its key.
    pub hub_keys: Vec<String>,
    /// The site's public id at the hub, `hst_…`.
    pub site: String,
    /// The persona that the merchant is known by; shown before and while somebody signs in.
    pub persona: String,
    /// What the merchant calls itself on its pages.
    pub name: String,
    /// The site's secret sauce, `hss_…`.
    pub sauce: Secret,
    /// File with the persona's sign key, as the page "reveal keys" shows it.
    pub sign_key: PathBuf,
    /// What is asked for: `mandatory;scopes|optional;scopes`.
    pub scopes: String,
    /// Why, shown on the form: one sentence a scope.
    pub scope_notes: std::collections::BTreeMap<String, String>,
    /// Where users arrive after the hub; empty: `<url>/homing/endpoint`. Another one is the merchant's own work.
    pub endpoint: String,
    /// Where they are sent when they are signed in, a path of `url`; empty: a page of the gateway's.
    pub landing: String,
    /// How old a release may be, in whole seconds.
    pub replay_window: Period,
    /// How long somebody may take to approve.
    pub attempt_life: Period,
    /// When somebody known comes under another persona: `link` (the same account), `allow` (a new one), `reject`.
    pub policy: Policy,
    /// How long a session is good.
    pub session_life: Period,
    /// A webhook of this node that is told of every login; empty: none.
    pub webhook: String,
    /// `hmac`; or `md5` as in the original's sample, for merchants' own third files.
    pub otp: Otp,
    /// Whether the release must carry the hub's signature. Without it the time of the request counts, and nothing vouches for the
    /// fingerprint: for hubs that sign nothing.
    pub require_hub_signature: bool,
    /// Whether a login that began on another device is let in when two digits are matched.
    pub cross_device: bool,
    /// A captcha on the form; empty: none.
    pub captcha: Captcha,
    /// How long the hub may take to answer.
    pub hub_timeout: Period,
    /// Logins begun, per address.
    pub entries_per_ip: Bucket,
}

/// What keeps robots from the form.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Captcha {
    /// The service's script, put on the form.
    pub script: String,
    /// The CSS class its element has.
    pub class: String,
    /// The site key.
    pub site_key: String,
    /// The form field in which the answer comes.
    pub field: String,
    /// Where an answer is verified: a POST of `secret` and `response`, answered with `{"success":true}`.
    pub verify: String,
    /// The secret for that.
    pub secret: Secret,
}

/// When somebody known comes under another persona.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The same account.
    #[default]
    Link,
    /// A new account.
    Allow,
    /// Nobody is let in.
    Reject,
}

/// How the one-time password of a login is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Otp {
    /// `crypto_auth` with the sauce.
    #[default]
    Hmac,
    /// MD5 of username, time and sauce.
    Md5,
}

/// The side of spaces and personas: `/homing/hub/…`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Hub {
    /// Whether the door is open.
    pub enabled: bool,
    /// Host names under which the door is; empty: all that are not the gateway's. Gateway and hub must not share one.
    pub hosts: Vec<String>,
    /// Where browsers reach it, `https://hub.example`; empty: `https://<domain>`.
    pub url: String,
    /// How long a site may be used without being paid for, in days; 0: without end.
    pub trial_days: u32,
    /// How long somebody may take to approve.
    pub challenge_life: Period,
    /// How long a rotated sauce is good beside the new one.
    pub sauce_overlap: Period,
    /// How long somebody stays signed in to a space.
    pub session_life: Period,
    /// Welcomes of one site.
    pub welcomes_per_site: Bucket,
    /// Welcomes of one persona, from whatever sites.
    pub welcomes_per_persona: Bucket,
    /// Welcomes of one persona that wait at once, of one site; of all sites three times as many.
    pub pending_per_persona: u32,
    /// Denials of one site's welcomes, after which the persona hears nothing of it for an hour.
    pub denials: u32,
    /// Approvals and denials of one space.
    pub decisions: Bucket,
    /// Spaces made from one address.
    pub spaces_per_ip: Bucket,
    /// Names of personas that one space tries to take.
    pub personas_per_space: Bucket,
    /// The same from one address.
    pub personas_per_ip: Bucket,
    /// Vaults put by one space.
    pub vaults_per_space: Bucket,
    /// Sites that one space makes.
    pub sites_per_space: Bucket,
    /// Sign-ins to spaces begun, and vaults fetched, from one address: each so many.
    pub sign_ins_per_ip: Bucket,
    /// Places for notices added to one space, and codes sent to one mailbox.
    pub notices: Bucket,
    /// Names of personas that nobody may have.
    pub reserved: Vec<String>,
}

impl Homing {
    /// What is wrong, each with the setting's name.
    pub(super) fn mistakes(&self, config: &Config) -> Vec<(String, String)> {
        let (gateway, hub, mode) = (&self.gateway, &self.hub, config.mode);
        let url = |text: &str| text.is_empty() || is_http_url(text, mode);
        let hosts = "names of hosts, lower-case and without ports";
        let https = "must be https://host[:port], with a path or none, and nothing behind it";
        let together = gateway.enabled
            && hub.enabled
            && (gateway.hosts.is_empty() && hub.hosts.is_empty()
                || gateway.hosts.iter().any(|host| hub.hosts.contains(host)));
        let window = (Period::seconds(5)..=Period::seconds(60)).contains(&gateway.replay_window);
        let life = |life: Period| (Period::seconds(30)..=Period::seconds(3600)).contains(&life);
        let landing =
            gateway.landing.is_empty() || gateway.landing.starts_with('/') && !gateway.landing.starts_with("//");
        let webhook = gateway.webhook.is_empty() || gateway.webhook.parse::<WebhookName>().is_ok();
        let checks = [
            ("gateway.hosts", gateway.hosts.iter().all(|host| is_host(host)), hosts),
            ("gateway.url", url(&gateway.url), https),
            // It is called, and calls are over TLS in every mode.
            ("gateway.hub", gateway.hub.starts_with("https://") && url(&gateway.hub) || !gateway.enabled, https),
            ("gateway.endpoint", url(&gateway.endpoint), https),
            ("gateway.site", !gateway.enabled || ids::is_site(&gateway.site), "must be set: hst_…"),
            (
                "gateway.persona",
                !gateway.enabled || Persona::parse(&gateway.persona).is_ok(),
                "must be a persona's name",
            ),
            ("gateway.sauce", !gateway.enabled || gateway.has_sauce(), "must be set: hss_… as the hub showed it"),
            (
                "gateway.scopes",
                gateway.has_scopes(),
                "must be mandatory;names|optional;names, of letters, digits and _",
            ),
            (
                "gateway.hub_keys",
                gateway.hub_keys.iter().all(|key| keys::public(key).is_some()),
                "must be 32 bytes of base64 each",
            ),
            (
                "gateway.policy",
                !gateway.enabled || gateway.require_hub_signature || gateway.policy == Policy::Allow,
                "must be \"allow\" without require_hub_signature: nothing vouches for the fingerprint then, and whoever knows somebody's \
                 would come into that account",
            ),
            ("gateway.sign_key", !gateway.enabled || !gateway.sign_key.as_os_str().is_empty(), "must be set"),
            (
                "gateway.hub_keys",
                !gateway.enabled || !gateway.require_hub_signature || !gateway.hub_keys.is_empty(),
                "must be set with require_hub_signature",
            ),
            (
                "gateway.webhook",
                webhook,
                "must be empty or a webhook's name: 1 to 63 of a-z, 0-9, - and _, a letter or digit first",
            ),
            ("gateway.landing", landing, "must be a path, from / on"),
            ("gateway.replay_window", window, "must be between 5s and 1m"),
            ("gateway.attempt_life", life(gateway.attempt_life), "must be between 30s and 1h"),
            ("gateway.session_life", gateway.session_life >= Period::seconds(60), "must be at least 1m"),
            ("gateway.hub_timeout", gateway.hub_timeout >= Period::seconds(1), "must be at least 1s"),
            ("gateway.entries_per_ip", gateway.entries_per_ip.is_one(), Bucket::MUST),
            (
                "gateway.captcha",
                gateway.captcha.is_whole(mode),
                "needs script, class, site_key, field, verify and secret, or none",
            ),
            ("hub.hosts", hub.hosts.iter().all(|host| is_host(host)), hosts),
            ("hub.hosts", !together, "gateway and hub must not share a host name: give each its own"),
            (
                "hub.hosts",
                !hub.enabled || mode != Mode::Production || !hub.hosts.is_empty(),
                "must be set in production: the pages that hold keys must not share an origin with the node's other doors",
            ),
            ("hub.url", url(&hub.url), https),
            ("hub.challenge_life", life(hub.challenge_life), "must be between 30s and 1h"),
            ("hub.session_life", hub.session_life >= Period::seconds(60), "must be at least 1m"),
            ("hub.welcomes_per_site", hub.welcomes_per_site.is_one(), Bucket::MUST),
            ("hub.welcomes_per_persona", hub.welcomes_per_persona.is_one(), Bucket::MUST),
            ("hub.pending_per_persona", hub.pending_per_persona > 0, "must be at least 1"),
            ("hub.denials", hub.denials > 0, "must be at least 1"),
            ("hub.decisions", hub.decisions.is_one(), Bucket::MUST),
            ("hub.spaces_per_ip", hub.spaces_per_ip.is_one(), Bucket::MUST),
            ("hub.personas_per_space", hub.personas_per_space.is_one(), Bucket::MUST),
            ("hub.personas_per_ip", hub.personas_per_ip.is_one(), Bucket::MUST),
            ("hub.vaults_per_space", hub.vaults_per_space.is_one(), Bucket::MUST),
            ("hub.sites_per_space", hub.sites_per_space.is_one(), Bucket::MUST),
            ("hub.sign_ins_per_ip", hub.sign_ins_per_ip.is_one(), Bucket::MUST),
            ("hub.notices", hub.notices.is_one(), Bucket::MUST),
        ];
        let wrong = checks.into_iter().filter(|(_, good, _)| !good);
        wrong.map(|(key, _, what)| (format!("homing.{key}"), what.to_owned())).collect()
    }
}

impl Gateway {
    fn has_sauce(&self) -> bool {
        match self.otp {
            Otp::Hmac => Sauce::parse(self.sauce.reveal()).is_ok(),
            // Another hub's salt may be any text.
            Otp::Md5 => !self.sauce.is_empty(),
        }
    }

    fn has_scopes(&self) -> bool {
        Scopes::parse(&self.scopes).is_ok_and(|scopes| scopes.names().all(|name| name != "f_in_g"))
    }
}

impl Captcha {
    /// Whether one is asked for.
    pub fn is_set(&self) -> bool {
        !self.script.is_empty()
    }

    fn is_whole(&self, mode: Mode) -> bool {
        let words = [&self.class, &self.site_key, &self.field, &self.verify];
        let urls = is_http_url(&self.script, mode) && is_http_url(&self.verify, mode);
        if self.is_set() {
            urls && words.iter().all(|word| !word.is_empty()) && !self.secret.is_empty()
        } else {
            words.iter().all(|word| word.is_empty()) && self.secret.is_empty()
        }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            enabled: false,
            hosts: Vec::new(),
            url: String::new(),
            hub: String::new(),
            hub_keys: Vec::new(),
            site: String::new(),
            persona: String::new(),
            name: String::new(),
            sauce: Secret::default(),
            sign_key: PathBuf::new(),
            scopes: "|".into(),
            scope_notes: std::collections::BTreeMap::new(),
            endpoint: String::new(),
            landing: String::new(),
            replay_window: Period::seconds(10),
            attempt_life: Period::seconds(300),
            policy: Policy::Link,
            session_life: Period::hours(24),
            webhook: String::new(),
            otp: Otp::Hmac,
            require_hub_signature: true,
            cross_device: false,
            captcha: Captcha::default(),
            hub_timeout: Period::seconds(10),
            entries_per_ip: Bucket { bucket: 10, per_minute: 10.0 },
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            enabled: false,
            hosts: Vec::new(),
            url: String::new(),
            trial_days: 30,
            challenge_life: Period::seconds(300),
            sauce_overlap: Period::hours(24),
            session_life: Period::hours(1),
            welcomes_per_site: Bucket { bucket: 120, per_minute: 60.0 },
            welcomes_per_persona: Bucket { bucket: 5, per_minute: 0.5 },
            pending_per_persona: 3,
            denials: 2,
            decisions: Bucket { bucket: 10, per_minute: 10.0 },
            spaces_per_ip: Bucket { bucket: 10, per_minute: 0.5 },
            personas_per_space: Bucket { bucket: 10, per_minute: 0.02 },
            personas_per_ip: Bucket { bucket: 30, per_minute: 0.1 },
            vaults_per_space: Bucket { bucket: 30, per_minute: 10.0 },
            sites_per_space: Bucket { bucket: 20, per_minute: 0.02 },
            sign_ins_per_ip: Bucket { bucket: 30, per_minute: 5.0 },
            notices: Bucket { bucket: 5, per_minute: 0.05 },
            reserved: [
                "admin",
                "administrator",
                "root",
                "support",
                "help",
                "security",
                "hub",
                "homing",
                "www",
                "postmaster",
            ]
            .map(String::from)
            .to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merchant() -> Config {
        let mut config = Config { domain: "shop.example".into(), ..Config::default() };
        let gateway = &mut config.homing.gateway;
        gateway.enabled = true;
        gateway.hub = "https://hub.example/homing/hub".into();
        gateway.hub_keys = vec!["6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=".into()];
        gateway.site = "hst_demo".into();
        gateway.persona = "shop".into();
        gateway.sauce = format!("hss_{}", "A".repeat(43)).into();
        gateway.sign_key = "/etc/handfast/homing-sign.key".into();
        gateway.scopes = "email|shop_size".into();
        config
    }

    #[test]
    fn a_hub_has_an_origin_of_its_own_in_production() {
        let wrong = |mode, hosts: &[&str]| {
            let mut config = Config { domain: "hub.example".into(), mode, ..Config::default() };
            config.homing.hub.enabled = true;
            config.homing.hub.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            config.homing.mistakes(&config).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(wrong(Mode::Production, &[]), ["homing.hub.hosts"]);
        assert_eq!(wrong(Mode::Production, &["hub.example"]), Vec::<String>::new());
        assert_eq!(wrong(Mode::Development, &[]), Vec::<String>::new());
    }

    #[test]
    fn a_gateway_needs_what_its_hub_gave_it() {
        let wrong = |change: fn(&mut Gateway)| {
            let mut config = merchant();
            change(&mut config.homing.gateway);
            let names = config.homing.mistakes(&config).into_iter().map(|(name, _)| name);
            names.map(|name| name.trim_start_matches("homing.gateway.").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(wrong(|_| {}), Vec::<String>::new());
        assert_eq!(wrong(|gateway| gateway.hub = "http://hub.example".into()), ["hub"]);
        assert_eq!(wrong(|gateway| gateway.hub_keys = vec!["AAAA".into()]), ["hub_keys"]);
        assert_eq!(wrong(|gateway| gateway.hub_keys.clear()), ["hub_keys"]);
        assert_eq!(wrong(|gateway| gateway.persona = "x".into()), ["persona"]);
        assert_eq!(wrong(|gateway| gateway.sauce = "salt".to_owned().into()), ["sauce"]);
        assert_eq!(wrong(|gateway| gateway.scopes = "email".into()), ["scopes"]);
        assert_eq!(wrong(|gateway| gateway.scopes = "f_in_g|".into()), ["scopes"]);
        assert_eq!(wrong(|gateway| gateway.landing = "//evil.example".into()), ["landing"]);
        assert_eq!(wrong(|gateway| gateway.captcha.secret = "alone".to_owned().into()), ["captcha"]);
        assert_eq!(wrong(|gateway| gateway.webhook = "logins".into()), Vec::<String>::new());
        assert_eq!(wrong(|gateway| gateway.webhook = "https://shop.example/hook".into()), ["webhook"]);
        assert_eq!(wrong(|gateway| gateway.require_hub_signature = false), ["policy"]);
        let unsigned = |gateway: &mut Gateway| {
            gateway.require_hub_signature = false;
            gateway.policy = Policy::Allow;
            gateway.hub_keys.clear();
            gateway.otp = Otp::Md5;
            gateway.sauce = "salt".to_owned().into();
        };
        assert_eq!(wrong(unsigned), Vec::<String>::new());
    }
}
