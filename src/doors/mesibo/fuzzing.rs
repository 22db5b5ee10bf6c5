//! Fuzz targets of requests of messengers that sign in.

use super::fields::Fields;
use super::request::Request;
use crate::fuzzing::text;

const LONGEST_OP: usize = 32 * 3;
const NAMES: [&str; 7] = ["op", "phone", "otp", "code", "appid", "token", "name"];

/// Requests in every shape: the first line is the query, the rest the body.
pub(crate) fn requests(data: &[u8]) {
    let (query, body) = data.iter().position(|byte| *byte == b'\n').map_or((&b""[..], data), |at| data.split_at(at));
    let (query, body) = (text(query), body.strip_prefix(b"\n").unwrap_or(body));
    let request = Request::read(body, query);
    assert!(
        request.op.len() <= LONGEST_OP && request.appid().is_ok_and(|appid| appid.len() <= 255)
            || request.appid().is_err()
    );
    relaxed_agrees_with_json(body);
    // What the body does not name is the query's.
    let (both, alone) = (Fields::read(body, query), Fields::read(body, ""));
    for name in NAMES {
        if let Some(value) = alone.value(name) {
            assert!(both.value(name) == Some(value), "a query goes before the body");
        }
    }
}

/// What is strict JSON says the same to the reader of relaxed JSON, which a comment before it chooses.
fn relaxed_agrees_with_json(body: &[u8]) {
    let plain = body.trim_ascii_start().first() == Some(&b'{')
        && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok_and(|map| {
            // Numbers beyond what both keep exactly are told apart elsewhere.
            map.values().all(serde_json::Value::is_string)
        });
    if !plain || body.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() > 8 {
        return;
    }
    let strict = Fields::read(body, "");
    let relaxed = Fields::read(&[b"/**/", body].concat(), "");
    for name in NAMES {
        assert!(strict.value(name) == relaxed.value(name), "two readers understand {name} differently");
    }
}
