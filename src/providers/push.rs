//! Who wakes devices: FCM, the older GCM, APNs, and Web Push with UnifiedPush.
//!
//! | file | service | payload |
//! |---|---|---|
//! | `fcm` | Google's, HTTP v1, signed in as a service account | the whole envelope |
//! | `gcm` | the form of 2013, for what still speaks it | the whole envelope |
//! | `apns` | Apple's, HTTP/2, signed in by token | the envelope where it fits |
//! | `web` | RFC 8030 with 8291 and 8292, or a UnifiedPush endpoint | the envelope where it fits |
//!
//! Promises: one try, which ends within `providers.timeout` (two at the most where the service wants a new token); an address is
//! called unknown only when its service says so of this very address, never for what may be a mistake of ours; keys, tokens and
//! addresses are in no log. Endpoints of Web Push come from strangers: they are called behind the guard like everything else
//! ([`crate::outbound`]), and only on the ports that are allowed to webhooks. The other services stand in the settings, and are
//! called wherever they are. Leaves out what follows for device and delivery (`workers/wake_device.rs`).

mod apns;
mod fcm;
mod gcm;
mod signer;
mod web;

pub use signer::KeyError;
pub use web::Subscription;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use uuid::Uuid;

use crate::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::outbound::{
    Answer, AnswerLimit, Call, CallError, Outbound, OutboundError, Ports, Redirects, Target, TargetError,
};
use crate::phones::Push;

/// Of an answer: the services say what is wrong in a few hundred bytes.
const ANSWER: usize = 16 * 1024;
/// Longest time that a service is asked to keep a message, in seconds (FCM's four weeks).
const LONGEST_LIFE: i64 = 28 * 86_400;

/// The services that are set up.
pub struct Services {
    google: Option<Google>,
    apns: Option<apns::Apns>,
    web: Option<web::Web>,
}

enum Google {
    Fcm(Box<fcm::Fcm>),
    Gcm(gcm::Gcm),
}

/// Why a service cannot be used as it is set up.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("{setting}: {path} cannot be read: {source}")]
    Unreadable {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not a key for this.
    #[error("{setting}: {problem}")]
    Key {
        /// Which setting names it.
        setting: &'static str,
        /// What is wrong.
        problem: KeyError,
    },
    /// It is not where a service can be.
    #[error("{setting}: {problem}")]
    Url {
        /// Which setting names it.
        setting: &'static str,
        /// What is wrong.
        problem: TargetError,
    },
    /// It is not what it should be.
    #[error("{setting}: {problem}")]
    Unusable {
        /// Which setting names it.
        setting: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The HTTP client.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
}

/// What one device is to be told.
#[derive(Clone, Copy)]
pub struct Wake<'a> {
    /// The same for every try.
    pub id: Uuid,
    /// Its registration id, token or subscription.
    pub address: &'a str,
    /// Since when it has this address, where that is known.
    pub since: Option<Timestamp>,
    /// The sealed envelope, in base64.
    pub sealed: &'a str,
    /// It is a delivery receipt.
    pub receipt: bool,
    /// How long it is of use.
    pub expires_at: Timestamp,
}

/// What a service said to one try.
pub struct Heard {
    /// What it means.
    pub verdict: Verdict,
    /// HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    /// What the service calls it, or the class of the failure.
    pub code: Option<String>,
}

/// What an answer means.
#[derive(Debug)]
pub enum Verdict {
    /// The service has it.
    Accepted {
        /// With the whole envelope, which a device that has no other way gets by this alone. False: the device fetches it.
        whole: bool,
        /// The address to use from now on.
        canonical: Option<String>,
    },
    /// No device has this address (any more).
    Unregistered,
    /// Not this device, for now, or for so long.
    DeviceLater(Option<Duration>),
    /// Nobody, for now, or for so long.
    Busy(Option<Duration>),
    /// Something is wrong at the service.
    Failing,
    /// The service does not take our credentials, or is not where the settings say: nothing goes until somebody repairs that.
    Misconfigured,
    /// It does not take this, and does not say whose fault that is.
    Refused,
    /// It does not even take what only announces the message.
    TooLarge,
    /// It did not answer.
    Silent(CallError),
}

impl Services {
    /// Reads keys and credentials. `guarded` is for the endpoints that strangers choose.
    pub fn load(app: &App, guarded: &Outbound) -> Result<Self, LoadError> {
        Self::read(&app.config, app.clock.clone(), guarded)
    }

    /// Reads keys and credentials, and names the services that could be loaded. Nobody is called.
    pub fn check(config: &Config) -> Result<Vec<&'static str>, LoadError> {
        let services = Self::read(config, Clock::system(), &Outbound::new(config)?)?;
        let google = services.google.as_ref().map(|google| match google {
            Google::Fcm(_) => "fcm",
            Google::Gcm(_) => "gcm",
        });
        let others = [services.apns.as_ref().map(|_| "apns"), services.web.as_ref().map(|_| "web")];
        Ok(google.into_iter().chain(others.into_iter().flatten()).collect())
    }

    fn read(config: &Config, clock: Clock, guarded: &Outbound) -> Result<Self, LoadError> {
        let set = &config.providers.push;
        let line =
            Line { outbound: Outbound::to_configured(config)?, clock, timeout: config.providers.timeout.duration() };
        let guarded = Line { outbound: guarded.clone(), ..line.clone() };
        let google = match (set.fcm.is_set(), set.gcm.is_set()) {
            (true, _) => Some(Google::Fcm(Box::new(fcm::Fcm::load(&set.fcm, line.clone())?))),
            (false, true) => Some(Google::Gcm(gcm::Gcm::load(&set.gcm, line.clone())?)),
            (false, false) => None,
        };
        let apns = set.apns.is_set().then(|| apns::Apns::load(&set.apns, line)).transpose()?;
        let web = set.web.is_set().then(|| web::Web::load(&set.web, Ports::of(config), guarded)).transpose()?;
        Ok(Self { google, apns, web })
    }

    /// One try; none where nobody is set up for this.
    pub async fn wake(&self, push: Push, wake: Wake<'_>) -> Option<Heard> {
        match push {
            Push::Google => match self.google.as_ref()? {
                Google::Fcm(fcm) => Some(fcm.wake(wake).await),
                Google::Gcm(gcm) => Some(gcm.wake(wake).await),
            },
            Push::Apple => Some(self.apns.as_ref()?.wake(wake).await),
            Push::Web => Some(self.web.as_ref()?.wake(wake).await),
        }
    }
}

impl Services {
    /// Tells a subscription of the web something that is no envelope; none where Web Push is not set up.
    pub async fn tell(&self, id: Uuid, address: &str, text: String, expires_at: Timestamp) -> Option<Heard> {
        let wake = Wake { id, address, since: None, sealed: "", receipt: false, expires_at };
        Some(self.web.as_ref()?.tell(&wake, text).await)
    }
}

/// How every service is called.
#[derive(Clone)]
struct Line {
    outbound: Outbound,
    clock: Clock,
    timeout: Duration,
}

impl Line {
    fn post(&self, target: Target, headers: HeaderMap, body: impl Into<Bytes>) -> Call {
        Call {
            target,
            method: Method::POST,
            headers,
            body: body.into(),
            timeout: self.timeout,
            redirects: Redirects::None,
            answer: AnswerLimit::Cut(ANSWER),
        }
    }

    async fn call(&self, call: Call) -> Result<Answer, CallError> {
        self.outbound.call(call).await
    }

    /// Seconds that are left of a message's life.
    fn life(&self, wake: &Wake<'_>) -> i64 {
        wake.expires_at.duration_since(self.clock.now()).as_secs().clamp(0, LONGEST_LIFE)
    }

    fn pause(&self, answer: &Answer) -> Option<Duration> {
        answer.retry_after.map(|after| after.wait(self.clock.now())).filter(|pause| !pause.is_zero())
    }

    /// What an answer means by its status alone, at a service that is set up by the operator.
    fn by_status(&self, answer: &Answer) -> Verdict {
        let pause = self.pause(answer);
        match answer.status {
            429 | 503 => Verdict::Busy(pause),
            500.. if pause.is_some() => Verdict::Busy(pause),
            408 | 500.. => Verdict::Failing,
            300..=399 | 401 | 403 | 404 | 405 => Verdict::Misconfigured,
            413 => Verdict::TooLarge,
            _ => Verdict::Refused,
        }
    }
}

impl Heard {
    fn of(answer: &Answer, verdict: Verdict, code: Option<String>) -> Self {
        let code = code.filter(|code| is_word(code)).unwrap_or_else(|| format!("http_{}", answer.status));
        let code = (!matches!(verdict, Verdict::Accepted { .. })).then_some(code);
        Self { verdict, status: Some(answer.status), code }
    }

    fn accepted(answer: &Answer, whole: bool) -> Self {
        Self::of(answer, Verdict::Accepted { whole, canonical: None }, None)
    }

    fn silent(error: CallError) -> Self {
        let code = Some(error.kind.word().to_owned());
        Self { verdict: Verdict::Silent(error), status: None, code }
    }

    /// No call was made.
    fn without_a_call(verdict: Verdict, code: &str) -> Self {
        Self { verdict, status: None, code: Some(code.to_owned()) }
    }
}

/// What stands in a device's data: the type, and under `message` or `receipt` the sealed envelope, if it goes along.
#[derive(Clone, Copy)]
struct Data<'a> {
    receipt: bool,
    sealed: Option<&'a str>,
}

impl<'a> Data<'a> {
    fn of(wake: &Wake<'a>) -> Self {
        Self { receipt: wake.receipt, sealed: Some(wake.sealed) }
    }

    /// Only to wake the device.
    fn without(self) -> Self {
        Self { sealed: None, ..self }
    }

    /// With the envelope where names and values together, which is what Google counts, are not longer than `most`.
    fn within(self, most: usize) -> Self {
        let bytes = "typemessage".len() + self.name().len() + self.sealed.map_or(0, str::len);
        if bytes <= most { self } else { self.without() }
    }

    fn is_whole(&self) -> bool {
        self.sealed.is_some()
    }

    /// As JSON.
    fn text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// As the clients of the time read it: a receipt has another key, and the same type.
    fn name(&self) -> &'static str {
        if self.receipt { "receipt" } else { "message" }
    }
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", "message")?;
        match self.sealed {
            Some(sealed) => map.serialize_entry(self.name(), sealed)?,
            None => map.serialize_entry("notification", "")?,
        }
        map.end()
    }
}

/// Headers of a request; a value that cannot be one is left out.
fn headers<const N: usize>(all: [(HeaderName, String); N]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(N);
    for (name, value) in all {
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(name == header::AUTHORIZATION);
            headers.insert(name, value);
        }
    }
    headers
}

/// Whether a word of a service is fit to be noted: it comes from outside.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn configured(setting: &'static str, url: &str) -> Result<Target, LoadError> {
    Target::with_ports(url, &Ports::Any).map_err(|problem| LoadError::Url { setting, problem })
}

fn read(setting: &'static str, path: &std::path::Path) -> Result<zeroize::Zeroizing<Vec<u8>>, LoadError> {
    let read = std::fs::read(path).map(zeroize::Zeroizing::new);
    read.map_err(|source| LoadError::Unreadable { setting, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_named_as_the_clients_read_them() {
        let message = Data { receipt: false, sealed: Some("AQ==") };
        assert_eq!(message.text(), r#"{"message":"AQ==","type":"message"}"#);
        assert_eq!(Data { receipt: true, ..message }.text(), r#"{"receipt":"AQ==","type":"message"}"#);
        assert_eq!(message.without().text(), r#"{"notification":"","type":"message"}"#);
        let bytes = "typemessagemessageAQ==".len();
        assert!(message.within(bytes).is_whole() && !message.within(bytes - 1).is_whole());
    }

    #[test]
    fn words_of_a_service_are_short_and_plain() {
        for (word, fit) in
            [("Unregistered", true), ("SENDER_ID_MISMATCH", true), ("", false), ("a b", false), ("ä", false)]
        {
            assert_eq!(is_word(word), fit, "{word:?}");
        }
        assert!(!is_word(&"a".repeat(65)));
    }
}
