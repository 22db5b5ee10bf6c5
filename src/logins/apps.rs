//! Applications that people sign in to.
//!
//! Promises: what an application has at its back end and its verifier lies sealed in the database, bound to its id; a change holds
//! from the next request on, in every process. Leaves out calling them (`workers/call_backend.rs`).

mod store;

pub use store::{Change, Listed, change, create, delete, find, list, show};

use super::{Address, country};
use crate::config::{Config, Secret};

/// How long a user's token at mesibo is good unless said: a year, as its own back end asks for.
const TOKEN_MINUTES: u32 = 525_600;

/// An application, with its secrets opened.
#[derive(Clone)]
pub struct Application {
    /// Its public id: `com.example.messenger`.
    pub appid: String,
    /// What people know it by, in the words around a code.
    pub name: String,
    /// Whether anybody can sign in.
    pub enabled: bool,
    /// How the mesibo door writes `result`.
    pub result_style: ResultStyle,
    /// Whether a wrong code is `BADUSER`, as in the original.
    pub legacy_errors: bool,
    /// How somebody proves who they are, in the order in which it is tried for a phone number: SMS before voice, for instance.
    pub ways: Vec<Way>,
    /// Countries whose numbers may sign in, as E.164 country codes (`49`); empty: all.
    pub countries: Vec<String>,
    /// Countries whose numbers may not.
    pub countries_refused: Vec<String>,
    /// The message with the code: `{code}` and `{app}` are put in; empty: the usual words.
    pub text: String,
    /// What makes the token.
    pub backend: Backend,
    /// The application's own verifier, for [`Way::Verifier`].
    pub verifier: Option<Verifier>,
}

impl Application {
    /// One with this id and name, and everything else as it usually is: by short message, with tokens of our own.
    pub fn new(appid: String, name: String) -> Self {
        let backend = Backend {
            mode: Mode::Local,
            url: String::new(),
            token: Secret::default(),
            token_minutes: TOKEN_MINUTES,
            makes_codes: false,
            revoke_op: String::new(),
        };
        Self {
            appid,
            name,
            enabled: true,
            result_style: ResultStyle::default(),
            legacy_errors: false,
            ways: vec![Way::Sms],
            countries: Vec::new(),
            countries_refused: Vec::new(),
            text: String::new(),
            backend,
            verifier: None,
        }
    }

    /// The ways to this address, whether or not anybody goes them just now; none: it cannot sign in to this application.
    pub fn ways_to(&self, address: &Address) -> Vec<Way> {
        let good = match address {
            Address::Phone(digits) => country::may(digits, &self.countries, &self.countries_refused),
            Address::Mail(_) => true,
            Address::User(_) => self.verifier.is_some(),
        };
        let leads = |way: &Way| match address {
            Address::Phone(_) => matches!(way, Way::Sms | Way::Voice),
            Address::Mail(_) => *way == Way::Email,
            Address::User(_) => *way == Way::Verifier,
        };
        self.ways.iter().copied().filter(leads).filter(|_| good).collect()
    }
}

impl Way {
    /// All, as in the API.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Sms, "sms"), (Self::Voice, "voice"), (Self::Email, "email"), (Self::Verifier, "verifier")];

    /// As in the API.
    pub fn name(self) -> &'static str {
        name_in(&Self::ALL, self)
    }

    /// From the API's word.
    pub fn from_name(name: &str) -> Option<Self> {
        named_in(&Self::ALL, name)
    }

    /// Whether anybody is there who carries what goes this way.
    pub(super) fn is_open(self, config: &Config) -> bool {
        match self {
            Self::Sms => !config.providers.sms.is_empty(),
            Self::Voice => !config.providers.voice.is_empty(),
            Self::Email => !config.providers.email.is_empty(),
            Self::Verifier => true,
        }
    }
}

impl ResultStyle {
    /// Both, as in the API.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Bool, "bool"), (Self::String, "string")];

    /// As in the API.
    pub fn name(self) -> &'static str {
        name_in(&Self::ALL, self)
    }

    /// From the API's word.
    pub fn from_name(name: &str) -> Option<Self> {
        named_in(&Self::ALL, name)
    }
}

impl Mode {
    /// All, as in the API.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Local, "local"), (Self::Mesibo, "mesibo"), (Self::MesiboLegacy, "mesibo-legacy")];

    /// As in the API.
    pub fn name(self) -> &'static str {
        name_in(&Self::ALL, self)
    }

    /// From the API's word.
    pub fn from_name(name: &str) -> Option<Self> {
        named_in(&Self::ALL, name)
    }
}

fn name_in<T: Copy + PartialEq>(all: &[(T, &'static str)], wanted: T) -> &'static str {
    all.iter().find(|(one, _)| *one == wanted).map_or("", |(_, name)| name)
}

fn named_in<T: Copy>(all: &[(T, &'static str)], wanted: &str) -> Option<T> {
    all.iter().find(|(_, name)| *name == wanted).map(|(one, _)| *one)
}

/// How somebody proves who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A code by short message to a phone number.
    Sms,
    /// A code spoken in a call to a phone number.
    Voice,
    /// A code by mail to a mailbox.
    Email,
    /// Whatever the application's own verifier asks of a user id.
    Verifier,
}

impl Backend {
    /// Whether it makes the codes.
    pub fn makes_codes(&self) -> bool {
        self.makes_codes && self.mode != Mode::Local
    }
}

/// How the mesibo door writes `result`: no single value suits both the documentation and the clients that were shipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResultStyle {
    /// `true`, `false`: as documented.
    #[default]
    Bool,
    /// `"OK"`, `"FAIL"`: as the shipped clients expect.
    String,
}

/// What makes the token.
#[derive(Clone)]
pub struct Backend {
    /// Who.
    pub mode: Mode,
    /// Where mesibo's API is: `https://api.mesibo.com/backend/`, or with [`Mode::MesiboLegacy`] `https://api.mesibo.com/api.php`.
    pub url: String,
    /// The application's token there.
    pub token: Secret,
    /// How long a user's token is good, in minutes.
    pub token_minutes: u32,
    /// Whether mesibo makes the codes (`op=otp`); else this node does.
    pub makes_codes: bool,
    /// mesibo's operation that revokes one token; empty: none is called.
    pub revoke_op: String,
}

/// Who makes the token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// This node: opaque, revocable, looked up through our API.
    #[default]
    Local,
    /// mesibo, `POST …/backend/` with JSON.
    Mesibo,
    /// mesibo, `GET …/api.php?op=…`.
    MesiboLegacy,
}

/// An application's own verifier.
#[derive(Clone)]
pub struct Verifier {
    /// Where: HTTPS.
    pub url: String,
    /// Signs the calls, as webhooks are signed: `whsec_…`.
    pub secret: Secret,
}
