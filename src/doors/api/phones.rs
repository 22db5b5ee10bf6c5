//! Phone numbers as operators see them, and the federated nodes that numbers are shared with.
//!
//! Numbers stand in paths and answers only: nothing here logs them, and no problem repeats them.

pub(super) mod describe;

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use crate::directory::peers::{self, PeerState};
use crate::directory::{self, Contact};
use crate::phones::{self, Phone, PhoneDevice};
use crate::pushes::{self, Test, TestError};
use crate::textsecure::Number;

use super::audited::made;
use super::call::{Answer, Call, json as answer, nothing, ok};
use super::page::Wanted;
use super::problem::{Kind, Problem};
use super::values;

/// Highest id of a device.
const LAST_DEVICE: u64 = i16::MAX as u64;

/// A number in a list.
fn entry(phone: &Phone) -> Value {
    json!({
        "number": phone.number.as_str(),
        "active": phone.active,
        "disabled": phone.disabled_at.is_some(),
        "disabled_at": phone.disabled_at,
        "created_at": phone.created_at,
        "registered_at": phone.registered_at,
    })
}

/// A number by itself. One that only a peer has is shown too: it is what keeps somebody from registering.
fn view(number: &Number, phone: Option<&Phone>, contact: Option<&Contact>) -> Value {
    let unknown = || {
        json!({
            "number": number.as_str(), "active": false, "disabled": false, "disabled_at": null, "created_at": null,
            "registered_at": null,
        })
    };
    let mut shown = phone.map_or_else(unknown, entry);
    let relay = contact.and_then(|contact| contact.relay.as_deref());
    shown["directory"] = match (contact, relay) {
        (None, _) => "none".into(),
        (Some(_), None) => "local".into(),
        (Some(_), Some(_)) => "peer".into(),
    };
    shown["peer"] = relay.into();
    shown["devices"] = phone.map_or(&[][..], |phone| &phone.devices).iter().map(device).collect();
    shown
}

fn device(device: &PhoneDevice) -> Value {
    json!({
        "id": device.id,
        "active": device.fetches_messages || device.push.is_some(),
        "fetches_messages": device.fetches_messages,
        "push": device.push.map(phones::Push::name),
        "push_failed_at": device.push_failed_at,
        "created_at": device.created_at,
        "seen_on": device.seen_on,
        "prekeys": device.prekeys,
        "waiting": device.waiting,
    })
}

/// The number the path names, if it is one.
fn number(call: &Call) -> Result<Number, Problem> {
    call.no_query()?;
    call.unbound()?;
    call.parameters.first().and_then(|text| text.parse().ok()).ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::not_found("phone number")
}

async fn shown(call: &Call, number: &Number) -> Answer {
    let token = number.token();
    let (phone, mut found) = (phones::show(call.app(), number).await?, directory::find(call.app(), &[token]).await?);
    let contact = found.remove(&token);
    if phone.is_none() && contact.is_none() {
        return Err(missing());
    }
    ok(&view(number, phone.as_ref(), contact.as_ref()))
}

/// `GET /phones`
pub(super) async fn list(call: Call) -> Answer {
    call.unbound()?;
    let mut query = call.query();
    let wanted = Wanted::read_names(&mut query);
    query.finish(Some(()))?;
    let after = wanted.after.as_deref().map(cursor).transpose()?;
    let found = phones::list(call.app(), after.as_ref(), wanted.rows()).await?;
    ok(&wanted.page(found, |phone| phone.number.as_str().to_owned()).map(|phone| entry(&phone)))
}

/// A `+` in a query is a blank to who reads forms.
fn cursor(text: &str) -> Result<Number, Problem> {
    let number = text.strip_prefix(' ').map_or_else(|| text.to_owned(), |digits| format!("+{digits}"));
    number.parse().map_err(|_| Problem::field("after", "is not a phone number"))
}

/// `GET /phones/{number}`
pub(super) async fn show(call: Call) -> Answer {
    shown(&call, &number(&call)?).await
}

/// `POST /phones/{number}/disable`
pub(super) async fn disable(mut call: Call) -> Answer {
    let number = number(&call)?;
    call.fields().await?.finish(Some(()))?;
    // Looked at before: whoever listens is to be told whatever comes after.
    let before = phones::show(call.app(), &number).await?;
    if !phones::set_disabled(call.app(), &number, true).await? {
        return Err(missing());
    }
    ring(&call, before);
    shown(&call, &number).await
}

/// `POST /phones/{number}/enable`
pub(super) async fn enable(mut call: Call) -> Answer {
    let number = number(&call)?;
    call.fields().await?.finish(Some(()))?;
    if !pushes::enable(call.app(), &call.shared.serve.acceptor, &number).await? {
        return Err(missing());
    }
    shown(&call, &number).await
}

/// `DELETE /phones/{number}`
pub(super) async fn unregister(call: Call) -> Answer {
    let number = number(&call)?;
    let before = phones::show(call.app(), &number).await?;
    if !phones::unregister(call.app(), &number).await? {
        return Err(missing());
    }
    ring(&call, before);
    nothing()
}

/// Whoever listens looks, and finds that the number is not served any more.
fn ring(call: &Call, phone: Option<Phone>) {
    let Some(Phone { number, devices, .. }) = phone else { return };
    call.shared.bell.ring(devices.into_iter().map(|device| (number.clone(), device.id)));
}

/// `POST /phones/{number}/test-push`
pub(super) async fn test_push(mut call: Call) -> Answer {
    let number = number(&call)?;
    let mut fields = call.fields().await?;
    let device = fields.optional("device", values::number(1..=LAST_DEVICE));
    fields.finish(Some(()))?;
    let device = device.and_then(|device| i16::try_from(device).ok());
    let sent = pushes::test(call.app(), &call.shared.serve.acceptor, &number, device).await;
    let Test { id, device, destination } = sent.map_err(refused)?;
    let told = json!({"id": id, "state": "pending", "device": device, "destination": destination});
    made(answer(StatusCode::ACCEPTED, &told), id)
}

fn refused(error: TestError) -> Problem {
    let conflict = |detail: &str| Problem::new(Kind::Conflict, detail);
    match error {
        TestError::Unknown => missing(),
        TestError::Disabled => conflict("The number is disabled: nothing is pushed to it."),
        TestError::NoDevice => Problem::field("device", "is none of this number's"),
        TestError::NoAddress => conflict("No device has a push address that could be tried."),
        TestError::NoService => conflict("No push service is configured for the kind of address that there is."),
        TestError::Full => conflict("Too much waits for the device (half of `textsecure.messages_per_device`)."),
        TestError::Books(error) => error.into(),
    }
}

/// `GET /peers`: those of the settings, also before a worker has first seen them.
pub(super) async fn peers(call: Call) -> Answer {
    call.unbound()?;
    let mut query = call.query();
    let wanted = Wanted::read_names(&mut query);
    query.finish(Some(()))?;
    let states = peers::states(call.app()).await?;
    let mut all: BTreeMap<&str, (Option<&str>, Option<&PeerState>)> =
        states.iter().map(|state| (state.name.as_str(), (None, Some(state)))).collect();
    for peer in &call.app().config.textsecure.peers {
        all.entry(&peer.name).or_default().0 = Some(&peer.url);
    }
    let after = wanted.after.clone().unwrap_or_default();
    let items = all.into_iter().filter(|(name, _)| *name > after.as_str()).collect();
    ok(&wanted.page(items, |(name, _)| (*name).to_owned()).map(|(name, (url, state))| peer(name, url, state)))
}

fn peer(name: &str, url: Option<&str>, state: Option<&PeerState>) -> Value {
    json!({
        "name": name,
        "url": url,
        "synced_at": state.and_then(|state| state.synced_at),
        "due_at": state.map(|state| state.due_at),
        "failures": state.map_or(0, |state| state.failures),
        "contacts": state.map_or(0, |state| state.contacts),
        "error": state.and_then(|state| state.error.as_deref()),
    })
}
