//! Display names.
//!
//! A peer's name is made harmless and never refused: it is outside every hash and only shown beside the address. A name of our own
//! account is refused when it is not right, because other nodes fail on it in worse ways (a PHP receiver answers HTTP 500 to more
//! than 40 characters, after the code is burnt).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// Longest name, in characters.
const LONGEST: usize = 40;

/// 1–40 characters, trimmed, without control characters and without characters that turn or hide text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DisplayName(Box<str>);

/// Why a text is no name for an account of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing visible.
    #[error("a name is missing")]
    Empty,
    /// More than 40 characters.
    #[error("a name has at most 40 characters, this has {0}")]
    TooLong(usize),
    /// Line breaks, control characters, or characters that turn or hide text.
    #[error("a name has no line breaks, control characters or characters that change the direction of writing")]
    Unprintable,
}

impl DisplayName {
    /// A peer's name made harmless: offending characters dropped (line breaks and tabs become spaces), cut to 40 characters.
    /// `None` when nothing is left.
    pub fn from_peer(text: &str) -> Option<Self> {
        let spaced = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !is_unprintable(*c));
        let shown: String = spaced.skip_while(|c| *c == ' ').take(LONGEST).collect();
        let shown = shown.trim_end();
        (!shown.is_empty()).then(|| Self(shown.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DisplayName {
    type Err = NameError;

    /// For our own accounts: refuses what [`from_peer`](Self::from_peer) would mend.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        let length = text.chars().count();
        if text.is_empty() {
            Err(NameError::Empty)
        } else if length > LONGEST {
            Err(NameError::TooLong(length))
        } else if text.chars().any(is_unprintable) {
            Err(NameError::Unprintable)
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl<'de> Deserialize<'de> for DisplayName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for DisplayName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Controls, line separators, direction marks (UAX #9), and what is never visible. The joiners stay: emoji and Persian need them.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2065}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_peers_name_is_made_harmless() {
        let from = |text: &str| DisplayName::from_peer(text).map(|name| name.as_str().to_owned());
        assert_eq!(from("  Käse & Wein 🧀 ").as_deref(), Some("Käse & Wein 🧀"));
        assert_eq!(from("a\u{202e}b\u{0}c\nd").as_deref(), Some("abc d"));
        assert_eq!(from(&"é".repeat(50)), Some("é".repeat(40)));
        assert_eq!(from(&format!("{} b", "a".repeat(39))), Some("a".repeat(39)));
        assert_eq!(from(" \u{200b}\u{feff}\t"), None);
        assert_eq!(from("<script>").as_deref(), Some("<script>"), "escaping is the page's business");
    }

    #[test]
    fn our_own_name_is_refused_in_words() {
        assert_eq!(" Shop ".parse::<DisplayName>().unwrap().as_str(), "Shop");
        assert_eq!("".parse::<DisplayName>(), Err(NameError::Empty));
        assert_eq!("a".repeat(41).parse::<DisplayName>(), Err(NameError::TooLong(41)));
        assert_eq!("a\nb".parse::<DisplayName>(), Err(NameError::Unprintable));
        assert_eq!("a\u{2066}b".parse::<DisplayName>(), Err(NameError::Unprintable));
    }

    proptest! {
        #[test]
        fn what_was_mended_is_right(text: String) {
            if let Some(name) = DisplayName::from_peer(&text) {
                prop_assert_eq!(name.as_str().parse::<DisplayName>(), Ok(name.clone()));
            }
        }
    }
}
