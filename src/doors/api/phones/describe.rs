//! What the endpoints of phone numbers and federated nodes say about themselves.

use serde_json::json;

use super::super::describe::shape::Property;
use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::super::problem::Kind;
use super::LAST_DEVICE;

fn no(shape: Shape) -> Shape {
    shape.eg(json!(null)).or_null()
}

fn number() -> Shape {
    shape::form(r"^\+[0-9]{10,}$", cast::PHONE)
}

fn fields() -> [Property; 6] {
    [
        must("number", shape::any_text().eg(cast::PHONE)),
        must("active", shape::boolean().about("Messages can reach it")),
        must("disabled", shape::boolean().eg(false)),
        must("disabled_at", no(kinds::moment())),
        must("created_at", kinds::moment().or_null()),
        must("registered_at", kinds::moment().or_null().about("Null: only a peer lists it")),
    ]
}

fn device() -> Shape {
    shape::answer([
        must("id", shape::count()),
        must("active", shape::boolean()),
        must("fetches_messages", shape::boolean()),
        must("push", no(shape::word(&["google", "apple", "web"]))),
        must(
            "push_failed_at",
            no(kinds::moment()).about("When its push service last knew nothing of it, which took its address away"),
        ),
        must("created_at", kinds::moment()),
        must("seen_on", Shape::new(json!({"type": "string", "format": "date"}), cast::DAY)),
        must("prekeys", shape::count().about("One-time keys that are left")),
        must("waiting", shape::count().eg(0).about("Messages")),
    ])
}

fn phone(schemas: &mut Schemas) -> Shape {
    let [a, b, c, d, e, f] = fields();
    let directory = must("directory", shape::word(&["local", "peer", "none"]));
    let peer = must("peer", no(shape::any_text()).about("The federated node that lists it"));
    let device = schemas.named("PhoneDevice", device());
    schemas.named("Phone", shape::answer([a, b, c, d, e, f, directory, peer, must("devices", shape::all(device))]))
}

fn named(operation: Operation) -> Operation {
    operation.path("number", number().about("`+` and its digits; the `+` may also be written `%2B`"))
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let entry = schemas.named("PhoneEntry", shape::answer(fields()));
    Operation::new("List phone numbers").paged(number()).answers(200, "A page", shape::page(entry, shape::any_text()))
}

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Show a phone number and its devices")).answers(200, "The number", phone(schemas))
}

pub(in super::super) fn disable(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Disable a phone number"))
        .about("It answers like one that does not exist, keeps what it has, and cannot register.")
        .answers(200, "The number", phone(schemas))
}

pub(in super::super) fn enable(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Enable a phone number again"))
        .about("What waits for it is pushed.")
        .answers(200, "The number", phone(schemas))
        .refuses(&[Kind::TooManyRequests])
}

pub(in super::super) fn unregister(_: &mut Schemas) -> Operation {
    named(Operation::new("Unregister a phone number everywhere"))
        .answers_nothing("Gone, with devices, keys, messages that wait and the entry in the directory")
}

pub(in super::super) fn test_push(_: &mut Schemas) -> Operation {
    let device = shape::whole(1, LAST_DEVICE).about("The first one that can be woken unless said");
    let sent = shape::answer([
        must("id", kinds::id(cast::MESSAGE)),
        must("state", shape::word(&["pending"])),
        must("device", shape::count()),
        must("destination", shape::any_text().eg("push:fcm")),
    ]);
    named(Operation::new("Wake a device, to see whether that works"))
        .may_take(shape::request([may("device", device)]))
        .answers(202, "It is accepted; `GET /deliveries/{id}` has what the push service said", sent)
        .refuses(&[Kind::Conflict, Kind::TooManyRequests])
}

pub(in super::super) fn peers(schemas: &mut Schemas) -> Operation {
    let peer = shape::answer([
        must("name", shape::any_text().eg("partner")),
        must("url", kinds::url().eg("https://partner.example").or_null().about("Null: no longer in the settings")),
        must("synced_at", no(kinds::moment()).about("When its directory was last read")),
        must("due_at", no(kinds::moment())),
        must("failures", shape::count().eg(0)),
        must("contacts", shape::count().eg(0)),
        must("error", no(shape::any_text())),
    ]);
    let peer = schemas.named("Peer", peer);
    Operation::new("List federated nodes, by name").paged(shape::any_text().eg("a")).answers(
        200,
        "A page",
        shape::page(peer, shape::any_text()),
    )
}
