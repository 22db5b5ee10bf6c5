//! Applications that people sign in to, and their sessions: revoking those, and letting somebody try again who was wrong too often.

use maud::{Markup, Render, html};
use uuid::Uuid;

use super::call::{Answer, Call, Changed, Turned, done, page};
use super::filled::{Filled, words as line};
use super::words;
use crate::doors::site::pieces::{self, Table, Tone, badge, text, time};
use crate::logins::Logins;
use crate::logins::apps::{self, Application, Listed};
use crate::logins::sessions::{self, Session};
use crate::senders::Scope;

/// Applications, or sessions, on one page.
const SHOWN: usize = 50;
/// Longest id of an application, and address.
const LONGEST: usize = 300;
const APPS: &str = "/console/apps";
const SESSIONS: &str = "/console/sessions";

/// `GET /console/apps`
pub(super) async fn list(call: Call) -> Answer {
    let mut form = Filled::of("list", &call.query);
    let after = form.optional("after", line(LONGEST));
    let mut found = apps::list(call.app(), after.as_deref(), SHOWN as i64 + 1).await?;
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| more).map(|last| call.next(APPS, &last.application.appid));
    let row = |listed: &Listed| {
        let app = &listed.application;
        vec![
            html! { a href=(at(&app.appid)) { (app.appid) } },
            html! { (app.name) },
            state(app),
            html! { (ways(app)) },
            html! { (app.backend.mode.name()) },
            html! { a href=(words::link(SESSIONS, &[("app", &app.appid)])) { "Sessions" } },
        ]
    };
    let columns =
        [text("Application"), text("Name"), text("State"), text("Signs in by"), text("Tokens by"), text("Do")];
    let rows = found.iter().map(row).collect();
    let empty = "There are none. `handfast app create` makes one, or POST /api/v1/apps.";
    let content = html! {
        (Table { caption: "Applications", columns: &columns, rows, empty }.render())
        (pieces::pager(call.first(APPS).as_deref(), next.as_deref()))
    };
    page("Applications", &content)
}

fn state(app: &Application) -> Markup {
    if app.enabled { badge(Tone::Good, "enabled") } else { badge(Tone::Warn, "disabled") }
}

fn ways(app: &Application) -> String {
    app.ways.iter().map(|way| way.name()).collect::<Vec<_>>().join(", ")
}

fn at(appid: &str) -> String {
    format!("{APPS}/{}", words::segment(appid))
}

async fn find(call: &Call) -> Result<Listed, Turned> {
    let appid = call.parameter(0);
    // No application has such an id, and the database would not take it.
    if appid.chars().any(char::is_control) {
        return Err(Turned::missing("application"));
    }
    apps::show(call.app(), appid).await?.ok_or_else(|| Turned::missing("application"))
}

/// `GET /console/apps/{appid}`
pub(super) async fn show(call: Call) -> Answer {
    one(&call, &find(&call).await?, &Filled::empty("unlock")).await
}

async fn one(call: &Call, listed: &Listed, unlock: &Filled<'_>) -> Answer {
    let app = &listed.application;
    let countries = |list: &[String], none: &str| if list.is_empty() { none.to_owned() } else { list.join(", ") };
    let content = html! {
        p { (state(app)) " " (app.name) }
        (pieces::facts(&[
            ("Id", html! { span .code { (app.appid) } }),
            ("Signs in by", html! { (ways(app)) }),
            ("Countries", html! { (countries(&app.countries, "all")) ", without " (countries(&app.countries_refused, "none")) }),
            ("Tokens by", html! { (app.backend.mode.name()) " " span .code { (app.backend.url) } }),
            ("Verifier", words::maybe(app.verifier.as_ref().map(|verifier| verifier.url.as_str()))),
            ("Made", time(listed.created_at)),
            ("Last change", time(listed.updated_at)),
        ]))
        p { a href=(words::link(SESSIONS, &[("app", &app.appid)])) { "Its sessions" } }
        @if call.may_change(Scope::Apps) {
            div .card {
                h2 { "Somebody was wrong too often" }
                (call.form(
                    &format!("{}/unlock", at(&app.appid)),
                    &unlock.line("address", "Address", "", "The phone number, mailbox or user id. It may try again at once; what it may be sent stays as it is."),
                    "Let them try again",
                ))
            }
        }
    };
    page(&app.appid, &content)
}

fn logins(call: &Call) -> Logins {
    let serve = &call.door.serve;
    Logins::new(&serve.app, &serve.acceptor, &serve.asker)
}

/// `POST /console/apps/{appid}/unlock`
pub(super) async fn unlock(call: Call) -> Changed {
    let listed = find(&call).await?;
    let mut form = Filled::of("unlock", &call.fields);
    let Some(address) = form.required("address", line(LONGEST)) else {
        return Err(Turned::shown_again(one(&call, &listed, &form).await?));
    };
    let back = at(&listed.application.appid);
    match logins(&call).unlock(&listed.application.appid, &address).await? {
        true => done(back, "They may try again."),
        false => done(back, "Nothing was counted against them."),
    }
}

/// `GET /console/sessions`
pub(super) async fn list_sessions(call: Call) -> Answer {
    let mut form = Filled::of("find", &call.query);
    let app = form.optional("app", line(LONGEST));
    let address = form.optional("address", line(LONGEST));
    let after: Option<Uuid> = form.optional("after", |text| text.parse().map_err(|_| "is not an id".into()));
    if address.is_some() && app.is_none() {
        form.mistake("address", "needs the application beside it");
    }
    let mut found = match form.is_right() {
        true => sessions::list(call.app(), app.as_deref(), address.as_deref(), after, SHOWN as i64 + 1).await?,
        false => Vec::new(),
    };
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| more).map(|last| call.next(SESSIONS, &last.id.to_string()));
    let columns = [
        text("Who"),
        text("Application"),
        text("Device"),
        text("Began"),
        text("Last used"),
        text("Ends"),
        text("State"),
        text("Do"),
    ];
    let rows = found.iter().map(|session| row(&call, session)).collect();
    let content = html! {
        form .filter role="search" method="get" action=(SESSIONS) {
            (form.line("app", "Application", "", "Its id."))
            (form.line("address", "Address", "", "A phone number, mailbox or user id."))
            button { "Show" } " " a href=(SESSIONS) { "Clear" }
        }
        (Table { caption: "Sessions, newest first", columns: &columns, rows, empty: "There are none." }.render())
        (pieces::pager(call.first(SESSIONS).as_deref(), next.as_deref()))
    };
    page("Sessions", &content)
}

fn row(call: &Call, session: &Session) -> Vec<Markup> {
    let now = call.app().clock.now();
    let open = session.revoked_at.is_none() && session.ends_at > now;
    let who = &session.who;
    let state = match session.revoked_at {
        Some(_) => badge(Tone::Plain, "revoked"),
        None if open => badge(Tone::Good, "open"),
        None => badge(Tone::Plain, "ended"),
    };
    vec![
        html! { (who.address) @if let Some(name) = &who.name { br; small { (name) } } },
        html! { (session.appid) },
        html! { (words::maybe(who.device_type.as_deref().or(who.device.as_deref()))) @if let Some(ip) = who.ip { br; small { (ip) } } },
        time(session.created_at),
        time(session.seen_at),
        time(session.revoked_at.unwrap_or(session.ends_at)),
        state,
        html! { @if open && call.may_change(Scope::Apps) {
            (call.confirmed(
                &format!("{SESSIONS}/{}/revoke", session.id),
                "Revoke…",
                &html! { p { "Whoever has it must sign in again." } },
                "Revoke it",
            ))
        } },
    ]
}

/// `POST /console/sessions/{id}/revoke`
pub(super) async fn revoke(call: Call) -> Changed {
    let id = call.id(0, "session")?;
    match logins(&call).revoke(id).await? {
        true => done(SESSIONS, "The session is revoked."),
        false => Err(Turned::missing("session")),
    }
}
