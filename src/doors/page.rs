//! What all pages that this node serves have in common: one small style sheet, the headers that keep them from being kept, framed or
//! scripted, and the escaping of other people's text.
//!
//! Leaves out what stands on a page, and the hub's pages with scripts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::reply::Response;

use crate::crypto::sha256;

/// Light and dark, whatever the browser prefers; focus is visible.
pub(super) const STYLE: &str = "\
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

/// What a page may do beyond nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Allowed<'a> {
    /// Whether requests that it makes to its own origin say where they come from. A page with a form needs it: browsers send the
    /// origin `null` with a form of a page that says nothing. Pages whose own URL holds a secret must not.
    pub(super) says_where_from: bool,
    /// Another origin that its forms may lead to (also by a redirect of ours).
    pub(super) form_to: &'a str,
    /// An origin whose scripts, frames and requests are let in.
    pub(super) script_of: &'a str,
}

/// A page: its title, what it is part of, and the HTML of its body.
pub(super) fn page(status: StatusCode, title: &str, of: &str, body: &str, allowed: Allowed<'_>) -> Response {
    let (title, of) = (escape(title), escape(of));
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title} · {of}</title>\
         <style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    );
    let mut response = bare(status, allowed);
    *response.body_mut() = html.into();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// No content, with every header a page has.
pub(super) fn bare(status: StatusCode, allowed: Allowed<'_>) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let referrer = if allowed.says_where_from { "same-origin" } else { "no-referrer" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static(referrer));
    if let Ok(policy) = HeaderValue::try_from(policy(allowed)) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn policy(allowed: Allowed<'_>) -> String {
    let style = STANDARD.encode(sha256(&[STYLE.as_bytes()]));
    let blank = |origin: &str| if origin.is_empty() { String::new() } else { format!(" {origin}") };
    let scripts = match allowed.script_of {
        "" => String::new(),
        origin => format!("script-src {origin}; frame-src {origin}; connect-src {origin}; "),
    };
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; {scripts}form-action 'self'{}; frame-ancestors 'none'; base-uri 'none'",
        blank(allowed.form_to)
    )
}

/// Why it did not work, for everybody to hear.
pub(super) fn alert(words: Option<&str>) -> String {
    words.map(|words| format!("<p role=\"alert\">{}</p>", escape(words))).unwrap_or_default()
}

/// Text inside HTML and inside quoted attributes.
pub(super) fn escape(text: &str) -> String {
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

/// Whether a form was sent from a page of this origin, or by no page: browsers say where a form comes from. (An origin `null` is
/// that of a page which says nothing; `Sec-Fetch-Site`, which no page can change, then has the word.)
pub(super) fn is_own_form(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST.as_str()).unwrap_or_default();
    let site = text("sec-fetch-site");
    let own_origin = text(ORIGIN.as_str()).is_none_or(|origin| {
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        let silent = origin == "null" && site == Some("same-origin");
        silent || !authority.is_empty() && authority.eq_ignore_ascii_case(host)
    });
    own_origin && site.is_none_or(|site| site == "same-origin" || site == "none")
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
        let response = page(StatusCode::OK, "a<b", "shop", "", Allowed::default());
        let header = |name: http::HeaderName| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((header(CACHE_CONTROL), header(X_FRAME_OPTIONS)), ("no-store".into(), "DENY".into()));
        assert_eq!(header(REFERRER_POLICY), "no-referrer");
        let said = header(CONTENT_SECURITY_POLICY);
        assert!(said.starts_with("default-src 'none'; style-src 'sha256-"), "{said}");
        assert!(said.contains("form-action 'self'; frame-ancestors 'none'") && !said.contains("script-src"), "{said}");
        let more =
            Allowed { form_to: "https://hub.example", script_of: "https://captcha.example", ..Allowed::default() };
        let said = policy(more);
        assert!(said.contains("form-action 'self' https://hub.example;"), "{said}");
        assert!(said.contains("script-src https://captcha.example; frame-src https://captcha.example;"), "{said}");
    }

    #[test]
    fn forms_of_other_sites_are_known() {
        let from = |origin: &str, site: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("shop.example:8443"));
            for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
                if !value.is_empty() {
                    headers.insert(name, HeaderValue::from_str(value).unwrap());
                }
            }
            is_own_form(&headers)
        };
        for (origin, site) in [
            ("", ""),
            ("https://shop.example:8443", ""),
            ("https://shop.example:8443", "same-origin"),
            ("null", "same-origin"),
            ("", "none"),
        ] {
            assert!(from(origin, site), "{origin} {site}");
        }
        for (origin, site) in [
            ("https://evil.example", ""),
            ("https://shop.example", ""),
            ("null", ""),
            ("null", "cross-site"),
            ("https://shop.example:8443", "cross-site"),
            ("https://evil.example", "same-origin"),
            ("", "same-site"),
        ] {
            assert!(!from(origin, site), "{origin} {site}");
        }
    }
}
