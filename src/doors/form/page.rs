//! The pages: plain HTML that works everywhere, without script.

use http::header::ALLOW;
use http::{HeaderValue, StatusCode};
use warp::reply::Response;

use crate::accounts::Account;
use crate::handshakes::{Handshake, State};

use crate::doors::page::{self, Allowed, alert, escape};
use crate::doors::site::session::Session;

/// These pages have forms that come back to this door.
const ALLOWED: Allowed<'_> = Allowed { says_where_from: true, form_to: "", script_of: "" };

/// The form's variable parts.
pub(super) struct Form<'a> {
    pub(super) session: &'a Session,
    pub(super) accounts: &'a [Account],
    pub(super) error: Option<String>,
    /// Shown again after a mistake; the pass code never is.
    pub(super) other: &'a str,
}

impl<'a> Form<'a> {
    /// An empty one.
    pub(super) fn new(session: &'a Session, accounts: &'a [Account]) -> Self {
        Self { session, accounts, error: None, other: "" }
    }
}

/// The sign-in page.
pub(super) fn login(status: StatusCode, error: Option<&str>) -> Response {
    let body = format!(
        "<h1>Sign in</h1>{}\
         <form method=\"post\" action=\"/handshake/login\">\
         <label for=\"api_key\">API key</label>\
         <input id=\"api_key\" name=\"api_key\" type=\"password\" autocomplete=\"off\" required autofocus aria-describedby=\"about\">\
         <small id=\"about\">A key with the scope “connections”, such as hf_…</small>\
         <button>Sign in</button></form>",
        alert(error)
    );
    page(status, "Sign in", &body)
}

/// The form.
pub(super) fn form(status: StatusCode, form: &Form<'_>) -> Response {
    let body = format!(
        "<h1>Connect to somebody</h1>\
         <p>Somebody gave you their address and a pass code. With them you may send them messages.</p>{}\
         <form method=\"post\" action=\"/handshake\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\">{}\
         <label for=\"other\">Their address</label>\
         <input id=\"other\" name=\"other_openmsg_address\" value=\"{}\" required autocomplete=\"off\" spellcheck=\"false\" placeholder=\"0012345*other.example\">\
         <label for=\"code\">Pass code</label>\
         <input id=\"code\" name=\"pass_code\" type=\"password\" required inputmode=\"numeric\" pattern=\"[0-9]{{6}}\" maxlength=\"6\" autocomplete=\"off\" aria-describedby=\"about\">\
         <small id=\"about\">Six digits, good for one connection and for an hour at most.</small>\
         <button>Connect</button></form>{}",
        alert(form.error.as_deref()),
        form.session.token(),
        own_address(form.accounts),
        escape(form.other),
        log_out()
    );
    page(status, "Connect to somebody", &body)
}

fn own_address(accounts: &[Account]) -> String {
    let label = "<label for=\"from\">Your address</label>";
    if accounts.is_empty() {
        return format!("{label}<input id=\"from\" name=\"from\" required autocomplete=\"off\" spellcheck=\"false\">");
    }
    let option = |account: &Account| {
        let address = escape(account.address.as_str());
        format!("<option value=\"{address}\">{address} ({})</option>", escape(&account.name))
    };
    let options: String = accounts.iter().map(option).collect();
    format!("{label}<select id=\"from\" name=\"from\">{options}</select>")
}

/// What became of a handshake, in words.
pub(super) fn result(_: &Session, handshake: &Handshake) -> Response {
    let (from, to) = (escape(handshake.from.as_str()), escape(handshake.to.as_str()));
    let (title, words) = match handshake.state {
        State::Connected => (
            "Connected",
            format!(
                "<p role=\"status\">{from} and {to} are connected. Messages from {from} to {to} are delivered from now on.</p>"
            ),
        ),
        State::Failed => {
            let why = escape(handshake.error.as_deref().unwrap_or("no reason was given"));
            (
                "Not connected",
                format!(
                    "<p role=\"alert\">{from} and {to} are not connected: {why}</p><p>A pass code works once. Ask for a new one before you try again.</p>"
                ),
            )
        }
        State::Pending | State::Running => (
            "Still trying",
            format!(
                "<p role=\"status\">{to} has not answered yet. The node goes on trying for a short while; connections that come about are listed by the API under the id {}.</p>",
                handshake.id
            ),
        ),
    };
    let body = format!("<h1>{title}</h1>{words}<p><a href=\"/handshake\">Another connection</a></p>{}", log_out());
    page(StatusCode::OK, title, &body)
}

/// A page that says why there is no other.
pub(super) fn failure(status: StatusCode, words: &str) -> Response {
    let body =
        format!("<h1>That did not work</h1>{}<p><a href=\"/handshake\">Back to the form</a></p>", alert(Some(words)));
    page(status, "That did not work", &body)
}

/// 405 with what is allowed.
pub(super) fn wrong_method(allow: &'static str) -> Response {
    let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, "This page is not used that way.");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// No content, with every header a page has.
pub(super) fn bare(status: StatusCode) -> Response {
    page::bare(status, ALLOWED)
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    page::page(status, title, "handfast", body, ALLOWED)
}

fn log_out() -> &'static str {
    "<form method=\"post\" action=\"/handshake/logout\"><button class=\"quiet\">Sign out</button></form>"
}
