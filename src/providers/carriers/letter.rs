//! A code on its way to somebody, and the words it goes with; or, by mail, other words.

use jiff::Timestamp;
use uuid::Uuid;

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A short message.
    Sms,
    /// A call that speaks.
    Voice,
    /// Mail.
    Email,
}

/// A code for somebody. It has no `Debug`: number and code are nobody else's business.
pub struct Letter<'a> {
    /// How it goes.
    pub kind: Kind,
    /// The same with every try, so that who takes it knows a repeat.
    pub id: Uuid,
    /// A number with `+`, or a mailbox.
    pub to: &'a str,
    /// Digits; none where it says something else.
    pub code: &'a str,
    /// Of what: `textsecure`.
    pub service: &'a str,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// What it says, where it carries no code.
    pub words: Option<Words<'a>>,
}

/// A mail that carries no code.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    /// Its subject.
    pub subject: &'a str,
    /// Its text, in lines.
    pub text: &'a str,
}

impl Kind {
    /// As in a webhook's `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sms => "code.sms",
            Self::Voice => "code.voice",
            Self::Email => "code.email",
        }
    }
}

impl Letter<'_> {
    /// As in a webhook's `type`.
    pub(super) fn type_name(&self) -> &'static str {
        if self.words.is_some() { "notice.email" } else { self.kind.name() }
    }

    /// As it is written. The clients of TextSecure look for exactly these words, and take the dash out.
    pub fn text(&self) -> String {
        if let Some(words) = self.words {
            return words.text.to_owned();
        }
        match (self.service_name(), self.code.split_at_checked(3)) {
            (Some(service), Some((first, rest))) => format!("Your {service} verification code: {first}-{rest}"),
            (Some(service), None) => format!("Your {service} verification code: {}", self.code),
            (None, _) => format!("Your verification code: {}", self.code),
        }
    }

    /// As it is spoken: each digit by itself.
    pub(super) fn spoken(&self) -> String {
        let digits: Vec<String> = self.code.chars().map(String::from).collect();
        let service = self.service_name().map(|name| format!("{name} ")).unwrap_or_default();
        format!("Your {service}verification code is: {}.", digits.join(", "))
    }

    /// A mail's subject: without the code, which lock screens would show.
    pub(super) fn subject(&self) -> String {
        if let Some(words) = self.words {
            return words.subject.to_owned();
        }
        let service = self.service_name().map(|name| format!("{name} ")).unwrap_or_default();
        format!("Your {service}verification code")
    }

    /// What people know it by.
    fn service_name(&self) -> Option<&'static str> {
        match self.service {
            "textsecure" => Some("TextSecure"),
            "homing" => Some("Homing Space"),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(super) fn of_tests() -> Letter<'static> {
    Letter {
        kind: Kind::Sms,
        id: Uuid::nil(),
        to: "+14155550101",
        code: "123456",
        service: "textsecure",
        expires_at: Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(600),
        now: Timestamp::UNIX_EPOCH,
        words: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_clients_look_for() {
        let letter = of_tests();
        assert_eq!(letter.text(), "Your TextSecure verification code: 123-456");
        assert_eq!(letter.spoken(), "Your TextSecure verification code is: 1, 2, 3, 4, 5, 6.");
        assert_eq!(letter.subject(), "Your TextSecure verification code");
        let other = Letter { service: "other", ..of_tests() };
        assert_eq!(other.text(), "Your verification code: 123456");
        assert_eq!(other.spoken(), "Your verification code is: 1, 2, 3, 4, 5, 6.");
    }
}
