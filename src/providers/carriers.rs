//! Who carries codes: short messages, calls, mail, each over several services of others that stand in for one another.
//!
//! | file | what |
//! |---|---|
//! | `letter` | a code on its way, and its words |
//! | `twilio` | Twilio's REST API: SMS and voice |
//! | `webhook` | an endpoint of the operator's own, signed by the Standard Webhooks convention |
//! | `smtp` | a mail server |
//! | `recording` | a file: development only |
//!
//! Promises: carriers are tried in the order of the settings; one that is in trouble is tried after the others for
//! `providers.rest`, and one that asked for a pause is not called before its end. Of what a carrier answers only the status and
//! its error's number are kept: its own words repeat the number that was called. Leaves out what a code is for and when it is
//! tried again (`workers/send_code.rs`), and what other processes know of a carrier: each finds out for itself.

mod letter;
mod recording;
mod smtp;
mod twilio;
mod webhook;

pub use letter::{Kind, Letter, Notice};

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::books::Outcome;
use crate::clock::Instant;
use crate::config::{Config, providers};
use crate::outbound::{Answer, AnswerLimit, CallError, Outbound, OutboundError};
use crate::telemetry::families::CODES;
use crate::telemetry::metrics::named;

/// Of an answer: an error's number stands at its beginning.
const ANSWER: AnswerLimit = AnswerLimit::Skim { keep: 4096, read: 64 * 1024 };

/// Carries a letter.
trait Carry: Send + Sync {
    /// Tries once, and comes to an end `within` that time, whatever has been sent by then.
    fn carry<'a>(&'a self, letter: &'a Letter<'a>, within: Duration) -> BoxFuture<'a, Word>;

    /// Asks whether it would carry something from us, and sends nothing; nothing where that cannot be asked.
    fn greet(&self, within: Duration) -> BoxFuture<'_, Option<Result<(), String>>> {
        let _ = within;
        Box::pin(async { None })
    }
}

/// What a carrier said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What follows from it.
    pub said: Said,
    /// How the try ended.
    pub outcome: Outcome,
    /// HTTP or SMTP status.
    pub status: Option<u16>,
    /// In a word for the operator; nothing of the recipient's.
    pub code: String,
}

/// What follows from a carrier's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It carries it.
    Sent,
    /// Nobody can carry it: the recipient does not exist, or wants nothing. A word why.
    Never(&'static str),
    /// This one does not carry it, now or later; another may.
    Refused,
    /// This one does not carry it now. It is well, and has its reasons.
    NotNow,
    /// It is in trouble: nobody answered, it failed, it knows our credentials no more.
    Trouble {
        /// How long it asked to be left alone.
        pause: Option<Duration>,
    },
}

/// One carrier, and how it is.
pub struct Carrier {
    name: String,
    carry: Box<dyn Carry>,
    rest: Mutex<Rest>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    /// Tried after the others until then.
    after_others: Option<Instant>,
    /// Not called until then.
    not_before: Option<Instant>,
}

/// All of them. Cheap to clone.
#[derive(Clone)]
pub struct Carriers {
    sms: Arc<[Carrier]>,
    voice: Arc<[Carrier]>,
    email: Arc<[Carrier]>,
    rest: Duration,
}

/// Why a carrier's settings are none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A URL.
    #[error("\"{name}\": url: {problem}")]
    Url {
        /// The carrier.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Anything else.
    #[error("\"{name}\": {setting} {problem}")]
    Setting {
        /// The carrier.
        name: String,
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The HTTP client.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// Certificate authorities.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
}

impl Carriers {
    /// From the settings.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let outbound = Outbound::to_configured(config)?;
        let all = |of: &[providers::Carrier]| {
            of.iter().map(|settings| Carrier::new(config, settings, &outbound)).collect::<Result<Arc<[_]>, _>>()
        };
        let providers = &config.providers;
        let carriers = Self {
            sms: all(&providers.sms)?,
            voice: all(&providers.voice)?,
            email: all(&providers.email)?,
            rest: providers.rest.duration(),
        };
        for carrier in [&carriers.sms, &carriers.voice, &carriers.email].into_iter().flat_map(|kind| kind.iter()) {
            CODES.show([named(carrier.name()), Outcome::Delivered.name()]);
        }
        Ok(carriers)
    }

    /// Who carries this kind, in the order in which they are to be tried now. Who asked for a pause is not among them.
    pub fn in_turn(&self, kind: Kind) -> Vec<&Carrier> {
        let mut now: Vec<&Carrier> = self.of(kind).iter().filter(|carrier| carrier.rest().pause().is_zero()).collect();
        // Stable: among equals the settings' order holds.
        now.sort_by_key(|carrier| carrier.rest().is_resting());
        now
    }

    /// Whether anybody carries this kind.
    pub fn has(&self, kind: Kind) -> bool {
        !self.of(kind).is_empty()
    }

    /// How long until the first of them may be called; zero: now.
    pub fn pause(&self, kind: Kind) -> Duration {
        self.of(kind).iter().map(|carrier| carrier.rest().pause()).min().unwrap_or_default()
    }

    /// Hands a letter to one of them, for at most so long.
    pub async fn hand(&self, carrier: &Carrier, letter: &Letter<'_>, within: Duration) -> Word {
        let word = carrier.carry.carry(letter, within).await;
        carrier.note(word.said, self.rest);
        word
    }

    /// Asks each of them whether it would carry something, and sends nothing: kind, name and answer. None: that cannot be asked.
    pub async fn greet(&self, within: Duration) -> Vec<(&'static str, String, Option<Result<(), String>>)> {
        let mut answers = Vec::new();
        for kind in [Kind::Sms, Kind::Voice, Kind::Email] {
            for carrier in self.of(kind) {
                answers.push((kind.name(), carrier.name.clone(), carrier.carry.greet(within).await));
            }
        }
        answers
    }

    fn of(&self, kind: Kind) -> &[Carrier] {
        match kind {
            Kind::Sms => &self.sms,
            Kind::Voice => &self.voice,
            Kind::Email => &self.email,
        }
    }
}

impl Carrier {
    fn new(config: &Config, settings: &providers::Carrier, outbound: &Outbound) -> Result<Self, Error> {
        use providers::Carrier::{Recording, Smtp, Twilio, Webhook};
        let carry: Box<dyn Carry> = match settings {
            Twilio { .. } => Box::new(twilio::Twilio::new(settings, outbound)?),
            Webhook { .. } => Box::new(webhook::Webhook::new(settings, outbound)?),
            Smtp { .. } => Box::new(smtp::Smtp::new(settings, config)?),
            Recording { file, .. } => Box::new(recording::Recording::new(file)),
        };
        Ok(Self { name: settings.name().to_owned(), carry, rest: Mutex::default() })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn rest(&self) -> Rest {
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, said: Said, rest: Duration) {
        let next = match said {
            Said::Trouble { pause } => Rest {
                after_others: Some(Instant::now().after(rest)),
                not_before: pause.map(|pause| Instant::now().after(pause)),
            },
            // Whoever answers is well.
            _ => Rest::default(),
        };
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

impl Rest {
    fn is_resting(self) -> bool {
        self.after_others.is_some_and(|until| !until.is_past())
    }

    fn pause(self) -> Duration {
        self.not_before.map(Instant::left).unwrap_or_default()
    }
}

impl Word {
    fn new(said: Said, status: impl Into<Option<u16>>, code: impl Into<String>) -> Self {
        let outcome = match said {
            Said::Sent => Outcome::Delivered,
            Said::Never(_) | Said::Refused => Outcome::RefusedForGood,
            Said::NotNow | Said::Trouble { .. } => Outcome::RefusedForNow,
        };
        Self { said, outcome, status: status.into(), code: code.into() }
    }

    fn trouble(outcome: Outcome, code: impl Into<String>) -> Self {
        Self { outcome, ..Self::new(Said::Trouble { pause: None }, None, code) }
    }

    /// There was no answer over HTTP.
    fn of_error(error: &CallError) -> Self {
        let outcome = if error.nothing_sent() { Outcome::NotSent } else { Outcome::Unknown };
        Self::trouble(outcome, error.kind.word())
    }

    /// What HTTP itself says with its statuses; what a service means by others is its own file's business.
    fn of_status(answer: &Answer, now: jiff::Timestamp) -> Self {
        let status = answer.status;
        let pause = answer.retry_after.map(|after| after.wait(now)).filter(|pause| !pause.is_zero());
        let said = match status {
            200..=299 => Said::Sent,
            400 | 402 | 405 | 406 | 409..=428 | 430..=499 => Said::Refused,
            _ => Said::Trouble { pause },
        };
        let code = if said == Said::Sent { "sent".to_owned() } else { format!("http_{status}") };
        Self::new(said, status, code)
    }
}

/// What is wrong with a carrier's settings, for whoever reads the configuration.
pub fn mistake(settings: &providers::Carrier) -> Option<String> {
    use providers::Carrier::{Recording, Smtp, Twilio, Webhook};
    let name = settings.name();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
        return Some("name: 1 to 32 letters, digits, - and _".to_owned());
    }
    let error = match settings {
        Twilio { .. } => twilio::check(settings).err(),
        Webhook { .. } => webhook::check(settings).err(),
        Smtp { .. } => smtp::check(settings).err(),
        Recording { .. } => None,
    };
    error.map(|error| error.to_string())
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(answer: &Answer) {
    let now = jiff::Timestamp::UNIX_EPOCH;
    for word in [twilio::judge(answer, now), webhook::judge(answer, now)] {
        assert!(word.code.len() <= 64 && word.code.is_ascii(), "a carrier's own words are kept");
    }
    smtp::fuzzed(&answer.body, answer.status);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Carry for Nothing {
        fn carry<'a>(&'a self, _: &'a Letter<'a>, _: Duration) -> BoxFuture<'a, Word> {
            Box::pin(std::future::pending())
        }
    }

    fn carriers(names: &[&str]) -> Carriers {
        let carrier = |name: &&str| Carrier { name: (*name).into(), carry: Box::new(Nothing), rest: Mutex::default() };
        let none = || Arc::from(Vec::new());
        let sms = names.iter().map(carrier).collect();
        Carriers { sms, voice: none(), email: none(), rest: Duration::from_secs(30) }
    }

    fn names(carriers: &Carriers) -> Vec<&str> {
        carriers.in_turn(Kind::Sms).into_iter().map(Carrier::name).collect()
    }

    #[test]
    fn who_is_in_trouble_is_tried_last_and_who_asks_for_a_pause_has_it() {
        let all = carriers(&["a", "b", "c"]);
        let (rest, minute) = (all.rest, Duration::from_secs(60));
        assert_eq!(names(&all), ["a", "b", "c"]);
        all.sms[0].note(Said::Trouble { pause: None }, rest);
        assert_eq!(names(&all), ["b", "c", "a"]);
        all.sms[1].note(Said::Trouble { pause: Some(minute) }, rest);
        assert_eq!(names(&all), ["c", "a"]);
        assert_eq!(all.pause(Kind::Sms), Duration::ZERO);
        for said in [Said::Refused, Said::NotNow, Said::Never("refused")] {
            all.sms[2].note(said, rest);
            assert_eq!(names(&all), ["c", "a"]);
        }
        all.sms[0].note(Said::Sent, rest);
        assert_eq!(names(&all), ["a", "c"]);
        for carrier in [0, 2] {
            all.sms[carrier].note(Said::Trouble { pause: Some(2 * minute) }, rest);
        }
        assert!(names(&all).is_empty());
        let pause = all.pause(Kind::Sms);
        assert!(pause <= minute && pause > minute / 2, "{pause:?}");
        assert!(all.has(Kind::Sms) && !all.has(Kind::Voice));
    }

    #[test]
    fn what_http_says() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let said = |status, pause: Option<&str>| {
            let retry_after = pause.and_then(crate::outbound::RetryAfter::parse);
            let (body, elapsed) = (bytes::Bytes::new(), Duration::ZERO);
            Word::of_status(&Answer { status, body, truncated: false, retry_after, elapsed }, now).said
        };
        let trouble = |seconds: Option<u64>| Said::Trouble { pause: seconds.map(Duration::from_secs) };
        for status in [200, 201, 202, 204] {
            assert_eq!(said(status, Some("9")), Said::Sent, "{status}");
        }
        for status in [400, 410, 413, 422, 451] {
            assert_eq!(said(status, Some("9")), Said::Refused, "{status}");
        }
        for status in [301, 401, 403, 404, 407, 408, 429, 500, 503, 999] {
            assert_eq!(said(status, None), trouble(None), "{status}");
            assert_eq!(said(status, Some("0")), trouble(None), "{status}");
            assert_eq!(said(status, Some("9")), trouble(Some(9)), "{status}");
        }
    }
}
