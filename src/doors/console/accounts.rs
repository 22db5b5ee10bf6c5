//! Accounts: making and renaming them, disabling them, and the pass codes that let strangers connect.
//!
//! A pass code is on the page that made it, and nowhere again.

mod sessions;

pub(super) use sessions::sign_out;

use std::time::Duration;

use maud::{Markup, Render, html};
use uuid::Uuid;

use super::call::{Answer, Call, Changed, Turned, done, page};
use super::filled::{Filled, number, parsed};
use super::words;
use crate::accounts::{self, Account};
use crate::codes::{self, Issued, Live, Purpose};
use crate::doors::site::pieces::{self, Table, Tone, badge, text, time};
use crate::openmsg::{Address, DisplayName};
use crate::senders::Scope;

/// Accounts on one page.
const SHOWN: usize = 50;
/// Openmsg: "1 hour or less"; in minutes.
const LONGEST_LIFE: u64 = 60;
const PATH: &str = "/console/accounts";

/// `GET /console/accounts`
pub(super) async fn list(call: Call) -> Answer {
    all(&call, &Filled::empty("new")).await
}

async fn all(call: &Call, new: &Filled<'_>) -> Answer {
    let mut form = Filled::of("find", &call.query);
    let after: Option<Uuid> = form.optional("after", |text| text.parse().map_err(|_| "is not an id".into()));
    let address = form.optional("address", |text| Address::of_ours(text, &call.app().config.domain));
    let mut found = match &address {
        Some(address) => accounts::find(call.app(), address).await?.into_iter().collect(),
        None if form.is_right() => accounts::list(call.app(), after, SHOWN as i64 + 1).await?,
        None => Vec::new(),
    };
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| more).map(|last| call.next(PATH, &last.id.to_string()));
    let row = |account: &Account| {
        vec![
            html! { a href=(at(&account.address)) { (account.address) } },
            html! { (account.name) },
            state(account),
            html! { (words::yes(account.accepts_messages)) },
            time(account.created_at),
        ]
    };
    let columns = [text("Address"), text("Name"), text("State"), text("Takes messages"), text("Made")];
    let rows = found.iter().map(row).collect();
    let content = html! {
        form .filter role="search" method="get" action=(PATH) {
            (form.line("address", "Address", "", "In full, or its digits."))
            button { "Find" } " " a href=(PATH) { "Clear" }
        }
        (Table { caption: "Accounts, oldest first", columns: &columns, rows, empty: "There are none." }.render())
        (pieces::pager(call.first(PATH).as_deref(), next.as_deref()))
        @if call.may_change(Scope::Accounts) { (create_form(call, new)) }
    };
    page("Accounts", &content)
}

fn create_form(call: &Call, new: &Filled<'_>) -> Markup {
    let fields = html! {
        (new.line("address", "Address", "", &format!("1 to 20 digits; the whole address then ends in *{}.", call.app().config.domain)))
        (new.line("name", "Name", "", "Up to 40 characters; told to those who connect."))
        (new.tick("accepts_messages", "It takes messages", true))
    };
    html! {
        details #new .card open[!new.is_right()] {
            summary { "New account" }
            (call.form(PATH, &fields, "Make it"))
        }
    }
}

fn state(account: &Account) -> Markup {
    if account.disabled { badge(Tone::Warn, "disabled") } else { badge(Tone::Good, "in use") }
}

fn at(address: &Address) -> String {
    format!("{PATH}/{}", words::segment(address.as_str()))
}

/// `POST /console/accounts`
pub(super) async fn create(call: Call) -> Changed {
    let mut form = Filled::of("new", &call.fields);
    let address = form.required("address", |text| {
        let address = Address::of_ours(text, &call.app().config.domain)?;
        address.id().check_issued().map_err(|error| format!("is not valid: {error}"))?;
        Ok(address)
    });
    let name = form.required("name", parsed::<DisplayName>);
    if let (Some(address), Some(name)) = (&address, &name) {
        match accounts::create(call.app(), address, name, form.ticked("accepts_messages")).await? {
            Some(account) => return done(at(&account.address), "The account is made."),
            None => form.mistake("address", "is taken"),
        }
    }
    Err(Turned::shown_again(all(&call, &form).await?))
}

/// `GET /console/accounts/{address}`
pub(super) async fn show(call: Call) -> Answer {
    let account = find(&call).await?;
    one(&call, &account, Forms::default()).await
}

async fn find(call: &Call) -> Result<Account, Turned> {
    let address = Address::of_ours(call.parameter(0), &call.app().config.domain).map_err(|_| missing())?;
    accounts::find(call.app(), &address).await?.ok_or_else(missing)
}

fn missing() -> Turned {
    Turned::missing("account")
}

/// The forms on an account's page.
struct Forms<'a> {
    names: Filled<'a>,
    codes: Filled<'a>,
}

impl Default for Forms<'_> {
    fn default() -> Self {
        Self { names: Filled::empty("names"), codes: Filled::empty("codes") }
    }
}

async fn one(call: &Call, account: &Account, forms: Forms<'_>) -> Answer {
    let content = html! {
        p { (state(account)) " " span .code { (account.address) } ", made at " (time(account.created_at)) ". "
            @if account.disabled { "To others it answers as if there were no such account." } }
        @if call.may_read(Scope::Passcodes) { (passcodes(call, account, &forms).await?) }
        (sessions::section(call, account).await?)
        @if call.may_change(Scope::Accounts) { (changes(call, account, &forms.names)) }
        h2 { "More" }
        ul {
            @if call.may_read(Scope::Connections) {
                li { a href=(words::link("/console/connections", &[("account", account.address.as_str())])) { "Its connections" } }
            }
            @if call.may_read(Scope::Deliveries) {
                li { a href=(super::deliveries::link("from", account.address.as_str())) { "Deliveries from it" } }
            }
        }
    };
    page(&account.name, &content)
}

fn changes(call: &Call, account: &Account, names: &Filled<'_>) -> Markup {
    let (path, nothing) = (at(&account.address), html! {});
    let fields = html! {
        (names.line("name", "Name", &account.name, "Those who connect from now on, and those who ask, see it."))
        (names.tick("accepts_messages", "It takes messages", account.accepts_messages))
    };
    html! {
        details #names .card open[!names.is_right()] {
            summary { "Change its name" }
            (call.form(&path, &fields, "Change it"))
        }
        div .actions {
            @if account.disabled {
                (call.form(&format!("{path}/enable"), &nothing, "Enable"))
            } @else {
                (call.confirmed(
                    &format!("{path}/disable"),
                    "Disable…",
                    &html! { p { "Nothing reaches it and nothing is sent from it, and keys that are bound to it open nothing, until it is enabled again." } },
                    "Disable it",
                ))
            }
        }
    }
}

/// `POST /console/accounts/{address}`
pub(super) async fn update(call: Call) -> Changed {
    let account = find(&call).await?;
    let mut form = Filled::of("names", &call.fields);
    let name = form.required("name", parsed::<DisplayName>);
    let Some(name) = name else {
        let forms = Forms { names: form, ..Forms::default() };
        return Err(Turned::shown_again(one(&call, &account, forms).await?));
    };
    let accepts = Some(form.ticked("accepts_messages"));
    let changed = accounts::update(call.app(), &account.address, Some(&name), accepts).await?;
    done(at(&changed.ok_or_else(missing)?.address), "It is changed.")
}

/// `POST /console/accounts/{address}/disable`
pub(super) async fn disable(call: Call) -> Changed {
    set_disabled(call, true, "It is disabled: to others there is no such account.").await
}

/// `POST /console/accounts/{address}/enable`
pub(super) async fn enable(call: Call) -> Changed {
    set_disabled(call, false, "It is in use again.").await
}

async fn set_disabled(call: Call, disabled: bool, words: &str) -> Changed {
    let address = find(&call).await?.address;
    accounts::set_disabled(call.app(), &address, disabled).await?.ok_or_else(missing)?;
    done(at(&address), words)
}

async fn passcodes(call: &Call, account: &Account, forms: &Forms<'_>) -> Result<Markup, Turned> {
    let live = codes::live(call.app(), Purpose::PassCode, account.id).await?;
    let (path, nothing) = (format!("{}/passcodes", at(&account.address)), html! {});
    let changes = call.may_change(Scope::Passcodes);
    let now = call.app().clock.now();
    let row = |code: &Live| {
        vec![
            html! { span .code { "…" (&code.id.to_string()[24..]) } },
            time(code.created_at),
            html! { (time(code.expires_at)) " (in " (words::since(now, code.expires_at)) ")" },
            html! { @if changes { (call.form(&format!("{path}/{}/withdraw", code.id), &nothing, "Withdraw")) } },
        ]
    };
    let columns = [text("Pass code"), text("Issued"), text("Good until"), text("Do")];
    let rows: Vec<_> = live.iter().map(row).collect();
    let several = rows.len() > 1;
    let life = forms.codes.line("minutes", "Good for, in minutes", "", "1 to 60; empty: as the node is set.");
    Ok(html! {
        h2 #codes { "Pass codes" }
        (Table { caption: "Live pass codes, oldest first; what they are is not shown again", columns: &columns, rows, empty: "There are no live ones." }.render())
        @if changes {
            @if !account.disabled { div .card { (call.form(&path, &life, "Issue a pass code")) } }
            @if several {
                (call.confirmed(&format!("{path}/withdraw"), "Withdraw all…", &html! { p { "None of them lets anybody connect any more." } }, "Withdraw all"))
            }
        }
    })
}

fn shown_once(issued: &Issued, account: &Account) -> Markup {
    html! {
        div .card .once role="status" {
            p { "Give this code, and the address, to whoever is to connect. It is shown only now." }
            (pieces::facts(&[
                ("Pass code", html! { strong #pass-code .secret { (issued.code.as_str()) } }),
                ("Address", html! { span .code { (account.address) } }),
                ("Good until", time(issued.expires_at)),
            ]))
        }
        p { a href=(at(&account.address)) { "To the account" } }
    }
}

/// `POST /console/accounts/{address}/passcodes`
pub(super) async fn issue(call: Call) -> Changed {
    let account = find(&call).await?;
    let mut form = Filled::of("codes", &call.fields);
    let minutes = form.optional("minutes", number(1..=LONGEST_LIFE));
    if account.disabled {
        return Err(Turned::conflict(at(&account.address), "The account is disabled."));
    }
    if !form.is_right() {
        let forms = Forms { codes: form, ..Forms::default() };
        return Err(Turned::shown_again(one(&call, &account, forms).await?));
    }
    let usual = call.app().config.codes.pass_code_life.duration();
    let life = minutes.map_or(usual, |minutes| Duration::from_secs(minutes * 60));
    match codes::issue(call.app(), Purpose::PassCode, account.id, life).await {
        Ok(issued) => {
            let title = format!("Pass code for {}", account.name);
            Err(Turned::shown_of(issued.id, &title, &shown_once(&issued, &account)))
        }
        Err(codes::Error::Exhausted) => {
            Err(Turned::conflict(at(&account.address), "No free code was found; wait until older ones have expired."))
        }
        Err(codes::Error::NoAccount) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

/// `POST /console/accounts/{address}/passcodes/{id}/withdraw`
pub(super) async fn withdraw(call: Call) -> Changed {
    let id = call.id(1, "pass code")?;
    withdraw_some(call, Some(id)).await
}

/// `POST /console/accounts/{address}/passcodes/withdraw`
pub(super) async fn withdraw_all(call: Call) -> Changed {
    withdraw_some(call, None).await
}

async fn withdraw_some(call: Call, id: Option<Uuid>) -> Changed {
    let account = find(&call).await?;
    match codes::withdraw(call.app(), Purpose::PassCode, account.id, id).await? {
        0 => Err(Turned::conflict(at(&account.address), "It was used, withdrawn or expired before.")),
        1 => done(at(&account.address), "The pass code is withdrawn."),
        n => done(at(&account.address), format!("{n} pass codes are withdrawn.")),
    }
}
