//! Dead letters: what ended undelivered, counted by where it was to go and why; and replays and cancels of many, looked at before they
//! are begun.
//!
//! Promises: nothing is done to many deliveries that somebody has not seen the number and the places of; every count ends within seconds.

use std::time::Duration;

use maud::{Markup, Render, html};

use super::call::{Answer, Call, Changed, Turned, made, page};
use super::deliveries::search::{self, DEAD};
use super::filled::{Filled, number};
use super::words;
use crate::books::{self, BooksError, Count, Filter, Group, NewOperation, OperationKind, State};
use crate::doors::site::pieces::{self, Table, number as numbers, text};
use crate::senders::Scope;

/// How long a page may count.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the beginning of a replay may count, for its progress.
const MOMENT: Duration = Duration::from_millis(500);
const PATH: &str = "/console/dead";

/// `GET /console/dead`
pub(super) async fn show(call: Call) -> Answer {
    let mut form = Filled::of("find", &call.query);
    let mut filter = search::read_fields(&mut form, &call.app().config.domain, call.app().clock.now());
    if filter.states.is_empty() {
        filter.states = vec![State::Failed, State::Expired, State::Unconfirmed];
    }
    let counted = match form.is_right() {
        true => counted(&call, &filter).await?,
        false => Count { complete: true, ..Count::default() },
    };
    let content = html! {
        p { "What ended without being delivered, and was not withdrawn. It stays here until it is replayed, or its time to be kept is over." }
        form .filter role="search" method="get" action=(PATH) {
            details #narrow .wide open[!form.is_right()] {
                summary { "Narrow it down" }
                div .filter { (search::fields(&form, DEAD)) button { "Show" } " " a href=(PATH) { "Clear" } }
            }
        }
        (tiles(&counted))
        (groups(&call, &filter, &counted.groups))
        @if counted.matching > 0 { (all_of_them(&call, &filter)) }
    };
    page("Dead letters", &content)
}

async fn counted(call: &Call, filter: &Filter) -> Result<Count, Turned> {
    match books::count(call.app(), filter, None, PATIENCE).await {
        Err(BooksError::Crowded) => Err(Turned::busy()),
        counted => Ok(counted?),
    }
}

fn tiles(counted: &Count) -> Markup {
    let more = if counted.complete { "" } else { "and more: counting took too long" };
    let states = &counted.states;
    let tile = |name, n: i64| (name, words::count(n), "");
    let mut all = vec![("Dead letters", words::count(counted.matching), more)];
    all.extend([
        tile("Failed", states.failed),
        tile("Expired", states.expired),
        tile("Unconfirmed", states.unconfirmed),
    ]);
    pieces::tiles(&all)
}

fn groups(call: &Call, filter: &Filter, groups: &[Group]) -> Markup {
    let columns = [text("Destination"), text("State"), text("Why"), numbers("How many"), text("Do")];
    let row = |group: &Group| {
        let only = only(filter, group);
        vec![
            html! { a href=(search::link("/console/deliveries", &only)) { (group.destination) } },
            words::state(group.state),
            html! {
                span .code { (words::maybe(group.code.as_deref())) }
                @if let Some(status) = group.status { " HTTP " (status) }
            },
            html! { (words::count(group.n)) },
            html! {
                a href=(search::link("/console/deliveries", &only)) { "Look" }
                @if call.may_change(Scope::Deliveries) && is_all_of(group, groups) {
                    " " a href=(search::link("/console/replays/new", &only)) { "Replay…" }
                }
            },
        ]
    };
    let rows = groups.iter().map(row).collect();
    Table {
        caption: "Dead letters by destination and reason, the most first",
        columns: &columns,
        rows,
        empty: "There are none.",
    }
    .render()
}

/// The filter, of one group only.
fn only(filter: &Filter, group: &Group) -> Filter {
    Filter {
        destination: Some(group.destination.clone()),
        states: vec![group.state],
        code: group.code.clone(),
        status: group.status.and_then(|status| status.to_string().parse().ok()),
        ..filter.clone()
    }
}

/// Whether its filter finds this group only: what has no status, or no code, cannot be asked for, and any is found instead.
fn is_all_of(group: &Group, groups: &[Group]) -> bool {
    let found = |other: &&Group| {
        (&other.destination, other.state) == (&group.destination, group.state)
            && group.status.is_none_or(|status| other.status == Some(status))
            && group.code.as_ref().is_none_or(|code| other.code.as_ref() == Some(code))
    };
    groups.iter().filter(found).count() == 1
}

fn all_of_them(call: &Call, filter: &Filter) -> Markup {
    html! {
        p .actions {
            a href=(search::link("/console/deliveries", filter)) { "Look at all of them" }
            @if call.may_change(Scope::Deliveries) {
                a .button href=(search::link("/console/replays/new", filter)) { "Replay all of them…" }
            }
        }
    }
}

/// `GET /console/replays/new`
pub(super) async fn new_replay(call: Call) -> Answer {
    dry_run(call, OperationKind::Replay).await
}

/// `GET /console/cancellations/new`
pub(super) async fn new_cancel(call: Call) -> Answer {
    dry_run(call, OperationKind::Cancel).await
}

fn path(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Replay => "/console/replays",
        OperationKind::Cancel => "/console/cancellations",
    }
}

/// How many there are and where, before anything is done.
async fn dry_run(call: Call, kind: OperationKind) -> Answer {
    let mut form = Filled::of("new", &call.query);
    let filter = search::read_fields(&mut form, &call.app().config.domain, call.app().clock.now());
    let title = match kind {
        OperationKind::Replay => "Replay deliveries",
        OperationKind::Cancel => "Cancel deliveries",
    };
    if !form.is_right() || filter.is_everything() {
        return page(title, &which(kind, &form));
    }
    let meant = kind.filter(&filter);
    let counted = counted(&call, &meant).await?;
    let content = html! {
        (search::said(&meant))
        p role="status" {
            strong { (words::deliveries(counted.matching)) }
            @if !counted.complete { ", and more: counting them all would take too long" }
            @if counted.matching == 1 { " matches." } @else { " match." }
            " Nothing has been done yet."
        }
        (places(&counted))
        @if call.may_change(Scope::Deliveries) { (confirm(&call, kind, &filter, &meant)) }
        @else { p .quietly { "Your key may look at deliveries only, and not change them." } }
        p { a href=(search::link("/console/deliveries", &meant)) { "Look at them first" } }
    };
    page(title, &content)
}

/// The fields, where nothing is named yet: everything at once is too much.
fn which(kind: OperationKind, form: &Filled<'_>) -> Markup {
    let state = if kind == OperationKind::Replay { DEAD } else { "pending,sending,retrying" };
    html! {
        p { "Say which; you then see how many there are and where, before anything is done." }
        form .filter method="get" action={ (path(kind)) "/new" } {
            (search::fields(form, state))
            button { "Look how many" }
        }
    }
}

fn places(counted: &Count) -> Markup {
    let columns = [text("Destination"), text("State"), text("Why"), numbers("How many")];
    let row = |group: &Group| {
        vec![
            html! { (group.destination) },
            words::state(group.state),
            html! { span .code { (words::maybe(group.code.as_deref())) } },
            html! { (words::count(group.n)) },
        ]
    };
    let rows = counted.groups.iter().map(row).collect();
    Table { caption: "Where they are to go, the most first", columns: &columns, rows, empty: "There are none." }
        .render()
}

fn confirm(call: &Call, kind: OperationKind, filter: &Filter, meant: &Filter) -> Markup {
    let fields = html! {
        @for (name, value) in search::pairs(filter) { input type="hidden" name=(name) value=(value); }
        @if kind == OperationKind::Replay {
            @if meant.states.contains(&State::Unconfirmed) {
                p { strong { "Unconfirmed ones may have arrived: those arrive twice." } }
            }
            (self::rate(&Filled::empty("begin")))
        } @else {
            p { "What has not gone is not sent any more. What a worker holds is dropped within a second, unless it has just gone." }
        }
    };
    let button = match kind {
        OperationKind::Replay => "Replay them",
        OperationKind::Cancel => "Cancel them",
    };
    html! { div .card { (call.form(path(kind), &fields, button)) } }
}

fn rate(form: &Filled<'_>) -> Markup {
    form.line("rate", "Deliveries a second, at the most", "", "Empty: as fast as the destinations bear.")
}

/// `POST /console/replays`
pub(super) async fn replay(call: Call) -> Changed {
    begin(call, OperationKind::Replay).await
}

/// `POST /console/cancellations`
pub(super) async fn cancel(call: Call) -> Changed {
    begin(call, OperationKind::Cancel).await
}

async fn begin(call: Call, kind: OperationKind) -> Changed {
    let app = call.app();
    let mut form = Filled::of("begin", &call.fields);
    let filter = search::read_fields(&mut form, &app.config.domain, app.clock.now());
    if !form.is_right() || filter.is_everything() {
        return Err(Turned::invalid(
            format!("{}/new", path(kind)),
            "It was not clear which deliveries are meant; nothing was done.",
        ));
    }
    if kind == OperationKind::Cancel && filter.is_of_ended() {
        return Err(Turned::invalid(
            format!("{}/new", path(kind)),
            "These states have ended: there is nothing to cancel, and nothing was done.",
        ));
    }
    let rate = match kind {
        OperationKind::Replay => form.optional("rate", number(books::OPERATION_RATES)).map(|rate| rate as f32),
        // A cancel that waits would let go what it is to stop.
        OperationKind::Cancel => None,
    };
    if !form.is_right() {
        let fields = html! {
            @for (name, value) in search::pairs(&filter) { input type="hidden" name=(name) value=(value); }
            (self::rate(&form))
        };
        let content = html! { (search::said(&filter)) div .card { (call.form(path(kind), &fields, "Replay them")) } };
        return Err(Turned::shown_again(page("Replay deliveries", &content)?));
    }
    let counted = match kind {
        OperationKind::Cancel => Count::default(),
        OperationKind::Replay => match books::count(app, &kind.filter(&filter), None, MOMENT).await {
            Err(BooksError::Crowded) => Count::default(),
            counted => counted?,
        },
    };
    let sender = call.operator.name.clone();
    let new = NewOperation { kind, sender, filter, rate, matching: counted.matching };
    let begun = books::begin_operation(app, &new).await?;
    made(begun.id, format!("/console/operations/{}", begun.id), "It has begun; workers carry it on.")
}

/// Where a destination's dead letters are counted.
pub(super) fn link(destination: &str) -> Markup {
    html! { a href=(words::link(PATH, &[("destination", destination)])) { "Its dead letters, by reason" } }
}

/// What is under way to a destination.
pub(super) fn open_link(destination: &str) -> String {
    words::link("/console/deliveries", &[("destination", destination), ("state", "pending,sending,retrying")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_replayed_only_where_nothing_else_goes_with_it() {
        let group = |destination: &str, status, code: Option<&str>| Group {
            destination: destination.into(),
            state: State::Failed,
            status,
            code: code.map(str::to_owned),
            n: 1,
        };
        let groups = [
            group("a", None, None),
            group("a", Some(404), Some("SM_E002")),
            group("a", None, Some("timeout")),
            group("b", Some(500), None),
            group("b", Some(500), Some("SM_E001")),
            group("c", None, None),
        ];
        let offered: Vec<bool> = groups.iter().map(|group| is_all_of(group, &groups)).collect();
        assert_eq!(offered, [false, true, true, false, true, true]);
    }
}
