//! Webhooks: making them, rotating their secrets, trying them, switching them off and on.
//!
//! A secret is on the page that made it, and nowhere again. What takes more than a form (headers, credentials, statuses) is set over the
//! API and the command line, and told of here by name.

use std::time::Duration;

use http::StatusCode;
use maud::{Markup, Render, html};

use super::call::{Answer, Call, Changed, Turned, done, made, page};
use super::filled::{Filled, number, parsed, words as line};
use super::words;
use crate::destinations::Setting;
use crate::doors::site::pieces::{self, Table, Tone, badge, text, time};
use crate::events::Kind;
use crate::senders::Scope;
use crate::webhooks::{
    self, Auth, Change, Definition, FINAL_STATUSES, Ports, SecretKind, Signing, Target, Webhook, WebhookName,
};

/// Webhooks on one page.
const SHOWN: usize = 50;
/// Longest overlap of secrets, in hours.
const LONGEST_OVERLAP: u64 = 30 * 24;
/// How long replaced secrets go on signing, unless said; in hours.
const OVERLAP: u64 = 24;
const PATH: &str = "/console/webhooks";
const SIGNING: [(&str, &str); 3] = [("hmac", "HMAC-SHA-256"), ("ed25519", "Ed25519"), ("both", "both")];

/// `GET /console/webhooks`
pub(super) async fn list(call: Call) -> Answer {
    all(&call, &Filled::empty("new")).await
}

async fn all(call: &Call, new: &Filled<'_>) -> Answer {
    let mut form = Filled::of("list", &call.query);
    let after = form.optional("after", line(64));
    let mut found = webhooks::list(call.app(), after.as_deref(), SHOWN as i64 + 1).await?;
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| more).map(|last| call.next(PATH, last.name.as_str()));
    let row = |webhook: &Webhook| {
        vec![
            html! { a href=(at(&webhook.name)) { (webhook.name.as_str()) } },
            html! { (webhook.definition.target.host()) },
            state(webhook),
            words::maybe(Some(webhook.events.join(", ").as_str()).filter(|events| !events.is_empty())),
            html! { (webhook.sender) },
            time(webhook.created_at),
        ]
    };
    let columns = [text("Webhook"), text("Host"), text("State"), text("Events"), text("Made by"), text("Made")];
    let rows = found.iter().map(row).collect();
    let content = html! {
        (Table { caption: "Webhooks, by name", columns: &columns, rows, empty: "There are none." }.render())
        (pieces::pager(call.first(PATH).as_deref(), next.as_deref()))
        @if call.may_change(Scope::Webhooks) { (create_form(call, new)) }
    };
    page("Webhooks", &content)
}

fn state(webhook: &Webhook) -> Markup {
    html! {
        @if webhook.disabled_at.is_some() { (badge(Tone::Warn, "disabled")) } @else { (badge(Tone::Good, "in use")) }
        @if webhook.gone_at.is_some() { " " (badge(Tone::Bad, "answers gone")) }
    }
}

fn at(name: &WebhookName) -> String {
    format!("{PATH}/{}", name.as_str())
}

fn create_form(call: &Call, new: &Filled<'_>) -> Markup {
    let kinds =
        format!("With commas, such as delivery.*; empty: none. There are {}.", Kind::ALL.map(Kind::name).join(", "));
    let fields = html! {
        (new.line("name", "Name", "", "1 to 63 of a–z, 0–9, - and _. Messages go to it under this name."))
        (new.line("url", "URL", "", "https://…"))
        (new.choice("signing", "Signed by", &SIGNING, "hmac", ""))
        (new.line("events", "Events it is sent", "", &kinds))
    };
    html! {
        details #new .card open[!new.is_right()] {
            summary { "New webhook" }
            (call.form(PATH, &fields, "Make it"))
        }
    }
}

/// `POST /console/webhooks`
pub(super) async fn create(call: Call) -> Changed {
    let mut form = Filled::of("new", &call.fields);
    let ports = Ports::of(&call.app().config);
    let name = form.required("name", parsed::<WebhookName>);
    let target =
        form.required("url", |text| Target::with_ports(text, &ports).map_err(|error| format!("is not valid: {error}")));
    let signing = form.required("signing", |text| Signing::from_name(text).ok_or_else(|| "is none of those".into()));
    let events = form.optional("events", kinds).unwrap_or_default();
    if let (true, Some((name, target, signing))) = (form.is_right(), (|| Some((name?, target?, signing?)))()) {
        let definition = Definition::new(target, signing, None);
        let sender = &call.operator.name;
        match webhooks::begin(call.app(), sender, &name, (&definition, &events), Setting::default()).await? {
            Some(webhook) => return shown_once(&call, &webhook, StatusCode::CREATED).await,
            None => form.mistake("name", "is taken"),
        }
    }
    Err(Turned::shown_again(all(&call, &form).await?))
}

fn kinds(text: &str) -> Result<Vec<String>, String> {
    let kinds = Kind::list(text).map_err(|error| format!("are not valid: {error}"))?;
    Ok(kinds.into_iter().map(|kind| kind.name().to_owned()).collect())
}

async fn shown_once(call: &Call, webhook: &Webhook, status: StatusCode) -> Changed {
    let secret = webhook.definition.current(SecretKind::Hmac).map(|secret| secret.reveal());
    let content = html! {
        div .card .once role="status" {
            @match &secret {
                Some(secret) => {
                    p { "The receiver checks signatures with this secret. Copy it now: it is not shown again." }
                    (pieces::facts(&[("Secret", html! { strong #secret .secret .code { (secret.reveal()) } })]))
                }
                None => p { "It is signed by Ed25519: the receiver checks with the public key below, which is no secret." },
            }
        }
        (about(call, webhook, &Filled::empty("rotate")))
    };
    Err(Turned::shown(status, webhook.name.as_str(), &content))
}

async fn find(call: &Call) -> Result<Webhook, Turned> {
    let name: WebhookName = call.parameter(0).parse().map_err(|_| missing())?;
    webhooks::find(call.app(), &name).await?.ok_or_else(missing)
}

fn missing() -> Turned {
    Turned::missing("webhook")
}

/// `GET /console/webhooks/{name}`
pub(super) async fn show(call: Call) -> Answer {
    let webhook = find(&call).await?;
    page(webhook.name.as_str(), &about(&call, &webhook, &Filled::empty("rotate")))
}

fn about(call: &Call, webhook: &Webhook, rotate: &Filled<'_>) -> Markup {
    html! {
        p { (state(webhook)) @if let Some(at) = webhook.gone_at { " It answered that it is gone for good at " (time(at)) "." } }
        (facts(call, webhook))
        (secrets(webhook))
        @if call.may_change(Scope::Webhooks) { (changes(call, webhook, rotate)) }
    }
}

fn facts(call: &Call, webhook: &Webhook) -> Markup {
    let Definition { target, signing, headers, auth, final_statuses, timeout, .. } = &webhook.definition;
    let name = webhook.name.as_str();
    let headers: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let auth = auth.as_ref().map(|auth| match auth {
        Auth::Basic { username, .. } => format!("Basic, as {username}"),
        Auth::Bearer { .. } => "Bearer".to_owned(),
    });
    let statuses: Vec<String> =
        final_statuses.as_deref().unwrap_or(&FINAL_STATUSES).iter().map(u16::to_string).collect();
    let some = |text: String| words::maybe(Some(text.as_str()).filter(|text| !text.is_empty()));
    pieces::facts(&[
        ("URL", html! { span .code { (target.reveal()) } }),
        ("Signed by", html! { (signing.name()) }),
        ("Events", some(webhook.events.join(", "))),
        ("Headers of its own", some(headers.join(", "))),
        ("Credentials", words::maybe(auth.as_deref())),
        ("Answers that end a delivery", some(statuses.join(", "))),
        ("Waited for", some(timeout.map(|timeout| format!("{} s", timeout.as_secs())).unwrap_or_default())),
        ("Made", html! { (time(webhook.created_at)) " by " (webhook.sender) }),
        ("Last change", time(webhook.updated_at)),
        (
            "More",
            html! {
                @if call.may_read(Scope::Destinations) { a href={ "/console/destinations/" (name) } { "How its destination is" } " " }
                @if call.may_read(Scope::Deliveries) { a href=(super::deliveries::link("destination", name)) { "Deliveries to it" } }
            },
        ),
    ])
}

fn secrets(webhook: &Webhook) -> Markup {
    let rows = webhook.definition.secrets.iter().map(|dated| {
        vec![
            html! { (dated.secret.kind().name()) },
            html! { @match dated.until { Some(at) => { "until " (time(at)) } None => "the current one" } },
            html! { span .code { (words::maybe(dated.secret.public_key().as_deref())) } },
        ]
    });
    let columns = [text("Kind"), text("Signs"), text("Public key")];
    Table { caption: "Its secrets", columns: &columns, rows: rows.collect(), empty: "It has none." }.render()
}

fn changes(call: &Call, webhook: &Webhook, rotate: &Filled<'_>) -> Markup {
    let (path, nothing) = (at(&webhook.name), html! {});
    let overlap =
        rotate.line("hours", "The old ones sign for, in hours", &OVERLAP.to_string(), "0: they stop at once.");
    html! {
        div .actions {
            (call.form(&format!("{path}/test"), &nothing, "Send a test"))
            @if webhook.disabled_at.is_some() {
                (call.form(&format!("{path}/enable"), &nothing, "Enable"))
            } @else {
                (call.confirmed(
                    &format!("{path}/disable"),
                    "Disable…",
                    &html! { p { "Nothing is sent to it until it is enabled again. What waits may expire meanwhile." } },
                    "Disable it",
                ))
            }
            (call.confirmed(
                &format!("{path}/delete"),
                "Delete…",
                &html! { p { "What waits for it fails, and its secrets are gone." } },
                "Delete it",
            ))
        }
        details #rotate .card open[!rotate.is_right()] {
            summary { "Rotate its secrets" }
            (call.form(&format!("{path}/rotate"), &overlap, "Make new ones"))
        }
    }
}

/// `POST /console/webhooks/{name}/rotate`
pub(super) async fn rotate(call: Call) -> Changed {
    let webhook = find(&call).await?;
    let mut form = Filled::of("rotate", &call.fields);
    let hours = form.optional("hours", number(0..=LONGEST_OVERLAP)).unwrap_or(OVERLAP);
    if !form.is_right() {
        let view = page(webhook.name.as_str(), &about(&call, &webhook, &form))?;
        return Err(Turned::shown_again(view));
    }
    let (overlap, now) = (Duration::from_secs(hours * 3600), call.app().clock.now());
    let changed = webhooks::change(call.app(), &webhook.name, |definition, _| definition.rotate(None, overlap, now));
    match changed.await? {
        Change::Made(webhook) => shown_once(&call, &webhook, StatusCode::OK).await,
        Change::Missing => Err(missing()),
        Change::Refused(_) => {
            let words = "Four secrets of a kind sign already; wait for one to end, or rotate with 0 hours.";
            Err(Turned::conflict(at(&webhook.name), words))
        }
    }
}

/// `POST /console/webhooks/{name}/test`
pub(super) async fn test(call: Call) -> Changed {
    let name = find(&call).await?.name;
    let id = webhooks::ping(call.app(), &call.door.serve.acceptor, &call.operator.name, &name).await?;
    match call.may_read(Scope::Deliveries) {
        true => made(id, format!("/console/deliveries/{id}"), "The ping is on its way; here is what becomes of it."),
        false => made(id, at(&name), "The ping is on its way."),
    }
}

/// `POST /console/webhooks/{name}/disable`
pub(super) async fn disable(call: Call) -> Changed {
    switch(call, false, "It is disabled: nothing is sent to it.").await
}

/// `POST /console/webhooks/{name}/enable`
pub(super) async fn enable(call: Call) -> Changed {
    switch(call, true, "It is in use again.").await
}

async fn switch(call: Call, on: bool, words: &str) -> Changed {
    let name = find(&call).await?.name;
    webhooks::switch(call.app(), &name, on).await?.ok_or_else(missing)?;
    done(at(&name), words)
}

/// `POST /console/webhooks/{name}/delete`
pub(super) async fn delete(call: Call) -> Changed {
    let name = find(&call).await?.name;
    if webhooks::delete(call.app(), &name).await? { done(PATH, "The webhook is deleted.") } else { Err(missing()) }
}
