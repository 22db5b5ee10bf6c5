//! Name, password, and where somebody is signed in.

use http::StatusCode;
use maud::{Markup, html};
use warp::reply::Response;

use super::entry::{self, chosen, later, later_words, password_field};
use super::page::{Page, go, time};
use super::{Answer, User, Visit, id, shown};
use crate::accounts;
use crate::doors::site::fields::Fields;
use crate::doors::site::pieces::{alert, confirmed, form, token};
use crate::mailbox::{self, Changed, Session};
use crate::openmsg::DisplayName;
use crate::passwords::Busy;

/// `GET /me/settings`
pub(super) async fn show(visit: &Visit, user: &User) -> Answer {
    respond(visit, user, StatusCode::OK, None).await
}

async fn respond(visit: &Visit, user: &User, status: StatusCode, error: Option<&str>) -> Answer {
    let sessions = mailbox::sessions(visit.app(), user.who.account.id).await?;
    let main = html! {
        h1 { "Settings" }
        @if let Some(error) = error { (alert(error)) }
        (name_form(user))
        (password_form(user))
        (places(user, &sessions))
    };
    Ok(Page::new("Settings", "/me/settings").status(status).respond(visit, user, &main))
}

fn name_form(user: &User) -> Markup {
    html! {
        section aria-labelledby="name-title" {
            h2 #name-title { "Your name" }
            form .card method="post" action="/me/settings/name" {
                (token(&user.session))
                div .field {
                    label for="name" { "Name" }
                    input #name name="name" value=(user.who.account.name) required maxlength="40" autocomplete="name" aria-describedby="about-name";
                    small #about-name { "Up to 40 characters. Those you write to from now on are told it; your address stays " (user.who.account.address) "." }
                }
                button { "Change name" }
            }
        }
    }
}

fn password_form(user: &User) -> Markup {
    html! {
        section aria-labelledby="password-title" {
            h2 #password-title { "Your password" }
            form .card method="post" action="/me/settings/password" {
                (token(&user.session))
                input type="hidden" name="address" value=(user.who.account.address) autocomplete="username";
                (password_field("present", "Present password", "current-password"))
                (password_field("new", "New password", "new-password"))
                (password_field("again", "The same again", "new-password"))
                p .quietly { "All other browsers are signed out." }
                button { "Change password" }
            }
        }
    }
}

fn places(user: &User, sessions: &[Session]) -> Markup {
    html! {
        section aria-labelledby="places-title" {
            h2 #places-title { "Where you are signed in" }
            ul .places { @for session in sessions { li {
                div {
                    strong { (browser(&session.agent)) } @if session.id == user.who.session { " · this browser" }
                    br;
                    small { "from " (shown::words(&session.network)) ", since " (time(session.created_at)) ", last used " (time(session.seen_at)) }
                }
                @if session.id != user.who.session {
                    (form(&user.session, &format!("/me/settings/sessions/{}", session.id), &html! {}, "Sign out"))
                }
            } } }
            (confirmed(&user.session, "/me/settings/sessions", "Sign out everywhere", &html! {
                p { "All browsers are signed out, also this one." }
            }, "Sign out everywhere"))
        }
    }
}

/// What a browser says it is, in two words; what nobody knows is shown as it came.
fn browser(agent: &str) -> String {
    let known =
        |names: &[(&str, &'static str)]| names.iter().find(|(part, _)| agent.contains(part)).map(|(_, name)| *name);
    let name = known(&[
        ("Firefox/", "Firefox"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = known(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (name, system) {
        (Some(name), Some(system)) => format!("{name} on {system}"),
        (Some(name), None) => name.to_owned(),
        _ if agent.trim().is_empty() => "A browser that says nothing of itself".to_owned(),
        _ => shown::words(&agent.chars().take(60).collect::<String>()),
    }
}

/// `POST /me/settings/name`
pub(super) async fn rename(visit: &Visit, user: &User, fields: &Fields) -> Answer {
    let name = match fields.get("name").trim().parse::<DisplayName>() {
        Ok(name) => name,
        Err(error) => {
            let words = format!("This cannot be a name: {error}.");
            return respond(visit, user, StatusCode::UNPROCESSABLE_ENTITY, Some(&words)).await;
        }
    };
    accounts::update(visit.app(), &user.who.account.address, Some(&name), None).await?;
    Ok(go(visit, "/me/settings", true, format!("You are called {} from now on.", shown::words(name.as_str()))))
}

/// `POST /me/settings/password`
pub(super) async fn change_password(visit: &Visit, user: &User, fields: &Fields) -> Answer {
    let new = match chosen(fields) {
        Ok(new) => new,
        Err(words) => return respond(visit, user, StatusCode::UNPROCESSABLE_ENTITY, Some(&words)).await,
    };
    let Some(_place) = visit.check() else {
        return Ok(busy(respond(visit, user, StatusCode::SERVICE_UNAVAILABLE, Some(BUSY)).await?));
    };
    let mailbox = &visit.door.serve.mailbox;
    let changed = mailbox.change_password(&user.who, fields.get("present"), new).await?;
    match changed {
        Ok(Changed::Done) => {
            let words = "Your password is changed. All other browsers are signed out.";
            Ok(go(visit, "/me/settings", true, words))
        }
        Ok(Changed::Wrong) => {
            let words = "The present password is not the right one. Nothing was changed.";
            respond(visit, user, StatusCode::FORBIDDEN, Some(words)).await
        }
        Ok(Changed::Later(seconds)) => {
            let words = later_words(seconds);
            Ok(later(respond(visit, user, StatusCode::TOO_MANY_REQUESTS, Some(&words)).await?, seconds))
        }
        Err(Busy) => Ok(busy(respond(visit, user, StatusCode::SERVICE_UNAVAILABLE, Some(BUSY)).await?)),
    }
}

const BUSY: &str =
    "Many passwords are being checked at this moment. Nothing was changed; please try again in a few seconds.";

fn busy(response: Response) -> Response {
    later(response, 2)
}

/// `POST /me/settings/sessions/{id}`
pub(super) async fn end(visit: &Visit, user: &User, text: &str) -> Answer {
    let Some(id) = id(text) else { return Err(visit.nothing_here(user)) };
    let ended = mailbox::sign_out(visit.app(), user.who.account.id, id).await?;
    if id == user.who.session {
        return Ok(entry::gone(visit, "You are signed out."));
    }
    let words = if ended { "That browser is signed out." } else { "That browser was not signed in any more." };
    Ok(go(visit, "/me/settings", true, words))
}

/// `POST /me/settings/sessions`
pub(super) async fn end_all(visit: &Visit, user: &User) -> Answer {
    mailbox::sign_out_all(visit.app(), user.who.account.id, None).await?;
    Ok(entry::gone(visit, "You are signed out everywhere."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_apart() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36";
        assert_eq!(browser(chrome), "Chrome on Linux");
        assert_eq!(browser("curl/8.0"), "curl/8.0");
        assert_eq!(browser(" "), "A browser that says nothing of itself");
        assert_eq!(browser("\u{202e}x"), "\u{fffd}x");
    }
}
