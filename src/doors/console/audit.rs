//! Who changed what.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use maud::{Markup, Render, html};

use super::call::{Answer, Call, page};
use super::filled::{Filled, words as line};
use crate::audit::{self, Entry, Filter, Via};
use crate::doors::site::pieces::{self, Table, Tone, badge, text};

const HERE: &str = "/console/audit";
/// Rows of a page.
const ROWS: i64 = 50;
/// Longest text that is looked for, in characters.
const LONGEST: usize = 255;

/// `GET /console/audit`
pub(super) async fn show(call: Call) -> Answer {
    let mut form = Filled::of("f", &call.query);
    let filter = read(&mut form);
    let after = form.optional("after", |text| text.parse().map_err(|_| "is not an id".into()));
    let found = audit::list(call.app(), &filter, after, ROWS).await?;
    let next = found.next.map(|id| call.next(HERE, &id.to_string()));
    let columns = [text("When (UTC)"), text("Who"), text("Way"), text("What"), text("To what"), text("Outcome")];
    let rows = found.entries.iter().map(row).collect();
    let empty = if next.is_some() {
        "Nothing that matches among the rows looked at; the next page looks further back."
    } else {
        "Nothing that matches."
    };
    let table = Table { caption: "Changes, newest first", columns: &columns, rows, empty };
    page(
        "Audit",
        &html! {
            p .quietly { "Every change that somebody asked for: over the API, on the command line, here, or on the node’s own machine. Refused ones too." }
            @if !form.is_right() { (pieces::alert("What could not be read is left out; see below.")) }
            (fields(&form))
            (table.render())
            (pieces::pager(call.first(HERE).as_deref(), next.as_deref()))
        },
    )
}

fn fields(form: &Filled<'_>) -> Markup {
    let ways: Vec<(&str, &str)> =
        [("", "Any")].into_iter().chain(Via::ALL.map(|via| (via.name(), words(via)))).collect();
    pieces::filter(
        HERE,
        &html! {
            (form.line("actor", "Who", "", ""))
            (form.choice("via", "Way", &ways, "", ""))
            (form.line("action", "What", "", ""))
            (form.line("subject", "To what", "", ""))
            (form.line("since", "Since", "", ""))
            (form.line("until", "Until", "", ""))
        },
    )
}

/// The filter; what could not be read is noted on the form, and left out.
fn read(form: &mut Filled<'_>) -> Filter {
    let via = |text: &str| Via::ALL.into_iter().find(|via| via.name() == text).ok_or_else(|| "is none of these".into());
    Filter {
        since: form.optional("since", moment),
        until: form.optional("until", moment),
        actor: form.optional("actor", line(LONGEST)),
        action: form.optional("action", line(LONGEST)),
        via: form.optional("via", via),
        subject: form.optional("subject", line(LONGEST)),
    }
}

/// A day, a day and a time, or a moment as the API has it.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let at = text.parse::<DateTime>().ok().and_then(|at| at.to_zoned(TimeZone::UTC).ok());
    at.map(|at| at.timestamp()).ok_or_else(|| "is not a moment in UTC, such as 2026-03-01 or 2026-03-01 14:30".into())
}

fn words(via: Via) -> &'static str {
    match via {
        Via::Api => "API",
        Via::Cli => "Command line",
        Via::Console => "Console",
        Via::Local => "On the machine",
    }
}

fn row(entry: &Entry) -> Vec<Markup> {
    let outcome = match entry.outcome {
        Some(status @ 200..400) => badge(Tone::Good, &format!("done ({status})")),
        Some(status @ 400..500) => badge(Tone::Warn, &format!("refused ({status})")),
        Some(status) => badge(Tone::Bad, &format!("failed ({status})")),
        None => badge(Tone::Warn, "not known"),
    };
    vec![
        pieces::time(entry.at),
        html! { (entry.actor) @if let Some(key) = entry.key { br; small .code title=(key) { "key …" (&key.to_string()[24..]) } } },
        html! { (words(entry.via)) },
        html! { code { (entry.action) } },
        html! { (entry.subject) },
        outcome,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doors::site::fields::Fields;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let at = |text: &str| Ok(text.parse::<Timestamp>().unwrap());
        assert_eq!(moment("2026-03-01"), at("2026-03-01T00:00:00Z"));
        assert_eq!(moment("2026-03-01 14:30"), at("2026-03-01T14:30:00Z"));
        assert_eq!(moment("2026-03-01T14:30:00Z"), at("2026-03-01T14:30:00Z"));
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn what_the_database_would_refuse_is_a_mistake_of_the_form() {
        let query = Fields::parse(b"actor=%00&subject=a%00b&via=mail&action=POST");
        let mut form = Filled::of("f", &query);
        let filter = read(&mut form);
        assert_eq!((filter.actor, filter.subject, filter.via, filter.action), (None, None, None, Some("POST".into())));
        assert!(fields(&form).into_string().matches("aria-invalid").count() == 3);
    }
}
