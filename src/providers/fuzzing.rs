//! Fuzz targets of what carriers, push services and back ends answer.

use std::time::Duration;

use bytes::Bytes;

use super::{carriers, push};
use crate::outbound::Answer;
use crate::workers::call_backend;

/// Their answers of every status, and push addresses.
pub(crate) fn answers(data: &[u8]) {
    push::fuzzed_addresses(crate::fuzzing::text(data));
    for status in [200, 400, 404, 413, 429, 503] {
        let body = Bytes::copy_from_slice(data);
        let answer = Answer { status, body, truncated: false, retry_after: None, elapsed: Duration::ZERO };
        carriers::fuzzed(&answer);
        push::fuzzed(&answer);
        call_backend::fuzzed(&answer);
    }
}
