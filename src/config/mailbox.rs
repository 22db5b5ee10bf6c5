//! Settings of the mailbox: pages for people of this node.

use serde::{Deserialize, Serialize};

use super::{Config, Mode, Period, is_host, is_http_url};

/// The mailbox, `/me`: people of this node sign in, read and write in a browser.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Mailbox {
    /// Whether the door is open.
    pub enabled: bool,
    /// Which listener serves it: `public`, or `private` for people inside only.
    pub listener: Listener,
    /// Host names under which the door is; empty: all that are not a hub's, nor those of a gateway that has a captcha.
    pub hosts: Vec<String>,
    /// Where browsers reach it, `https://mail.example`, for links in invitations and for what cookies may do; empty:
    /// `https://<domain>`. The private listener has no TLS and no name, so there it must be set.
    pub url: String,
    /// How long somebody stays signed in, whatever happens.
    pub session_life: Period,
    /// How long somebody stays signed in without use; a page that is only left open is none.
    pub session_idle: Period,
    /// Browsers of one account that are signed in at once; a further one signs out the oldest.
    pub sessions_per_account: u32,
    /// How long an invitation is good.
    pub invitation_life: Period,
    /// Passwords checked at once in one process; each takes 64 MiB for about 100 ms.
    pub password_checks: usize,
    /// Further checks that wait; beyond, people are told to try again in a moment.
    pub password_checks_waiting: usize,
    /// Wrong passwords for one address in an hour, before its sign-in rests for the rest of the hour.
    pub wrong_passwords_per_account: u32,
    /// Wrong passwords from one IPv4 address or IPv6 /64 in an hour, before its sign-ins rest.
    pub wrong_passwords_per_ip: u32,
    /// Messages that one account may send in a minute.
    pub messages_per_minute: u32,
    /// Connections that one account may try to make in an hour: whoever tries is guessing codes at another node.
    pub handshakes_per_hour: u32,
    /// Pass codes that one account may ask for in an hour.
    pub codes_per_hour: u32,
    /// Pages of one account that are kept up to date at once, in one process.
    pub streams_per_account: usize,
}

/// Which listener serves the mailbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listener {
    /// The one strangers reach.
    #[default]
    Public,
    /// The one our own applications reach.
    Private,
}

impl Config {
    /// Where browsers reach the mailbox, without a slash at the end.
    pub fn mailbox_url(&self) -> String {
        match self.mailbox.url.trim_end_matches('/') {
            "" => format!("https://{}", self.domain),
            url => url.to_owned(),
        }
    }

    /// Hosts of other doors, under which the mailbox is not unless its own `hosts` say so: pages with keys in them, and pages on which
    /// somebody else's script runs (a captcha), must not share its origin.
    pub fn not_the_mailboxes_hosts(&self) -> Vec<String> {
        let (gateway, hub) = (&self.homing.gateway, &self.homing.hub);
        let scripted = gateway.enabled && gateway.captcha.is_set();
        hub.hosts.iter().chain(gateway.hosts.iter().filter(|_| scripted)).cloned().collect()
    }

    /// Whether the mailbox is under this host's name.
    fn mailbox_is_at(&self, host: &str) -> bool {
        let (own, others) = (&self.mailbox.hosts, self.not_the_mailboxes_hosts());
        let among = |hosts: &[String]| hosts.iter().any(|one| one == host);
        if own.is_empty() { self.mailbox.listener == Listener::Private || !among(&others) } else { among(own) }
    }
}

impl Mailbox {
    /// What is wrong, each with the setting's name.
    pub(super) fn mistakes(&self, config: &Config) -> Vec<(String, String)> {
        let url = self.url.is_empty() || is_http_url(&self.url, config.mode);
        let path = url::Url::parse(&self.url).is_ok_and(|url| url.path() != "/" || url.query().is_some());
        let hubs = config.homing.hub.enabled && self.enabled && self.listener == Listener::Public;
        let shared = hubs && self.hosts.iter().any(|host| config.homing.hub.hosts.contains(host));
        let alone = hubs && config.mode == Mode::Production && config.homing.hub.hosts.is_empty();
        let gateway = &config.homing.gateway;
        let scripts = gateway.enabled && gateway.captcha.is_set() && self.enabled && self.listener == Listener::Public;
        let beside = gateway.hosts.is_empty() || self.hosts.iter().any(|host| gateway.hosts.contains(host));
        let nowhere = self.enabled && self.listener == Listener::Private && self.url.is_empty();
        let host = url::Url::parse(&config.mailbox_url()).ok().and_then(|url| Some(url.host_str()?.to_owned()));
        let elsewhere = self.enabled && !host.is_none_or(|host| config.mailbox_is_at(&host));
        let minute = Period::seconds(60);
        let checks = [
            ("hosts", self.hosts.iter().all(|host| is_host(host)), "names of hosts, lower-case and without ports"),
            ("hosts", !shared && !alone, "must not be those of the hub, whose pages share their origin with nothing"),
            (
                "hosts",
                !(scripts && beside),
                "must not be those of the gateway, whose captcha is a script of somebody else's: give each its own",
            ),
            ("url", url, "must be https://host[:port]"),
            ("url", !nowhere, "must be set where the listener is private: the mailbox is not at https://<domain> then"),
            (
                "url",
                !elsewhere,
                "must be under a host that the mailbox has (mailbox.hosts); empty, it is https://<domain>",
            ),
            ("url", !path, "must be https://host[:port], without a path"),
            ("session_life", self.session_life >= minute, "must be at least 1m"),
            ("session_idle", self.session_idle >= minute, "must be at least 1m"),
            ("sessions_per_account", (1..=1000).contains(&self.sessions_per_account), "must be between 1 and 1000"),
            ("invitation_life", self.invitation_life >= minute, "must be at least 1m"),
            ("password_checks", (1..=64).contains(&self.password_checks), "must be between 1 and 64"),
            ("wrong_passwords_per_account", self.wrong_passwords_per_account > 0, "must be at least 1"),
            ("wrong_passwords_per_ip", self.wrong_passwords_per_ip > 0, "must be at least 1"),
            ("messages_per_minute", self.messages_per_minute > 0, "must be at least 1"),
            ("handshakes_per_hour", self.handshakes_per_hour > 0, "must be at least 1"),
            ("codes_per_hour", self.codes_per_hour > 0, "must be at least 1"),
            ("streams_per_account", self.streams_per_account > 0, "must be at least 1"),
        ];
        let wrong = checks.into_iter().filter(|(_, good, _)| !good);
        wrong.map(|(key, _, what)| (format!("mailbox.{key}"), what.to_owned())).collect()
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            enabled: false,
            listener: Listener::Public,
            hosts: Vec::new(),
            url: String::new(),
            session_life: Period::days(14),
            session_idle: Period::days(3),
            sessions_per_account: 20,
            invitation_life: Period::days(7),
            password_checks: 2,
            password_checks_waiting: 64,
            wrong_passwords_per_account: 20,
            wrong_passwords_per_ip: 50,
            messages_per_minute: 60,
            handshakes_per_hour: 30,
            codes_per_hour: 60,
            streams_per_account: 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config { domain: "shop.example".into(), ..Config::default() };
        config.mailbox.enabled = true;
        change(&mut config);
        config.mailbox.mistakes(&config).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_mailbox_needs_no_setting_but_one() {
        assert_eq!(wrong(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn it_never_shares_an_origin_with_a_hub() {
        let hub = |config: &mut Config, hosts: &[&str]| {
            config.homing.hub.enabled = true;
            config.homing.hub.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        };
        assert_eq!(wrong(|config| hub(config, &[])), ["mailbox.hosts"]);
        assert_eq!(wrong(|config| hub(config, &["hub.example"])), Vec::<String>::new());
        let both = |config: &mut Config| {
            hub(config, &["hub.example"]);
            config.mailbox.hosts = vec!["hub.example".into()];
            config.mailbox.url = "https://hub.example".into();
        };
        assert_eq!(wrong(both), ["mailbox.hosts"]);
    }

    #[test]
    fn its_url_is_an_origin() {
        assert_eq!(wrong(|config| config.mailbox.url = "https://mail.example:8443".into()), Vec::<String>::new());
        assert_eq!(wrong(|config| config.mailbox.url = "https://mail.example/me".into()), ["mailbox.url"]);
        assert_eq!(wrong(|config| config.mailbox.url = "http://mail.example".into()), ["mailbox.url"]);
    }

    #[test]
    fn it_never_shares_an_origin_with_a_gateways_captcha() {
        let gateway = |config: &mut Config, hosts: &[&str]| {
            config.homing.gateway.enabled = true;
            config.homing.gateway.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            config.homing.gateway.captcha.script = "https://captcha.example/api.js".into();
        };
        assert_eq!(wrong(|config| gateway(config, &[])), ["mailbox.hosts"]);
        assert_eq!(wrong(|config| gateway(config, &["login.example"])), Vec::<String>::new());
        let own = |config: &mut Config, host: &str| {
            gateway(config, &["login.example"]);
            config.mailbox.hosts = vec![host.into()];
            config.mailbox.url = format!("https://{host}");
        };
        assert_eq!(wrong(|config| own(config, "mail.example")), Vec::<String>::new());
        assert_eq!(wrong(|config| own(config, "login.example")), ["mailbox.hosts"]);
        let plain = |config: &mut Config| {
            gateway(config, &[]);
            config.homing.gateway.captcha.script = String::new();
        };
        assert_eq!(wrong(plain), Vec::<String>::new(), "without a captcha there is no script");
        let public = Config { domain: "login.example".into(), ..Config::default() };
        let mut public = Config { mailbox: Mailbox { enabled: true, ..Mailbox::default() }, ..public };
        gateway(&mut public, &["login.example"]);
        let said: Vec<String> = public.mailbox.mistakes(&public).into_iter().map(|(name, _)| name).collect();
        assert_eq!(said, ["mailbox.url"], "links would lead to the gateway");
    }

    #[test]
    fn links_lead_to_where_it_is() {
        let hosts = |config: &mut Config| config.mailbox.hosts = vec!["mail.example".into()];
        assert_eq!(wrong(hosts), ["mailbox.url"]);
        let both = |config: &mut Config| {
            hosts(config);
            config.mailbox.url = "https://mail.example:8443/".into();
        };
        assert_eq!(wrong(both), Vec::<String>::new());
        let private = |config: &mut Config| config.mailbox.listener = Listener::Private;
        assert_eq!(wrong(private), ["mailbox.url"]);
        let named = |config: &mut Config| {
            private(config);
            config.mailbox.url = "https://mail.inside".into();
        };
        assert_eq!(wrong(named), Vec::<String>::new());
    }
}
