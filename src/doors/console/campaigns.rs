//! Campaigns: how far they are; pausing, spacing, closing and cancelling them; rows that could not be taken; the report.

mod report;

pub(super) use report::report;

use maud::{Markup, Render, html};
use uuid::Uuid;

use super::call::{Answer, Call, Changed as Change, Turned, done, page};
use super::filled::{Filled, number};
use super::{deliveries, words};
use crate::books::{self, Summary};
use crate::campaigns::{self, Campaign, Changed, Error, RATES, RowError, State};
use crate::doors::site::pieces::{self, Table, Tone, badge, number as numbers, text, time};
use crate::senders::Scope;

/// Campaigns on one page.
const SHOWN: usize = 50;
/// Campaigns of a list that are counted: each count is a look at all of its chunks.
const COUNTED: usize = 10;
/// Rows with errors on one page.
const ERRORS: usize = 50;
const PATH: &str = "/console/campaigns";

/// `GET /console/campaigns`
pub(super) async fn list(call: Call) -> Answer {
    let mut form = Filled::of("list", &call.query);
    let after = form.optional("after", |text| text.parse().map_err(|_| "is not an id".into()));
    if !form.is_right() {
        return Err(Turned::missing("page of this list"));
    }
    let mut found = campaigns::list(call.app(), None, after, SHOWN as i64 + 1).await?;
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| more).map(|last| call.next(PATH, &last.id.to_string()));
    let mut rows = Vec::with_capacity(found.len());
    let mut counted = 0;
    for campaign in &found {
        counted += usize::from(is_open(campaign));
        rows.push(row(&call, campaign, counted <= COUNTED).await?);
    }
    let columns = [
        text("Campaign"),
        text("State"),
        text("Ended so far"),
        numbers("Accepted"),
        numbers("Refused"),
        text("Rate"),
        text("Begun"),
        text("By"),
    ];
    let empty = "There are none. `handfast send --campaign` begins one, or POST /api/v1/campaigns.";
    let content = html! {
        (words::live("rows", &Table { caption: "Campaigns, newest first", columns: &columns, rows, empty }.render()))
        (pieces::pager(call.first(PATH).as_deref(), next.as_deref()))
    };
    page("Campaigns", &content)
}

fn is_open(campaign: &Campaign) -> bool {
    matches!(campaign.state, State::Running | State::Paused)
}

/// Only what is under way is counted, and of that the newest: the others have ended with all they accepted.
async fn row(call: &Call, campaign: &Campaign, count: bool) -> Result<Vec<Markup>, Turned> {
    let how_far = match campaign.state {
        State::Running | State::Paused if !count => html! { small { "on its page" } },
        State::Running | State::Paused => progress(campaign, &books::count_campaign(call.app(), campaign.id).await?),
        State::Finished => html! { "all" },
        State::Cancelled => html! { "given up" },
    };
    Ok(vec![
        html! { a href={ (PATH) "/" (campaign.id) } { (campaign.name) } },
        state(campaign),
        how_far,
        html! { (words::count(campaign.accepted)) },
        html! { (words::count(campaign.refused)) },
        html! { (words::rate(campaign.rate)) },
        time(campaign.created_at),
        html! { (campaign.sender) },
    ])
}

fn state(campaign: &Campaign) -> Markup {
    match campaign.state {
        State::Running if campaign.closed => badge(Tone::Good, "running, closed"),
        State::Running => badge(Tone::Good, "running"),
        State::Paused => badge(Tone::Warn, "paused"),
        State::Cancelled => badge(Tone::Plain, "cancelled"),
        State::Finished => badge(Tone::Plain, "finished"),
    }
}

fn progress(campaign: &Campaign, counts: &Summary) -> Markup {
    let open = counts.pending + counts.sending + counts.retrying;
    words::progress((campaign.accepted - open).max(0), campaign.accepted, "Deliveries that have ended")
}

/// `GET /console/campaigns/{id}`
pub(super) async fn show(call: Call) -> Answer {
    let campaign = find(&call).await?;
    one(&call, &campaign, &Filled::empty("pace")).await
}

async fn one(call: &Call, campaign: &Campaign, pace: &Filled<'_>) -> Answer {
    let counts = books::count_campaign(call.app(), campaign.id).await?;
    let content = html! {
        (words::live("standing", &html! {
        p { (state(campaign)) " Begun by " (campaign.sender) " at " (time(campaign.created_at)) ". "
            @if let Some(at) = campaign.finished_at { "Ended at " (time(at)) "." } }
        p { (progress(campaign, &counts)) " of what was accepted has ended." }
        (tiles(campaign, &counts))
        (states(campaign, &counts))
        }))
        (steering(call, campaign, pace))
        h2 { "Rows that could not be taken" }
        (errors(call, campaign).await?)
        h2 { "More" }
        (facts(call, campaign))
    };
    page(&campaign.name, &content)
}

async fn find(call: &Call) -> Result<Campaign, Turned> {
    let found = campaigns::find(call.app(), call.id(0, "campaign")?, None).await?;
    found.ok_or_else(missing)
}

fn missing() -> Turned {
    Turned::missing("campaign")
}

fn at(id: Uuid) -> String {
    format!("{PATH}/{id}")
}

fn tiles(campaign: &Campaign, counts: &Summary) -> Markup {
    pieces::tiles(&[
        ("Rows taken", words::count(campaign.taken), ""),
        ("Accepted", words::count(campaign.accepted), ""),
        ("Repeated", words::count(campaign.repeated), "had come before"),
        ("Refused", words::count(campaign.refused), ""),
        ("Delivered", words::count(counts.delivered), ""),
        ("Dead letters", words::count(counts.failed + counts.expired + counts.unconfirmed), ""),
    ])
}

/// Every state with a link to what is in it.
fn states(campaign: &Campaign, counts: &Summary) -> Markup {
    let id = campaign.id.to_string();
    let row = |state: books::State| {
        let n = *counts.clone().of(state);
        let path = words::link("/console/deliveries", &[("campaign", &id), ("state", state.name())]);
        vec![html! { a href=(path) { (state.name()) } }, html! { (words::count(n)) }]
    };
    let columns = [text("State"), numbers("Deliveries")];
    let rows = books::State::ALL.into_iter().filter(|state| *counts.clone().of(*state) > 0).map(row).collect();
    Table { caption: "Its deliveries by state", columns: &columns, rows, empty: "It has no deliveries yet." }.render()
}

fn steering(call: &Call, campaign: &Campaign, pace: &Filled<'_>) -> Markup {
    let (path, nothing) = (at(campaign.id), html! {});
    let now = campaign.rate.map(|rate| rate.to_string()).unwrap_or_default();
    html! {
        @if call.may_change(Scope::Campaigns) && is_open(campaign) {
            div .actions {
                @match campaign.state {
                    State::Paused => (call.form(&format!("{path}/resume"), &nothing, "Resume")),
                    _ => (call.form(&format!("{path}/pause"), &nothing, "Pause")),
                }
                @if !campaign.closed {
                    (call.confirmed(
                        &format!("{path}/close"),
                        "Close…",
                        &html! { p { "No more rows are taken; what was taken is delivered. It cannot be opened again." } },
                        "Close it",
                    ))
                }
                (call.confirmed(
                    &format!("{path}/cancel"),
                    "Cancel…",
                    &html! { p { "What has not gone out will not go, and no more rows are taken. It cannot be taken back." } },
                    "Cancel the campaign",
                ))
            }
            div .card {
                h2 { "Pace" }
                (call.form(
                    &format!("{path}/rate"),
                    &pace.line("rate", "Deliveries a second", &now, "Empty: as fast as they go. It holds from now on, also for what waits."),
                    "Change the rate",
                ))
            }
        }
    }
}

async fn errors(call: &Call, campaign: &Campaign) -> Result<Markup, Turned> {
    let mut form = Filled::of("list", &call.query);
    let after: i64 = form.optional("after", number(0..=i64::MAX)).unwrap_or(0);
    let mut found = campaigns::errors(call.app(), campaign.id, after, ERRORS as i64 + 1).await?;
    let more = found.len() > ERRORS;
    found.truncate(ERRORS);
    let path = at(campaign.id);
    let next = found.last().filter(|_| more).map(|last| call.next(&path, &last.row.to_string()));
    let row =
        |error: &RowError| vec![html! { (error.row) }, words::maybe(error.key.as_deref()), html! { (error.problem) }];
    let columns = [numbers("Row"), text("Key"), text("What is wrong")];
    let rows = found.iter().map(row).collect();
    Ok(html! {
        (Table { caption: "Rows that could not be taken", columns: &columns, rows, empty: "All rows were taken." }.render())
        (pieces::pager(call.first(&path).as_deref(), next.as_deref()))
    })
}

fn facts(call: &Call, campaign: &Campaign) -> Markup {
    let id = campaign.id.to_string();
    let mut pairs = vec![
        ("Id", html! { span .code { (id) } }),
        ("Report", html! { a href={ (PATH) "/" (id) "/report.csv" } { "What became of every row, as CSV" } }),
        ("Lane", html! { (campaign.lane.name()) }),
        ("Rate", html! { (words::rate(campaign.rate)) }),
        ("Takes rows", html! { (words::yes(!campaign.closed)) }),
    ];
    if let Some(tag) = &campaign.tag {
        pairs.push(("Tag", html! { (tag) }));
    }
    if call.may_read(Scope::Deliveries) {
        pairs.push(("Deliveries", html! { a href=(deliveries::link("campaign", &id)) { "All of them" } }));
    }
    pieces::facts(&pairs)
}

/// `POST /console/campaigns/{id}/rate`
pub(super) async fn set_rate(call: Call) -> Change {
    let campaign = find(&call).await?;
    let mut form = Filled::of("pace", &call.fields);
    let rate = form.optional("rate", number(RATES));
    if !form.is_right() {
        return Err(Turned::shown_again(one(&call, &campaign, &form).await?));
    }
    let changed = campaigns::set_rate(call.app(), campaign.id, rate).await;
    after(campaign.id, changed, "The rate holds from now on.")
}

fn after(id: Uuid, changed: Result<Option<Changed>, Error>, words: &str) -> Change {
    match changed?.ok_or_else(missing)? {
        Changed::Done(_) => done(at(id), words),
        Changed::Forbidden(why) => Err(Turned::conflict(at(id), why)),
    }
}

/// `POST /console/campaigns/{id}/pause`
pub(super) async fn pause(call: Call) -> Change {
    let id = find(&call).await?.id;
    after(id, campaigns::pause(call.app(), id).await, "It is paused: nothing of it goes out until it is resumed.")
}

/// `POST /console/campaigns/{id}/resume`
pub(super) async fn resume(call: Call) -> Change {
    let id = find(&call).await?.id;
    after(id, campaigns::resume(call.app(), id).await, "It goes on.")
}

/// `POST /console/campaigns/{id}/close`
pub(super) async fn close(call: Call) -> Change {
    let id = find(&call).await?.id;
    after(id, campaigns::close(call.app(), id).await, "It is closed: no more rows are taken.")
}

/// `POST /console/campaigns/{id}/cancel`
pub(super) async fn cancel(call: Call) -> Change {
    let id = find(&call).await?.id;
    after(id, campaigns::cancel(call.app(), id).await, "It is cancelled: what had not gone out will not.")
}
