//! The first page: with whom there is something to read.

use maud::{Markup, html};

use super::page::Page;
use super::{Answer, User, Visit, id, shown};
use crate::App;
use crate::connections::State;
use crate::doors::site::pieces::{Tone, badge, pager};
use crate::mailbox::{self, Conversation, Conversations, SignedIn};

/// `GET /me`
pub(super) async fn show(visit: &Visit, user: &User) -> Answer {
    let after = id(visit.query.get("after"));
    let found = read(visit.app(), &user.who, after).await?;
    let next = found.next.map(|next| format!("/me?after={next}"));
    let main = html! {
        div .headed {
            h1 { "Conversations" }
            p .quietly { "You are " strong { (user.who.account.address) } }
        }
        div data-live="list" { (list(&found)) }
        (pager(after.map(|_| "/me"), next.as_deref()))
    };
    let page = Page::new("Conversations", "/me").unread(found.unread);
    let page = if after.is_none() { page.stream("/me/live?page=list") } else { page };
    Ok(page.respond(visit, user, &main))
}

/// The conversations of somebody.
pub(super) async fn read(
    app: &App,
    who: &SignedIn,
    after: Option<uuid::Uuid>,
) -> Result<Conversations, mailbox::Error> {
    mailbox::conversations(app, who.account.id, &who.account.address, after).await
}

/// The list alone.
pub(super) fn list(found: &Conversations) -> Markup {
    html! {
        @if found.items.is_empty() {
            p .empty {
                "Nobody yet. " a href="/me/connect" { "Connect to an address" } " whose pass code you were told, or "
                a href="/me/codes" { "ask for a pass code" } " and tell it to somebody who is to reach you."
            }
        } @else {
            ul .conversations { @for one in &found.items { li { (item(one)) } } }
        }
    }
}

fn item(one: &Conversation) -> Markup {
    html! {
        a .conversation.new[one.unread > 0] href={ "/me/with/" (one.other) } {
            span .whom { (shown::name(&one.name)) " " span .address { (one.other) } }
            span .marks {
                (mark(one.state))
                @if one.unread > 0 { " " (badge(Tone::Good, &format!("{} unread", one.unread))) }
            }
        }
    }
}

/// How the connection is, where that is worth a word.
pub(super) fn mark(state: Option<State>) -> Markup {
    html! {
        @match state {
            Some(State::Active) => {}
            Some(State::Blocked) => (badge(Tone::Warn, "blocked")),
            Some(State::Broken) => (badge(Tone::Bad, "connection lost")),
            None => (badge(Tone::Plain, "not connected")),
        }
    }
}
