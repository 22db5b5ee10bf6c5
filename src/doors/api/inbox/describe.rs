//! What the endpoints of the inbox say about themselves.

use serde_json::json;

use super::super::describe::{Operation, Schemas, Shape, cast, kinds, must, shape};
use super::super::problem::Kind;
use super::{LONGEST_WAIT, MOST, View};

fn entry(schemas: &mut Schemas) -> Shape {
    let example = json!({
        "id": cast::ENTRY, "from": cast::PEER, "from_name": "Ada", "text": "When does it open?", "acknowledged_at": null,
    });
    schemas.of::<View>(example)
}

fn named(operation: Operation) -> Operation {
    operation.path("id", kinds::id(cast::ENTRY))
}

fn acknowledged() -> Shape {
    shape::answer([must("acknowledged", shape::count().about("How many were not before"))])
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    Operation::new("List what an account received, oldest first")
        .about(
            "Several workers write: an entry may become visible a moment after a later one. Who must miss nothing asks for \
             `unacknowledged=true` and acknowledges, or follows the events `message.received`.",
        )
        .needs("account", kinds::our_address())
        .paged(kinds::id(cast::MESSAGE))
        .query("unacknowledged", shape::boolean().default(false))
        .waits(LONGEST_WAIT, "Wait so many seconds for something after `after`")
        .answers(200, "A page", shape::page(entry(schemas), kinds::id(cast::ENTRY)))
        .refuses(&[Kind::NotFound])
}

pub(in super::super) fn count(_: &mut Schemas) -> Operation {
    Operation::new("Count entries")
        .query(
            "account",
            kinds::our_address()
                .about("Only of this account; otherwise all of the node, or the one the key is bound to"),
        )
        .answers(
            200,
            "The counts",
            shape::answer([must("total", shape::count()), must("unacknowledged", shape::count())]),
        )
        .refuses(&[Kind::NotFound])
}

pub(in super::super) fn stream(schemas: &mut Schemas) -> Operation {
    let entry = entry(schemas);
    let text = format!("id: {}\nevent: message\ndata: {}\n\n", cast::ENTRY, entry.example);
    Operation::new("Follow what an account receives")
        .about("Server-sent events: `id` is the entry's, `data` the entry. Each comes once in a stream; a comment every 15 s.")
        .needs("account", kinds::our_address())
        .query("after", kinds::id(cast::ENTRY).about("Begin behind this entry; otherwise with what arrives from now on"))
        .header("Last-Event-ID", shape::form("^(|[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})$", cast::ENTRY).about("The same; goes before `after`, unless it is empty"))
        .answers_as(200, "Entries, until the client goes", "text/event-stream", Shape::new(json!({"type": "string"}), text), Some(&entry))
        .refuses(&[Kind::NotFound, Kind::TooManyRequests])
}

pub(in super::super) fn acknowledge_many(_: &mut Schemas) -> Operation {
    Operation::new("Acknowledge up to 1,000 entries")
        .takes(shape::request([must("ids", kinds::ids(cast::ENTRY, MOST))]))
        .answers(200, "How many", acknowledged())
}

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Show an entry")).answers(200, "The entry", entry(schemas))
}

pub(in super::super) fn acknowledge(_: &mut Schemas) -> Operation {
    named(Operation::new("Acknowledge an entry")).answers(200, "How many", acknowledged())
}
