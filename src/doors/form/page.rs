//! The pages: plain HTML that works everywhere, with one small style sheet and no script.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderValue, StatusCode};
use warp::reply::Response;

use crate::accounts::Account;
use crate::crypto::sha256;
use crate::handshakes::{Handshake, State};

use super::session::Session;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem}\
h1{font-size:1.5rem}\
label{display:block;margin:1rem 0 .25rem;font-weight:600}\
input,select{font:inherit;width:100%;padding:.5rem;border:1px solid #767676;border-radius:.3rem;box-sizing:border-box}\
small{display:block}\
button{font:inherit;font-weight:600;margin-top:1.5rem;padding:.5rem 1.25rem;border:0;border-radius:.3rem;background:#1a56b0;color:#fff;cursor:pointer}\
button.quiet{background:none;color:inherit;text-decoration:underline;padding:0;font-weight:400}\
[role=alert]{border-left:.3rem solid #b3261e;padding:.5rem 1rem}\
[role=status]{border-left:.3rem solid #1b7f3b;padding:.5rem 1rem}\
:focus-visible{outline:3px solid #e08a00;outline-offset:2px}";

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
    let mut response = Response::default();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    let style = STANDARD.encode(sha256(&[STYLE.as_bytes()]));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title} · handfast</title>\
         <style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    );
    let mut response = bare(status);
    *response.body_mut() = html.into();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

fn alert(words: Option<&str>) -> String {
    words.map(|words| format!("<p role=\"alert\">{}</p>", escape(words))).unwrap_or_default()
}

fn log_out() -> &'static str {
    "<form method=\"post\" action=\"/handshake/logout\"><button class=\"quiet\">Sign out</button></form>"
}

/// Text inside HTML and inside quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_only_text() {
        assert_eq!(escape("<a href=\"x\" title='y'>&"), "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;");
    }

    #[test]
    fn no_page_may_be_kept_framed_or_scripted() {
        let response = failure(StatusCode::FORBIDDEN, "no");
        let header = |name: http::HeaderName| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header(CACHE_CONTROL), "no-store");
        assert_eq!(header(X_FRAME_OPTIONS), "DENY");
        let policy = header(CONTENT_SECURITY_POLICY);
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("frame-ancestors 'none'")
        );
    }
}
