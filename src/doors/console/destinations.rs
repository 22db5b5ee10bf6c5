//! Destinations: how they are, what waits for them, what failed lately; pausing them, and the pace they are called at.

use jiff::Timestamp;
use maud::{Markup, Render, html};

use super::call::{Answer, Call, Changed, Turned, done, page};
use super::filled::{Filled, number};
use super::{dead, deliveries, words};
use crate::books;
use crate::destinations::{self, Destination, Filter, MOST_AT_ONCE, RATES, STATES, Setting};
use crate::doors::site::pieces::{self, Table, Tone, badge, number as numbers, text, time};
use crate::senders::Scope;

/// Destinations on one page.
const SHOWN: usize = 50;
/// Deliveries of one destination that are shown: of those that wait, and of those that failed.
const LATELY: usize = 8;
/// Steps of a schedule, and the longest of them in seconds.
const MOST_STEPS: usize = 100;
const LONGEST_WAIT: i32 = 7 * 86_400;
const PATH: &str = "/console/destinations";

/// `GET /console/destinations`, with `?name=` that one
pub(super) async fn list(call: Call) -> Answer {
    if let Some(name) = call.query.filled("name") {
        let name = name.to_ascii_lowercase();
        let words = "That is not the name of a destination: a domain, or a webhook's name.";
        return match destinations::is_name(&name) {
            true => one(&call, &name, &Filled::empty("pace")).await,
            false => Err(Turned::invalid(PATH, words)),
        };
    }
    let mut form = Filled::of("find", &call.query);
    let state = form.optional("state", |text| match STATES.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err("is none of those".to_owned()),
    });
    let after = form.optional("after", super::filled::words(300));
    let filter = Filter { state, after, limit: SHOWN as i64 + 1 };
    let mut found = destinations::list(call.app(), &filter).await?;
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| more).map(|last| call.next(PATH, &last.name));
    let now = call.app().clock.now();
    let columns = [
        text("Destination"),
        text("State"),
        text("Why"),
        numbers("Waiting"),
        text("Oldest waits for"),
        numbers("In hand"),
        numbers("At once"),
        text("Rate"),
    ];
    let rows = found.iter().map(|destination| row(destination, now)).collect();
    let empty = "There are none: nothing was ever delivered, or none is in this state.";
    let content = html! {
        form .filter method="get" action=(PATH) {
            (form.choice("state", "State", &choices(), "", ""))
            button { "Show" } " " a href=(PATH) { "Clear" }
        }
        (words::live("rows", &Table { caption: "Destinations, by name", columns: &columns, rows, empty }.render()))
        (pieces::pager(call.first(PATH).as_deref(), next.as_deref()))
        (by_name(&call))
    };
    page("Destinations", &content)
}

fn choices() -> Vec<(&'static str, &'static str)> {
    std::iter::once(("", "any")).chain(STATES.into_iter().map(|state| (state, said(state)))).collect()
}

/// A state in words.
fn said(state: &str) -> &'static str {
    match state {
        "well" => "well",
        "slowed" => "slowed",
        "retry_after" => "asked for a pause",
        "half_open" => "breaker half open",
        "open" => "breaker open",
        "paused" => "paused",
        _ => "unknown",
    }
}

fn state(destination: &Destination) -> Markup {
    let tone = match destination.state.as_str() {
        "well" => Tone::Good,
        "open" => Tone::Bad,
        _ => Tone::Warn,
    };
    badge(tone, said(&destination.state))
}

fn row(destination: &Destination, now: Timestamp) -> Vec<Markup> {
    vec![
        html! { a href=(at(&destination.name)) { (destination.name) } },
        state(destination),
        html! {
            span .code { (words::maybe(destination.why.as_deref())) }
            @if let Some(until) = destination.closed_until.filter(|until| *until > now) { " until " (time(until)) }
        },
        html! { (words::count(destination.waiting)) },
        words::maybe(destination.oldest_waiting.map(|at| words::since(at, now)).as_deref()),
        html! { (words::count(destination.in_hand)) },
        html! { (destination.limit) " of " (destination.concurrency_in_effect) },
        html! { (words::rate(destination.rate)) },
    ]
}

/// What nothing was delivered to yet can be set all the same.
fn by_name(call: &Call) -> Markup {
    html! {
        @if call.may_change(Scope::Destinations) {
            details #by-name {
                summary { "One that is not listed" }
                form .filter method="get" action=(PATH) {
                    (Filled::empty("of").line("name", "Name", "", "A domain, or a webhook's name. It can be paused and paced before anything goes there."))
                    button { "Go" }
                }
            }
        }
    }
}

fn at(name: &str) -> String {
    format!("{PATH}/{}", words::segment(name))
}

/// `GET /console/destinations/{name}`
pub(super) async fn show(call: Call) -> Answer {
    one(&call, &name(&call)?, &Filled::empty("pace")).await
}

fn name(call: &Call) -> Result<String, Turned> {
    let name = call.parameter(0).to_ascii_lowercase();
    if destinations::is_name(&name) { Ok(name) } else { Err(Turned::missing("destination")) }
}

async fn one(call: &Call, name: &str, pace: &Filled<'_>) -> Answer {
    let found = destinations::find(call.app(), name).await?;
    let content = html! {
        @match &found {
            Some(found) => (words::live("standing", &standing(found, call.app().clock.now()))),
            None => p { "Nothing was ever delivered there, and nothing is set for it." },
        }
        @if call.may_change(Scope::Destinations) { (changes(call, name, found.as_ref(), pace)) }
        @if call.may_read(Scope::Deliveries) { (lately(call, name).await?) }
    };
    page(name, &content)
}

fn standing(destination: &Destination, now: Timestamp) -> Markup {
    let Destination { why, closed_until, trips, failures, limit, concurrency_in_effect, rate, schedule, .. } =
        destination;
    let until = closed_until.filter(|until| *until > now);
    html! {
        p { (state(destination)) " " @if let Some(until) = until { "Nothing goes there before " (time(until)) ", in " (words::since(now, until)) "." } }
        (pieces::facts(&[
            ("Why", html! { span .code { (words::maybe(why.as_deref())) } }),
            ("Waiting", html! { (words::deliveries(destination.waiting))
                @if let Some(at) = destination.oldest_waiting { ", the oldest since " (time(at)) " (" (words::since(at, now)) ")" } }),
            ("In workers' hands", html! { (words::count(destination.in_hand)) }),
            ("Calls at once", html! { (limit) " now, " (concurrency_in_effect) " at the most"
                @if destination.concurrency.is_none() { " (the node's default)" } }),
            ("Rate", html! { (words::rate(*rate)) }),
            ("Failures in a row", html! { (failures) }),
            ("Breaker", html! { @if *trips > 0 { "opened " (trips) " times in a row" } @else { "closed" } }),
            ("Waits between attempts", html! { @match schedule {
                Some(schedule) => (steps(schedule.iter().map(|wait| i64::from(*wait)))),
                None => "the node's default",
            } }),
            ("Last change", time(destination.changed_at)),
        ]))
    }
}

fn steps(waits: impl Iterator<Item = i64>) -> String {
    waits.map(words::lasting).collect::<Vec<_>>().join(", ")
}

fn changes(call: &Call, name: &str, found: Option<&Destination>, pace: &Filled<'_>) -> Markup {
    let (path, nothing) = (at(name), html! {});
    let held = found.is_some_and(|found| found.state != "well" && found.state != "slowed");
    let set = |now: Option<String>| now.unwrap_or_default();
    let schedule = found.and_then(|found| found.schedule.as_ref());
    let schedule = schedule.map(|waits| waits.iter().map(i32::to_string).collect::<Vec<_>>().join(", "));
    let usual = destinations::default_schedule(call.app(), name).into_iter().map(|wait| wait as i64);
    let fields = html! {
        (pace.line("concurrency", "Calls at once, at the most", &set(found.and_then(|found| Some(found.concurrency?.to_string()))), "Empty: the node's default."))
        (pace.line("rate", "Calls a second", &set(found.and_then(|found| Some(found.rate?.to_string()))), "Empty: no limit."))
        (pace.line("schedule", "Waits between attempts, in seconds", &set(schedule), &format!("With commas; the last one repeats. Empty: the node's default, {}.", steps(usual))))
    };
    html! {
        div .actions {
            @if held { (call.form(&format!("{path}/resume"), &nothing, "Open it again")) }
            @if !found.is_some_and(|found| found.paused) {
                (call.confirmed(
                    &format!("{path}/pause"),
                    "Pause…",
                    &html! { p { "Nothing goes there until it is resumed. What waits may expire meanwhile." } },
                    "Pause it",
                ))
            }
        }
        details #pace .card open[!pace.is_right()] {
            summary { "Change its limits" }
            (call.form(&format!("{path}/pace"), &fields, "Set them"))
        }
    }
}

/// What waits, and what failed lately.
async fn lately(call: &Call, name: &str) -> Result<Markup, Turned> {
    use books::State::{Expired, Failed, Pending, Retrying, Sending, Unconfirmed};
    let of = |states: Vec<books::State>| books::Filter {
        destination: Some(name.to_owned()),
        states,
        ..books::Filter::default()
    };
    let waiting = books::deliveries(call.app(), &of(vec![Pending, Sending, Retrying]), None, LATELY).await?;
    let failed = books::deliveries(call.app(), &of(vec![Failed, Expired, Unconfirmed]), None, LATELY).await?;
    Ok(html! {
        h2 { "Under way" }
        (deliveries::table("Deliveries under way, newest first", &waiting.items, "Nothing is under way to it."))
        @if waiting.next.is_some() { p { a href=(dead::open_link(name)) { "All that is under way" } } }
        h2 { "Failed lately" }
        (deliveries::table("Dead letters, newest first", &failed.items, "Nothing has failed."))
        @if !failed.items.is_empty() { p { (dead::link(name)) } }
    })
}

/// `POST /console/destinations/{name}/pause`
pub(super) async fn pause(call: Call) -> Changed {
    let name = name(&call)?;
    destinations::pause(call.app(), &name).await?;
    done(at(&name), "It is paused: nothing goes there until it is resumed.")
}

/// `POST /console/destinations/{name}/resume`
pub(super) async fn resume(call: Call) -> Changed {
    let name = name(&call)?;
    match destinations::resume(call.app(), &name).await? {
        true => done(at(&name), "Everything goes again, slowly at first."),
        false => Err(Turned::missing("destination")),
    }
}

/// `POST /console/destinations/{name}/pace`
pub(super) async fn set_pace(call: Call) -> Changed {
    let name = name(&call)?;
    let mut form = Filled::of("pace", &call.fields);
    let setting = Setting {
        concurrency: Some(form.optional("concurrency", number(1..=MOST_AT_ONCE))),
        rate: Some(form.optional("rate", number(RATES)).map(|rate| rate as f32)),
        schedule: Some(form.optional("schedule", schedule)),
    };
    if !form.is_right() {
        return Err(Turned::shown_again(one(&call, &name, &form).await?));
    }
    destinations::set(call.app(), &name, &setting).await?;
    done(at(&name), "Its limits are set; every worker follows within a second.")
}

/// Seconds with commas between.
fn schedule(text: &str) -> Result<Vec<i32>, String> {
    let waits: Option<Vec<i32>> =
        text.split(',').map(|wait| wait.trim().parse().ok().filter(|wait| (1..=LONGEST_WAIT).contains(wait))).collect();
    let words = || {
        format!("is not a list of 1 to {MOST_STEPS} waits, each from 1 to {LONGEST_WAIT} seconds, with commas between")
    };
    waits.filter(|waits| waits.len() <= MOST_STEPS).ok_or_else(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_seconds_with_commas() {
        assert_eq!(schedule("1, 60,3600"), Ok(vec![1, 60, 3600]));
        assert!(["", "1,,2", "0", "-1", "604801", "1 2", "soon"].iter().all(|text| schedule(text).is_err()));
        assert!(STATES.iter().all(|state| said(state) != "unknown"));
    }
}
