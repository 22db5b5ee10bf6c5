//! Settings of the console.

use serde::{Deserialize, Serialize};

use super::{Bucket, Period};
use crate::senders::Scopes;

/// The console, `/console` on the private listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Console {
    /// Whether it is there.
    pub enabled: bool,
    /// How long somebody stays signed in.
    pub session_life: Period,
    /// Wrong keys, per address that they come from.
    pub wrong_keys_per_ip: Bucket,
    /// The header in which a proxy that signs people in (OpenID Connect) names them, such as `X-Forwarded-Email`; empty: none. Believed
    /// of `private.trusted_proxies` only.
    pub trusted_header: String,
    /// Who may come that way, and what they may do: the first that matches counts.
    pub people: Vec<Person>,
}

/// Somebody whom the proxy names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// A name as the proxy has it, `*@shop.example` for all of a domain, or `*`; upper and lower case are the same.
    pub name: String,
    /// As an API key has them: `NAME`, `NAME:read`, or `*` for everything.
    pub scopes: Vec<String>,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            enabled: true,
            session_life: Period::hours(12),
            wrong_keys_per_ip: Bucket { bucket: 20, per_minute: 2.0 },
            trusted_header: String::new(),
            people: Vec::new(),
        }
    }
}

impl Console {
    /// What somebody whom the proxy names may do; `None`: nothing.
    pub fn scopes_of(&self, name: &str) -> Option<Scopes> {
        let person = self.people.iter().find(|person| person.is(name))?;
        Scopes::parse(&person.scopes).ok()
    }

    /// What is wrong with it: the setting and words.
    pub(super) fn mistakes(&self, proxies: usize) -> Vec<(String, String)> {
        let mut mistakes = Vec::new();
        let mut wrong = |key: &str, words: String| mistakes.push((format!("console.{key}"), words));
        if self.session_life < Period::seconds(60) || self.session_life > Period::days(30) {
            wrong("session_life", "between 1m and 30d".into());
        }
        if !self.wrong_keys_per_ip.is_one() {
            wrong("wrong_keys_per_ip", Bucket::MUST.into());
        }
        let header = !self.trusted_header.is_empty();
        if header && http::HeaderName::try_from(&self.trusted_header).is_err() {
            wrong("trusted_header", "is no name of a header".into());
        }
        if header && proxies == 0 {
            wrong("trusted_header", "needs private.trusted_proxies: of nobody else it is believed".into());
        }
        if header && self.people.is_empty() {
            wrong("trusted_header", "needs console.people: nobody could come in".into());
        }
        for (n, person) in self.people.iter().enumerate() {
            if person.name.trim().is_empty() {
                wrong("people", format!("number {} has no name", n + 1));
            }
            if let Err(error) = Scopes::parse(&person.scopes) {
                wrong("people", format!("number {}: {error}", n + 1));
            }
        }
        mistakes
    }
}

impl Person {
    fn is(&self, name: &str) -> bool {
        let (wanted, name) = (self.name.to_lowercase(), name.to_lowercase());
        match wanted.strip_prefix('*') {
            Some("") => true,
            Some(domain) => name.strip_suffix(domain).is_some_and(|user| !user.is_empty() && !user.contains('@')),
            None => wanted == name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, scope: &str) -> Person {
        Person { name: name.into(), scopes: vec![scope.into()] }
    }

    #[test]
    fn the_first_that_matches_counts() {
        let people = vec![person("ann@shop.example", "*"), person("*@shop.example", "node:read")];
        let console = Console { people, ..Console::default() };
        let may = |name: &str| console.scopes_of(name).map(|scopes| scopes.names().join(","));
        assert_eq!(may("Ann@Shop.example").as_deref(), Some("*"));
        assert_eq!(may("bob@shop.example").as_deref(), Some("node:read"));
        for nobody in ["", "@shop.example", "bob@evil.example", "eve@evil.example@shop.example", "shop.example"] {
            assert_eq!(may(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn a_header_that_nobody_may_send_is_a_mistake() {
        let console = Console { trusted_header: "X-Forwarded-Email".into(), ..Console::default() };
        let keys = |console: &Console, proxies| console.mistakes(proxies).len();
        assert_eq!((keys(&Console::default(), 0), keys(&console, 0), keys(&console, 1)), (0, 2, 1));
        let wrong = Console { people: vec![person("ann", "nodes")], ..console };
        assert_eq!(keys(&wrong, 1), 1);
    }
}
