//! One conversation: messages, the form for an answer, and what can be done about the connection.

use http::StatusCode;
use maud::{Markup, html};
use uuid::Uuid;

use super::page::{self, Page, go, time};
use super::{Answer, Turned, User, Visit, id, list, shown};
use crate::books::State as Delivery;
use crate::connections::{self, Connection, State};
use crate::crypto::{encode_hex, random};
use crate::doors::site::fields::Fields;
use crate::doors::site::frame::{bare, see_other};
use crate::doors::site::pieces::{alert, confirmed, form, token};
use crate::inbox;
use crate::mailbox::{self, Allowance, Line, Said, Sent, Talk, allowed};
use crate::openmsg::Address;

/// Messages that one request says were shown: more than a page has.
const MOST_READ: usize = 200;

/// `GET /me/with/{address}`
pub(super) async fn show(visit: &Visit, user: &User, other: &str) -> Answer {
    let other = address(visit, user, other)?;
    respond(visit, user, &other, StatusCode::OK, "", None).await
}

fn address(visit: &Visit, user: &User, text: &str) -> Result<Address, Turned> {
    // Browsers may write the star as %2A.
    let text = percent_star(text);
    text.parse().map_err(|_| visit.nothing_here(user))
}

fn percent_star(text: &str) -> String {
    text.replacen("%2A", "*", 1).replacen("%2a", "*", 1)
}

async fn respond(
    visit: &Visit,
    user: &User,
    other: &Address,
    status: StatusCode,
    draft: &str,
    error: Option<&str>,
) -> Answer {
    let (app, who) = (visit.app(), &user.who);
    let before = id(visit.query.get("before"));
    let connection = connections::find_by_addresses(app, &who.account.address, other).await?;
    let talk = mailbox::talk(app, who.account.id, &who.account.address, other, before).await?;
    let nothing = connection.is_none() && talk.lines.is_empty() && talk.older.is_none();
    if nothing && before.is_none() && draft.is_empty() {
        return Err(visit.nothing_here(user));
    }
    mark_read(visit, user, &talk.lines).await?;
    let unread = mailbox::unread(app, who.account.id).await?;
    let name = called(connection.as_ref(), &talk, other);
    let older = talk.older.map(|older| format!("/me/with/{other}?before={older}"));
    let main = html! {
        div .headed {
            h1 { (shown::name(&name)) " " span .address { (other) } }
            (list::mark(connection.as_ref().map(|connection| connection.state)))
        }
        @if let Some(older) = &older { p .older { a href=(older) rel="prev" { "Older messages" } } }
        div .talk data-live="talk" { (lines(&talk)) }
        p .unseen role="status" data-live="news" {}
        @if before.is_some() {
            p { a href={ "/me/with/" (other) } { "Newest messages" } }
        } @else {
            @if let Some(error) = error { (alert(error)) }
            (answer_form(visit, user, other, connection.as_ref(), draft))
        }
        (about(user, other, connection.as_ref()))
    };
    let title = format!("{} {other}", shown::words(&name));
    let stream = format!("/me/live?with={other}");
    let page = Page::new(&title, "/me").status(status).unread(unread);
    let page = if before.is_none() { page.stream(&stream) } else { page };
    Ok(page.respond(visit, user, &main))
}

/// What is shown is read; a browser that only fetches ahead, or wants no body, has not shown it.
async fn mark_read(visit: &Visit, user: &User, lines: &[Line]) -> Result<(), Turned> {
    let ahead = visit.headers.get("sec-purpose").is_some_and(|purpose| purpose.as_bytes().starts_with(b"prefetch"));
    let ahead = ahead || visit.bodyless;
    let unread: Vec<Uuid> = lines.iter().filter(|line| line.is_unread()).map(|line| line.id).collect();
    if !unread.is_empty() && !ahead {
        inbox::acknowledge(visit.app(), Some(user.who.account.id), &unread).await?;
    }
    Ok(())
}

/// By the connection, or by their last message, or by nothing but their address.
pub(super) fn called(connection: Option<&Connection>, talk: &Talk, other: &Address) -> String {
    let said = talk.lines.iter().rev().find_map(|line| match &line.said {
        Said::Other { name, .. } => Some(name.clone()),
        Said::Own { .. } => None,
    });
    connection.map(|connection| connection.other_name.clone()).or(said).unwrap_or_else(|| other.to_string())
}

/// The messages alone.
pub(super) fn lines(talk: &Talk) -> Markup {
    html! {
        @if talk.lines.is_empty() { p .empty { "No messages yet." } }
        ol .lines { @for one in &talk.lines { (line(one)) } }
    }
}

fn line(line: &Line) -> Markup {
    html! {
        @match &line.said {
            Said::Other { name, read } => li .theirs.new[!read] data-id=[(!read).then_some(line.id)] {
                p .unseen { (shown::words(name)) " wrote:" }
                (body(line))
                p .beneath { (time(line.at)) @if !read { " · new" } }
            },
            Said::Own { state, reason } => li .mine {
                p .unseen { "You wrote:" }
                (body(line))
                p .beneath { (time(line.at)) " · " span .bad[is_bad(*state)] { (standing(*state, reason.as_deref())) } }
            },
        }
    }
}

fn body(line: &Line) -> Markup {
    html! {
        @match &line.text {
            Some(text) => p .text dir="auto" { (shown::text(text)) },
            None => p .text.quietly { "This message cannot be opened." },
        }
    }
}

fn is_bad(state: Delivery) -> bool {
    matches!(state, Delivery::Failed | Delivery::Expired | Delivery::Unconfirmed)
}

/// How a message of one's own stands, in words.
fn standing(state: Delivery, reason: Option<&str>) -> String {
    match state {
        Delivery::Pending => "waiting to be sent".into(),
        Delivery::Sending => "being sent".into(),
        Delivery::Retrying => "not delivered yet; it is tried again".into(),
        Delivery::Delivered => "delivered".into(),
        Delivery::Cancelled => "withdrawn".into(),
        Delivery::Expired => "not delivered: the other side was not reached in time".into(),
        Delivery::Unconfirmed => "may have arrived: the other side asked for it, and its answer was lost".into(),
        Delivery::Failed => format!("not delivered: {}", why(reason)),
    }
}

fn why(reason: Option<&str>) -> String {
    match reason {
        Some("connection-broken") => "the other side does not know this connection any more; connect again".into(),
        Some("rejected") => "the other side takes no messages from you".into(),
        Some("domain-closed") => "the other side's node takes no messages any more".into(),
        Some("blocked") => "you have blocked this address".into(),
        Some(code) => format!("the other side refused it ({})", shown::words(code)),
        None => "the other side refused it".into(),
    }
}

fn answer_form(visit: &Visit, user: &User, other: &Address, connection: Option<&Connection>, draft: &str) -> Markup {
    let most = visit.app().config.delivery.text_limit;
    match connection {
        Some(connection) if connection.state == State::Active && connection.other_accepts => html! {
            form .answer method="post" action={ "/me/with/" (other) } {
                (token(&user.session))
                input type="hidden" name="once" value=(encode_hex(&random::<16>()));
                label for="text" { "Your message" }
                textarea #text name="text" rows="3" required maxlength=(most) dir="auto" { (draft) }
                button { "Send" }
            }
        },
        connection => html! {
            p .said.warn role="note" { (no_answer(connection)) }
            // The form has gone meanwhile; what was written in it has not.
            @if !draft.is_empty() { p { "You had written:" } p .kept dir="auto" { (shown::text(draft)) } }
        },
    }
}

fn no_answer(connection: Option<&Connection>) -> &'static str {
    match connection.map(|connection| connection.state) {
        Some(State::Active) => {
            "They take no messages from you. With a pass code of theirs you can ask to connect anew."
        }
        Some(State::Broken) => {
            "The connection was lost: the other side does not know it any more. A new pass code mends it."
        }
        Some(State::Blocked) => "You have blocked this address: nothing arrives from it, and nothing is sent to it.",
        None => "You are not connected: there is no way to answer.",
    }
}

fn about(user: &User, other: &Address, connection: Option<&Connection>) -> Markup {
    let Some(connection) = connection else { return html! {} };
    let path = |what: &str| format!("/me/with/{other}/{what}");
    html! {
        section .about aria-labelledby="about" {
            h2 #about { "This connection" }
            p .quietly { "Since " (time(connection.created_at)) "." }
            div .actions {
                @if connection.state == State::Blocked {
                    (form(&user.session, &path("unblock"), &html! {}, "Unblock"))
                } @else {
                    (confirmed(&user.session, &path("block"), "Block", &html! {
                        p { "Nothing arrives from " strong { (other) } " any more, and nothing is sent there, until you unblock it. They are told that you take no messages." }
                    }, "Block"))
                }
                (confirmed(&user.session, &path("delete"), "Delete the connection", &html! {
                    p { "Neither of you can write to the other any more, until one of you connects again with a pass code. What was written stays." }
                }, "Delete the connection"))
            }
        }
    }
}

/// `POST /me/with/{address}`
pub(super) async fn send(visit: &Visit, user: &User, other: &str, fields: &Fields) -> Answer {
    let other = address(visit, user, other)?;
    let text = match written(fields.get("text"), visit.app().config.delivery.text_limit) {
        Ok(text) => text,
        Err(words) => {
            let draft = fields.get("text");
            return respond(visit, user, &other, StatusCode::UNPROCESSABLE_ENTITY, draft, Some(&words)).await;
        }
    };
    if !allowed(visit.app(), user.who.account.id, Allowance::Message).await? {
        let words = "That is more than a person writes in a minute. Nothing was sent; please wait a moment.";
        return respond(visit, user, &other, StatusCode::TOO_MANY_REQUESTS, fields.get("text"), Some(words)).await;
    }
    let acceptor = &visit.door.serve.acceptor;
    let sent = mailbox::send(visit.app(), acceptor, &user.who.account, &other, text, fields.get("once")).await?;
    match sent {
        Sent::Accepted(_) => Ok(see_other(&format!("/me/with/{other}#text"))),
        _ => {
            let words = "Nothing was sent: there is no connection over which it could go.";
            respond(visit, user, &other, StatusCode::CONFLICT, fields.get("text"), Some(words)).await
        }
    }
}

/// `POST /me/read`: the page has shown these; sent by its script.
pub(super) async fn read(visit: &Visit, user: &User, fields: &Fields) -> Answer {
    let ids: Vec<Uuid> = fields.get("ids").split(' ').take(MOST_READ).filter_map(id).collect();
    inbox::acknowledge(visit.app(), Some(user.who.account.id), &ids).await?;
    Ok(bare(StatusCode::NO_CONTENT))
}

/// What somebody wrote, as it is sent: browsers end lines with two characters.
fn written(text: &str, most: usize) -> Result<String, String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = text.trim_end();
    if text.trim().is_empty() {
        return Err("There is nothing to send yet.".into());
    }
    if text.chars().count() > most {
        return Err(format!("This is longer than {most} characters. Please send it in parts."));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err("There are characters in it that cannot be sent.".into());
    }
    Ok(text.to_owned())
}

/// `POST /me/with/{address}/block`, `…/unblock`
pub(super) async fn block(visit: &Visit, user: &User, other: &str, blocked: bool) -> Answer {
    let other = address(visit, user, other)?;
    let connection = own(visit, user, &other).await?;
    let words = if blocked {
        connections::block(visit.app(), connection.id).await?;
        format!("{other} is blocked.")
    } else {
        connections::unblock(visit.app(), connection.id).await?;
        format!("{other} is not blocked any more.")
    };
    Ok(go(visit, &format!("/me/with/{other}"), true, words))
}

/// `POST /me/with/{address}/delete`
pub(super) async fn delete(visit: &Visit, user: &User, other: &str) -> Answer {
    let other = address(visit, user, other)?;
    let connection = own(visit, user, &other).await?;
    connections::delete(visit.app(), connection.id).await?;
    Ok(go(visit, "/me", true, format!("The connection with {other} is deleted.")))
}

async fn own(visit: &Visit, user: &User, other: &Address) -> Result<Connection, Turned> {
    let found = connections::find_by_addresses(visit.app(), &user.who.account.address, other).await?;
    found.ok_or_else(|| page::go(visit, "/me", false, format!("You are not connected with {other}.")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_sent_without_the_browsers_line_ends() {
        assert_eq!(written("a\r\nb\tc\r\n\r\n", 10), Ok("a\nb\tc".into()));
        assert!(written(" \r\n", 10).is_err());
        assert!(written("ßßßßßßßßßßß", 10).is_err());
        assert_eq!(written("ßßßßßßßßßß", 10), Ok("ßßßßßßßßßß".into()));
        assert!(written("a\u{7}b", 10).is_err());
    }

    #[test]
    fn every_standing_has_words() {
        for state in Delivery::ALL {
            assert!(!standing(state, None).is_empty());
        }
        assert!(standing(Delivery::Failed, Some("rejected")).contains("takes no messages"));
        assert_eq!(standing(Delivery::Failed, Some("410")), "not delivered: the other side refused it (410)");
    }
}
