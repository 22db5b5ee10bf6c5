//! `Retry-After` (RFC 9110, 10.2.3): a number of seconds, or a date in any of the three forms of 5.6.7.

use std::time::Duration;

use http::{HeaderMap, header};
use jiff::Timestamp;

/// No wait is longer: whoever asks for more is asked again after a week.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// How long a peer asks to be left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// For so long from its answer on.
    For(Duration),
    /// Until this moment.
    Until(Timestamp),
}

impl RetryAfter {
    /// Of an answer; `None` also where the header says nothing that can be understood.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(header::RETRY_AFTER)?.to_str().ok()?)
    }

    /// From the header's value.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than a number holds are a very long time; less than nothing is none.
            let seconds = if negative { 0 } else { digits.parse().unwrap_or(u64::MAX) };
            return Some(Self::For(Duration::from_secs(seconds)));
        }
        let moment = httpdate::parse_http_date(text).ok()?;
        Timestamp::try_from(moment).ok().map(Self::Until)
    }

    /// The wait from `now` on, 0 to 7 days.
    pub fn wait(self, now: Timestamp) -> Duration {
        let wait = match self {
            Self::For(wait) => wait,
            Self::Until(moment) => Duration::try_from(moment.duration_since(now)).unwrap_or_default(),
        };
        wait.min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seconds_and_the_three_forms_of_dates() {
        // 6 November 1994, 08:49:07: half a minute before the example of RFC 9110, 5.6.7.
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
        let table = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("-5", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:49:06 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(7 * 86_400)),
            ("604801", Some(7 * 86_400)),
            ("99999999999999999999999999", Some(7 * 86_400)),
            ("", None),
            ("-", None),
            ("soon", None),
            ("1.5", None),
            ("+5", None),
            ("5 s", None),
            ("Sun, 31 Feb 1994 08:49:37", None),
            ("1994-11-06T08:49:37Z", None),
        ];
        for (text, seconds) in table {
            let wait = RetryAfter::parse(text).map(|after| after.wait(now));
            assert_eq!(wait, seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text: String) {
            if let Some(after) = RetryAfter::parse(&text) {
                prop_assert!(after.wait(Timestamp::UNIX_EPOCH) <= LONGEST);
            }
        }
    }
}
