//! Country codes of phone numbers (ITU-T E.164, list of assigned country codes).

/// Codes of one digit: zone 1, and zone 7.
const OF_ONE: [&str; 2] = ["1", "7"];
/// Codes of two digits; all others have three.
const OF_TWO: [&str; 44] = [
    "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51",
    "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86", "90",
    "91", "92", "93", "94", "95", "98",
];

/// The country code that a number begins with, whether or not it is assigned; none: the digits are too few.
pub fn code(digits: &str) -> Option<&str> {
    let begins = |n: usize| digits.get(..n);
    if let Some(one) = begins(1).filter(|one| OF_ONE.contains(one)) {
        return Some(one);
    }
    if let Some(two) = begins(2).filter(|two| OF_TWO.contains(two)) {
        return Some(two);
    }
    begins(3)
}

/// Whether a number may sign in: it begins with one of `allowed`, if there are any, and with none of `refused`.
pub fn may(digits: &str, allowed: &[String], refused: &[String]) -> bool {
    let begins = |with: &String| digits.starts_with(with.as_str());
    (allowed.is_empty() || allowed.iter().any(begins)) && !refused.iter().any(begins)
}

/// Whether this can be in such a list: a country code, or the beginning of a country's numbers (`1876`).
pub fn is_prefix(text: &str) -> bool {
    text.len() <= 7 && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') && code(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_countries() {
        for (number, country) in [
            ("18005551234", "1"),
            ("79161234567", "7"),
            ("4915112345678", "49"),
            ("390612345678", "39"),
            ("35312345678", "353"),
            ("420601123456", "420"),
            ("85212345678", "852"),
            ("971501234567", "971"),
            ("988121234567", "98"),
            ("998901234567", "998"),
            ("9811", "98"),
        ] {
            assert_eq!(code(number), Some(country), "{number}");
        }
        for short in ["", "4", "35"] {
            assert_eq!(code(short), None);
        }
    }

    #[test]
    fn lists_are_of_beginnings() {
        let list = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let table = [
            (&[][..], &[][..], true),
            (&["1"], &[], true),
            (&["49", "43"], &[], false),
            (&["1"], &["1876"], false),
            (&["1"], &["1829"], true),
            (&[], &["1"], false),
        ];
        for (allowed, refused, good) in table {
            assert_eq!(may("18765551234", &list(allowed), &list(refused)), good, "{allowed:?} {refused:?}");
        }
        for good in ["1", "49", "1876", "353"] {
            assert!(is_prefix(good), "{good}");
        }
        for wrong in ["", "4", "35", "+49", "049", "12345678", "4a"] {
            assert!(!is_prefix(wrong), "{wrong}");
        }
    }
}
