//! Fuzz targets of what people type when they sign in.

use super::{Address, country, parse};
use crate::fuzzing::text;

/// Numbers, mailboxes, user ids; whatever a country is written like.
pub(crate) fn typed(data: &[u8]) {
    let text = text(data);
    for (read, most) in [(parse::phone as fn(&str) -> Option<Address>, 15), (parse::mail, 254), (parse::user, 255)] {
        let Some(address) = read(text) else { continue };
        assert!(read(address.as_str()).is_some_and(|again| again == address), "one person with two addresses");
        assert!((1..=most).contains(&address.as_str().len()) && !address.as_str().chars().any(char::is_control));
        assert_eq!(format!("{address:?}"), format!("{}(…)", address.kind()));
    }
    if let Some(Address::Phone(digits)) = parse::phone(text) {
        assert!(country::code(&digits).is_none_or(|code| digits.starts_with(code)));
        assert!(!country::may(&digits, &[], &[digits.to_string()]), "a country that is refused");
    }
    let _ = country::is_prefix(text);
}
