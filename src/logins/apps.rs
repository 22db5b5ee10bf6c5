//! Applications that people sign in to.

use crate::App;
use crate::config::Secret;
use crate::db::DbError;

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

/// The application of this id, opened.
pub async fn find(_app: &App, _appid: &str) -> Result<Option<Application>, DbError> {
    Ok(None)
}
