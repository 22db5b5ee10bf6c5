//! Has an application's own back end make a token, a code or a judgement, while somebody waits to be signed in.
//!
//! Promises: at most three requests for one question, the later ones only where the first was certainly not answered with a decision
//! ([`repeated`]); all of them within `mesibo.backend_timeout` and the ask's own time; at most `mesibo.backend_calls` at once for one
//! application, so that a slow back end keeps nobody else waiting. "No" and "not now" are told apart: who is refused may be told so,
//! who meets a back end that is away must be able to try the same code again. Tokens, codes and URLs are in no log; a back end's own
//! word for a refusal is, and nothing else that it says.
//!
//! The operator names the places, so they are called wherever they are ([`Outbound::to_configured`]), over TLS with a valid
//! certificate. Leaves out how often somebody may try, and what becomes of the code ([`crate::logins`]).

mod mesibo;
mod verifier;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::Config;
use crate::jobs::{BackendAnswer, BackendCall, CallBackend, Reply};
use crate::logins::apps::{self, Application};
use crate::outbound::{Answer, AnswerLimit, Call, CallError, Failure, Outbound, OutboundError};
use crate::worker::Crew;

/// What the answer needs on its way back through the broker.
const WAY_BACK: Duration = Duration::from_millis(200);
/// Waits before a second and a third request.
const WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// Largest answer: tokens and names.
const ANSWER: AnswerLimit = AnswerLimit::Refuse(64 << 10);
/// A call's time is what is left when it is made ([`repeated`]).
const UNSET: Duration = Duration::ZERO;
/// Calls of all applications together: fewer than the asks that a worker takes at once, so that others find one free.
const AT_ONCE: usize = 512;
/// The word for a status of 429.
const TOO_MANY: &str = "too-many-requests";
/// Longest word of a back end that is passed on, in characters.
const LONGEST_WORD: usize = 64;

/// Calls back ends; cheap to clone.
#[derive(Clone)]
pub struct Backends {
    outbound: Outbound,
    each: usize,
    all: Arc<Semaphore>,
    places: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

/// A place for one call.
struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// Why a call came to no decision: a word for the log, and for the asker.
struct Unavailable(&'static str);

impl Backends {
    /// With `mesibo.backend_calls`.
    pub fn new(config: &Config) -> Result<Self, OutboundError> {
        let outbound = Outbound::to_configured(config)?;
        let all = Arc::new(Semaphore::new(AT_ONCE));
        Ok(Self { outbound, each: config.mesibo.backend_calls, all, places: Arc::default() })
    }

    /// A place; none: so many wait for this back end already that it must be away, and more would keep workers from anything else.
    fn place(&self, app: &str) -> Option<Place> {
        let own = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            if places.len() > 4096 {
                // Whoever makes a call holds a place of its own; the rest are idle.
                places.retain(|_, places| Arc::strong_count(places) > 1);
            }
            Arc::clone(places.entry(app.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
        };
        let own = own.try_acquire_owned().ok()?;
        Some(Place { _own: own, _all: Arc::clone(&self.all).try_acquire_owned().ok()? })
    }
}

/// One question, to its answer. `id` names it to an application's own verifier.
pub async fn run(crew: &Crew, id: Uuid, deadline: Timestamp, ask: CallBackend) -> Reply {
    let app = match apps::find(&crew.app, &ask.app).await {
        Ok(Some(app)) => app,
        Ok(None) => return Reply::Backend(BackendAnswer::Refused(String::from("no-application"))),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "an application could not be read");
            return Reply::Temporarily;
        }
    };
    let left = Duration::try_from(deadline.duration_since(crew.app.clock.now())).unwrap_or_default();
    let within = left.saturating_sub(WAY_BACK).min(crew.app.config.mesibo.backend_timeout.duration());
    let answer = match crew.backends.place(&ask.app) {
        _ if within.is_zero() => Err(Unavailable("late")),
        None => Err(Unavailable("busy")),
        Some(_place) => answer(crew, id, &app, &ask.call, Instant::now() + within).await,
    };
    Reply::Backend(told(&ask, answer))
}

async fn answer(
    crew: &Crew,
    id: Uuid,
    app: &Application,
    call: &BackendCall,
    until: Instant,
) -> Result<BackendAnswer, Unavailable> {
    let outbound = &crew.backends.outbound;
    match call {
        BackendCall::BeginElsewhere(who) => {
            let call = verifier::call(app, id, crew.app.clock.now(), verifier::Kind::Start, who)?;
            verifier::begun(repeated(outbound, call, until).await)
        }
        BackendCall::VerifyElsewhere(who) => {
            let call = verifier::call(app, id, crew.app.clock.now(), verifier::Kind::Verify, who)?;
            verifier::verdict(&repeated(outbound, call, until).await?)
        }
        BackendCall::MakeCode { .. } | BackendCall::AddUser { .. } | BackendCall::Revoke { .. } => {
            let Some(prepared) = mesibo::call(app, call, &crew.app.config.mesibo)? else {
                return Ok(BackendAnswer::Done);
            };
            mesibo::read(call, &repeated(outbound, prepared, until).await?)
        }
    }
}

/// Makes the call, and up to two more when none came through (no connection) or the back end was out of order (5xx).
///
/// Both are safe with every question there is. `otp` is asked with `reuse`, so a second one is answered with the same code. `useradd`
/// finds the user by its address and makes no second one; it may make a second token, of which only the last is handed out, and
/// nobody has the first. A verifier knows a repeat by its `webhook-id`. What broke off after it was sent is not repeated: a back end
/// that hangs would be asked for the same thing three times over, and the asker can decide better.
async fn repeated(outbound: &Outbound, call: Call, until: Instant) -> Result<Answer, Unavailable> {
    let mut waits = WAITS.into_iter();
    loop {
        let timeout = until.saturating_duration_since(Instant::now());
        if timeout.is_zero() {
            return Err(Unavailable("timeout"));
        }
        let outcome = outbound.call(Call { timeout, ..call.clone() }).await;
        let wait = waits.next().filter(|wait| worth_repeating(&outcome) && Instant::now() + *wait < until);
        match (outcome, wait) {
            (_, Some(wait)) => tokio::time::sleep(wait).await,
            (Ok(answer), None) if answer.status >= 500 => return Err(Unavailable("out-of-order")),
            (Ok(answer), None) if answer.status == 429 => return Err(Unavailable(TOO_MANY)),
            (Ok(answer), None) => return Ok(answer),
            (Err(error), None) => return Err(Unavailable(error.kind.word())),
        }
    }
}

fn worth_repeating(outcome: &Result<Answer, CallError>) -> bool {
    match outcome {
        Ok(answer) => answer.status >= 500,
        Err(error) => matches!(error.kind, Failure::Connect | Failure::Resolve | Failure::TimeoutBeforeSending),
    }
}

/// For the log, and for the asker.
fn told(ask: &CallBackend, answer: Result<BackendAnswer, Unavailable>) -> BackendAnswer {
    let (app, call) = (ask.app.as_str(), name(&ask.call));
    match answer {
        Ok(BackendAnswer::Refused(word)) => {
            // A verifier that says no does its work.
            if !matches!(ask.call, BackendCall::BeginElsewhere(_) | BackendCall::VerifyElsewhere(_)) {
                tracing::warn!(app, call, word, "an application's back end refused a call");
            }
            BackendAnswer::Refused(word)
        }
        Ok(answer) => answer,
        Err(Unavailable(problem)) => {
            tracing::warn!(app, call, problem, "an application's back end gave no answer that could be used");
            BackendAnswer::Unavailable(problem.to_owned())
        }
    }
}

fn name(call: &BackendCall) -> &'static str {
    match call {
        BackendCall::MakeCode { .. } => "make_code",
        BackendCall::AddUser { .. } => "add_user",
        BackendCall::Revoke { .. } => "revoke",
        BackendCall::BeginElsewhere(_) => "begin_elsewhere",
        BackendCall::VerifyElsewhere(_) => "verify_elsewhere",
    }
}

/// A back end's word for the log and for operators; ours where it says none that is one.
fn word(text: Option<&str>, ours: &str) -> String {
    let plain = |text: &&str| {
        (1..=LONGEST_WORD).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    text.filter(plain).unwrap_or(ours).to_owned()
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzzed(answer: &Answer) {
    let address = || "18005551234".to_owned();
    let calls = [
        BackendCall::MakeCode { address: address() },
        BackendCall::AddUser { address: address(), name: String::new(), code: None },
        BackendCall::Revoke { address: address(), token: String::new() },
    ];
    let said = calls.iter().map(|call| mesibo::read(call, answer)).chain([verifier::verdict(answer)]);
    for said in said.flatten() {
        match said {
            BackendAnswer::Code(code) => assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit())),
            BackendAnswer::Token { token, .. } => assert!(token.bytes().all(|byte| byte.is_ascii_graphic())),
            BackendAnswer::Refused(word) => assert!(word.len() <= LONGEST_WORD && word.is_ascii()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_word() {
        assert_eq!(word(Some("TOKENBREACH"), "refused"), "TOKENBREACH");
        for other in [None, Some(""), Some("bad token 0123"), Some("a\nb"), Some(&*"x".repeat(65))] {
            assert_eq!(word(other, "refused"), "refused");
        }
    }

    #[test]
    fn an_application_has_its_own_places() {
        let _ = rustls::crypto::CryptoProvider::install_default(crate::tls::provider());
        let mut config = Config::default();
        config.mesibo.backend_calls = 1;
        let backends = Backends::new(&config).unwrap();
        let first = backends.place("a").unwrap();
        assert!(backends.place("a").is_none());
        assert!(backends.place("b").is_some());
        drop(first);
        assert!(backends.place("a").is_some());
    }
}
