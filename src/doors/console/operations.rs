//! Replays and cancels of many deliveries, while workers carry them on and for a week after.

use maud::{Markup, Render, html};
use uuid::Uuid;

use super::call::{Answer, Call, Changed, Turned, done, page};
use super::deliveries::search;
use super::filled::Filled;
use super::words;
use crate::books::{self, Operation, OperationKind, OperationResult, OperationState, Steer};
use crate::doors::site::pieces::{self, Table, Tone, badge, number, text, time};
use crate::senders::Scope;

/// Operations on one page.
const SHOWN: usize = 50;
/// Results on one page.
const RESULTS: i64 = 100;
const PATH: &str = "/console/operations";

/// `GET /console/operations`
pub(super) async fn list(call: Call) -> Answer {
    let mut found = books::operations(call.app(), None, after(&call)?, SHOWN as i64 + 1).await?;
    let more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| more).map(|last| call.next(PATH, &last.id.to_string()));
    let columns =
        [text("Operation"), text("Begun"), text("What"), text("State"), text("How far"), number("Done"), text("By")];
    let row = |operation: &Operation| {
        vec![
            words::id_link(PATH, operation.id),
            time(operation.created_at),
            html! { (what(operation.kind)) },
            state(operation.state),
            how_far(operation),
            html! { (words::count(operation.done)) },
            html! { (operation.sender) },
        ]
    };
    let content = html! {
        p .actions {
            @if call.may_change(Scope::Deliveries) {
                a href="/console/replays/new" { "New replay…" }
                a href="/console/cancellations/new" { "New cancel…" }
            }
        }
        (Table {
            caption: "Operations, newest first",
            columns: &columns,
            rows: found.iter().map(row).collect(),
            empty: "There are none. Begin a replay at the dead letters.",
        }.render())
        (pieces::pager(call.first(PATH).as_deref(), next.as_deref()))
    };
    page("Operations", &content)
}

/// Where the list goes on.
fn after(call: &Call) -> Result<Option<Uuid>, Turned> {
    let mut form = Filled::of("list", &call.query);
    let after = form.optional("after", |text| text.parse().map_err(|_| "is not an id".into()));
    if form.is_right() { Ok(after) } else { Err(Turned::missing("page of this list")) }
}

/// `GET /console/operations/{id}`
pub(super) async fn show(call: Call) -> Answer {
    let operation = find(&call).await?;
    let id = operation.id;
    let items = books::operation_results(call.app(), id, after(&call)?, RESULTS).await?;
    let more = items.len() as i64 == RESULTS;
    let path = at(id);
    let next = items.last().filter(|_| more).map(|last| call.next(&path, &last.id.to_string()));
    let content = html! {
        p { (state(operation.state)) " " (what(operation.kind)) ", begun by " (operation.sender) " at " (time(operation.created_at)) "." }
        (search::said(&operation.filter))
        (words::live("standing", &html! { p { (how_far(&operation)) } (tiles(&operation)) }))
        (steering(&call, &operation))
        h2 { "What became of each" }
        (results(&items))
        (pieces::pager(call.first(&path).as_deref(), next.as_deref()))
    };
    page(&format!("Operation …{}", &id.to_string()[24..]), &content)
}

async fn find(call: &Call) -> Result<Operation, Turned> {
    let found = books::operation(call.app(), call.id(0, "operation")?).await?;
    found.ok_or_else(|| Turned::missing("operation"))
}

fn at(id: Uuid) -> String {
    format!("{PATH}/{id}")
}

fn what(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Replay => "Replay",
        OperationKind::Cancel => "Cancel",
    }
}

fn state(state: OperationState) -> Markup {
    match state {
        OperationState::Running => badge(Tone::Good, "running"),
        OperationState::Paused => badge(Tone::Warn, "paused"),
        OperationState::Cancelled => badge(Tone::Plain, "cancelled"),
        OperationState::Finished => badge(Tone::Plain, "finished"),
    }
}

/// What it was counted to have may have grown since; a cancel is not counted before.
fn how_far(operation: &Operation) -> Markup {
    match (operation.state, operation.matching) {
        (OperationState::Finished, _) => html! { "everything was looked at" },
        (_, 0) => html! { (words::count(operation.seen)) " looked at" },
        (_, matching) => words::progress(operation.seen.min(matching), matching.max(operation.seen), "How far it is"),
    }
}

fn tiles(operation: &Operation) -> Markup {
    let tile = |name, n| (name, words::count(n), "");
    let mut all = vec![tile("Looked at", operation.seen)];
    match operation.kind {
        OperationKind::Replay => {
            all.extend([tile("Replayed", operation.done), tile("Skipped", operation.skipped)]);
            all.push(("At the most", words::rate(operation.rate), ""));
        }
        OperationKind::Cancel => all.extend([
            tile("Stopped", operation.done),
            tile("In a worker's hands", operation.stopping),
            tile("Gone before", operation.skipped),
        ]),
    }
    pieces::tiles(&all)
}

fn steering(call: &Call, operation: &Operation) -> Markup {
    let path = at(operation.id);
    let nothing = html! {};
    html! {
        @if call.may_change(Scope::Deliveries) {
            div .actions {
                @if operation.state == OperationState::Running { (call.form(&format!("{path}/pause"), &nothing, "Pause")) }
                @if operation.state == OperationState::Paused { (call.form(&format!("{path}/resume"), &nothing, "Go on")) }
                @if matches!(operation.state, OperationState::Running | OperationState::Paused) {
                    (call.confirmed(
                        &format!("{path}/cancel"),
                        "Give it up…",
                        &html! { p { "What was done stays done; the rest is left as it is. It cannot be resumed." } },
                        "Give it up",
                    ))
                }
            }
        }
    }
}

fn results(items: &[OperationResult]) -> Markup {
    let row = |item: &OperationResult| {
        let tone = if matches!(item.result, "replayed" | "stopped") { Tone::Good } else { Tone::Plain };
        vec![words::id_link("/console/deliveries", item.id), badge(tone, item.result)]
    };
    let rows = items.iter().map(row).collect();
    let columns = [text("Delivery"), text("Result")];
    Table { caption: "What became of each delivery, newest first", columns: &columns, rows, empty: "Nothing yet." }
        .render()
}

/// `POST /console/operations/{id}/pause`
pub(super) async fn pause(call: Call) -> Changed {
    steer(call, Steer::Pause, "It is held up where it is.").await
}

/// `POST /console/operations/{id}/resume`
pub(super) async fn resume(call: Call) -> Changed {
    steer(call, Steer::Resume, "It goes on.").await
}

/// `POST /console/operations/{id}/cancel`
pub(super) async fn cancel(call: Call) -> Changed {
    steer(call, Steer::Cancel, "It was given up; what was done stays done.").await
}

async fn steer(call: Call, how: Steer, words: &str) -> Changed {
    let id = find(&call).await?.id;
    let steered = books::steer(call.app(), id, how).await?;
    match steered.ok_or_else(|| Turned::missing("operation"))? {
        (_, true) => done(at(id), words),
        (_, false) => Err(Turned::conflict(at(id), "It had ended, or was so already; nothing was changed.")),
    }
}
