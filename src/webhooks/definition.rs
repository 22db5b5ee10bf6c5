//! Where a webhook is, how it is signed, what goes along: everything that lies sealed.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::headers::{CustomHeaders, header_value};
use super::{SecretKind, SigningSecret, WebhookName};
use crate::App;
use crate::config::Secret;
use crate::crypto::Purpose;
use crate::db::DbError;
use crate::outbound::{Ports, Target};

/// Answers after which a delivery is not tried again, unless the webhook has its own: the request is wrong, and will be.
pub const FINAL_STATUSES: [u16; 9] = [400, 401, 403, 404, 405, 410, 413, 415, 422];
/// Longest time for a call.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Secrets of one kind that sign at a time: each adds to the header.
const MOST_OF_A_KIND: usize = 4;

/// Everything about a webhook that is nobody else's business.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its URL.
    pub target: Target,
    /// Which signatures it gets.
    pub signing: Signing,
    /// What they are made with: of each kind one without an end, and those that were replaced and still sign.
    pub secrets: Vec<DatedSecret>,
    /// Headers that go with every request.
    pub headers: CustomHeaders,
    /// Credentials.
    pub auth: Option<Auth>,
    /// Answers that end a delivery; `None`: [`FINAL_STATUSES`].
    pub final_statuses: Option<Vec<u16>>,
    /// For a whole call; `None`: `outbound.post_timeout`.
    pub timeout: Option<Duration>,
}

/// Which signatures a webhook gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signing {
    /// HMAC-SHA-256.
    Hmac,
    /// Ed25519.
    Ed25519,
    /// Both, for a receiver that changes over.
    Both,
}

/// A secret and when it stops to sign.
#[derive(Debug, Clone)]
pub struct DatedSecret {
    /// The secret.
    pub secret: SigningSecret,
    /// `None`: it is the current one of its kind.
    pub until: Option<Timestamp>,
}

/// Credentials in the Authorization header.
#[derive(Debug, Clone)]
pub enum Auth {
    /// RFC 7617.
    Basic {
        /// Without a colon.
        username: String,
        /// Anything.
        password: Secret,
    },
    /// RFC 6750.
    Bearer {
        /// Visible ASCII.
        token: Secret,
    },
}

/// Why secrets cannot be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// Too many overlap.
    #[error("four secrets sign already; wait for one to end, or rotate with `overlap_seconds` 0")]
    TooMany,
}

impl Signing {
    /// All, as in the API.
    pub const ALL: [(Self, &'static str); 3] = [(Self::Hmac, "hmac"), (Self::Ed25519, "ed25519"), (Self::Both, "both")];

    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Ed25519 => "ed25519",
            Self::Both => "both",
        }
    }

    /// From the API's word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(signing, known)| (known == name).then_some(signing))
    }

    /// The kinds of secrets it needs.
    pub fn kinds(self) -> &'static [SecretKind] {
        match self {
            Self::Hmac => &[SecretKind::Hmac],
            Self::Ed25519 => &[SecretKind::Ed25519],
            Self::Both => &[SecretKind::Hmac, SecretKind::Ed25519],
        }
    }
}

impl DatedSecret {
    /// Whether it signs at this moment.
    pub fn holds(&self, at: Timestamp) -> bool {
        is_before(at, self.until)
    }
}

/// Whether something with this end, or none, still holds.
pub(super) fn is_before(at: Timestamp, until: Option<Timestamp>) -> bool {
    until.is_none_or(|until| at < until)
}

impl Auth {
    /// The header's value; `None` where no header could carry it.
    pub fn header(&self) -> Option<HeaderValue> {
        match self {
            Self::Basic { username, password } => {
                let plain = Zeroizing::new(format!("{username}:{}", password.reveal()));
                let control = plain.chars().any(char::is_control);
                let good = !control && !username.contains(':');
                header_value(&format!("Basic {}", STANDARD.encode(plain.as_bytes()))).filter(|_| good)
            }
            Self::Bearer { token } => {
                let good = !token.is_empty() && token.reveal().bytes().all(|byte| byte.is_ascii_graphic());
                header_value(&format!("Bearer {}", token.reveal())).filter(|_| good)
            }
        }
    }
}

impl Definition {
    /// With `given` as the secret of its kind; others are made.
    pub fn new(target: Target, signing: Signing, given: Option<SigningSecret>) -> Self {
        let mut definition = Self {
            target,
            signing,
            secrets: given.map(|secret| DatedSecret { secret, until: None }).into_iter().collect(),
            headers: CustomHeaders::default(),
            auth: None,
            final_statuses: None,
            timeout: None,
        };
        definition.set_signing(signing);
        definition
    }

    /// The current secret of a kind.
    pub fn current(&self, kind: SecretKind) -> Option<&SigningSecret> {
        let current = |dated: &&DatedSecret| dated.until.is_none() && dated.secret.kind() == kind;
        self.secrets.iter().find(current).map(|dated| &dated.secret)
    }

    /// Changes the kinds of signatures: secrets that are missing are made, those of other kinds dropped.
    pub fn set_signing(&mut self, signing: Signing) {
        self.signing = signing;
        self.secrets.retain(|dated| signing.kinds().contains(&dated.secret.kind()));
        for kind in signing.kinds() {
            if self.current(*kind).is_none() {
                self.secrets.push(DatedSecret { secret: SigningSecret::generate(*kind), until: None });
            }
        }
    }

    /// New secrets of all its kinds, `given` among them; the old ones sign for `overlap` longer.
    pub fn rotate(
        &mut self,
        given: Option<SigningSecret>,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<(), RotationError> {
        let end = now.saturating_add(jiff::SignedDuration::try_from(overlap).unwrap_or_default()).unwrap_or(now);
        for dated in &mut self.secrets {
            dated.until = Some(dated.until.map_or(end, |until| until.min(end)));
        }
        self.secrets.retain(|dated| dated.holds(now));
        for kind in self.signing.kinds() {
            if self.secrets.iter().filter(|dated| dated.secret.kind() == *kind).count() >= MOST_OF_A_KIND {
                return Err(RotationError::TooMany);
            }
            let given = given.clone().filter(|secret| secret.kind() == *kind);
            let secret = given.unwrap_or_else(|| SigningSecret::generate(*kind));
            self.secrets.push(DatedSecret { secret, until: None });
        }
        Ok(())
    }

    pub(super) fn seal(&self, app: &App, name: &WebhookName) -> Result<Vec<u8>, DbError> {
        let text = serde_json::to_vec(&Stored::of(self)).map_err(|_| DbError::Stored("webhook"))?;
        Ok(app.keys.seal(Purpose::Webhook, &context(name.as_str()), &Zeroizing::new(text)))
    }

    pub(super) fn open(app: &App, name: &str, sealed: &[u8]) -> Result<Self, DbError> {
        let text = app.keys.open(Purpose::Webhook, &context(name), sealed).map_err(|error| {
            tracing::error!(webhook = name, %error, "a webhook cannot be opened: is the node key the right one?");
            DbError::Stored("webhook")
        })?;
        serde_json::from_slice::<Stored>(&text).ok().and_then(Stored::read).ok_or(DbError::Stored("webhook"))
    }
}

fn context(name: &str) -> Vec<u8> {
    [b"webhooks ", name.as_bytes()].concat()
}

/// What is sealed. Names and meanings never change; fields may be added.
#[derive(Serialize, Deserialize)]
struct Stored {
    url: String,
    signing: Signing,
    secrets: Vec<StoredSecret>,
    #[serde(default, skip_serializing_if = "CustomHeaders::is_empty")]
    headers: CustomHeaders,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth: Option<StoredAuth>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    final_statuses: Option<Vec<u16>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct StoredSecret {
    #[serde(serialize_with = "plainly")]
    secret: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum StoredAuth {
    Basic {
        username: String,
        #[serde(serialize_with = "plainly")]
        password: Secret,
    },
    Bearer {
        #[serde(serialize_with = "plainly")]
        token: Secret,
    },
}

/// A [`Secret`] shows dots to everybody; here it is about to be sealed.
fn plainly<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.reveal())
}

impl Stored {
    fn of(definition: &Definition) -> Self {
        let dated = |dated: &DatedSecret| StoredSecret { secret: dated.secret.reveal(), until: dated.until };
        Self {
            url: definition.target.reveal().to_owned(),
            signing: definition.signing,
            secrets: definition.secrets.iter().map(dated).collect(),
            headers: definition.headers.clone(),
            auth: definition.auth.as_ref().map(|auth| match auth {
                Auth::Basic { username, password } => {
                    StoredAuth::Basic { username: username.clone(), password: password.clone() }
                }
                Auth::Bearer { token } => StoredAuth::Bearer { token: token.clone() },
            }),
            final_statuses: definition.final_statuses.clone(),
            timeout_ms: definition.timeout.map(|timeout| timeout.as_millis() as u64),
        }
    }

    fn read(self) -> Option<Definition> {
        let dated = |stored: StoredSecret| {
            Some(DatedSecret { secret: stored.secret.reveal().parse().ok()?, until: stored.until })
        };
        Some(Definition {
            // Which ports may be called is asked when it is called.
            target: Target::with_ports(&self.url, &Ports::Any).ok()?,
            signing: self.signing,
            secrets: self.secrets.into_iter().map(dated).collect::<Option<_>>()?,
            headers: self.headers,
            auth: self.auth.map(|auth| match auth {
                StoredAuth::Basic { username, password } => Auth::Basic { username, password },
                StoredAuth::Bearer { token } => Auth::Bearer { token },
            }),
            final_statuses: self.final_statuses,
            timeout: self.timeout_ms.map(Duration::from_millis),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(signing: Signing) -> Definition {
        let target = Target::with_ports("https://shop.example/hook?token=s3cret", &Ports::Any).unwrap();
        Definition::new(target, signing, None)
    }

    fn texts(definition: &Definition) -> Vec<String> {
        definition.secrets.iter().map(|dated| dated.secret.reveal().reveal().to_owned()).collect()
    }

    #[test]
    fn what_is_stored_comes_back() {
        let mut before = definition(Signing::Both);
        before.headers = CustomHeaders::new([("X-Key", "s3cret")]).unwrap();
        before.auth = Some(Auth::Basic { username: "shop".into(), password: Secret::from("s3cret".to_owned()) });
        before.final_statuses = Some(vec![404]);
        before.timeout = Some(Duration::from_millis(2500));
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        before.rotate(None, Duration::from_secs(60), now).unwrap();
        let text = serde_json::to_string(&Stored::of(&before)).unwrap();
        let after = serde_json::from_str::<Stored>(&text).ok().and_then(Stored::read).unwrap();
        assert_eq!(after.target.reveal(), "https://shop.example/hook?token=s3cret");
        assert_eq!(texts(&after), texts(&before));
        assert_eq!(after.secrets[0].until, Some(now + Duration::from_secs(60)));
        assert_eq!(after.headers, before.headers);
        assert_eq!(after.auth.unwrap().header(), before.auth.as_ref().unwrap().header());
        assert_eq!((after.final_statuses, after.timeout), (Some(vec![404]), Some(Duration::from_millis(2500))));
        assert!(!format!("{before:?}").contains("s3cret"));
    }

    #[test]
    fn rotation_overlaps_as_long_as_asked_and_is_bounded() {
        let mut webhook = definition(Signing::Hmac);
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let first = texts(&webhook)[0].clone();
        webhook.rotate(None, Duration::from_secs(3600), now).unwrap();
        let second = webhook.current(SecretKind::Hmac).unwrap().reveal().reveal().to_owned();
        assert_eq!(texts(&webhook), [first.clone(), second.clone()]);
        // A later, shorter overlap never lengthens an earlier one, and ends all.
        webhook.rotate(None, Duration::from_secs(60), now).unwrap();
        assert!(webhook.secrets[..2].iter().all(|dated| dated.until == Some(now + Duration::from_secs(60))));
        webhook.rotate(None, Duration::from_secs(60), now).unwrap();
        assert_eq!(webhook.rotate(None, Duration::from_secs(60), now), Err(RotationError::TooMany));
        webhook.rotate(None, Duration::ZERO, now).unwrap();
        assert_eq!(webhook.secrets.len(), 1);
    }

    #[test]
    fn a_secret_of_ones_own_is_kept_and_the_other_made() {
        let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let target = definition(Signing::Hmac).target;
        let mut webhook = Definition::new(target, Signing::Both, Some(own.parse().unwrap()));
        assert_eq!(webhook.current(SecretKind::Hmac).unwrap().reveal().reveal(), own);
        assert!(webhook.current(SecretKind::Ed25519).is_some());
        webhook.set_signing(Signing::Ed25519);
        assert!(webhook.current(SecretKind::Hmac).is_none() && webhook.secrets.len() == 1);
        webhook.set_signing(Signing::Hmac);
        assert_ne!(webhook.current(SecretKind::Hmac).unwrap().reveal().reveal(), own);
    }

    #[test]
    fn credentials_are_what_a_header_can_carry() {
        let secret = |text: &str| Secret::from(text.to_owned());
        let basic = |user: &str, password: &str| Auth::Basic { username: user.into(), password: secret(password) };
        // RFC 7617, 2.
        assert_eq!(basic("Aladdin", "open sesame").header().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(basic("a:b", "c").header().is_none() && basic("a", "\n").header().is_none());
        let bearer = |token: &str| Auth::Bearer { token: secret(token) }.header();
        assert_eq!(bearer("abc.def").unwrap(), "Bearer abc.def");
        assert!(bearer("").is_none() && bearer("a b").is_none() && bearer("ä").is_none());
    }
}
