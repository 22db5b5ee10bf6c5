//! Fuzz targets of what devices say over a websocket, and of envelopes.

use super::frames::{Form, Frame, Said};
use super::{Envelope, Number};
use crate::fuzzing::text;

/// Longest answer to a frame.
const LONGEST_ANSWER: usize = 100;

/// Frames of both forms; envelopes as they lie in the database.
pub(crate) fn frames(data: &[u8]) {
    let text = text(data);
    for said in [Form::Binary.hear_binary(data), Form::Text.hear_text(text)].into_iter().flatten() {
        if let Said::Asked(Frame::Binary(answer)) = &said {
            assert!(answer.len() < LONGEST_ANSWER);
            // A client hears our answer as a response to what it asked.
            assert!(matches!(Form::Binary.hear_binary(answer), Ok(Said::Taken(_) | Said::NotTaken(_))));
        }
    }
    assert!(Form::Binary.hear_text(text).is_err() && Form::Text.hear_binary(data).is_err());
    envelope(data);
}

fn envelope(data: &[u8]) {
    let Some(envelope) = Envelope::from_plaintext(data) else { return };
    assert_eq!(format!("{envelope:?}"), "Envelope(…)");
    assert!(Envelope::from_plaintext(&envelope.plaintext()).is_some_and(|again| again == envelope));
    if let Some(number) = envelope.source.as_deref().and_then(|source| source.parse::<Number>().ok()) {
        assert_eq!(format!("{number:?}"), "Number(…)");
    }
}
