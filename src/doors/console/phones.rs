//! Phone numbers and their devices: disabling, enabling and unregistering them, and trying their push.

use maud::{Markup, Render, html};

use super::call::{Answer, Call, Changed, Turned, done, made, page};
use super::filled::{Filled, number as bounded, parsed};
use super::words;
use crate::directory::{self, Contact};
use crate::doors::site::pieces::{self, Table, Tone, badge, number as numbers, text, time};
use crate::phones::{self, Phone, PhoneDevice, Push};
use crate::pushes::{self, Test, TestError};
use crate::senders::Scope;
use crate::textsecure::Number;

/// Numbers on one page.
const SHOWN: usize = 50;
const PATH: &str = "/console/phones";

/// `GET /console/phones`
pub(super) async fn list(call: Call) -> Answer {
    let mut form = Filled::of("find", &call.query);
    let after = form.optional("after", parsed::<Number>);
    let wanted = form.optional("number", parsed::<Number>);
    let mut found = match wanted {
        Some(number) => phones::show(call.app(), &number).await?.into_iter().collect(),
        None if form.is_right() => phones::list(call.app(), after.as_ref(), SHOWN as i64 + 1).await?,
        None => Vec::new(),
    };
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| more).map(|last| call.next(PATH, last.number.as_str()));
    let row = |phone: &Phone| {
        vec![
            html! { a href=(at(&phone.number)) { (phone.number.as_str()) } },
            state(phone),
            time(phone.created_at),
            time(phone.registered_at),
        ]
    };
    let columns = [text("Number"), text("State"), text("First registered"), text("Last proven")];
    let rows = found.iter().map(row).collect();
    let content = html! {
        form .filter role="search" method="get" action=(PATH) {
            (form.line("number", "Number", "", "With its country: +14155550101."))
            button { "Find" } " " a href=(PATH) { "Clear" }
        }
        (Table { caption: "Phone numbers", columns: &columns, rows, empty: "There are none." }.render())
        (pieces::pager(call.first(PATH).as_deref(), next.as_deref()))
    };
    page("Phones", &content)
}

fn state(phone: &Phone) -> Markup {
    match (phone.disabled_at, phone.active) {
        (Some(_), _) => badge(Tone::Warn, "disabled"),
        (None, true) => badge(Tone::Good, "reachable"),
        (None, false) => badge(Tone::Plain, "not reachable"),
    }
}

fn at(number: &Number) -> String {
    format!("{PATH}/{}", words::segment(number.as_str()))
}

fn number(call: &Call) -> Result<Number, Turned> {
    call.parameter(0).parse().map_err(|_| missing())
}

fn missing() -> Turned {
    Turned::missing("phone number")
}

/// `GET /console/phones/{number}`
pub(super) async fn show(call: Call) -> Answer {
    let number = number(&call)?;
    let token = number.token();
    let phone = phones::show(call.app(), &number).await?;
    let contact = directory::find(call.app(), &[token]).await?.remove(&token);
    if phone.is_none() && contact.is_none() {
        return Err(missing());
    }
    let content = html! {
        @match &phone {
            Some(phone) => {
                p { (state(phone)) " First registered at " (time(phone.created_at)) ", last proven at " (time(phone.registered_at)) ". "
                    @if let Some(at) = phone.disabled_at { "Disabled since " (time(at)) "." } }
                (devices(&call, phone))
            }
            None => p { "It is not registered here." },
        }
        @if call.may_change(Scope::Phones) { (changes(&call, &number, phone.as_ref())) }
        h2 { "Directory" }
        p { (listed(contact.as_ref())) }
    };
    page(number.as_str(), &content)
}

/// A number that only a peer has is shown too: it is what keeps somebody from registering.
fn listed(contact: Option<&Contact>) -> String {
    match contact.map(|contact| contact.relay.as_deref()) {
        None => "It is not listed.".into(),
        Some(None) => "It is listed as one of this node.".into(),
        Some(Some(peer)) => format!("It is listed as one of the peer {peer}."),
    }
}

fn devices(call: &Call, phone: &Phone) -> Markup {
    let path = at(&phone.number);
    let row = |device: &PhoneDevice| {
        let field = html! { input type="hidden" name="device" value=(device.id); };
        let tries = call.may_change(Scope::Phones) && device.push.is_some() && phone.disabled_at.is_none();
        vec![
            html! { (device.id) },
            html! {
                @if device.fetches_messages { "listens " }
                @if let Some(push) = device.push { "is pushed to by " (Push::name(push)) }
                @if let Some(at) = device.push_failed_at { br; small { "its push service knew nothing of it at " (time(at)) } }
                @if !device.fetches_messages && device.push.is_none() { "cannot be woken" }
            },
            html! { (device.seen_on) },
            html! { (device.waiting) },
            html! { (device.prekeys) },
            time(device.created_at),
            html! { @if tries { (call.form(&format!("{path}/test-push"), &field, "Test its push")) } },
        ]
    };
    let columns = [
        numbers("Device"),
        text("How it is reached"),
        text("Last there"),
        numbers("Waiting"),
        numbers("Keys left"),
        text("Made"),
        text("Do"),
    ];
    let rows = phone.devices.iter().map(row).collect();
    html! { h2 { "Devices" } (Table { caption: "Its devices", columns: &columns, rows, empty: "It has none." }.render()) }
}

/// What only the directory lists can be forgotten too.
fn changes(call: &Call, number: &Number, phone: Option<&Phone>) -> Markup {
    let (path, nothing) = (at(number), html! {});
    let gone = match phone {
        Some(_) => "The number, its devices, their keys and what waits for them are gone. It has to be proven anew.",
        None => {
            "It is listed no more, and can be registered here. If the peer still has it, it is listed again with the next look there."
        }
    };
    html! {
        div .actions {
            @if phone.is_some_and(|phone| phone.disabled_at.is_some()) {
                (call.form(&format!("{path}/enable"), &nothing, "Enable"))
            } @else if phone.is_some() {
                (call.confirmed(
                    &format!("{path}/disable"),
                    "Disable…",
                    &html! { p { "Its devices cannot sign in and nothing reaches them, until it is enabled again. What waits for them stays." } },
                    "Disable it",
                ))
            }
            (call.confirmed(
                &format!("{path}/unregister"),
                "Unregister…",
                &html! { p { (gone) } },
                "Unregister it",
            ))
        }
    }
}

/// Whoever listens looks, and finds that the number is not served any more.
fn ring(call: &Call, phone: Option<Phone>) {
    let Some(Phone { number, devices, .. }) = phone else { return };
    call.door.bell.ring(devices.into_iter().map(|device| (number.clone(), device.id)));
}

/// `POST /console/phones/{number}/disable`
pub(super) async fn disable(call: Call) -> Changed {
    let number = number(&call)?;
    // Looked at before: once it is disabled, nothing may fail any more.
    let before = phones::show(call.app(), &number).await?;
    if !phones::set_disabled(call.app(), &number, true).await? {
        return Err(missing());
    }
    ring(&call, before);
    done(at(&number), "It is disabled.")
}

/// `POST /console/phones/{number}/enable`
pub(super) async fn enable(call: Call) -> Changed {
    let number = number(&call)?;
    match pushes::enable(call.app(), &call.door.serve.acceptor, &number).await? {
        true => done(at(&number), "It is enabled; what waits is on its way."),
        false => Err(missing()),
    }
}

/// `POST /console/phones/{number}/unregister`
pub(super) async fn unregister(call: Call) -> Changed {
    let number = number(&call)?;
    let before = phones::show(call.app(), &number).await?;
    if !phones::unregister(call.app(), &number).await? {
        return Err(missing());
    }
    ring(&call, before);
    done(PATH, "It is unregistered.")
}

/// `POST /console/phones/{number}/test-push`
pub(super) async fn test_push(call: Call) -> Changed {
    let number = number(&call)?;
    let mut form = Filled::of("test", &call.fields);
    let device = form.optional("device", bounded(1..=i16::MAX));
    if !form.is_right() {
        return Err(Turned::invalid(at(&number), "That is no number of a device; nothing was sent."));
    }
    match pushes::test(call.app(), &call.door.serve.acceptor, &number, device).await {
        Ok(Test { id, .. }) if call.may_read(Scope::Deliveries) => {
            made(id, format!("/console/deliveries/{id}"), "The push is on its way; here is what becomes of it.")
        }
        Ok(Test { id, device, destination }) => {
            made(id, at(&number), format!("A push to device {device} is on its way over {destination}."))
        }
        Err(error) => Err(refused(&number, error)),
    }
}

fn refused(number: &Number, error: TestError) -> Turned {
    let conflict = |words: &str| Turned::conflict(at(number), words);
    match error {
        TestError::Unknown => missing(),
        TestError::Disabled => conflict("The number is disabled: nothing is pushed to it."),
        TestError::NoDevice => conflict("It has no such device any more."),
        TestError::NoAddress => conflict("No device has a push address that could be tried."),
        TestError::NoService => conflict("No push service is configured for the kind of address that there is."),
        TestError::Full => conflict("Too much waits for the device already."),
        TestError::Books(error) => error.into(),
    }
}
