//! Who signs in: a phone number, a mailbox, or a user id that only the application's own verifier understands.

use std::fmt;

/// Who signs in. `Debug` shows nothing of it: addresses never reach a log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// 9 to 15 digits, without `+`.
    Phone(Box<str>),
    /// A mailbox, in lower case.
    Mail(Box<str>),
    /// Whatever the verifier understands.
    User(Box<str>),
}

impl Address {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Phone(text) | Self::Mail(text) | Self::User(text) => text,
        }
    }

    /// What kind it is, in the word of the API and the tables: `phone`, `email`, `user`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Phone(_) => "phone",
            Self::Mail(_) => "email",
            Self::User(_) => "user",
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(…)", self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Address::Phone("18005551234".into())), "phone(…)");
    }
}
