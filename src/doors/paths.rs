//! Paths of a list of routes: written with `{…}` for a segment of any kind, found by the segments of a request.

/// The segments of a request's path below its door; one slash at the end does not count.
pub(super) fn segments(path: &str) -> Vec<&str> {
    path.strip_suffix('/').unwrap_or(path).split('/').collect()
}

/// Whether a segment of a written path stands for any one.
pub(super) fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{')
}

/// How many segments of a written path are parameters.
pub(super) fn parameters_in(path: &str) -> usize {
    path.split('/').filter(|segment| is_parameter(segment)).count()
}

/// Whether a request's segments are those of a written path; an empty one matches no parameter.
pub(super) fn matches(path: &str, segments: &[&str]) -> bool {
    let mut given = segments.iter();
    let all = path.split('/').all(|wanted| {
        given.next().is_some_and(|segment| if is_parameter(wanted) { !segment.is_empty() } else { wanted == *segment })
    });
    all && given.next().is_none()
}

/// What stands in the parameters' places, decoded; nothing where one of them is not text.
pub(super) fn parameters(path: &str, segments: &[&str]) -> Option<Vec<String>> {
    path.split('/').zip(segments).filter(|(wanted, _)| is_parameter(wanted)).map(|(_, given)| decode(given)).collect()
}

/// Percent-decoding of one segment (RFC 3986, 2.1); nothing where the result is not UTF-8.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            byte => byte,
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_matches_segment_by_segment() {
        let found = |written: &str, path: &str| {
            let segments = segments(path);
            matches(written, &segments).then(|| parameters(written, &segments)).flatten()
        };
        assert_eq!(found("a/{b}/c", "a/%2Bx/c/"), Some(vec!["+x".to_owned()]));
        assert_eq!(found("", ""), Some(Vec::new()));
        for (written, path) in [("a/{b}", "a"), ("a/{b}", "a//"), ("a", "a/b"), ("a/{b}", "a/%ff"), ("a/{b}", "a/%2")] {
            assert_eq!(found(written, path), None, "{written} {path}");
        }
    }
}
