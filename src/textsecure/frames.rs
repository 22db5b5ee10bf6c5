//! What is said over a websocket, in both forms (specification §1.13 and §2).
//!
//! The text form of 2014: a frame is a JSON object. The binary form of the end of that year: a frame is a protobuf with a request or
//! a response, as if HTTP was spoken both ways. Which of the two a connection speaks is settled before its first frame.

mod binary;
mod text;

/// One of the two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON.
    Text,
    /// Protobuf.
    Binary,
}

/// A frame's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Of a text frame.
    Text(String),
    /// Of a binary frame.
    Binary(Vec<u8>),
}

/// What a client has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It has taken what was sent under this number.
    Taken(u64),
    /// It does not take it now.
    NotTaken(u64),
    /// It wants to be answered so.
    Asked(Frame),
    /// Nothing that matters.
    Nothing,
}

/// Why a frame is not understood; the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUnderstood {
    /// A binary frame where text is spoken, or the other way round.
    #[error("a frame of the other kind")]
    Kind,
    /// No JSON object with a type; no protobuf.
    #[error("a frame that cannot be read")]
    Broken,
    /// Well-formed, of a type that clients do not send.
    #[error("a frame of an unknown type")]
    Type,
}

impl Form {
    /// A sealed envelope, under a number that this connection has not used yet.
    pub fn envelope(self, id: u64, sealed: Vec<u8>) -> Frame {
        match self {
            Self::Text => Frame::Text(text::envelope(id, &sealed)),
            Self::Binary => Frame::Binary(binary::envelope(id, sealed)),
        }
    }

    /// Understands what came in a text frame.
    pub fn hear_text(self, text: &str) -> Result<Said, NotUnderstood> {
        match self {
            Self::Text => text::hear(text),
            Self::Binary => Err(NotUnderstood::Kind),
        }
    }

    /// Understands what came in a binary frame.
    pub fn hear_binary(self, bytes: &[u8]) -> Result<Said, NotUnderstood> {
        match self {
            Self::Text => Err(NotUnderstood::Kind),
            Self::Binary => binary::hear(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_form_refuses_the_other_kind_of_frame() {
        assert_eq!(Form::Binary.hear_text(r#"{"type":2}"#), Err(NotUnderstood::Kind));
        assert_eq!(Form::Text.hear_binary(br#"{"type":2}"#), Err(NotUnderstood::Kind));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_answered_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), text in ".{0,80}") {
            let _ = Form::Binary.hear_binary(&bytes);
            let _ = Form::Text.hear_text(&text);
        }

        #[test]
        fn what_is_numbered_is_taken_by_its_number(id in any::<u64>()) {
            prop_assert_eq!(Form::Text.hear_text(&format!(r#"{{"type":1,"id":{id}}}"#)), Ok(Said::Taken(id)));
        }
    }
}
