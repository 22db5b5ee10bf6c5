//! What the endpoints of destinations say about themselves.

use serde_json::json;

use crate::destinations::{MOST_AT_ONCE, RATES, STATES};

use super::super::describe::shape::Property;
use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::{LONGEST_WAIT, MOST_STEPS};

/// The pace, which a webhook may be given too.
pub(in super::super) fn pace() -> [Property; 3] {
    let wait = kinds::seconds(1, LONGEST_WAIT);
    [
        may(
            "concurrency",
            shape::whole(1, u64::from(MOST_AT_ONCE)).eg(10).about("Calls at once; null: the node's default"),
        ),
        may("rate", shape::number(*RATES.start(), *RATES.end()).about("Calls a second; null: no limit")),
        may(
            "schedule",
            shape::list(wait, 1, MOST_STEPS)
                .eg(json!([5, 60, 600]))
                .about("Seconds between attempts, the last one repeats; null: the node's default"),
        ),
    ]
}

fn destination(schemas: &mut Schemas) -> Shape {
    let no = |shape: Shape| shape.eg(json!(null)).or_null();
    let seconds = || shape::all(shape::count().eg(60));
    let shape = shape::answer([
        must(
            "name",
            shape::any_text()
                .eg(cast::WEBHOOK)
                .about("Domain of a peer, name of a webhook, or what the node itself sends by (`sms:…`, `push:…`)"),
        ),
        must("state", shape::word(&STATES)),
        must("why", no(shape::any_text())),
        must("closed_until", no(kinds::moment()).about("Nothing goes before")),
        must("trips", shape::count().eg(0).about("How often in a row the breaker has opened")),
        must("failures_in_a_row", shape::count().eg(0)),
        must("concurrency", no(shape::count()).about("Calls at once, where set")),
        must("concurrency_in_effect", shape::count().eg(50)),
        must("concurrency_now", shape::count().eg(50)),
        must("rate", no(shape::number(0.0, *RATES.end())).about("Calls a second, where set")),
        must("schedule", no(seconds())),
        must("schedule_in_effect", seconds()),
        must("waiting", shape::count().eg(0).about("Deliveries that wait for it")),
        must("oldest_waiting", no(kinds::moment())),
        must("in_hand", shape::count().eg(0).about("Deliveries that workers hold")),
        must("given_out", shape::count().eg(0).about("Calls at once that workers have been given")),
        must("changed_at", kinds::moment()),
    ]);
    schemas.named("Destination", shape)
}

fn named(operation: Operation) -> Operation {
    operation.path("name", shape::any_text().eg(cast::WEBHOOK))
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let page = shape::page(destination(schemas), shape::any_text());
    Operation::new("List destinations, by name")
        .paged(shape::any_text().eg("a"))
        .query("state", shape::word(&STATES))
        .answers(200, "A page", page)
}

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Show a destination")).about("404 until something was delivered to it or set for it.").answers(
        200,
        "The destination",
        destination(schemas),
    )
}

pub(in super::super) fn update(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Set the pace of a destination")).may_take(shape::request(pace())).answers(
        200,
        "The destination",
        destination(schemas),
    )
}

pub(in super::super) fn pause(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Pause a destination: everything waits")).answers(200, "The destination", destination(schemas))
}

pub(in super::super) fn resume(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Resume a destination"))
        .about("At once, also where a breaker or a `Retry-After` held it back.")
        .answers(200, "The destination", destination(schemas))
}
