//! What the endpoints of messages say about themselves.

use serde_json::json;

use crate::books::{Cancelled, MessageView, Summary};

use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::super::problem::Kind;
use super::super::streamed::NDJSON;
use super::super::values;
use super::batch::{MOST, Outcome};

/// A message as it is handed over: to a peer, or to a webhook.
fn message(schemas: &mut Schemas) -> Shape {
    let shape = written_message();
    schemas.named("NewMessage", shape)
}

/// A row of a batch or stream: the same with a key of its own.
fn row(schemas: &mut Schemas) -> Shape {
    let message = message(schemas);
    let mut example = message.example.clone();
    example["key"] = "order-7".into();
    let words = "As for `POST /messages`, and optionally `key`, its idempotency key; what is none is that row's error. `lane` is `bulk` unless said";
    Shape::new(json!({"examples": [example.clone()]}), example).about(words)
}

fn written_message() -> Shape {
    let no = |shape: Shape| shape.eg(json!(null));
    let mut written = shape::request([
        may("from", kinds::our_address()),
        may("to", kinds::address()),
        may(
            "text",
            shape::any_text()
                .eg("Your order is on its way.")
                .about("With `from` and `to`. 1–2,000 characters; of control characters only line feeds and tabs"),
        ),
        may(
            "webhook",
            no(kinds::webhook_name().about("Instead of `from`, `to` and `text`: where a payload or body goes")),
        ),
        may("payload", no(shape::anything().about("Any JSON, delivered byte for byte; up to 256 KiB"))),
        may("body", no(shape::any_text().about("Text instead of a payload"))),
        may("content_type", no(shape::text(1, 255).about("Of `body`; `application/json` unless said"))),
        may("headers", no(shape::texts_by_name().about("Sent along; before those of the webhook"))),
        may("lane", no(kinds::lane())),
        may(
            "expires_in",
            no(kinds::seconds(1, values::LONGEST_LIFE).about("Its life, from `deliver_at` if that is given")),
        ),
        may("expires_at", no(kinds::moment().about("Instead of `expires_in`"))),
        may("deliver_at", no(kinds::moment().about("Not before; up to 366 days ahead"))),
        may("ordering_key", no(kinds::ordering_key())),
        may(
            "on_failure",
            no(shape::word(&["block", "skip"])
                .about("With `ordering_key`: whether the next one goes when this one failed")),
        ),
        may("tag", kinds::tag()),
    ]);
    // What must come together. The empty schema for a payload also takes null, which counts as nothing.
    written.schema["anyOf"] = json!([{"required": ["from", "to", "text"]}, {"required": ["webhook"]}]);
    written
}

fn accepted() -> Shape {
    shape::answer([must("id", kinds::id(cast::MESSAGE)), must("state", shape::word(&["pending"]))])
}

fn shown(schemas: &mut Schemas) -> Shape {
    let attempt = json!({
        "no": 1, "at": cast::MOMENT, "ms": 41, "outcome": "refused-for-now", "status": 503, "code": null, "late": false, "answer": "busy",
    });
    let delivery = json!({
        "id": cast::MESSAGE, "channel": "openmsg", "destination": "other.example", "state": "retrying", "reason": null,
        "next_attempt_at": cast::MOMENT, "attempts": [attempt],
    });
    let example = json!({
        "from": cast::ACCOUNT, "to": cast::PEER, "destination": "other.example", "state": "retrying", "tag": "spring", "deliveries": [delivery],
    });
    schemas.of::<MessageView>(example)
}

fn replayed() -> Shape {
    shape::word(&["true"]).about("The same was accepted before under this key")
}

pub(in super::super) fn accept(schemas: &mut Schemas) -> Operation {
    Operation::new("Hand over a message")
        .about("Answered when it is committed. To a peer over a connection (`from`, `to`, `text`), or to a webhook (`webhook` and `payload` or `body`).")
        .header("Idempotency-Key", kinds::idempotency_key())
        .takes(message(schemas))
        .answers(202, "It is accepted", accepted())
        .tells("Idempotent-Replayed", replayed())
        .refuses(&[Kind::Conflict, Kind::IdempotencyMismatch, Kind::TooManyRequests])
}

pub(in super::super) fn accept_many(schemas: &mut Schemas) -> Operation {
    let row = row(schemas);
    let outcome = schemas.of::<Outcome>(json!({"index": 0, "id": cast::MESSAGE, "replayed": false}));
    let whole = shape::answer([
        must("accepted", shape::count()),
        must("rejected", shape::count().eg(0)),
        must("results", shape::all(outcome.clone())),
    ]);
    let lines = Shape::new(json!({"type": "string"}), format!("{}\n", row.example));
    let answers = Shape::new(json!({"type": "string"}), format!("{}\n", outcome.example));
    Operation::new("Hand over many messages")
        .about(
            "As JSON up to 1,000 at once, or as NDJSON any number, a row a line, answered a line each as they are committed. One bad row \
             fails alone. The header `Idempotency-Key` stands for a whole JSON request; streamed rows have a `key` each. A last line \
             `{\"error\":{problem}}` says that the request stalled, the key was revoked or the process stops.",
        )
        .header("Idempotency-Key", kinds::idempotency_key().eg("batch-7"))
        .takes(shape::request([must("messages", shape::list(row.clone(), 1, MOST))]))
        .takes_as(NDJSON, lines, Some(&row))
        .answers(200, "A result for each row, in the type of the request", whole)
        .answers_as(200, "", NDJSON, answers, Some(&outcome))
        .tells("Idempotent-Replayed", replayed())
        .refuses(&[Kind::IdempotencyMismatch, Kind::TooManyRequests])
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let mut message = shown(schemas);
    if let Some(example) = message.example.as_object_mut() {
        example.remove("deliveries");
    }
    Operation::new("List messages, newest first")
        .paged(kinds::id(cast::MESSAGE))
        .query("from", kinds::our_address())
        .query("to", kinds::address())
        .query("state", kinds::state())
        .query("tag", kinds::tag())
        .answers(200, "A page", shape::page(message, kinds::id(cast::MESSAGE)))
}

pub(in super::super) fn summary(schemas: &mut Schemas) -> Operation {
    let summary = schemas.of::<Summary>(json!({"accepted": 8, "doubles": 0}));
    Operation::new("Count messages by state").query("tag", kinds::tag()).answers(200, "The counts", summary)
}

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    Operation::new("Show a message, its delivery and every try").path("id", kinds::id(cast::MESSAGE)).answers(
        200,
        "The message",
        shown(schemas),
    )
}

pub(in super::super) fn cancel(schemas: &mut Schemas) -> Operation {
    let result = schemas.of::<Cancelled>(json!("stopped"));
    Operation::new("Stop a message that has not gone").path("id", kinds::id(cast::MESSAGE)).answers(
        200,
        "What was found",
        shape::answer([must("id", kinds::id(cast::MESSAGE)), must("result", result)]),
    )
}
