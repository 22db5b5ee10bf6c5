//! Browsers that are signed in to an account's mailbox: how many, since when, and last seen when. Which they are, and from where, is
//! shown to their owner only.

use maud::{Markup, Render, html};

use super::super::call::{Call, Changed, Turned, done};
use super::{at, find};
use crate::accounts::Account;
use crate::doors::site::pieces::{Table, text, time};
use crate::mailbox::{self, Session};
use crate::senders::Scope;

/// On the account's page; nothing where nobody signs in.
pub(super) async fn section(call: &Call, account: &Account) -> Result<Markup, Turned> {
    let found = mailbox::sessions(call.app(), account.id).await?;
    if found.is_empty() && !call.app().config.mailbox.enabled {
        return Ok(html! {});
    }
    let row = |session: &Session| {
        vec![
            html! { span .code title=(session.id) { "…" (&session.id.to_string()[24..]) } },
            time(session.created_at),
            time(session.seen_at),
        ]
    };
    let columns = [text("Session"), text("Signed in"), text("Last seen")];
    let caption = format!("Browsers signed in to its mailbox, newest first: {}", found.len());
    let rows = found.iter().map(row).collect();
    Ok(html! {
        h2 #sessions { "Mailbox sessions" }
        (Table { caption: &caption, columns: &columns, rows, empty: "Nobody is signed in." }.render())
        @if !found.is_empty() && call.may_change(Scope::Accounts) {
            div .actions {
                (call.confirmed(
                    &format!("{}/sign-out", at(&account.address)),
                    "Sign out everywhere…",
                    &html! { p { "Whoever has one of these sessions must show the password again." } },
                    "Sign them out",
                ))
            }
        }
    })
}

/// `POST /console/accounts/{address}/sign-out`
pub(in crate::doors::console) async fn sign_out(call: Call) -> Changed {
    let account = find(&call).await?;
    match mailbox::sign_out_all(call.app(), account.id, None).await? {
        0 => Err(Turned::conflict(at(&account.address), "Nobody was signed in.")),
        1 => done(at(&account.address), "One session is over."),
        n => done(at(&account.address), format!("{n} sessions are over.")),
    }
}
