//! What a key may do.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Accounts.
    Accounts,
    /// Pass codes.
    Passcodes,
    /// Connections and handshakes.
    Connections,
    /// Messages.
    Messages,
    /// Deliveries: finding, replaying and cancelling them.
    Deliveries,
    /// Campaigns.
    Campaigns,
    /// The inbox.
    Inbox,
    /// Status events.
    Events,
    /// Webhooks.
    Webhooks,
    /// Pace and health of what deliveries go to.
    Destinations,
    /// Phone numbers, and the nodes they are shared with.
    Phones,
    /// Signing people in by code: begin, verify, look a token up.
    Logins,
    /// Applications that people sign in to, and their sessions.
    Apps,
    /// Homing Space: whom a session of the gateway belongs to.
    Homing,
    /// API keys.
    Keys,
    /// The node itself: how it goes, its settings in effect, who changed what.
    Node,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Accounts,
        Self::Passcodes,
        Self::Connections,
        Self::Messages,
        Self::Deliveries,
        Self::Campaigns,
        Self::Inbox,
        Self::Webhooks,
        Self::Destinations,
        Self::Events,
        Self::Phones,
        Self::Logins,
        Self::Apps,
        Self::Homing,
        Self::Keys,
        Self::Node,
    ];

    /// For help texts: what there is, and how it is written.
    pub fn help() -> String {
        let names = Self::ALL.map(Self::name).join(", ");
        format!("What the key may do, with commas or repeated: {names}, each also as NAME:read; * is everything")
    }

    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Passcodes => "passcodes",
            Self::Connections => "connections",
            Self::Messages => "messages",
            Self::Deliveries => "deliveries",
            Self::Campaigns => "campaigns",
            Self::Inbox => "inbox",
            Self::Events => "events",
            Self::Webhooks => "webhooks",
            Self::Destinations => "destinations",
            Self::Phones => "phones",
            Self::Logins => "logins",
            Self::Apps => "apps",
            Self::Homing => "homing",
            Self::Keys => "keys",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is no list of scopes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A key that may do nothing.
    #[error("at least one scope is needed")]
    Empty,
    /// No scope of ours.
    #[error("\"{0}\" is not a scope; they are {all}, each also as NAME:read, and *", all = Scope::ALL.map(Scope::name).join(", "))]
    Unknown(String),
}

/// A set of scopes: `NAME`, `NAME:read`, or `*` for everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    everything: bool,
    /// Each with whether it may also change things.
    granted: BTreeMap<Scope, bool>,
}

impl Scopes {
    /// May do everything.
    pub fn everything() -> Self {
        Self { everything: true, granted: BTreeMap::new() }
    }

    /// From the written forms; `NAME` beside `NAME:read` is `NAME`.
    pub fn parse<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, ScopeError> {
        let mut scopes = Self { everything: false, granted: BTreeMap::new() };
        for name in names {
            let name = name.as_ref();
            if name == "*" {
                scopes.everything = true;
                continue;
            }
            let (base, writes) = name.strip_suffix(":read").map_or((name, true), |base| (base, false));
            let scope = Scope::ALL.into_iter().find(|scope| scope.name() == base);
            let scope = scope.ok_or_else(|| ScopeError::Unknown(name.chars().take(64).collect()))?;
            *scopes.granted.entry(scope).or_default() |= writes;
        }
        if scopes.everything || !scopes.granted.is_empty() { Ok(scopes) } else { Err(ScopeError::Empty) }
    }

    /// Whether it may read (`write` false) or change what belongs to `scope`.
    pub fn allows(&self, scope: Scope, write: bool) -> bool {
        self.everything || self.granted.get(&scope).is_some_and(|writes| *writes || !write)
    }

    /// The first scope of `wanted` that is not in here: nobody may hand on more than they have. `*` is more than all scopes of today.
    pub fn lacking(&self, wanted: &Self) -> Option<String> {
        let own_names = self.names();
        let has = |name: &String| {
            let (base, write) = name.strip_suffix(":read").map_or((name.as_str(), true), |base| (base, false));
            own_names.contains(name)
                || Scope::ALL.into_iter().any(|scope| scope.name() == base && self.allows(scope, write))
        };
        wanted.names().into_iter().find(|name| !has(name))
    }

    /// The written forms, in a fixed order.
    pub fn names(&self) -> Vec<String> {
        let everything = self.everything.then(|| "*".to_owned());
        let granted = self
            .granted
            .iter()
            .map(|(scope, writes)| if *writes { scope.to_string() } else { format!("{scope}:read") });
        everything.into_iter().chain(granted).collect()
    }
}

impl FromStr for Scopes {
    type Err = ScopeError;

    /// From a list with commas, as on a command line.
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::parse(text.split(',').map(str::trim).filter(|name| !name.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_allow_what_they_name() {
        let scopes = Scopes::parse(["messages", "inbox:read"]).unwrap();
        for (scope, write, allowed) in [
            (Scope::Messages, true, true),
            (Scope::Messages, false, true),
            (Scope::Inbox, false, true),
            (Scope::Inbox, true, false),
            (Scope::Keys, false, false),
        ] {
            assert_eq!(scopes.allows(scope, write), allowed, "{scope} {write}");
        }
        assert!(Scope::ALL.into_iter().all(|scope| Scopes::everything().allows(scope, true)));
    }

    #[test]
    fn nobody_hands_on_more_than_they_have() {
        let scopes = |text: &str| text.parse::<Scopes>().unwrap();
        for (own, wanted, lacks) in [
            ("*", "*", None),
            ("*", "messages", None),
            ("keys,messages", "messages:read,messages", None),
            ("keys,messages:read", "messages", Some("messages")),
            ("keys", "keys,inbox:read", Some("inbox:read")),
            ("accounts,passcodes,connections,messages,inbox,keys", "*", Some("*")),
        ] {
            assert_eq!(scopes(own).lacking(&scopes(wanted)).as_deref(), lacks, "{own} {wanted}");
        }
    }

    #[test]
    fn written_forms_come_back_and_others_are_refused_by_name() {
        let scopes: Scopes = "keys:read, messages,keys".parse().unwrap();
        assert_eq!(scopes.names(), ["messages", "keys"]);
        assert_eq!(Scopes::parse(scopes.names()).unwrap(), scopes);
        assert_eq!(Scopes::parse(["*"]).unwrap().names(), ["*"]);
        assert_eq!("".parse::<Scopes>(), Err(ScopeError::Empty));
        for wrong in ["message", "*:read", "messages:write", "messages:read:read", "Messages"] {
            assert_eq!(Scopes::parse([wrong]), Err(ScopeError::Unknown(wrong.into())));
        }
    }
}
