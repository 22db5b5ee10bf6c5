//! What operators do with a webhook beyond its own row: its destination goes along.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::{Content, Definition, Error, Webhook, WebhookName, store};
use crate::App;
use crate::books::{Accepted, Acceptor, BooksError, Expiry, Lane, NewMessage, Way};
use crate::destinations::{self, Setting};

/// Life of a test message: somebody is looking at it now.
const TEST_LIFE: Duration = Duration::from_secs(600);

/// Makes a webhook whose destination begins anew, with this pace; `None`: the name is taken. One of this name may have been there
/// before: its pace and its pause were not meant for this one.
pub async fn begin(
    app: &App,
    sender: &str,
    name: &WebhookName,
    (definition, events): (&Definition, &[String]),
    pace: Setting,
) -> Result<Option<Webhook>, Error> {
    let Some(webhook) = store::create(app, sender, name, definition, events).await? else { return Ok(None) };
    let given = pace != Setting::default();
    let known = destinations::resume(app, name.as_str()).await?;
    if given || known {
        let anew = Setting {
            concurrency: Some(pace.concurrency.flatten()),
            rate: Some(pace.rate.flatten()),
            schedule: Some(pace.schedule.flatten()),
        };
        destinations::set(app, name.as_str(), &anew).await?;
    }
    Ok(Some(webhook))
}

/// Switches a webhook off or on; `None`: there is no such. Its destination is paused or resumed with it: a backlog is left where it is
/// instead of being looked at again and again.
pub async fn switch(app: &App, name: &WebhookName, on: bool) -> Result<Option<Webhook>, Error> {
    let Some(webhook) = store::set_disabled(app, name, !on).await? else { return Ok(None) };
    match on {
        true => drop(destinations::resume(app, name.as_str()).await?),
        false => destinations::pause(app, name.as_str()).await?,
    }
    Ok(Some(webhook))
}

/// Sends a ping, which goes the way of every message; the id of its delivery.
pub async fn ping(app: &App, acceptor: &Acceptor, sender: &str, name: &WebhookName) -> Result<Uuid, BooksError> {
    let body = json!({"type": "ping", "timestamp": app.clock.now(), "data": {"webhook": name.as_str()}});
    let message = NewMessage {
        sender: sender.to_owned(),
        way: Way::Webhook { name: name.to_string() },
        lane: Lane::Interactive,
        tag: None,
        content: Content::json(body.to_string().as_bytes()).encode(),
        expiry: Expiry::In(TEST_LIFE),
        deliver_at: None,
        order: None,
        campaign: None,
        held: false,
        key: None,
    };
    match acceptor.accept(message).await? {
        Accepted::New(id) | Accepted::Replayed(id) => Ok(id),
        // Without a key nothing can have come before.
        Accepted::Mismatch | Accepted::RefusedBefore => Err(BooksError::Shared { passing: false }),
    }
}
