//! Receiving over the websocket (specification §1.13): `GET /v1/websocket/?user=…&password=…`, or with `login` in place of `user`.
//!
//! `user` is spoken to in the text form, `login` in the binary one, as the clients that say so expect; `format=text` or `format=binary`
//! decides otherwise. Whoever may not is refused before the upgrade, with the statuses of every other endpoint. The password stands in
//! the query string: no query string is logged here.

mod handshake;
mod session;

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Door;
use super::answer::{Answer, Refusal};
use super::credentials::device_of;
use super::request::Request;
use crate::App;
use crate::envelopes::News;
use crate::textsecure::frames::Form;

/// What all websockets of the process share; cheap to clone.
#[derive(Clone)]
pub(super) struct Websockets {
    places: Arc<Semaphore>,
    news: News,
}

impl Websockets {
    /// With the settings.
    pub(super) fn new(app: &App) -> Self {
        let most = app.config.textsecure.websockets.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(most)), news: News::new(app) }
    }
}

/// `GET /v1/websocket`: 101, or why not.
pub(super) async fn open(door: &Door, mut request: Request) -> Answer {
    let upgrade = request.upgrade.take();
    let (Some(upgrade), Some(response)) = (upgrade, handshake::accept(&request.headers)) else {
        return Ok(handshake::wanted());
    };
    let (user, form) = match (request.parameter("user"), request.parameter("login")) {
        (Some(user), _) => (user, Form::Text),
        (None, Some(login)) => (login, Form::Binary),
        (None, None) => return Err(Refusal::Unauthorized),
    };
    let form = match request.parameter("format").as_deref() {
        None => form,
        Some("text") => Form::Text,
        Some("binary") => Form::Binary,
        Some(_) => return Err(Refusal::BAD_REQUEST),
    };
    let (number, device) = device_of(&user).ok_or(Refusal::Unauthorized)?;
    let password = zeroize::Zeroizing::new(request.parameter("password").ok_or(Refusal::Unauthorized)?);
    let device = door.sign_in(request.ip, &number, device, password.as_bytes()).await?;
    let Ok(place) = Arc::clone(&door.websockets.places).try_acquire_owned() else {
        tracing::warn!("as many websockets are open as may: refused");
        return Err(Refusal::Unavailable);
    };
    let door = door.clone();
    upgrade.run(move |connection, stop| async move {
        session::run(door, connection, device, form, stop).await;
        drop(place);
    });
    Ok(response)
}
