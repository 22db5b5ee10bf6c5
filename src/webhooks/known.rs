//! Webhooks at hand: opened, parsed and ready to be called, so that a delivery costs neither a look-up nor an unsealing.
//!
//! Once a second a process asks which of those it used lately were changed or deleted; those are looked up again when they are
//! next used. While the database does not answer, nothing is believed for longer than [`BELIEVED`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Content, Definition, FINAL_STATUSES, Ports, Signer, Target, TargetError, Webhook, store};
use crate::App;
use crate::batch::Batcher;
use crate::clock::Instant;
use crate::db::DbError;
use crate::outbound::{AnswerLimit, Call, Redirects};

/// Between two questions for changes.
const ROUND: Duration = Duration::from_secs(1);
/// How long an answer is believed.
const BELIEVED: Duration = Duration::from_millis(1500);
/// What was not used for so long is forgotten.
const KEPT: Duration = Duration::from_secs(60);
/// Look-ups in one statement.
const TOGETHER: usize = 200;
/// Under load only.
const LINGER: Duration = Duration::from_millis(1);
/// Of an answer: enough for an attempt's record, whatever the script.
const KEEP: usize = 1024;

pub(crate) const ID: HeaderName = HeaderName::from_static("webhook-id");
pub(crate) const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
pub(crate) const AGENT: HeaderValue = HeaderValue::from_static(concat!("handfast/", env!("CARGO_PKG_VERSION")));

const FIND_MANY: &str = "/* webhooks::known (find) */
select name, sender, definition, events, disabled_at, gone_at, created_at, updated_at from webhooks where name = any ($1)";

const CHANGED: &str = "/* webhooks::known (changed) */
select name, updated_at from webhooks where name = any ($1)";

/// A webhook could not be read; whether trying again later may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook could not be read")]
pub struct Unread {
    /// Whether trying again later may help.
    pub passing: bool,
}

/// A webhook, ready to be called.
pub struct Ready {
    target: Result<Target, TargetError>,
    /// What goes with every request.
    headers: Vec<(HeaderName, HeaderValue)>,
    signer: Signer,
    final_statuses: Vec<u16>,
    timeout: Duration,
    most_read: usize,
    disabled: bool,
    gone: AtomicBool,
    updated_at: Timestamp,
}

/// The webhooks this process uses. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    known: Mutex<HashMap<Box<str>, Entry>>,
    look_up: Batcher<Box<str>, Result<Option<Arc<Ready>>, Unread>>,
}

struct Entry {
    ready: Arc<Ready>,
    believed_until: Instant,
    kept_until: Instant,
}

impl Webhooks {
    /// Starts the task that asks for changes; it ends when all clones are gone. Call it inside the runtime.
    pub fn start(app: &App) -> Self {
        let inner = Arc::new(Inner { known: Mutex::default(), look_up: look_up(app) });
        tokio::spawn(follow(app.clone(), Arc::downgrade(&inner)));
        Self(inner)
    }

    /// The webhook of this name, as it was at most two seconds ago; `None`: there is none.
    pub async fn find(&self, name: &str) -> Result<Option<Arc<Ready>>, Unread> {
        match self.0.at_hand(name) {
            Some(ready) => Ok(Some(ready)),
            None => self.renew(name).await,
        }
    }

    /// The webhook of this name, as it is now.
    pub async fn renew(&self, name: &str) -> Result<Option<Arc<Ready>>, Unread> {
        let asked = Instant::now();
        let found = self.0.look_up.call(name.into()).await.unwrap_or(Err(Unread { passing: true }))?;
        if let Some(ready) = &found {
            let entry = Entry {
                ready: Arc::clone(ready),
                believed_until: asked.after(BELIEVED),
                kept_until: asked.after(KEPT),
            };
            self.0.known().insert(name.into(), entry);
        }
        Ok(found)
    }
}

impl Inner {
    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_hand(&self, name: &str) -> Option<Arc<Ready>> {
        let mut known = self.known();
        let entry = known.get_mut(name).filter(|entry| !entry.believed_until.is_past())?;
        entry.kept_until = Instant::now().after(KEPT);
        Some(Arc::clone(&entry.ready))
    }

    /// What was answered: those not named, or named with another time, are forgotten.
    fn confirm(&self, asked: Instant, names: &[String], found: &HashMap<String, Timestamp>) {
        let mut known = self.known();
        for name in names {
            let Some(entry) = known.get_mut(name.as_str()) else { continue };
            if found.get(name) == Some(&entry.ready.updated_at) {
                entry.believed_until = asked.after(BELIEVED);
            } else {
                known.remove(name.as_str());
            }
        }
    }
}

async fn follow(app: App, inner: Weak<Inner>) {
    let mut round = tokio::time::interval(ROUND);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let names: Vec<String> = {
            let mut known = inner.known();
            known.retain(|_, entry| !entry.kept_until.is_past());
            known.keys().map(|name| String::from(&**name)).collect()
        };
        if names.is_empty() {
            continue;
        }
        let asked = Instant::now();
        match app.db.rows(CHANGED, &[&names]).await {
            Ok(rows) => {
                let found = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
                inner.confirm(asked, &names, &found);
            }
            Err(error) => tracing::warn!(%error, "whether webhooks were changed could not be read"),
        }
    }
}

fn look_up(app: &App) -> Batcher<Box<str>, Result<Option<Arc<Ready>>, Unread>> {
    let app = app.clone();
    Batcher::spawn(TOGETHER, LINGER, move |names: Vec<Box<str>>| {
        let app = app.clone();
        async move {
            let wanted: Vec<&str> = names.iter().map(|name| &**name).collect();
            let rows = match app.db.rows(FIND_MANY, &[&wanted]).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "webhooks could not be read");
                    return vec![Err(Unread { passing: error.is_passing() }); names.len()];
                }
            };
            // One that does not open fails alone.
            let opened =
                |row: &crate::db::Row| store::read(&app, row).map(|webhook| Arc::new(Ready::new(&app, &webhook)));
            let found: HashMap<String, Result<Arc<Ready>, DbError>> =
                rows.iter().map(|row| (row.get("name"), opened(row))).collect();
            let answer = |name: &str| match found.get(name) {
                None => Ok(None),
                Some(Ok(ready)) => Ok(Some(Arc::clone(ready))),
                Some(Err(error)) => Err(Unread { passing: error.is_passing() }),
            };
            names.iter().map(|name| answer(name)).collect()
        }
    })
}

impl Ready {
    /// Of a webhook as it is.
    pub fn new(app: &App, webhook: &Webhook) -> Self {
        let Definition { target, secrets, headers, auth, final_statuses, timeout, .. } = &webhook.definition;
        let mut all: Vec<(HeaderName, HeaderValue)> = headers.iter().cloned().collect();
        if !headers.contains(&header::USER_AGENT) {
            all.push((header::USER_AGENT, AGENT));
        }
        if let Some(value) = auth.as_ref().and_then(super::Auth::header) {
            all.retain(|(name, _)| name != header::AUTHORIZATION);
            all.push((header::AUTHORIZATION, value));
        }
        let settings = &app.config.outbound;
        Self {
            target: Target::with_ports(target.reveal(), &Ports::of(&app.config)),
            headers: all,
            signer: Signer::new(secrets),
            final_statuses: final_statuses.clone().unwrap_or_else(|| FINAL_STATUSES.to_vec()),
            timeout: timeout.unwrap_or(settings.post_timeout.duration()),
            most_read: usize::try_from(settings.answer_limit.bytes()).unwrap_or(usize::MAX),
            disabled: webhook.disabled_at.is_some(),
            gone: AtomicBool::new(false),
            updated_at: webhook.updated_at,
        }
    }

    /// Whether both are called at the same URL.
    pub fn is_where(&self, other: &Self) -> bool {
        self.target == other.target
    }

    /// Whether an operator wants nothing sent.
    pub fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// Whether this answer ends a delivery.
    pub fn is_final(&self, status: u16) -> bool {
        self.final_statuses.contains(&status)
    }

    /// True once: it has answered 410, and that was not noted yet.
    pub fn learns_it_is_gone(&self) -> bool {
        !self.gone.swap(true, Ordering::Relaxed)
    }

    /// The signed request that delivers `content` under the message's id. An error: its port may not be called (any more).
    pub fn call(&self, id: Uuid, content: Content<'_>, now: Timestamp) -> Result<Call, TargetError> {
        let target = self.target.clone()?;
        let mut buffer = Uuid::encode_buffer();
        let id: &str = id.hyphenated().encode_lower(&mut buffer);
        let signature = self.signer.sign(id, now, content.body);
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 8);
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        for (name, value) in content.headers.iter() {
            // Who may send a message need not know, or change, whom the webhook's owner says we are.
            if name != header::AUTHORIZATION || !headers.contains_key(name) {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(header::CONTENT_TYPE, content.content_type.into_value());
        headers.insert(TIMESTAMP, HeaderValue::from(now.as_second()));
        // Digits, letters, hyphens and base64: visible ASCII, so neither is ever left out.
        for (name, value) in [(ID, HeaderValue::from_str(id)), (SIGNATURE, HeaderValue::try_from(signature))] {
            if let Ok(value) = value {
                headers.insert(name, value);
            }
        }
        Ok(Call {
            target,
            method: Method::POST,
            headers,
            body: bytes::Bytes::copy_from_slice(content.body),
            timeout: self.timeout,
            redirects: Redirects::None,
            answer: AnswerLimit::Skim { keep: KEEP, read: self.most_read },
        })
    }
}
