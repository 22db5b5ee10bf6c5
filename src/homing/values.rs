//! What users give: values of scopes, checked. They are said by the user; nobody verified them.

use icu_normalizer::ComposingNormalizerBorrowed;

/// A value that cannot be taken: too long, not of its scope's form, or with control characters. What it was is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a value of this scope")]
pub struct BadValue;

/// The value as it is kept: in Unicode's composed form (NFC), without blanks around it. Empty stays empty: the caller knows
/// whether that will do. Lengths are counted in characters.
pub fn take(scope: &str, value: &str) -> Result<String, BadValue> {
    let value = ComposingNormalizerBorrowed::new_nfc().normalize(value.trim()).into_owned();
    if value.is_empty() {
        return Ok(value);
    }
    let good = !value.chars().any(char::is_control)
        && match scope {
            "fullname" => shorter(&value, 200),
            "email" | "email1" | "email2" => shorter(&value, 254) && is_mail(&value),
            "phone1" | "phone2" => is_phone(&value),
            "birthday" => is_date(&value),
            "avatarurl" => shorter(&value, 2048) && is_https(&value),
            "address" => shorter(&value, 1000),
            _ => shorter(&value, 2000),
        };
    if good { Ok(value) } else { Err(BadValue) }
}

fn shorter(value: &str, longest: usize) -> bool {
    value.chars().count() <= longest
}

fn is_mail(value: &str) -> bool {
    let parts = value.split_once('@');
    parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
        && !value.contains(char::is_whitespace)
}

fn is_phone(value: &str) -> bool {
    let digits = value.strip_prefix('+').unwrap_or(value);
    (9..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_date(value: &str) -> bool {
    value.len() == 10 && value.as_bytes()[4] == b'-' && value.parse::<jiff::civil::Date>().is_ok()
}

fn is_https(value: &str) -> bool {
    value.starts_with("https://") && url::Url::parse(value).is_ok_and(|url| url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_have_the_form_of_their_scope() {
        let long = |n: usize| "é".repeat(n);
        for (scope, value, good) in [
            ("fullname", "Alice O’Neil", true),
            ("fullname", &long(200), true),
            ("fullname", &long(201), false),
            ("fullname", "a\nb", false),
            ("fullname", "a\u{7f}b", false),
            ("email", "a@b.example", true),
            ("email", "a@b@c", false),
            ("email2", "nobody", false),
            ("email1", "@b", false),
            ("email1", "a b@c", false),
            ("phone1", "+491701234567", true),
            ("phone2", "491701234", true),
            ("phone1", "12345678", false),
            ("phone1", "+49 170 1234567", false),
            ("birthday", "1990-02-28", true),
            ("birthday", "1990-02-30", false),
            ("birthday", "19900228", false),
            ("birthday", "28.02.1990", false),
            ("avatarurl", "https://a.example/b.png", true),
            ("avatarurl", "http://a.example/b.png", false),
            ("avatarurl", "javascript:alert(1)", false),
            ("address", "Street 1, 12345 Town", true),
            ("shop_size", &long(2000), true),
            ("shop_size", &long(2001), false),
        ] {
            assert_eq!(take(scope, value).is_ok(), good, "{scope}: {value}");
        }
    }

    #[test]
    fn values_are_kept_composed() {
        assert_eq!(take("fullname", " e\u{301} ").as_deref(), Ok("é"));
        assert_eq!(take("email", "  ").as_deref(), Ok(""));
    }

    proptest! {
        #[test]
        fn whatever_arrives(scope in "fullname|email|phone1|birthday|avatarurl|x", value in ".{0,60}") {
            if let Ok(taken) = take(&scope, &value) {
                prop_assert_eq!(take(&scope, &taken), Ok(taken));
            }
        }
    }
}
