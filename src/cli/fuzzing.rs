//! Fuzz targets of what nodes, hubs and merchants answer to the command line.

use super::homing::{self, forms};
use super::problem::Problem;
use super::sse::Reader;
use crate::fuzzing::text;

/// Longest line that one event adds to what a person sees.
const LARGEST: usize = 1 << 20;

/// Streams of events, problems, pages and cookies.
pub(crate) fn answers(data: &[u8]) {
    stream(data);
    if let Ok(problem) = serde_json::from_slice::<Problem>(data) {
        crate::fuzzing::carried(&problem);
        let _ = (problem.one_line(), problem.to_string());
    }
    let text = text(data);
    for form in forms(text) {
        assert!(form.fields.iter().all(|(name, _)| !name.is_empty()));
    }
    homing::fuzzed(text);
}

/// The same events come out, wherever the parts of a stream end.
fn stream(data: &[u8]) {
    let (mut whole, mut parts) = (Reader::default(), Reader::default());
    let Ok(expected) = whole.take(data) else { return };
    assert!(expected.iter().all(|event| event.data.len() <= LARGEST));
    let mut found = Vec::new();
    for part in data.chunks(3) {
        found.extend(parts.take(part).unwrap_or_default());
    }
    assert!(found == expected && parts.last_id() == whole.last_id(), "parts change what a stream says");
}
