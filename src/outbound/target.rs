//! Where a call goes: an https URL of a host that has a name.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::config::{Config, Mode};

/// A checked URL. Parsed once and kept; cloning it is one allocation.
///
/// Its host is letters, digits and hyphens in at least two labels, at most 253 characters, lower-case, never an IP address;
/// the scheme is https, the port 443 (or one that the caller allows), and there is no user or password in it (specification,
/// weakness 6.3).
///
/// `Debug` and `Display` show the host only: paths and queries of webhooks carry secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

/// Why something is not a [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not the name of a host.
    #[error("the host must be a domain name: letters, digits and hyphens, at least one dot, no IP address")]
    Host,
    /// Not an absolute path.
    #[error("the path must begin with a slash")]
    Path,
    /// Not a URL.
    #[error("this is not a URL")]
    Url,
    /// Another scheme than https.
    #[error("the URL must begin with https://")]
    Scheme,
    /// A port that may not be called.
    #[error("the URL names a port that may not be called (without one it is 443)")]
    Port,
    /// `user:password@`.
    #[error("the URL must not hold a user name or password")]
    UserInfo,
}

/// Ports besides 443 that a URL may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ports {
    /// Any: in development, and where the operator himself has set the URL.
    Any,
    /// These.
    Of(Vec<u16>),
}

impl Ports {
    /// By the settings.
    pub fn of(config: &Config) -> Self {
        if config.mode == Mode::Development { Self::Any } else { Self::Of(config.outbound.ports.clone()) }
    }

    fn allow(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Of(ports) => ports.contains(&port),
        }
    }
}

impl Target {
    /// A URL that may name one of `ports`.
    pub fn with_ports(text: &str, ports: &Ports) -> Result<Self, TargetError> {
        Self::checked(Url::parse(text).map_err(|_| TargetError::Url)?, |port| ports.allow(port))
    }

    /// `https://<host><path>`, where `path` may hold a query.
    pub fn new(host: &str, path: &str) -> Result<Self, TargetError> {
        let host = host_name(host)?;
        if !path.starts_with('/') {
            return Err(TargetError::Path);
        }
        format!("https://{host}{path}").parse()
    }

    /// The host, lower-case.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The whole URL, which may carry secrets: for storing and for its owner.
    pub fn reveal(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn into_url(self) -> Url {
        self.0
    }

    /// Where a `Location` points, if it may be followed: https, port 443, this host or its `www.`/bare twin, and a path under
    /// `within`.
    pub(super) fn redirected(&self, location: &str, within: &str) -> Option<Self> {
        if location.is_empty() {
            return None;
        }
        let next = Self::checked(self.0.join(location).ok()?, only_443).ok()?;
        let twins = |a: &str, b: &str| a.strip_prefix("www.") == Some(b);
        let (old, new) = (self.host(), next.host());
        let same_site = old == new || twins(old, new) || twins(new, old);
        (same_site && next.path().starts_with(within)).then_some(next)
    }

    fn checked(mut url: Url, allowed: impl Fn(u16) -> bool) -> Result<Self, TargetError> {
        if url.scheme() != "https" {
            return Err(TargetError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::UserInfo);
        }
        // The default port is dropped when parsing; what is left out means it.
        if !allowed(url.port().unwrap_or(443)) {
            return Err(TargetError::Port);
        }
        match url.host() {
            Some(Host::Domain(name)) if host_name(name)? == name => {}
            _ => return Err(TargetError::Host),
        }
        url.set_fragment(None);
        Ok(Self(url))
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::checked(Url::parse(text).map_err(|_| TargetError::Url)?, only_443)
    }
}

fn only_443(port: u16) -> bool {
    port == 443
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.host())
    }
}

/// The host in lower case, if it is one.
fn host_name(text: &str) -> Result<String, TargetError> {
    let labels = text.split('.').collect::<Vec<_>>();
    // Every top-level domain begins with a letter; a number there would be read as part of an IPv4 address.
    let named_top = labels.last().is_some_and(|top| top.starts_with(|c: char| c.is_ascii_alphabetic()));
    if text.len() > 253 || labels.len() < 2 || !named_top || !labels.iter().all(|label| is_label(label)) {
        return Err(TargetError::Host);
    }
    Ok(text.to_ascii_lowercase())
}

/// Letters, digits, hyphen (RFC 952, RFC 1123), 1 to 63 characters, no hyphen at either end.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_that_are_none_are_refused() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = format!("{}example", "abcdefg.".repeat(32));
        let wrong = [
            "",
            ".",
            "localhost",
            "shop",
            "shop.example.",
            ".example",
            "a..b",
            "-a.example",
            "a-.example",
            "sh_op.example",
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "1.2.3.0x4",
            "[::1]",
            "::1",
            "shop.example:8131",
            "a b.example",
            "user@shop.example",
            "user:pw@shop.example",
            "shop.example/x",
            "shop.example?x",
            "shop.example#x",
            "shop.example\\x",
            "shöp.example",
            "shop。example",
            "shop.example\n",
            "shop.example%2e",
            "*.example",
            "shop.example\0",
            &long,
            &longer,
        ];
        for host in wrong {
            assert!(Target::new(host, "/openmsg/auth/").is_err(), "{host:?}");
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        let cases = [
            ("https://shop.example/hook?token=1", None),
            ("https://shop.example:443/", None),
            ("HTTPS://Shop.Example/", None),
            ("http://shop.example/", Some(TargetError::Scheme)),
            ("gopher://shop.example/", Some(TargetError::Scheme)),
            ("https://shop.example:8443/", Some(TargetError::Port)),
            ("https://u@shop.example/", Some(TargetError::UserInfo)),
            ("https://:p@shop.example/", Some(TargetError::UserInfo)),
            ("https://127.0.0.1/", Some(TargetError::Host)),
            ("https://0x7f000001/", Some(TargetError::Host)),
            ("https://[::1]/", Some(TargetError::Host)),
            ("https://localhost/", Some(TargetError::Host)),
            ("/openmsg/", Some(TargetError::Url)),
        ];
        for (text, wrong) in cases {
            assert_eq!(text.parse::<Target>().err(), wrong, "{text}");
        }
        assert_eq!(Target::new("shop.example", "openmsg"), Err(TargetError::Path));
    }

    #[test]
    fn a_webhook_may_name_the_ports_that_the_operator_allows() {
        let ports = Ports::of(&Config::default());
        for (url, good) in [
            ("https://shop.example/hook", true),
            ("https://shop.example:443/hook", true),
            ("https://shop.example:8443/hook", true),
            ("https://shop.example:22/hook", false),
            ("https://shop.example:0/hook", false),
            ("http://shop.example:8443/hook", false),
            ("https://127.0.0.1:8443/hook", false),
        ] {
            assert_eq!(Target::with_ports(url, &ports).is_ok(), good, "{url}");
        }
        let development = Ports::of(&Config { mode: Mode::Development, ..Config::default() });
        assert!(Target::with_ports("https://shop.example:22/hook", &development).is_ok());
        let without = Ports::Of(vec![8443]);
        assert_eq!(Target::with_ports("https://shop.example/hook", &without), Err(TargetError::Port));
    }

    #[test]
    fn a_target_shows_only_its_host() {
        let target = "https://shop.example/hook?token=secret".parse::<Target>().unwrap();
        assert_eq!(format!("{target} {target:?}"), "shop.example Target(shop.example)");
    }

    #[test]
    fn redirects_stay_on_the_site_and_under_the_path() {
        let from = Target::new("shop.example", "/openmsg/auth/").unwrap();
        let good = [
            "/openmsg/auth",
            "auth2/",
            "https://shop.example/openmsg/auth",
            "https://www.shop.example/openmsg/auth/",
            "//shop.example:443/openmsg/",
            "https://SHOP.example/openmsg/x?y=1",
        ];
        for location in good {
            assert!(from.redirected(location, "/openmsg/").is_some(), "{location}");
        }
        let bad = [
            "",
            "/",
            "/other",
            "/openmsg/../admin",
            "/openmsg/%2e%2e/admin",
            "http://shop.example/openmsg/auth/",
            "https://shop.example:8443/openmsg/",
            "https://evil.example/openmsg/",
            "https://www.www.shop.example/openmsg/",
            "https://shop.example.evil.example/openmsg/",
            "https://u@shop.example/openmsg/",
            "https://127.0.0.1/openmsg/",
            "gopher://shop.example/openmsg/",
            "//evil.example/openmsg/",
            "https://wwwshop.example/openmsg/",
            "\\\\evil.example/openmsg/",
        ];
        for location in bad {
            assert!(from.redirected(location, "/openmsg/").is_none(), "{location}");
        }
        let www = Target::new("www.shop.example", "/openmsg/auth/").unwrap();
        assert!(www.redirected("https://shop.example/openmsg/auth/", "/openmsg/").is_some());
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_what_will_be_called(host in "[a-zA-Z0-9.:/@?#\\[\\]%_\\\\ -]{1,40}") {
            if let Ok(target) = Target::new(&host, "/openmsg/auth/") {
                prop_assert_eq!(target.host(), host.to_ascii_lowercase());
                prop_assert_eq!(target.path(), "/openmsg/auth/");
                prop_assert!(host.contains('.') && target.host().parse::<std::net::IpAddr>().is_err());
                prop_assert_eq!(target.into_url().port_or_known_default(), Some(443));
            }
        }

        #[test]
        fn ordinary_names_are_accepted(labels in prop::collection::vec("[a-z0-9]([a-z0-9]{0,6}[a-z0-9])?", 1..5), top in "[a-z]{2,8}") {
            let host = format!("{}.{top}", labels.join("."));
            let target = Target::new(&host, "/x");
            prop_assert!(target.is_ok(), "{}", host);
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = text.parse::<Target>();
            let _ = Target::new(&text, &text);
        }
    }
}
