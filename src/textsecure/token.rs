//! What stands for a number in a directory.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Bytes of a directory token.
pub const TOKEN_BYTES: usize = 10;

/// Written without padding by all clients; accepted with it too.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A directory token: the first ten bytes of the SHA-1 of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub [u8; TOKEN_BYTES]);

/// What a text is that should be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenText {
    /// One.
    Token(Token),
    /// Base64 of another length, which is nobody's.
    OtherLength,
    /// No base64.
    NotBase64,
}

impl TokenText {
    /// Reads it.
    pub fn read(text: &str) -> Self {
        match LENIENT.decode(text).map(<[u8; TOKEN_BYTES]>::try_from) {
            Ok(Ok(bytes)) => Self::Token(Token(bytes)),
            Ok(Err(_)) => Self::OtherLength,
            Err(_) => Self::NotBase64,
        }
    }
}

impl Token {
    /// As it is written: standard base64 without padding.
    pub fn text(&self) -> String {
        STANDARD_NO_PAD.encode(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_clients_write_them() {
        let token = TokenText::read("cc8f/gXBOF1Vig");
        let TokenText::Token(read) = token else { panic!("{token:?}") };
        assert_eq!(read.text(), "cc8f/gXBOF1Vig");
        for same in ["cc8f/gXBOF1Vig==", "cc8f/gXBOF1Vig=", "cc8f/gXBOF1Vih"] {
            assert_eq!(TokenText::read(same), token, "{same}");
        }
        for other in ["", "cc8f/gXBOF1V", "cc8f/gXBOF1ViQAA"] {
            assert_eq!(TokenText::read(other), TokenText::OtherLength, "{other}");
        }
        for bad in ["cc8f_gXBOF1Vig", "cc8f/gXBOF1Vi", "cc8f/gXBOF1 Vig", "Vig==V", "é"] {
            assert_eq!(TokenText::read(bad), TokenText::NotBase64, "{bad}");
        }
    }
}
