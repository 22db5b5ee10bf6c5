//! Twilio's REST API as its references describe it, as far as messages and calls go.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Response;
use serde_json::json;

use crate::webhooks::receiver::Seen;

pub(super) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(super) const TOKEN: &str = "t0ken-of-twilio";
pub(super) const FROM: &str = "+15005550006";

/// A number that nobody has.
pub(super) const NOBODY: &str = "+15005550001";

/// The fields of a form.
pub(super) fn form(seen: &Seen) -> Vec<(String, String)> {
    url::form_urlencoded::parse(&seen.body).into_owned().collect()
}

pub(super) fn field(seen: &Seen, name: &str) -> String {
    form(seen).into_iter().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
}

/// What it answers when all is well with it.
pub(super) fn answer(seen: &Seen) -> Response<String> {
    let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{ACCOUNT}:{TOKEN}")));
    if seen.header("authorization") != expected {
        return refuse(401, 20003, "Authenticate");
    }
    let base = format!("/2010-04-01/Accounts/{ACCOUNT}");
    let content = match seen.path.strip_prefix(&base) {
        Some("/Messages.json") => "Body",
        Some("/Calls.json") => "Twiml",
        _ => return refuse(404, 20404, "The requested resource was not found"),
    };
    let formed = seen.method == "POST" && seen.header("content-type") == "application/x-www-form-urlencoded";
    if !formed || field(seen, content).is_empty() {
        return refuse(400, 21602, "Message body is required.");
    }
    if field(seen, "From") != FROM {
        return refuse(400, 21606, "The 'From' phone number is not a valid, SMS-capable one of your account.");
    }
    match field(seen, "To") {
        to if to.is_empty() => refuse(400, 21604, "A 'To' phone number is required."),
        to if to == NOBODY => refuse(400, 21211, &format!("The 'To' number {to} is not a valid phone number.")),
        to => {
            let body =
                json!({"sid": "SM00000000000000000000000000000001", "to": to, "status": "queued", "error_code": null});
            Response::builder().status(201).header("content-type", "application/json").body(body.to_string()).unwrap()
        }
    }
}

/// A refusal as all its resources have it.
pub(super) fn refuse(status: u16, code: u32, message: &str) -> Response<String> {
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({"code": code, "message": message, "more_info": more, "status": status});
    Response::builder().status(status).header("content-type", "application/json").body(body.to_string()).unwrap()
}

/// Too many requests.
pub(super) fn too_many(retry_after: &str) -> Response<String> {
    let mut response = refuse(429, 20429, "Too Many Requests");
    response.headers_mut().insert("retry-after", retry_after.parse().unwrap());
    response
}
