//! How states, times and links are said on all pages.

use std::fmt::Display;

use jiff::Timestamp;
use maud::{Markup, html};
use url::form_urlencoded::{Serializer, byte_serialize};
use uuid::Uuid;

use crate::books::State;
use crate::doors::site::pieces::{Tone, badge};

/// The state of a delivery.
pub(super) fn state(state: State) -> Markup {
    let tone = match state {
        State::Delivered => Tone::Good,
        State::Failed | State::Expired => Tone::Bad,
        State::Retrying | State::Unconfirmed => Tone::Warn,
        State::Pending | State::Sending | State::Cancelled => Tone::Plain,
    };
    badge(tone, state.name())
}

/// Yes or no.
pub(super) fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// Something that need not be there.
pub(super) fn maybe(text: Option<&str>) -> Markup {
    match text {
        Some(text) => html! { (text) },
        None => html! { span .quietly { "–" } },
    }
}

/// A moment that need not be there.
pub(super) fn moment(at: Option<Timestamp>) -> Markup {
    match at {
        Some(at) => crate::doors::site::pieces::time(at),
        None => maybe(None),
    }
}

/// How long a time is, in its largest unit or two: `3 h 20 min`.
pub(super) fn lasting(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let two = |first: i64, unit: &str, second: i64, smaller: &str| match second {
        0 => format!("{first} {unit}"),
        _ => format!("{first} {unit} {second} {smaller}"),
    };
    match seconds {
        ..60 => format!("{} s", seconds.max(0)),
        60..3600 => two(minutes, "min", seconds % 60, "s"),
        3600..86_400 => two(hours, "h", minutes, "min"),
        _ => two(days, "d", hours, "h"),
    }
}

/// How long something has been so.
pub(super) fn since(at: Timestamp, now: Timestamp) -> String {
    lasting(now.as_second() - at.as_second())
}

/// A short time, measured.
pub(super) fn took(ms: i32) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { format!("{:.1} s", f64::from(ms) / 1000.0) }
}

/// A large number with spaces between its thousands.
pub(super) fn count(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut said = String::from(if n < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            said.push('\u{202f}');
        }
        said.push(digit);
    }
    said
}

/// So many deliveries.
pub(super) fn deliveries(n: i64) -> String {
    if n == 1 { "1 delivery".into() } else { format!("{} deliveries", count(n)) }
}

/// A rate as it was set.
pub(super) fn rate(rate: Option<impl Display>) -> String {
    rate.map_or_else(|| "no limit".to_owned(), |rate| format!("{rate} a second"))
}

/// How far something is, with the words beside it.
pub(super) fn progress(done: i64, of: i64, label: &str) -> Markup {
    let (done, of) = (done.max(0), of.max(1));
    let percent = (done.min(of) * 100) / of;
    html! {
        progress value=(done.min(of)) max=(of) aria-label=(label) { (percent) " %" }
        " " small { (percent) " %" }
    }
}

/// A part that the page's script brings up to date as long as somebody looks; `name` is its own on the page.
pub(super) fn live(name: &str, part: &Markup) -> Markup {
    html! { div data-live=(name) data-again { (part) } }
}

/// A link to something with an id, of which the end is shown: ids of one time begin alike.
pub(super) fn id_link(path: &str, id: Uuid) -> Markup {
    let text = id.to_string();
    html! { a .code href={ (path) "/" (text) } title=(text) { "…" (&text[text.len() - 12..]) } }
}

/// A path and a query; fields without a value are left out.
pub(super) fn link(path: &str, fields: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(fields.iter().filter(|(_, value)| !value.is_empty()));
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// A text as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_said_for_people() {
        let said = [-3, 0, 59, 60, 61, 3600, 12_000, 90_000].map(lasting);
        assert_eq!(said, ["0 s", "0 s", "59 s", "1 min", "1 min 1 s", "1 h", "3 h 20 min", "1 d 1 h"]);
        assert_eq!([999, 1000, 1_234_567].map(count), ["999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
        assert_eq!((took(9_999), took(12_340)), ("9999 ms".into(), "12.3 s".into()));
        assert_eq!((rate(Some(0.3_f32)), rate(Some(2.0_f64))), ("0.3 a second".into(), "2 a second".into()));
    }

    #[test]
    fn texts_of_others_stay_one_segment_and_one_value() {
        assert_eq!(segment("a/b ?&+<ä"), "a%2Fb%20%3F%26%2B%3C%C3%A4");
        assert_eq!(link("/x", &[("a", "1&b=2"), ("c", "")]), "/x?a=1%26b%3D2");
        assert_eq!(link("/x", &[("c", "")]), "/x");
    }
}
