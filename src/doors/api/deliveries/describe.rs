//! What the endpoints of deliveries and of operations over them say about themselves.

use serde_json::{Value, json};

use crate::books::{
    Cancelled, Count, Delivery, Filter, OperationKind, OperationResult, OperationState, Replayed, State,
};

use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::super::problem::Kind;
use super::MOST;
use crate::books::OPERATION_RATES;

fn example() -> Value {
    json!({
        "id": cast::MESSAGE, "destination": cast::WEBHOOK, "channel": "webhook", "state": "failed", "waits_for": null, "reason": "404",
        "sender": "shop", "from": null, "to": null, "tag": "spring", "campaign": null, "ordering_key": null, "deliver_at": null,
        "next_attempt_at": null, "last_status": 404, "last_code": null, "lane": "interactive",
    })
}

fn listed(schemas: &mut Schemas) -> Shape {
    let mut shape = schemas.of::<Delivery>(example());
    if let Some(example) = shape.example.as_object_mut() {
        example.remove("attempts");
    }
    shape
}

/// The filter's conditions, by name: in a query and in a body they are the same.
fn conditions() -> [(&'static str, Shape); 10] {
    let no = |shape: Shape| shape.eg(json!(null));
    [
        ("destination", shape::text(1, 255).eg(cast::WEBHOOK).about("Domain, or name of a webhook")),
        (
            "status",
            shape::form("^([1-5][0-9][0-9]|[1-5][xX][xX])$", "4xx").about("HTTP status of the last try: `404`, `4xx`"),
        ),
        ("code", no(shape::text(1, 255).about("Response code or error class of the last try"))),
        ("campaign", no(kinds::id(cast::CAMPAIGN))),
        ("tag", no(kinds::tag())),
        ("from", no(kinds::our_address())),
        ("to", no(kinds::address())),
        ("sender", no(kinds::sender())),
        ("since", no(kinds::moment().about("Accepted then or later"))),
        ("until", no(kinds::moment().about("Accepted before"))),
    ]
}

fn filtered(operation: Operation) -> Operation {
    let states = State::ALL.map(State::name).join("|");
    let state = shape::form(&format!("^ *({states}) *(, *({states}) *)*$"), "failed,expired")
        .about("One, or several with commas");
    conditions()
        .into_iter()
        .fold(operation.query("state", state), |operation, (name, shape)| operation.query(name, shape))
}

fn filter(schemas: &mut Schemas) -> Shape {
    let state = shape::either([
        shape::all(kinds::state()).eg(json!(["failed"])),
        shape::any_text().about("Several with commas"),
    ]);
    let [destination, _, code, campaign, tag, from, to, sender, since, until] =
        conditions().map(|(name, shape)| may(name, shape));
    let status = Shape { schema: json!({"type": ["string", "integer"]}), ..conditions()[1].1.clone() }
        .about("HTTP status of the last try");
    let shape = shape::request([
        destination,
        may("state", state),
        may("status", status),
        code,
        campaign,
        tag,
        from,
        to,
        sender,
        since,
        until,
    ]);
    schemas.named("NewFilter", shape).about("At least one condition")
}

fn operation_shape(schemas: &mut Schemas) -> Shape {
    let common = [
        ("id", kinds::id(cast::OPERATION)),
        ("kind", schemas.of::<OperationKind>(json!("replay"))),
        ("sender", kinds::sender()),
        ("filter", schemas.of::<Filter>(json!({})).eg(json!({"destination": cast::WEBHOOK, "state": ["failed"]}))),
        ("state", schemas.of::<OperationState>(json!("running"))),
        ("seen", shape::count().about("How many were looked at")),
        ("created_at", kinds::moment()),
        ("updated_at", kinds::moment()),
        ("finished_at", kinds::moment().eg(json!(null)).or_null()),
    ];
    let [id, kind, sender, filter, state, seen, created, updated, finished] =
        common.map(|(name, shape)| must(name, shape));
    let shape = shape::answer([
        id,
        kind,
        sender,
        filter,
        state,
        seen,
        created,
        updated,
        finished,
        may("rate", shape::number(0.0, *OPERATION_RATES.end()).or_null().about("Of a replay: deliveries a second")),
        may("matching", shape::count().about("Of a replay: how many there were when it began, as far as counted")),
        may("replayed", shape::count().about("Of a replay")),
        may("skipped", shape::count().about("Of a replay")),
        may("stopped", shape::count().eg(json!(null)).about("Of a cancel")),
        may("stopping", shape::count().eg(json!(null)).about("Of a cancel")),
        may("gone", shape::count().eg(json!(null)).about("Of a cancel: too late")),
    ]);
    schemas.named("Operation", shape)
}

fn named(operation: Operation) -> Operation {
    operation.path("id", kinds::id(cast::MESSAGE))
}

fn many(result: Shape) -> (Shape, Shape) {
    let row = shape::answer([must("id", kinds::id(cast::MESSAGE)), must("result", result)]);
    (shape::request([must("ids", kinds::ids(cast::MESSAGE, MOST))]), shape::answer([must("results", shape::all(row))]))
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let words =
        "A page may be short, or empty, and still have a `next`: at most some 20,000 rows are looked at for one.";
    filtered(Operation::new("Find deliveries, newest first").about(words).paged(kinds::id(cast::MESSAGE))).answers(
        200,
        "A page",
        shape::page(listed(schemas), kinds::id(cast::MESSAGE)),
    )
}

pub(in super::super) fn count(schemas: &mut Schemas) -> Operation {
    let words = "After five seconds `complete` is false, and `next` is the `after` of a request that counts the rest.";
    filtered(Operation::new("Count deliveries").about(words).query("after", kinds::id(cast::MESSAGE).eg(json!(null))))
        .answers(200, "The counts", schemas.of::<Count>(json!({"next": null})))
}

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    let attempt = json!({
        "no": 1, "at": cast::MOMENT, "ms": 41, "outcome": "refused-for-good", "status": 404, "code": null, "late": false, "answer": "gone",
    });
    let mut delivery = schemas.of::<Delivery>(example());
    delivery.example["attempts"] = json!([attempt]);
    named(Operation::new("Show a delivery and every try")).answers(200, "The delivery", delivery)
}

pub(in super::super) fn replay(schemas: &mut Schemas) -> Operation {
    let result = schemas.of::<Replayed>(json!("replayed"));
    let answer = shape::answer([must("id", kinds::id(cast::MESSAGE)), must("result", result)]);
    named(Operation::new("Send a delivery again that failed")).answers(200, "What was found", answer)
}

pub(in super::super) fn replay_many(schemas: &mut Schemas) -> Operation {
    let result = schemas.of::<Replayed>(json!("replayed"));
    let (body, answer) = many(result);
    Operation::new("Send up to 1,000 deliveries again").takes(body).answers(200, "A result for each", answer)
}

pub(in super::super) fn cancel_many(schemas: &mut Schemas) -> Operation {
    let result = schemas.of::<Cancelled>(json!("stopped"));
    let unknown = shape::word(&["unknown"]);
    let (body, answer) = many(shape::either([result, unknown]));
    Operation::new("Stop up to 1,000 deliveries").takes(body).answers(200, "A result for each", answer)
}

/// A dry run: counted, nothing done.
fn counted(schemas: &mut Schemas) -> Shape {
    use crate::books::{Group, Summary};
    shape::answer([
        must("matching", shape::count()),
        must("complete", shape::boolean()),
        must("states", schemas.of::<Summary>(json!({}))),
        must("groups", shape::all(schemas.of::<Group>(json!({})))),
    ])
}

pub(in super::super) fn begin_replay(schemas: &mut Schemas) -> Operation {
    let body = shape::request([
        must("filter", filter(schemas)),
        may(
            "rate",
            shape::number(*OPERATION_RATES.start(), *OPERATION_RATES.end()).about("Deliveries a second, at the most"),
        ),
        may("dry_run", shape::boolean().eg(false).default(false).about("Only count")),
    ]);
    Operation::new("Send again all that a filter finds")
        .about("Without a `state`: what failed or expired. A worker carries it out; nothing is looked at that is accepted later.")
        .takes(body)
        .answers(200, "The counts of a dry run", counted(schemas))
        .answers(202, "The operation, which runs", operation_shape(schemas))
}

pub(in super::super) fn begin_cancel(schemas: &mut Schemas) -> Operation {
    let wanted = filter(schemas).eg(json!({"destination": cast::WEBHOOK, "tag": "orders"}));
    let body = shape::request([
        must("filter", wanted.about("A `state` that has ended names nothing to cancel, and is refused")),
        may("dry_run", shape::boolean().eg(false).default(false).about("Only count")),
    ]);
    Operation::new("Stop all that a filter finds")
        .about("What a tag or campaign names is told of whole, also what had gone before; of other filters what is not ended.")
        .takes(body)
        .answers(200, "The counts of a dry run", counted(schemas))
        .answers(202, "The operation, which runs", operation_shape(schemas))
}

pub(in super::super) fn operations(schemas: &mut Schemas) -> Operation {
    let page = shape::page(operation_shape(schemas), kinds::id(cast::OPERATION));
    Operation::new("List operations, newest first").paged(kinds::id(cast::MESSAGE)).answers(200, "A page", page)
}

fn of_operation(operation: Operation) -> Operation {
    operation.path("id", kinds::id(cast::OPERATION))
}

pub(in super::super) fn operation(schemas: &mut Schemas) -> Operation {
    of_operation(Operation::new("Show an operation").about("Kept for a week after its end.")).answers(
        200,
        "The operation",
        operation_shape(schemas),
    )
}

pub(in super::super) fn results(schemas: &mut Schemas) -> Operation {
    let result = schemas.of::<OperationResult>(json!({"result": "replayed"}));
    of_operation(Operation::new("List what became of each delivery in an operation"))
        .paged(kinds::id(cast::MESSAGE))
        .answers(200, "A page", shape::page(result, kinds::id(cast::MESSAGE)))
}

fn steered(operation: Operation, schemas: &mut Schemas) -> Operation {
    of_operation(operation).answers(200, "The operation", operation_shape(schemas)).refuses(&[Kind::Conflict])
}

pub(in super::super) fn pause_operation(schemas: &mut Schemas) -> Operation {
    steered(Operation::new("Pause an operation"), schemas)
}

pub(in super::super) fn resume_operation(schemas: &mut Schemas) -> Operation {
    steered(Operation::new("Go on with a paused operation"), schemas)
}

pub(in super::super) fn cancel_operation(schemas: &mut Schemas) -> Operation {
    steered(Operation::new("Give an operation up; what was done stays done"), schemas)
}
