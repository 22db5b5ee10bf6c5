//! What is sent: 500 bytes of JSON with a number and the moment of sending, both at a fixed place and of a fixed length.
//!
//! The number makes a loss or a double visible without trusting anything the node says; the moment makes the way's length a
//! subtraction at the sink, which runs under the same clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Length of a body, in bytes.
pub(crate) const LENGTH: usize = 500;

const HEAD: &[u8] = br#"{"number":""#;
const BETWEEN: &[u8] = br#"","sent_us":""#;
const TAIL: &[u8] = br#"","order":""#;
const END: &[u8] = br#""}"#;
const NUMBER: usize = 9;
const SENT: usize = 16;
const FILLING: &[u8] = b"Two parcels left the warehouse this morning and are on their way to you. ";

/// Microseconds since 1970, by this machine's clock.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Appends the body of `number`, sent at `sent_us`.
pub(crate) fn write(to: &mut Vec<u8>, number: u32, sent_us: u64) {
    let end = to.len() + LENGTH - END.len();
    to.extend_from_slice(HEAD);
    digits(to, u64::from(number), NUMBER);
    to.extend_from_slice(BETWEEN);
    digits(to, sent_us, SENT);
    to.extend_from_slice(TAIL);
    while to.len() < end {
        let room = end - to.len();
        to.extend_from_slice(&FILLING[..room.min(FILLING.len())]);
    }
    to.extend_from_slice(END);
}

/// Number and moment, if this is one of our bodies, unchanged in form.
pub(crate) fn read(body: &[u8]) -> Option<(u32, u64)> {
    if body.len() != LENGTH {
        return None;
    }
    let (number, rest) = body.strip_prefix(HEAD)?.split_at_checked(NUMBER)?;
    let (sent, rest) = rest.strip_prefix(BETWEEN)?.split_at_checked(SENT)?;
    rest.strip_prefix(TAIL)?;
    Some((parse(number)? as u32, parse(sent)?))
}

fn digits(to: &mut Vec<u8>, mut value: u64, width: usize) {
    let start = to.len();
    to.resize(start + width, b'0');
    for place in to[start..].iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn parse(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0')))
}
