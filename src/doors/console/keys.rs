//! API keys: nobody can make one that may do more than they themselves may. A key is on the page that made it, and nowhere again.

use maud::{Markup, Render, html};
use uuid::Uuid;

use super::call::{Answer, Call, Changed, Turned, done, page};
use super::filled::{Filled, words as line};
use super::words;
use crate::accounts::{self, Account};
use crate::config::Secret;
use crate::doors::site::pieces::{self, Table, text};
use crate::openmsg::Address;
use crate::senders::{self, Key, Scope, Scopes};

/// Keys on one page.
const SHOWN: usize = 50;
/// Longest name of a sender.
const LONGEST_SENDER: usize = 64;
const PATH: &str = "/console/keys";

/// `GET /console/keys`
pub(super) async fn list(call: Call) -> Answer {
    all(&call, &Filled::empty("new")).await
}

async fn all(call: &Call, new: &Filled<'_>) -> Answer {
    let mut form = Filled::of("list", &call.query);
    let after: Option<Uuid> = form.optional("after", |text| text.parse().map_err(|_| "is not an id".into()));
    let mut found = senders::list(call.app(), after, SHOWN as i64 + 1).await?;
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| more).map(|last| call.next(PATH, &last.id.to_string()));
    let columns = [text("Key"), text("Sender"), text("May"), text("Bound to"), text("Do")];
    let rows = found.iter().map(|key| row(call, key)).collect();
    let content = html! {
        (Table { caption: "API keys, oldest first", columns: &columns, rows, empty: "There are none." }.render())
        (pieces::pager(call.first(PATH).as_deref(), next.as_deref()))
        @if call.may_change(Scope::Keys) { (create_form(call, new)) }
    };
    page("API keys", &content)
}

fn row(call: &Call, key: &Key) -> Vec<Markup> {
    let own = call.operator.key == Some(key.id);
    let words = html! {
        p { "Whoever uses it is refused within two seconds. It cannot be taken back." }
        @if own { p { strong { "You are signed in with this one: it signs you out." } } }
    };
    vec![
        html! { span .code title=(key.id) { "…" (&key.id.to_string()[24..]) } @if own { " " small { "yours" } } },
        html! { (key.sender) },
        html! { (key.scopes.names().join(", ")) },
        words::maybe(key.account.as_ref().map(|account| account.address.as_str())),
        html! { @if call.may_change(Scope::Keys) {
            (call.confirmed(&format!("{PATH}/{}/revoke", key.id), "Revoke…", &words, "Revoke it"))
        } },
    ]
}

fn shown_once(key: &Key, plain: &Secret) -> Markup {
    html! {
        div .card .once role="status" {
            p { "The key is made. Copy it now: it is not shown again." }
            (pieces::facts(&[
                ("Key", html! { strong #key .secret .code { (plain.reveal()) } }),
                ("Sender", html! { (key.sender) }),
                ("May", html! { (key.scopes.names().join(", ")) }),
                ("Its id", html! { span .code { (key.id) } }),
            ]))
        }
        p { a href=(PATH) { "All API keys" } }
    }
}

fn create_form(call: &Call, new: &Filled<'_>) -> Markup {
    let all = Scope::ALL.map(Scope::name).join(", ");
    let hint = format!("{all}; each also as NAME:read; * is everything. No more than you may yourself.");
    let fields = html! {
        (new.line("sender", "Sender", "", "Under this name limits, fair shares and idempotency keys are counted."))
        (new.line("scopes", "Scopes", "", &hint))
        (new.line("account", "Bound to the account", "", "Empty: to none."))
    };
    html! {
        details #new .card open[!new.is_right()] {
            summary { "New key" }
            (call.form(PATH, &fields, "Make it"))
        }
    }
}

/// `POST /console/keys`
pub(super) async fn create(call: Call) -> Changed {
    let mut form = Filled::of("new", &call.fields);
    let sender = form.required("sender", line(LONGEST_SENDER));
    let scopes =
        form.required("scopes", |text| text.parse::<Scopes>().map_err(|error| format!("are not valid: {error}")));
    if let Some(missing) = scopes.as_ref().and_then(|scopes| call.operator.scopes.lacking(scopes)) {
        form.mistake("scopes", format!("hold `{missing}`, which you may not do yourself"));
    }
    let address = form.optional("account", |text| Address::of_ours(text, &call.app().config.domain));
    let account = account(&call, &mut form, address).await?;
    let (true, Some(sender), Some(scopes)) = (form.is_right(), sender, scopes) else {
        return Err(Turned::shown_again(all(&call, &form).await?));
    };
    let (key, plain) = senders::create(call.app(), &sender, &scopes, account.as_ref()).await?;
    Err(Turned::shown_of(key.id, "New API key", &shown_once(&key, &plain)))
}

async fn account(call: &Call, form: &mut Filled<'_>, address: Option<Address>) -> Result<Option<Account>, Turned> {
    let Some(address) = address else { return Ok(None) };
    let found = accounts::find(call.app(), &address).await?;
    if found.is_none() {
        form.mistake("account", "is none of this node");
    }
    Ok(found)
}

/// `POST /console/keys/{id}/revoke`
pub(super) async fn revoke(call: Call) -> Changed {
    match senders::revoke(call.app(), call.id(0, "key")?).await? {
        true => done(PATH, "The key is revoked."),
        false => Err(Turned::missing("key")),
    }
}
