//! Calls to another Openmsg node's four endpoints: the address, the form, the bounds (specification §1.2, weaknesses 6.3–6.5).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::App;
use crate::config;
use crate::openmsg::Domain;
use crate::outbound::{Answer, AnswerLimit, Call, CallError, Outbound, Redirects, Target, TargetError};

/// Which endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `auth`
    Auth,
    /// `auth-confirm`
    AuthConfirm,
    /// `message-receive`
    MessageReceive,
    /// `message-confirm`
    MessageConfirm,
}

impl Endpoint {
    fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthConfirm => "auth-confirm",
            Self::MessageReceive => "message-receive",
            Self::MessageConfirm => "message-confirm",
        }
    }
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The domain cannot be called.
    #[error("the domain cannot be called: {0}")]
    Target(#[from] TargetError),
    /// The call failed.
    #[error("{0}")]
    Call(#[from] CallError),
    /// This process makes as many callbacks as it may, and none ended in time.
    #[error("too many callbacks at once")]
    Busy,
}

impl PeerError {
    /// Whether certainly no byte of the request left this machine.
    pub fn nothing_sent(&self) -> bool {
        match self {
            Self::Target(_) | Self::Busy => true,
            Self::Call(error) => error.nothing_sent(),
        }
    }

    /// One stable word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Target(_) => "target",
            Self::Call(error) => error.kind.word(),
            Self::Busy => "busy",
        }
    }
}

/// Posts `body` to an endpoint of `domain`, waiting at most `timeout` for all of it.
pub async fn post(
    app: &App,
    outbound: &Outbound,
    domain: &Domain,
    endpoint: Endpoint,
    body: Vec<u8>,
    timeout: Duration,
) -> Result<Answer, PeerError> {
    let sandbox = app.config.openmsg.sandbox_domains.iter().any(|d| d.eq_ignore_ascii_case(domain.as_str()));
    let path = format!("/openmsg/{}{}/", if sandbox { "sandbox/" } else { "" }, endpoint.name());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let call = Call {
        target: Target::new(domain.as_str(), &path)?,
        method: Method::POST,
        headers,
        body: body.into(),
        timeout,
        redirects: Redirects::OneWithin { path_prefix: "/openmsg/".into() },
        answer: AnswerLimit::Refuse(usize::try_from(app.config.outbound.answer_limit.bytes()).unwrap_or(usize::MAX)),
    };
    Ok(outbound.call(call).await?)
}

/// Places for confirm callbacks: a stranger decides whom we call back, so their number is bounded, per domain and in all.
/// Cheap to clone.
#[derive(Clone)]
pub struct Callbacks {
    all: Arc<Semaphore>,
    each: usize,
    domains: Arc<Mutex<HashMap<Domain, Arc<Semaphore>>>>,
}

/// A place, held during one callback.
pub struct Place {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Callbacks {
    /// With `openmsg.callbacks` and `openmsg.callbacks_per_domain`.
    pub fn new(settings: &config::Openmsg) -> Self {
        Self {
            all: Arc::new(Semaphore::new(settings.callbacks)),
            each: settings.callbacks_per_domain,
            domains: Arc::default(),
        }
    }

    /// Waits for a place: of the domain first, so that a slow one takes nothing from the others.
    pub async fn place(&self, domain: &Domain, wait: Duration) -> Result<Place, PeerError> {
        let own = {
            let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
            if domains.len() > 4096 {
                // Whoever is in a callback holds his own; the rest are idle.
                domains.retain(|_, places| Arc::strong_count(places) > 1);
            }
            Arc::clone(domains.entry(domain.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
        };
        let both = async {
            let own = own.acquire_owned().await.ok()?;
            let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(Place { _all: all, _own: own })
        };
        tokio::time::timeout(wait, both).await.ok().flatten().ok_or(PeerError::Busy)
    }
}
