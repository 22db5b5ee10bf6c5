//! What the endpoints of status events say about themselves.

use serde_json::json;

use crate::events::Event;

use super::super::describe::{Operation, Schemas, Shape, cast, must, shape};
use super::super::problem::Kind;
use super::{DEFAULT_LIMIT, LONGEST_WAIT, MOST};

fn event(schemas: &mut Schemas) -> Shape {
    let example = json!({
        "id": cast::CURSOR, "type": "delivery.delivered", "at": cast::MOMENT, "delivery": cast::MESSAGE, "state": "delivered",
        "channel": "webhook", "destination": cast::WEBHOOK, "tag": null, "campaign": null, "reason": null, "attempts": 1, "status": 200,
    });
    schemas.of::<Event>(json!({})).eg(example)
}

fn cursor() -> Shape {
    shape::form("^(start|now|[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+)$", "start")
}

fn read(operation: Operation) -> Operation {
    let names =
        shape::any_text().eg("delivery.*,message.received").about("Names or groups, with commas; all unless said");
    operation.query("kinds", names)
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let next = shape::any_text().eg(cast::CURSOR).about("Always there: keep it, and ask again with it as `after`");
    let page = shape::answer([must("items", shape::all(event(schemas))), must("next", next)]);
    read(Operation::new("Read events, from cursor to cursor"))
        .about("Each event comes exactly once. A page may be empty although more is to come; then `next` has moved.")
        .query(
            "after",
            cursor()
                .default("start")
                .about("A `next` or an event's `id`; `start`: the oldest that is kept; `now`: none of before"),
        )
        .query("limit", shape::whole(1, MOST).eg(2).default(DEFAULT_LIMIT))
        .waits(LONGEST_WAIT, "Wait so many seconds for something")
        .answers(200, "A page", page)
}

pub(in super::super) fn stream(schemas: &mut Schemas) -> Operation {
    let event = event(schemas);
    let text = format!("id: {}\nevent: message\ndata: {}\n\n", cast::CURSOR, event.example);
    read(Operation::new("Follow events"))
        .about("Server-sent events: `id` is a cursor, `data` the event. A comment with the cursor at the beginning and after every 15 s of silence.")
        .query("after", cursor().default("now").about("Where to begin"))
        .header(
            "Last-Event-ID",
            shape::form("^(|start|now|[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+)$", "now")
                .about("The same; goes before `after`, unless it is empty"),
        )
        .answers_as(200, "Events, until the client goes", "text/event-stream", Shape::new(json!({"type": "string"}), text), Some(&event))
        .refuses(&[Kind::TooManyRequests])
}
