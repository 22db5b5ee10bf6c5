//! The handshake of RFC 6455, section 4.2. No extensions, no subprotocols.

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use warp::reply::Response;

use super::super::answer;

const VERSION: &str = "13";

/// 101, where these are the headers of a handshake.
pub(super) fn accept(headers: &HeaderMap) -> Option<Response> {
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    let good = lists(headers, header::CONNECTION, "upgrade")
        && lists(headers, header::UPGRADE, "websocket")
        && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == VERSION);
    // 16 bytes in base64, whatever they are.
    if !good || key.len() != 24 {
        return None;
    }
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()?;
    let mut response = answer::status(StatusCode::SWITCHING_PROTOCOLS);
    upgrade(response.headers_mut());
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Some(response)
}

/// 426: what would have been understood.
pub(super) fn wanted() -> Response {
    let mut response = answer::status(StatusCode::UPGRADE_REQUIRED);
    upgrade(response.headers_mut());
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    response
}

fn upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Whether one of the words of these headers is this one.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(changed: &str, value: &str) -> HeaderMap {
        let usual = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let lines = usual.into_iter().map(|(name, usual)| (name, if name == changed { value } else { usual }));
        lines.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn a_handshake_is_answered_with_its_key() {
        let response = accept(&headers("", "")).unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()["upgrade"], "websocket");
    }

    #[test]
    fn anything_less_is_none() {
        let wrong = [
            ("connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "short"),
        ];
        for (name, value) in wrong {
            assert!(accept(&headers(name, value)).is_none(), "{name}: {value}");
        }
        assert!(accept(&HeaderMap::new()).is_none());
    }
}
