//! Who changed what.

use jiff::Timestamp;
use maud::{Markup, Render, html};

use super::call::{Answer, Call, page};
use crate::audit::{self, Entry, Filter, Via};
use crate::doors::site::fields::Fields;
use crate::doors::site::pieces::{self, Table, Tone, badge, choice, field, text};

const HERE: &str = "/console/audit";
/// Rows of a page.
const ROWS: i64 = 50;

/// `GET /console/audit`
pub(super) async fn show(call: Call) -> Answer {
    let (filter, mistake) = read(&call.query);
    let after = call.query.filled("after").and_then(|text| text.parse().ok());
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
            @if let Some(words) = mistake { (pieces::alert(words)) }
            (form(&call.query))
            (table.render())
            (pieces::pager(call.first(HERE).as_deref(), next.as_deref()))
        },
    )
}

fn form(query: &Fields) -> Markup {
    let ways: Vec<(&str, &str)> =
        [("", "Any")].into_iter().chain(Via::ALL.map(|via| (via.name(), words(via)))).collect();
    pieces::filter(
        HERE,
        &html! {
            (field("actor", "Who", query.get("actor"), ""))
            (choice("via", "Way", &ways, query.get("via")))
            (field("action", "What", query.get("action"), ""))
            (field("subject", "To what", query.get("subject"), ""))
            (field("since", "Since", query.get("since"), ""))
            (field("until", "Until", query.get("until"), ""))
        },
    )
}

/// The filter, and words for what could not be read and is left out.
fn read(query: &Fields) -> (Filter, Option<&'static str>) {
    let own = |name: &str| query.filled(name).map(str::to_owned);
    let (since, until) = (moment(query, "since"), moment(query, "until"));
    let mistake = (since.is_err() || until.is_err())
        .then_some("“Since” and “Until” are moments in UTC, such as 2026-03-01 or 2026-03-01 14:30.");
    let via = Via::ALL.into_iter().find(|via| via.name() == query.get("via"));
    let filter = Filter {
        since: since.unwrap_or_default(),
        until: until.unwrap_or_default(),
        actor: own("actor"),
        action: own("action"),
        via,
        subject: own("subject"),
    };
    (filter, mistake)
}

/// A day, a day and a time, or a moment as the API has it.
fn moment(query: &Fields, name: &str) -> Result<Option<Timestamp>, ()> {
    let Some(text) = query.filled(name) else { return Ok(None) };
    if let Ok(at) = text.parse() {
        return Ok(Some(at));
    }
    let at: jiff::civil::DateTime = text.parse().map_err(|_| ())?;
    Ok(Some(at.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| ())?.timestamp()))
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
        html! { (entry.actor) },
        html! { (words(entry.via)) },
        html! { code { (entry.action) } },
        html! { (entry.subject) },
        outcome,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let read = |text: &str| moment(&Fields::parse(format!("since={text}").as_bytes()), "since");
        let at = |text: &str| Ok(Some(text.parse::<Timestamp>().unwrap()));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("2026-03-01"), at("2026-03-01T00:00:00Z"));
        assert_eq!(read("2026-03-01+14:30"), at("2026-03-01T14:30:00Z"));
        assert_eq!(read("2026-03-01T14:30:00Z"), at("2026-03-01T14:30:00Z"));
        assert_eq!(read("yesterday"), Err(()));
    }
}
