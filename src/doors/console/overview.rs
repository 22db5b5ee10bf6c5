//! The first page: what the node is doing now.
//!
//! Its parts are made by the same functions for the page and for the stream, so that both say the same. Who may not read the node's
//! state is shown what they may do instead.

use jiff::Timestamp;
use maud::{Markup, Render, html};

use super::call::{Answer, Call, View};
use super::chart::{Bars, Lines, depth};
use super::words::{self, count, since};
use crate::App;
use crate::books::{Lane, Standing};
use crate::db::DbError;
use crate::destinations::{self, Destination, Filter};
use crate::doors::site::pieces::{self, Table, Tone, badge, number, text};
use crate::overview::{Broker, Minute, Overview, Running, Watch, Worker};
use crate::senders::Scope;

const STREAM: &str = "/console/stream?page=overview";
/// What stands beside what, where the screen is wide enough.
const ROWS: [&[&str]; 6] =
    [&["tiles"], &["pace"], &["lanes", "broker"], &["destinations"], &["campaigns"], &["workers"]];
/// States that want a look, in the order in which they are shown.
const TROUBLED: [&str; 4] = ["open", "half_open", "retry_after", "paused"];
/// Destinations shown of each.
const SHOWN: i64 = 5;

/// `GET /console`
pub(super) async fn show(call: Call) -> Answer {
    if !call.may_read(Scope::Node) {
        return super::call::page("Overview", &limited(&call));
    }
    let parts = parts(call.app(), &call.door.serve.overview).await?;
    let main = html! {
        h1 { "Overview" }
        @for row in ROWS {
            div .split[row.len() > 1] { @for (name, part) in parts.iter().filter(|(name, _)| row.contains(name)) {
                section data-live=(name) { (part) }
            } }
        }
    };
    Ok(View { title: "Overview".into(), main, stream: Some(STREAM) })
}

fn limited(call: &Call) -> Markup {
    let scopes = call.operator.scopes.names();
    html! {
        p { "You are signed in as " strong { (call.operator.name) } ". How the node is doing is shown to keys with the scope "
            code { "node:read" } "; yours has:" }
        ul { @for scope in &scopes { li { code { (scope) } } } }
        p { "The pages that these open are in the navigation." }
    }
}

/// The parts of the page, by the names that the page's script looks for.
pub(super) async fn parts(app: &App, watch: &Watch) -> Result<Vec<(&'static str, Markup)>, DbError> {
    let overview = watch.now().await?;
    let trouble = trouble(app, &overview).await?;
    let now = app.clock.now();
    Ok(vec![
        ("tiles", tiles(&overview, now)),
        ("pace", pace(&overview.minutes)),
        ("lanes", lanes(&overview.lanes, now)),
        ("broker", broker(&overview.broker)),
        ("destinations", destinations_part(&overview, &trouble, now)),
        ("campaigns", campaigns(&overview)),
        ("workers", workers(&overview.workers, now)),
    ])
}

async fn trouble(app: &App, overview: &Overview) -> Result<Vec<Destination>, DbError> {
    let counted = &overview.destinations;
    let mut found = Vec::new();
    for (state, count) in
        TROUBLED.into_iter().zip([counted.open, counted.half_open, counted.retry_after, counted.paused])
    {
        if count > 0 {
            let filter = Filter { state: Some(state.to_owned()), after: None, limit: SHOWN };
            found.extend(destinations::list(app, &filter).await?);
        }
    }
    Ok(found)
}

fn tiles(overview: &Overview, now: Timestamp) -> Markup {
    let rates = &overview.rates;
    let open = overview.lanes.iter().map(open_of).sum::<i64>();
    let more = overview.lanes.iter().any(|lane| lane.more);
    let oldest = overview.lanes.iter().filter_map(|lane| lane.oldest_waiting_since).min();
    let waiting = oldest.map_or("—".to_owned(), |at| since(at, now));
    html! {
        p .small { "As of " (pieces::time(overview.at)) " UTC. " a href="/console" { "Refresh" } }
        (pieces::tiles(&[
            ("Accepted", rate(rates.accepted), "a second"),
            ("Tries", rate(rates.attempts), "a second"),
            ("Delivered", rate(rates.delivered), "a second"),
            ("Failed", rate(rates.failed), "a second"),
            ("Received", rate(rates.received), "a second"),
            ("Open deliveries", format!("{}{}", count(open), if more { "+" } else { "" }), ""),
            ("Longest wait", waiting, ""),
        ]))
    }
}

fn pace(minutes: &[Minute]) -> Markup {
    // The last one is still going on: it would look like a fall.
    let minutes = minutes.split_last().map_or(minutes, |(_, whole)| whole);
    let of = |number: fn(&Minute) -> i64| minutes.iter().map(number).collect::<Vec<i64>>();
    let series = vec![
        ("Accepted", of(|minute| minute.accepted)),
        ("Delivered", of(|minute| minute.delivered)),
        ("Failed", of(|minute| minute.failed)),
        ("Received", of(|minute| minute.received)),
    ];
    let at = minutes.iter().map(|minute| minute.at).collect();
    html! {
        h2 #pace-head { "Deliveries a minute, the last hour" }
        div .card { (Lines { id: "pace", title: "Deliveries a minute, the last hour", at, series }.render()) }
    }
}

fn lanes(lanes: &[Standing], now: Timestamp) -> Markup {
    const STATES: [&str; 7] = [
        "due",
        "scheduled",
        "to be retried",
        "being sent",
        "destination is full",
        "campaign is paused",
        "behind others",
    ];
    let bars =
        lanes.iter().map(|lane| (lane_name(lane.lane).to_owned(), lane.states().map(|(_, n)| n).to_vec())).collect();
    let oldest: Vec<(&str, Markup)> = lanes
        .iter()
        .map(|lane| {
            let oldest = lane.oldest_waiting_since;
            let words = html! { @match oldest { Some(at) => { (since(at, now)) }, None => { "nothing waits" } } };
            (lane_name(lane.lane), words)
        })
        .collect();
    html! {
        h2 { "Open deliveries" }
        div .card {
            (Bars { id: "lanes", title: "Open deliveries by lane", of: "Lane", parts: &STATES, bars }.render())
            @if lanes.iter().any(|lane| lane.more) { p .small { "There are more than were counted: counting ends before it costs much." } }
            h3 { "Longest wait of what is due" }
            (pieces::facts(&oldest))
        }
    }
}

fn broker(broker: &Broker) -> Markup {
    let most = broker.queues.iter().map(|queue| i64::from(queue.messages)).max().unwrap_or(0);
    let columns = [text("Queue"), text("Depth"), number("Messages"), number("Consumers")];
    let rows = broker.queues.iter().map(|queue| {
        let messages = i64::from(queue.messages);
        let idle = queue.consumers == 0 && queue.carries != "dead";
        vec![
            html! { code .whole { (queue.carries) } },
            depth(messages, most),
            html! { (count(messages)) },
            html! { @if idle { (badge(Tone::Warn, "none")) } @else { (queue.consumers) } },
        ]
    });
    html! {
        h2 { "Broker queues" }
        @if broker.reachable {
            (Table { caption: "The broker’s queues", columns: &columns, rows: rows.collect(), empty: "No queue is there yet." }.render())
        } @else {
            p .said .bad { "The broker does not answer. What is accepted is kept, and goes on when it is back." }
        }
    }
}

fn destinations_part(overview: &Overview, trouble: &[Destination], now: Timestamp) -> Markup {
    let counted = &overview.destinations;
    let columns = [text("Destination"), text("State"), text("Why"), number("Waiting"), text("Oldest")];
    let rows = trouble.iter().map(|destination| {
        vec![
            html! { a href={ "/console/destinations/" (words::segment(&destination.name)) } { (destination.name) } },
            state(&destination.state),
            html! { (destination.why.as_deref().unwrap_or("—")) },
            html! { (count(destination.waiting)) },
            html! { (destination.oldest_waiting.map_or("—".to_owned(), |at| since(at, now))) },
        ]
    });
    html! {
        h2 { "Destinations that want a look" }
        p .small {
            (count(counted.known)) " known · " (counted.open) " with an open breaker · " (counted.half_open) " being probed · "
            (counted.retry_after) " asked for a pause · " (counted.paused) " paused here"
        }
        (Table { caption: "Destinations that want a look", columns: &columns, rows: rows.collect(), empty: "None: all is well." }.render())
    }
}

/// A destination's state in words.
pub(super) fn state(state: &str) -> Markup {
    match state {
        "open" => badge(Tone::Bad, "breaker open"),
        "half_open" => badge(Tone::Warn, "being probed"),
        "retry_after" => badge(Tone::Warn, "asked for a pause"),
        "paused" => badge(Tone::Warn, "paused"),
        "slowed" => badge(Tone::Plain, "slowed"),
        "well" => badge(Tone::Good, "well"),
        other => badge(Tone::Plain, other),
    }
}

fn campaigns(overview: &Overview) -> Markup {
    let columns =
        [text("Campaign"), text("Sender"), text("State"), number("Accepted"), number("Refused"), number("Rate")];
    let row = |campaign: &Running| {
        vec![
            html! { a href={ "/console/campaigns/" (campaign.id) } { (campaign.name) } },
            html! { (campaign.sender) },
            if campaign.paused { badge(Tone::Warn, "paused") } else { badge(Tone::Good, "running") },
            html! { (count(campaign.accepted)) },
            html! { (count(campaign.refused)) },
            html! { @match campaign.rate { Some(rate) => { (rate) " a second" }, None => { "as fast as it goes" } } },
        ]
    };
    let rows = overview.campaigns.newest.iter().map(row).collect();
    html! {
        h2 { "Campaigns" }
        (Table { caption: "Campaigns that are not over", columns: &columns, rows, empty: "None is running." }.render())
    }
}

fn workers(workers: &[Worker], now: Timestamp) -> Markup {
    let columns = [text("Worker"), text("Runs for"), text("Last seen"), number("Chunks"), number("Deliveries in hand")];
    let row = |worker: &Worker| {
        vec![
            html! { (worker.host) " · " (worker.pid) },
            html! { (since(worker.since, now)) },
            html! { (since(worker.last_seen, now)) " ago" },
            html! { (count(worker.chunks)) },
            html! { (count(worker.deliveries)) },
        ]
    };
    let rows = workers.iter().map(row).collect();
    html! {
        h2 { "Workers" }
        (Table { caption: "Worker processes", columns: &columns, rows, empty: "No worker is alive: nothing is delivered." }.render())
    }
}

fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Interactive => "interactive",
        Lane::Bulk => "bulk",
        Lane::Status => "status",
    }
}

fn open_of(lane: &Standing) -> i64 {
    lane.states().iter().map(|(_, n)| n).sum()
}

/// Events a second: small ones with a digit behind the point.
fn rate(rate: f64) -> String {
    if rate == 0.0 || rate >= 100.0 { count(rate.round() as i64) } else { format!("{rate:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        assert_eq!(
            [0.0, 0.04, 12.34, 99.96, 1234.5].map(rate).map(|text| text.replace('\u{202f}', " ")),
            ["0", "0.0", "12.3", "100.0", "1 235"]
        );
    }
}
