//! What somebody typed, into an [`Address`].
//!
//! Clients write numbers as they please: with `+`, noughts before the country, blanks and dashes. All of these are one address, so
//! that limits are not escaped by spelling.

use super::Address;

/// Shortest phone number, in digits: that of mesibo's own back end.
const SHORTEST_PHONE: usize = 9;
/// Longest phone number, in digits (E.164).
const LONGEST_PHONE: usize = 15;
/// Longest mail address (RFC 5321, 4.5.3.1.3, without the brackets).
const LONGEST_MAIL: usize = 254;
/// Longest part before the `@` (RFC 5321, 4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;
/// Longest user id.
const LONGEST_USER: usize = 255;
/// What people put between digits, beside blanks.
const BETWEEN: [char; 5] = ['-', '.', '(', ')', '/'];

/// A phone number: everything but digits and noughts at its beginning is taken away, 9 to 15 digits are left. Letters make it none:
/// what is not a number must not become one.
pub fn phone(text: &str) -> Option<Address> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{b1}');
    // Longer ones are not worth a look: the longest is 15 digits with something between all of them.
    if text.len() > 64
        || text.chars().any(|c| !(c.is_ascii_digit() || c == '+' || c.is_whitespace() || BETWEEN.contains(&c)))
    {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    (SHORTEST_PHONE..=LONGEST_PHONE).contains(&digits.len()).then(|| Address::Phone(digits.into()))
}

/// A mailbox: blanks around it are taken away, and it is written small, also before the `@`: keyboards write the first letter large,
/// and no mail server that matters tells the two apart. Only what every one takes: ASCII, no quotes.
pub fn mail(text: &str) -> Option<Address> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    let dots = |text: &str| text.starts_with('.') || text.ends_with('.') || text.contains("..");
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let good = text.len() <= LONGEST_MAIL
        && (1..=LONGEST_LOCAL).contains(&local.len())
        && local.bytes().all(atom)
        && !dots(local)
        && domain.contains('.')
        && domain.split('.').all(label);
    good.then(|| Address::Mail(text.to_ascii_lowercase().into()))
}

/// A user id: what the application's own verifier understands, without blanks around it and without control characters.
pub fn user(text: &str) -> Option<Address> {
    let text = text.trim();
    let good = (1..=LONGEST_USER).contains(&text.len()) && !text.chars().any(char::is_control);
    good.then(|| Address::User(text.into()))
}

/// Everything that this could be, for an operator who does not say which.
pub fn all(text: &str) -> Vec<Address> {
    [phone(text), mail(text), user(text)].into_iter().flatten().collect()
}

/// Whether this is how a setting spells that address.
pub(super) fn same(text: &str, address: &Address) -> bool {
    all(text).contains(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_a_number_are_one_address() {
        let spellings = [
            "18005551234",
            "+18005551234",
            " +0018005551234 ",
            "0018005551234",
            "+1 (800) 555-12.34",
            "\n18005551234\t",
        ];
        for spelling in spellings {
            assert_eq!(phone(spelling), Some(Address::Phone("18005551234".into())), "{spelling:?}");
        }
    }

    #[test]
    fn numbers_have_9_to_15_digits() {
        for good in ["123456789", "123456789012345"] {
            assert!(phone(good).is_some(), "{good}");
        }
        for wrong in ["", "+", "12345678", "1234567890123456", "not-a-phone", "18005551234x", "١٢٣٤٥٦٧٨٩٠", "000000000"]
        {
            assert!(phone(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_mailbox_is_written_small() {
        assert_eq!(mail(" Ann.Lee+x@Mail.EXAMPLE "), Some(Address::Mail("ann.lee+x@mail.example".into())));
        let long = format!("{}@mail.example", "a".repeat(65));
        for wrong in [
            "",
            "@",
            "a@",
            "@b.example",
            "a@b",
            "a b@c.example",
            "a@b..example",
            ".a@b.example",
            "a@-b.example",
            "a\r\n@b.example",
            "ä@b.example",
            &long,
        ] {
            assert!(mail(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_user_id_is_anything_printable() {
        assert_eq!(user(" ann "), Some(Address::User("ann".into())));
        assert!(user("uid=ann,dc=example").is_some());
        for wrong in ["", " ", "a\nb", "a\0b", &"x".repeat(256)] {
            assert!(user(wrong).is_none());
        }
    }

    proptest! {
        #[test]
        fn what_comes_out_goes_in_again(text in "\\PC{0,40}") {
            if let Some(address) = phone(&text) { prop_assert_eq!(phone(address.as_str()), Some(address)); }
            if let Some(address) = mail(&text) { prop_assert_eq!(mail(address.as_str()), Some(address)); }
            if let Some(address) = user(&text) { prop_assert_eq!(user(address.as_str()), Some(address)); }
        }
    }
}
