//! The text form: `{"id":n,"message":"…"}`, answered by `{"type":1,"id":n}`; `{"type":2}`, answered by `{"type":3}`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Frame, NotUnderstood, Said};

const ACKNOWLEDGED: u64 = 1;
const PING: u64 = 2;
const PONG: &str = r#"{"type":3}"#;

#[derive(Deserialize)]
struct FromClient {
    #[serde(rename = "type")]
    kind: u64,
    id: Option<u64>,
}

pub(super) fn envelope(id: u64, sealed: &[u8]) -> String {
    // Base64 needs no escaping.
    format!(r#"{{"id":{id},"message":"{}"}}"#, STANDARD.encode(sealed))
}

pub(super) fn hear(text: &str) -> Result<Said, NotUnderstood> {
    let said: FromClient = serde_json::from_str(text).map_err(|_| NotUnderstood::Broken)?;
    match (said.kind, said.id) {
        (ACKNOWLEDGED, Some(id)) => Ok(Said::Taken(id)),
        (ACKNOWLEDGED, None) => Err(NotUnderstood::Broken),
        (PING, _) => Ok(Said::Asked(Frame::Text(PONG.into()))),
        _ => Err(NotUnderstood::Type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_padded_base64() {
        assert_eq!(envelope(7, b"\x01\xff"), r#"{"id":7,"message":"Af8="}"#);
    }

    #[test]
    fn clients_acknowledge_and_ping_and_nothing_else() {
        assert_eq!(hear(r#"{"type":1,"id":7}"#), Ok(Said::Taken(7)));
        assert_eq!(hear(r#" {"id": 7, "type": 1, "more": [{}]} "#), Ok(Said::Taken(7)));
        assert_eq!(hear(r#"{"type":2}"#), Ok(Said::Asked(Frame::Text(r#"{"type":3}"#.into()))));
        for broken in
            ["", "x", "{}", "[]", "null", r#"{"type":1}"#, r#"{"type":1,"id":-1}"#, r#"{"type":"1"}"#, r#"{"type":2"#]
        {
            assert_eq!(hear(broken), Err(NotUnderstood::Broken), "{broken}");
        }
        for unknown in [r#"{"type":0}"#, r#"{"type":3}"#, r#"{"type":4,"id":1}"#] {
            assert_eq!(hear(unknown), Err(NotUnderstood::Type), "{unknown}");
        }
    }
}
