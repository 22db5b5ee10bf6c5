//! Multipart forms (RFC 7578), as far as clients of the first generation send fields so. Files are passed over.

use zeroize::Zeroizing;

use super::Value;

/// More fields than any request of this protocol has.
const MOST_PARTS: usize = 64;
/// Longest boundary with the two dashes before it (RFC 2046, 5.1.1).
const LONGEST_BOUNDARY: usize = 72;
const LINE_END: &[u8] = b"\r\n";

/// The fields of a body that begins with its boundary; nothing where it is none. The boundary is the body's own first line: content
/// types are not looked at.
pub(super) fn read(body: &[u8]) -> Option<Vec<(String, Value)>> {
    let (boundary, mut rest) = cut(body, LINE_END)?;
    if !boundary.starts_with(b"--") || !(3..=LONGEST_BOUNDARY).contains(&boundary.len()) {
        return None;
    }
    let delimiter = [LINE_END, boundary].concat();
    let mut fields = Vec::new();
    for _ in 0..MOST_PARTS {
        let (part, after) = cut(rest, &delimiter)?;
        fields.extend(field(part));
        if after.starts_with(b"--") {
            return Some(fields);
        }
        rest = after.strip_prefix(LINE_END)?;
    }
    None
}

/// One part; nothing where it is a file or has no name.
fn field(part: &[u8]) -> Option<(String, Value)> {
    let (head, value) = cut(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(head).ok()?;
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    if parameter(disposition, "filename").is_some() {
        return None;
    }
    let value = String::from_utf8_lossy(value).into_owned();
    Some((parameter(disposition, "name")?.to_owned(), Value::Text(Zeroizing::new(value))))
}

fn parameter<'a>(disposition: &'a str, wanted: &str) -> Option<&'a str> {
    disposition.split(';').skip(1).find_map(|one| {
        let (name, value) = one.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

/// What stands before and behind the first `mark`.
fn cut<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(disposition: &str, value: &str) -> String {
        format!("--b0undary\r\ncontent-disposition: form-data; {disposition}\r\nX-Other: 1\r\n\r\n{value}\r\n")
    }

    fn shown(body: &str) -> Option<Vec<(String, String)>> {
        let fields = read(body.as_bytes())?;
        Some(fields.into_iter().map(|(name, value)| (name, value.text().to_owned())).collect())
    }

    #[test]
    fn fields_are_read_and_files_passed_over() {
        let body = [
            part("name=\"op\"", "login"),
            part("name=photo; filename=\"x.png\"", "\u{1}\u{2}"),
            part("name=code", "12\r\n34"),
            String::from("--b0undary--\r\n"),
        ];
        let expected = [("op", "login"), ("code", "12\r\n34")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(shown(&body.concat()), Some(expected.to_vec()));
    }

    #[test]
    fn what_is_not_whole_is_nothing() {
        let whole = format!("{}--b0undary--", part("name=op", "login"));
        assert!(shown(&whole).is_some());
        for cut in 0..whole.len() {
            assert_eq!(shown(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(shown(&format!("{}--b0undary--", part("name=op", "x").repeat(65))), None);
        assert_eq!(shown(&part("name=op", "login").replace("b0undary", &"b".repeat(80))), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(body: Vec<u8>) {
            let _ = read(&[b"--b\r\n", body.as_slice(), b"\r\n--b--"].concat());
        }
    }
}
