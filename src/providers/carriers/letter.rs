//! A code on its way to somebody, and the words it goes with; or, by mail, other words.

use jiff::Timestamp;
use uuid::Uuid;

use crate::codes::subject::Words;

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
    /// Of what: `textsecure`, or an application's id.
    pub service: &'a str,
    /// An application's own words.
    pub words: Option<&'a Words>,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// What it says, where it carries no code.
    pub notice: Option<Notice<'a>>,
}

/// A mail that carries no code.
#[derive(Clone, Copy)]
pub struct Notice<'a> {
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
        if self.notice.is_some() { "notice.email" } else { self.kind.name() }
    }

    /// As it is written. The clients of TextSecure look for exactly these words, and take the dash out.
    pub fn text(&self) -> String {
        if let Some(notice) = self.notice {
            return notice.text.to_owned();
        }
        if let Some(words) = self.words {
            return words.around(self.code);
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
        if let Some(notice) = self.notice {
            return notice.subject.to_owned();
        }
        let service = self.service_name().map(|name| format!("{name} ")).unwrap_or_default();
        format!("Your {service}verification code")
    }

    /// What people know it by.
    fn service_name(&self) -> Option<&str> {
        match (self.words, self.service) {
            (Some(words), _) => Some(&words.name),
            (None, "textsecure") => Some("TextSecure"),
            (None, "homing") => Some("Homing Space"),
            _ => None,
        }
    }
}

impl Words {
    /// The usual message.
    const USUAL: &'static str = "{code} is your {app} code.";

    /// The message with this code. What is put in is not looked through for more to put in.
    fn around(&self, code: &str) -> String {
        let mut rest = if self.text.is_empty() { Self::USUAL } else { &self.text };
        let mut text = String::with_capacity(rest.len() + code.len() + self.name.len());
        while let Some(at) = rest.find('{') {
            text.push_str(&rest[..at]);
            rest = &rest[at..];
            let (put, gap) = match rest {
                _ if rest.starts_with("{code}") => (code, "{code}".len()),
                _ if rest.starts_with("{app}") => (self.name.as_str(), "{app}".len()),
                _ => ("{", 1),
            };
            text.push_str(put);
            rest = &rest[gap..];
        }
        text.push_str(rest);
        text
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
        words: None,
        expires_at: Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(600),
        now: Timestamp::UNIX_EPOCH,
        notice: None,
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

    #[test]
    fn an_application_has_words_of_its_own() {
        let around = |name: &str, text: &str| {
            let words = Words { name: name.into(), text: text.into() };
            let letter = Letter { service: "com.example.app", words: Some(&words), ..of_tests() };
            [letter.text(), letter.spoken(), letter.subject()].join("\n")
        };
        insta::assert_snapshot!(around("Shop", ""), @r"
        123456 is your Shop code.
        Your Shop verification code is: 1, 2, 3, 4, 5, 6.
        Your Shop verification code
        ");
        insta::assert_snapshot!(around("{code}", "<#> {app}: {code} {x}\n@shop.example #{code}"), @r"
        <#> {code}: 123456 {x}
        @shop.example #123456
        Your {code} verification code is: 1, 2, 3, 4, 5, 6.
        Your {code} verification code
        ");
    }
}
