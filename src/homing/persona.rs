//! Names of personas.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A persona's name: a letter, then 2 to 31 letters, digits, `_` or `-`, all ASCII, so that no name looks like another by a
/// letter of a foreign script. Upper-case letters are taken as lower-case ones: a name is one hub-wide whatever its case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Persona(Box<str>);

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a persona's name has 3 to 32 characters: a letter first, then letters, digits, _ or -")]
pub struct BadPersona;

impl Persona {
    /// From what somebody typed; blanks around it do not count.
    pub fn parse(text: &str) -> Result<Self, BadPersona> {
        let name = text.trim_matches([' ', '\t', '\r', '\n']);
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_name =
            (3..=32).contains(&name.len()) && name.as_bytes()[0].is_ascii_alphabetic() && name.bytes().all(good);
        if is_name { Ok(Self(name.to_ascii_lowercase().into())) } else { Err(BadPersona) }
    }

    /// The name, lower-case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Persona {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Persona {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Persona {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_ascii_and_of_some_length() {
        let name = |text: &str| Persona::parse(text).map(|name| name.0.into_string());
        assert_eq!(name("alice"), Ok("alice".into()));
        assert_eq!(name(" Alice_B-2\r\n"), Ok("alice_b-2".into()));
        assert_eq!(name(&"a".repeat(32)), Ok("a".repeat(32)));
        for bad in ["", "ab", "1abc", "_abc", "al ice", "alicé", "аlice", "a.b.c", &"a".repeat(33)] {
            assert_eq!(name(bad), Err(BadPersona), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed(text in ".*") {
            if let Ok(name) = Persona::parse(&text) {
                prop_assert_eq!(Persona::parse(name.as_str()), Ok(name));
            }
        }
    }
}
