//! What is looked for: one box that understands most things, and a field for each; into the books' filter.

use std::time::{Duration, Instant};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use uuid::Uuid;

use super::super::call::{Call, Turned};
use super::super::filled::{Filled, parsed, words};
use super::meant::{Meant, found_by, meant};
use crate::books::{Filter, State, Status};
use crate::campaigns;
use crate::openmsg::Address;

/// Longest destination, code, or text of the box, in characters.
const LONGEST: usize = 255;
/// Longest tag, and name of a sender.
const LONGEST_WORD: usize = 64;
/// Words of the box that are looked at.
const MOST_WORDS: usize = 8;
/// How long words of the box may be looked up, and how long is waited for room to do so.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where what is worth repeating is.
pub(in crate::doors::console) const DEAD: &str = "failed,expired,unconfirmed";
const STATES: [(&str, &str); 11] = [
    ("", "any"),
    ("pending,sending,retrying", "under way (pending, sending, retrying)"),
    (DEAD, "dead letters (failed, expired, unconfirmed)"),
    ("pending", "pending"),
    ("sending", "sending"),
    ("retrying", "retrying"),
    ("delivered", "delivered"),
    ("failed", "failed"),
    ("expired", "expired"),
    ("unconfirmed", "unconfirmed"),
    ("cancelled", "cancelled"),
];

/// What came of a search's fields.
pub(super) struct Search {
    /// What to look for.
    pub(super) filter: Filter,
    /// It names one delivery.
    pub(super) one: Option<Uuid>,
}

/// Reads the fields of a filter, as the API names them; what is wrong is noted on the form.
pub(in crate::doors::console) fn read_fields(form: &mut Filled<'_>, domain: &str, now: Timestamp) -> Filter {
    let moment = |text: &str| moment(text, now);
    Filter {
        destination: form.optional("destination", words(LONGEST)),
        states: form.optional("state", states).unwrap_or_default(),
        status: form.optional("status", parsed::<Status>),
        code: form.optional("code", words(LONGEST)),
        campaign: form.optional("campaign", |text| text.parse().map_err(|_| "is not an id".into())),
        tag: form.optional("tag", words(LONGEST_WORD)),
        from: form.optional("from", |text| Address::of_ours(text, domain)).map(|address| address.to_string()),
        to: form.optional("to", parsed::<Address>).map(|address| address.to_string()),
        sender: form.optional("sender", words(LONGEST_WORD)),
        since: form.optional("since", moment),
        until: form.optional("until", moment),
    }
}

/// Reads the box as well.
pub(super) async fn read(call: &Call, form: &mut Filled<'_>) -> Result<Search, Turned> {
    let app = call.app();
    let filter = read_fields(form, &app.config.domain, app.clock.now());
    let mut search = Search { filter, one: None };
    let Some(text) = form.optional("q", words(LONGEST)) else { return Ok(search) };
    let begun = Instant::now();
    let mut room = None;
    for word in text.split_whitespace().take(MOST_WORDS) {
        let meant = match meant(word, &app.config.domain) {
            Meant::Word(_) if begun.elapsed() >= PATIENCE => {
                form.mistake(
                    "q",
                    "holds more words than could be looked up in time; say what each is, as in tag:spring",
                );
                break;
            }
            Meant::Word(word) => {
                if room.is_none() {
                    room = Some(app.db.room_to_look(PATIENCE).await.ok_or_else(Turned::busy)?);
                }
                found_by(call, &word).await?
            }
            meant => meant,
        };
        search.take(call, meant).await?;
    }
    Ok(search)
}

impl Search {
    async fn take(&mut self, call: &Call, meant: Meant) -> Result<(), Turned> {
        let filter = &mut self.filter;
        match meant {
            Meant::Id(id) if campaigns::find(call.app(), id, None).await?.is_some() => filter.campaign = Some(id),
            Meant::Id(id) => self.one = Some(id),
            Meant::Campaign(id) => filter.campaign = Some(id),
            Meant::From(address) => filter.from = Some(address),
            Meant::To(address) => filter.to = Some(address),
            Meant::State(state) => filter.states.push(state),
            Meant::Status(status) => filter.status = Some(status),
            Meant::Destination(name) => filter.destination = Some(name),
            Meant::Code(code) => filter.code = Some(code),
            Meant::Sender(sender) => filter.sender = Some(sender),
            Meant::Tag(word) | Meant::Word(word) => filter.tag = Some(word),
        }
        Ok(())
    }
}

fn states(text: &str) -> Result<Vec<State>, String> {
    let mut states: Vec<State> = Vec::new();
    for word in text.split(',') {
        let state = State::from_name(word.trim()).ok_or_else(|| format!("holds \"{word}\", which is no state"))?;
        if !states.contains(&state) {
            states.push(state);
        }
    }
    Ok(states)
}

/// A moment: RFC 3339, a date, a date and a time (in UTC), or so long ago: `30m`, `2h`, `3d`.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let ago = |unit: char, seconds: i64| {
        let number: i64 =
            text.strip_suffix(unit)?.trim().parse().ok().filter(|number| (0..=100_000).contains(number))?;
        now.checked_sub(SignedDuration::from_secs(number * seconds)).ok()
    };
    let relative = ago('m', 60).or_else(|| ago('h', 3600)).or_else(|| ago('d', 86_400));
    let written = || {
        let civil = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
        text.parse().ok().or_else(|| civil().map(|zoned| zoned.timestamp()))
    };
    let sensible = |at: &Timestamp| (0..=253_402_300_799).contains(&at.as_second());
    let words =
        || "is not a time, such as 2026-11-21 09:30 (UTC), 2026-11-21T09:30:00Z, or 2h for two hours ago".into();
    relative.or_else(written).filter(sensible).ok_or_else(words)
}

/// A filter as the fields of a query or a form.
pub(in crate::doors::console) fn pairs(filter: &Filter) -> Vec<(&'static str, String)> {
    let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
    let all = [
        ("destination", filter.destination.clone()),
        ("state", Some(states.join(",")).filter(|states| !states.is_empty())),
        ("status", filter.status.map(String::from)),
        ("code", filter.code.clone()),
        ("campaign", filter.campaign.map(|id| id.to_string())),
        ("tag", filter.tag.clone()),
        ("from", filter.from.clone()),
        ("to", filter.to.clone()),
        ("sender", filter.sender.clone()),
        ("since", filter.since.map(|at| at.to_string())),
        ("until", filter.until.map(|at| at.to_string())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A filter as a link to `path`.
pub(in crate::doors::console) fn link(path: &str, filter: &Filter) -> String {
    let pairs = pairs(filter);
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    super::super::words::link(path, &pairs)
}

/// What is looked for, in words.
pub(in crate::doors::console) fn said(filter: &Filter) -> Markup {
    let name = |name: &str| {
        match name {
            "since" => "accepted since",
            "until" => "accepted before",
            _ => return name.to_owned(),
        }
        .to_owned()
    };
    html! {
        ul .chips aria-label="Looked for" {
            @for (field, value) in pairs(filter) { li { (name(field)) ": " strong { (value) } } }
        }
    }
}

/// The fields of a filter, to be filled in; `state` is what is chosen where nothing is.
pub(in crate::doors::console) fn fields(form: &Filled<'_>, state: &str) -> Markup {
    html! {
        (form.choice("state", "State", &STATES, state, ""))
        (form.line("destination", "Destination", "", "A domain, or a webhook's name."))
        (form.line("code", "Code or reason", "", ""))
        (form.line("status", "HTTP status", "", "404, or 5xx."))
        (form.line("from", "From account", "", ""))
        (form.line("to", "To address", "", ""))
        (form.line("tag", "Tag", "", ""))
        (form.line("campaign", "Campaign", "", "Its id."))
        (form.line("sender", "Sender", "", ""))
        (form.line("since", "Accepted since", "", "UTC, or 2h for two hours ago."))
        (form.line("until", "Accepted before", "", ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doors::site::fields::Fields;
    use proptest::prelude::*;

    #[test]
    fn moments_are_written_in_several_ways() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let read = |text: &str| moment(text, now).map(|at| at.to_string()).ok();
        for (text, expected) in [
            ("2026-11-21T09:30:00+01:00", "2026-11-21T08:30:00Z"),
            ("2026-11-21", "2026-11-21T00:00:00Z"),
            ("2026-11-21 09:30", "2026-11-21T09:30:00Z"),
            ("2026-11-21T09:30", "2026-11-21T09:30:00Z"),
            ("2h", "2026-11-21T10:00:00Z"),
            ("3 d", "2026-11-18T12:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        assert!(["", "monday", "-5m", "9999999999d", "h", "0000-01-01"].iter().all(|text| read(text).is_none()));
    }

    #[test]
    fn a_filter_becomes_a_query_and_comes_back() {
        let query = Fields::parse(
            b"destination=a.example&state=failed,expired&status=5xx&code=SM_E002&tag=%3Cb%3E&from=1&to=2*b.example&since=2026-11-21",
        );
        let now = Timestamp::UNIX_EPOCH;
        let mut form = Filled::of("find", &query);
        let filter = read_fields(&mut form, "our.example", now);
        assert!(form.is_right());
        let back = link("/x", &filter);
        let again = Fields::parse(back.strip_prefix("/x?").unwrap().as_bytes());
        assert_eq!(read_fields(&mut Filled::of("find", &again), "our.example", now), filter);
        let wrong = Fields::parse(b"state=lost&status=9&campaign=7&from=x&to=x&since=monday");
        let mut form = Filled::of("find", &wrong);
        assert_eq!(read_fields(&mut form, "our.example", now), Filter::default());
        assert!(form.line("to", "To", "", "").into_string().contains("aria-invalid"));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text: String) {
            let _ = moment(&text, Timestamp::UNIX_EPOCH);
            let _ = states(&text);
        }
    }
}
