//! Connections: who may send to whom; blocking and deleting them, and starting handshakes.

use std::time::Duration;

use maud::{Markup, Render, html};
use tokio::time::Instant;
use uuid::Uuid;

use super::call::{Answer, Call, Changed, Turned, done, made, page};
use super::filled::{Filled, parsed};
use super::words;
use crate::accounts;
use crate::connections::{self, Connection, State};
use crate::doors::site::pieces::{self, Table, Tone, badge, text, time};
use crate::handshakes::{self, Handshake, NewHandshake};
use crate::openmsg::{Address, PassCode};
use crate::senders::Scope;

/// Connections on one page.
const SHOWN: usize = 50;
/// How long the page of a handshake waits for its end.
const WAIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const PATH: &str = "/console/connections";

/// `GET /console/connections`
pub(super) async fn list(call: Call) -> Answer {
    all(&call, &Filled::empty("new")).await
}

async fn all(call: &Call, new: &Filled<'_>) -> Answer {
    let mut form = Filled::of("find", &call.query);
    let after: Option<Uuid> = form.optional("after", |text| text.parse().map_err(|_| "is not an id".into()));
    let address = form.optional("account", |text| Address::of_ours(text, &call.app().config.domain));
    let account = match &address {
        Some(address) => accounts::find(call.app(), address).await?.map(|account| account.id),
        None => None,
    };
    if address.is_some() && account.is_none() {
        form.mistake("account", "is none of this node");
    }
    let mut found = match form.is_right() {
        true => connections::list(call.app(), account, after, SHOWN as i64 + 1).await?,
        false => Vec::new(),
    };
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| more).map(|last| call.next(PATH, &last.id.to_string()));
    let row = |connection: &Connection| {
        vec![
            words::id_link(PATH, connection.id),
            html! { (connection.self_address) },
            html! { (connection.other_address) @if !connection.other_name.is_empty() { br; small { (connection.other_name) } } },
            state(connection),
            time(connection.created_at),
        ]
    };
    let columns = [text("Connection"), text("Our account"), text("Other"), text("State"), text("Made")];
    let rows = found.iter().map(row).collect();
    let content = html! {
        form .filter role="search" method="get" action=(PATH) {
            (form.line("account", "Our account", "", "In full, or its digits."))
            button { "Show" } " " a href=(PATH) { "Clear" }
        }
        (Table { caption: "Connections", columns: &columns, rows, empty: "There are none." }.render())
        (pieces::pager(call.first(PATH).as_deref(), next.as_deref()))
        @if call.may_change(Scope::Connections) { (start_form(call, new)) }
    };
    page("Connections", &content)
}

fn state(connection: &Connection) -> Markup {
    match connection.state {
        State::Active => badge(Tone::Good, "active"),
        State::Broken => badge(Tone::Bad, "broken"),
        State::Blocked => badge(Tone::Warn, "blocked"),
    }
}

fn start_form(call: &Call, new: &Filled<'_>) -> Markup {
    let fields = html! {
        (new.line("from", "Our account", "", "In full, or its digits."))
        (new.line("to", "Other address", "", "As in 1000*node.example."))
        (new.hidden_line("pass_code", "Pass code", "Six digits, which the other one gave you. It is not shown again."))
        (new.tick("allow_replies", "The other may send to us too", true))
    };
    html! {
        details #new .card open[!new.is_right()] {
            summary { "Start a handshake" }
            (call.form("/console/handshakes", &fields, "Start it"))
        }
    }
}

/// `POST /console/handshakes`
pub(super) async fn start(call: Call) -> Changed {
    let mut form = Filled::of("new", &call.fields);
    let from = form.required("from", |text| Address::of_ours(text, &call.app().config.domain));
    let to = form.required("to", parsed::<Address>);
    let code = form.required("pass_code", |text| text.parse::<PassCode>().map_err(|_| "is not six digits".into()));
    if from.is_some() && from == to {
        form.mistake("to", "is the same address");
    }
    let account = match &from {
        Some(from) => accounts::find(call.app(), from).await?.filter(|account| !account.disabled),
        None => None,
    };
    if from.is_some() && account.is_none() {
        form.mistake("from", "is no account of this node that is in use");
    }
    let (true, Some((account, from, to, code))) = (form.is_right(), (|| Some((account?, from?, to?, code?)))()) else {
        return Err(Turned::shown_again(all(&call, &form).await?));
    };
    let sender = call.operator.name.clone();
    let allow_replies = form.ticked("allow_replies");
    let new = NewHandshake { sender, account_id: account.id, from, to, code, allow_replies };
    let id = handshakes::start(call.app(), &new).await?;
    let publisher = call.door.serve.publisher.clone();
    // Not waited for: if the broker does not take it, the scheduler publishes it again.
    tokio::spawn(async move { publisher.start_handshake(id).await });
    made(id, format!("/console/handshakes/{id}"), "The handshake has begun.")
}

/// `GET /console/handshakes/{id}`
pub(super) async fn handshake(call: Call) -> Answer {
    let handshake = settled(&call, call.id(0, "handshake")?).await?;
    let state = match handshake.state {
        handshakes::State::Connected => badge(Tone::Good, "connected"),
        handshakes::State::Failed => badge(Tone::Bad, "failed"),
        handshakes::State::Pending | handshakes::State::Running => badge(Tone::Plain, handshake.state.name()),
    };
    let content = html! {
        p role="status" { (state) " " (outcome(&handshake)) }
        (pieces::facts(&[
            ("From", html! { (handshake.from) }),
            ("To", html! { (handshake.to) }),
            ("Begun", time(handshake.created_at)),
            ("Ended", words::moment(handshake.finished_at)),
            ("Begun by", html! { (handshake.sender) }),
        ]))
        @if let Some(connection) = handshake.connection { p { a href={ (PATH) "/" (connection) } { "The connection" } } }
        @if !handshake.state.is_final() { p { a href={ "/console/handshakes/" (handshake.id) } { "Look again" } } }
    };
    page("Handshake", &content)
}

fn outcome(handshake: &Handshake) -> Markup {
    match handshake.state {
        handshakes::State::Connected => html! { "Both sides now hold the connection." },
        handshakes::State::Failed => {
            html! { "It did not come about: " span .code { (words::maybe(handshake.error.as_deref())) } "." }
        }
        handshakes::State::Pending | handshakes::State::Running => html! { "It is under way." },
    }
}

/// The handshake when it has ended, or as it is after a while.
async fn settled(call: &Call, id: Uuid) -> Result<Handshake, Turned> {
    let until = Instant::now() + WAIT;
    loop {
        let found = handshakes::get(call.app(), id).await?.ok_or_else(|| Turned::missing("handshake"))?;
        if found.state.is_final() || Instant::now() >= until || call.door.serve.stopping.is_cancelled() {
            return Ok(found);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// `GET /console/connections/{id}`
pub(super) async fn show(call: Call) -> Answer {
    let connection = find(&call).await?;
    let content = html! {
        p { (state(&connection)) @if let Some(why) = &connection.broken_why { " because: " span .code { (why) } } }
        (pieces::facts(&[
            ("Our account", html! { (connection.self_address) }),
            ("Other", html! { (connection.other_address) " " (connection.other_name) }),
            ("We take their messages", html! { (words::yes(connection.self_accepts)) }),
            ("They take ours", html! { (words::yes(connection.other_accepts)) }),
            ("Made", time(connection.created_at)),
            ("Last change", time(connection.updated_at)),
        ]))
        @if call.may_change(Scope::Connections) { (changes(&call, &connection)) }
    };
    page(&format!("{} and {}", connection.self_address, connection.other_address), &content)
}

async fn find(call: &Call) -> Result<Connection, Turned> {
    connections::get(call.app(), call.id(0, "connection")?).await?.ok_or_else(missing)
}

fn missing() -> Turned {
    Turned::missing("connection")
}

fn at(id: Uuid) -> String {
    format!("{PATH}/{id}")
}

fn changes(call: &Call, connection: &Connection) -> Markup {
    let (path, nothing) = (at(connection.id), html! {});
    html! {
        div .actions {
            @if connection.state == State::Blocked {
                (call.form(&format!("{path}/unblock"), &nothing, "Unblock"))
            } @else {
                (call.confirmed(
                    &format!("{path}/block"),
                    "Block…",
                    &html! { p { "Nothing is sent over it and nothing taken, until it is unblocked." } },
                    "Block it",
                ))
            }
            (call.confirmed(
                &format!("{path}/delete"),
                "Delete…",
                &html! { p { "Neither side can send to the other any more. To connect again takes a new pass code and handshake." } },
                "Delete it",
            ))
        }
    }
}

/// `POST /console/connections/{id}/block`
pub(super) async fn block(call: Call) -> Changed {
    let id = find(&call).await?.id;
    connections::block(call.app(), id).await?.ok_or_else(missing)?;
    done(at(id), "It is blocked.")
}

/// `POST /console/connections/{id}/unblock`
pub(super) async fn unblock(call: Call) -> Changed {
    let id = find(&call).await?.id;
    connections::unblock(call.app(), id).await?.ok_or_else(missing)?;
    done(at(id), "It is open again.")
}

/// `POST /console/connections/{id}/delete`
pub(super) async fn delete(call: Call) -> Changed {
    let id = find(&call).await?.id;
    if connections::delete(call.app(), id).await? { done(PATH, "The connection is deleted.") } else { Err(missing()) }
}
