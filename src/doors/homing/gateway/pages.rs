//! The pages: plain HTML without script (but for a captcha, where the settings ask for one).

use http::header::ALLOW;
use http::{HeaderValue, StatusCode};
use warp::reply::Response;

use crate::doors::page::{self, Allowed, alert, escape};
use crate::gateway::{Session, Site};

const AGAIN: &str = "<p><a href=\"/homing/login\">Sign in</a></p>";

/// The form. What was typed is shown again after a mistake.
pub(super) fn login(site: &Site, status: StatusCode, typed: &str, error: Option<&str>) -> Response {
    let (name, persona) = (escape(site.name()), escape(site.persona.as_str()));
    let body = format!(
        "<h1>Sign in to {name}</h1>\
         <p>With a persona of your Homing Space. It will be shown the name <strong>{persona}</strong>: approve only if it is that one.</p>{}\
         <form method=\"post\" action=\"/homing/entry\">\
         <label for=\"username\">Your persona</label>\
         <input id=\"username\" name=\"username\" value=\"{}\" required minlength=\"3\" maxlength=\"32\" autocomplete=\"username\" \
         autocapitalize=\"none\" spellcheck=\"false\" autofocus>\
         <input type=\"hidden\" name=\"scopes\" value=\"{}\">{}{}\
         <button>Continue</button>{}</form>",
        alert(error),
        escape(typed),
        escape(site.scopes.text()),
        asked_for(site),
        captcha(site),
        other_device(site),
    );
    let captcha = &site.settings.captcha;
    let script = if captcha.is_set() { origin(&captcha.script) } else { String::new() };
    let allowed = Allowed { says_where_from: true, form_to: &site.hub_origin, script_of: &script };
    page::page(status, "Sign in", site.name(), &body, allowed)
}

fn asked_for(site: &Site) -> String {
    let item = |name: &str| {
        let note = site.settings.scope_notes.get(name).map(|note| format!(": {}", escape(note))).unwrap_or_default();
        format!("<li><strong>{}</strong>{note}</li>", escape(label(name)))
    };
    let list = |title: &str, items: String| match items.as_str() {
        "" => String::new(),
        _ => format!("<p>{title}</p><ul>{items}</ul>"),
    };
    let mandatory = list("You will be asked for", site.scopes.mandatory().map(item).collect());
    let optional = list("You may also give", site.scopes.optional().map(item).collect());
    format!("{mandatory}{optional}")
}

/// Standard scopes in words; the site's own go by their names.
fn label(name: &str) -> &str {
    match name {
        "fullname" => "your name",
        "email" => "your e-mail address",
        "email1" => "a second e-mail address",
        "email2" => "a third e-mail address",
        "address" => "your postal address",
        "avatarurl" => "the address of your picture",
        "phone1" => "your phone number",
        "phone2" => "a second phone number",
        "birthday" => "your birthday",
        own => own,
    }
}

fn captcha(site: &Site) -> String {
    let captcha = &site.settings.captcha;
    if !captcha.is_set() {
        return String::new();
    }
    let (class, key, script) = (escape(&captcha.class), escape(&captcha.site_key), escape(&captcha.script));
    format!("<div class=\"{class}\" data-sitekey=\"{key}\"></div><script src=\"{script}\" async defer></script>")
}

fn other_device(site: &Site) -> &'static str {
    if site.settings.cross_device {
        " <button class=\"quiet\" name=\"device\" value=\"other\">My Homing Space is on another device</button>"
    } else {
        ""
    }
}

/// The device that began, while the other one approves. It looks again by itself.
pub(super) fn waiting(site: &Site, digits: &str) -> Response {
    let body = format!(
        "<h1>Sign in to {}</h1><p>Open your Homing Space on your other device and approve the login of <strong>{}</strong> there. \
         Then type these digits there:</p><p role=\"status\"><strong>{}</strong></p>\
         <p>This page goes on by itself. <a href=\"\">Look now</a></p>",
        escape(site.name()),
        escape(site.persona.as_str()),
        escape(digits)
    );
    let mut response = page::page(StatusCode::OK, "Sign in", site.name(), &body, Allowed::default());
    // A header, since a page without script has no other way to look again.
    response.headers_mut().insert("refresh", HeaderValue::from_static("3"));
    response
}

/// The other device, when it comes back from the hub.
pub(super) fn digits(site: &Site, token: &str) -> Response {
    let body = format!(
        "<h1>Sign in to {}</h1><p>Which two digits does the device show on which you began? If you began nowhere, close this page.</p>\
         <form method=\"post\" action=\"/homing/match\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
         <label for=\"digits\">Two digits</label>\
         <input id=\"digits\" name=\"digits\" required inputmode=\"numeric\" pattern=\"[0-9]{{2}}\" maxlength=\"2\" autocomplete=\"off\" autofocus>\
         <button>Sign in there</button></form>",
        escape(site.name()),
        escape(token)
    );
    // Its own address holds the one-time password, which is used up; a referrer would still be nobody's business.
    let allowed = Allowed { says_where_from: true, ..Allowed::default() };
    page::page(StatusCode::OK, "Sign in", site.name(), &body, allowed)
}

/// The other device, when it is done.
pub(super) fn go_on(site: &Site) -> Response {
    let body = "<h1>Done</h1><p role=\"status\">You are signed in on your other device.</p>";
    page::page(StatusCode::OK, "Done", site.name(), body, Allowed::default())
}

fn origin(url: &str) -> String {
    url::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

/// The landing page, where the merchant names no other.
pub(super) fn landing(site: &Site, session: Option<&Session>) -> Response {
    let name = escape(site.name());
    let body = match session {
        Some(session) => format!(
            "<h1>{name}</h1><p role=\"status\">You are signed in as <strong>{}</strong>.</p>\
             <form method=\"post\" action=\"/homing/logout\"><button class=\"quiet\">Sign out</button></form>",
            escape(&session.username)
        ),
        None => format!("<h1>{name}</h1><p>You are not signed in.</p>{AGAIN}"),
    };
    let allowed = Allowed { says_where_from: true, ..Allowed::default() };
    page::page(StatusCode::OK, site.name(), "Homing Space", &body, allowed)
}

/// Whoever came back is not signed in; why, stands in the log under the reference.
pub(super) fn refused(site: &Site, status: StatusCode, reference: &str) -> Response {
    let words =
        "You were not signed in. Perhaps it took too long, or this page was opened a second time. Please begin again.";
    let body =
        format!("<h1>That did not work</h1>{}<p>Reference: {}</p>{AGAIN}", alert(Some(words)), escape(reference));
    page::page(status, "That did not work", site.name(), &body, Allowed::default())
}

/// The merchant lets nobody in under two names.
pub(super) fn known_already(site: &Site) -> Response {
    let words = "You have an account here under another persona. This site takes one account a person: please use that persona.";
    self::words(site, StatusCode::FORBIDDEN, words)
}

/// The hub cannot be asked.
pub(super) fn unavailable(site: &Site) -> Response {
    let words = "Homing Space cannot be asked just now. Nothing has begun; please try again in a moment.";
    self::words(site, StatusCode::SERVICE_UNAVAILABLE, words)
}

/// A page that says why there is no other.
pub(super) fn words(site: &Site, status: StatusCode, words: &str) -> Response {
    let body = format!("<h1>That did not work</h1>{}{AGAIN}", alert(Some(words)));
    page::page(status, "That did not work", site.name(), &body, Allowed::default())
}

/// 405 with what is allowed.
pub(super) fn wrong_method(site: &Site, allow: &'static str) -> Response {
    let mut response = words(site, StatusCode::METHOD_NOT_ALLOWED, "This page is not used that way.");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// Something went wrong that is nobody's doing.
pub(super) fn failed(status: StatusCode) -> Response {
    let body = format!(
        "<h1>That did not work</h1>{}{AGAIN}",
        alert(Some("The site is busy or has a fault. Please try again in a moment."))
    );
    page::page(status, "That did not work", "Homing Space", &body, Allowed::default())
}

/// No content, with every header a page has.
pub(super) fn bare(status: StatusCode) -> Response {
    page::bare(status, Allowed::default())
}
