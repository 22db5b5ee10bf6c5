//! Has a Homing Space hub make a welcome, or a captcha service judge, while a browser waits.
//!
//! Both places stand in the settings, so they are called wherever they are; over TLS, always. Once: whoever waits may ask again.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use url::form_urlencoded;

use crate::config::Config;
use crate::config::homing::Gateway;
use crate::jobs::{CallHub, Reply};
use crate::outbound::{AnswerLimit, Call, Outbound, Ports, Redirects, Target, TargetError};
use crate::worker::Crew;

/// What the answer needs on its way back through the broker.
const WAY_BACK: Duration = Duration::from_millis(200);
/// Longest answer, in bytes: a welcome's is some hundred.
const LONGEST: usize = 16 * 1024;

/// Where the hub is, and the captcha service; nothing where the door is closed.
#[derive(Clone)]
pub struct Hub {
    places: Option<Places>,
}

#[derive(Clone)]
struct Places {
    outbound: Outbound,
    welcome: Target,
    captcha: Option<Target>,
}

impl Hub {
    /// By the settings.
    ///
    /// # Errors
    /// When a place in the settings is none.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let settings = &config.homing.gateway;
        if !settings.enabled {
            return Ok(Self { places: None });
        }
        let welcome = format!("{}/api/v1/welcome", settings.hub.trim_end_matches('/'));
        let captcha = settings.captcha.is_set().then(|| place(&settings.captcha.verify)).transpose()?;
        let places = Places { outbound: Outbound::to_configured(config)?, welcome: place(&welcome)?, captcha };
        Ok(Self { places: Some(places) })
    }
}

fn place(url: &str) -> Result<Target, TargetError> {
    Target::with_ports(url, &Ports::Any)
}

/// One call.
pub async fn run(crew: &Crew, deadline: Timestamp, ask: CallHub) -> Reply {
    let left = Duration::try_from(deadline.duration_since(crew.app.clock.now())).unwrap_or_default();
    let timeout = left.saturating_sub(WAY_BACK);
    let Some(places) = crew.hub.places.as_ref().filter(|_| !timeout.is_zero()) else { return Reply::Temporarily };
    let Some(call) = call(places, &crew.app.config.homing.gateway, ask, timeout) else { return Reply::Temporarily };
    let host = call.target.host().to_owned();
    match places.outbound.call(call).await {
        Ok(answer) => Reply::Hub { status: answer.status, body: String::from_utf8_lossy(&answer.body).into_owned() },
        Err(error) => {
            tracing::warn!(host, error = error.kind.word(), "a Homing hub, or a captcha service, gave no answer");
            Reply::Temporarily
        }
    }
}

fn call(places: &Places, settings: &Gateway, ask: CallHub, timeout: Duration) -> Option<Call> {
    let (target, kind, body) = match ask {
        CallHub::Welcome(request) => (places.welcome.clone(), "application/json", request),
        CallHub::Captcha { response } => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("secret", settings.captcha.secret.reveal()).append_pair("response", &response);
            (places.captcha.clone()?, "application/x-www-form-urlencoded", form.finish())
        }
    };
    let headers: HeaderMap = [(CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect();
    Some(Call {
        target,
        method: Method::POST,
        headers,
        body: Bytes::from(body),
        timeout,
        redirects: Redirects::None,
        answer: AnswerLimit::Refuse(LONGEST),
    })
}
