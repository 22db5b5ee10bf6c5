//! What the endpoints of connections and handshakes say about themselves.

use serde_json::json;

use crate::connections::State;
use crate::handshakes::State as HandshakeState;

use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::{HandshakeView, LONGEST_WAIT, View};

fn connection(schemas: &mut Schemas) -> Shape {
    let example =
        json!({"id": cast::CONNECTION, "other": cast::PEER, "other_name": "Ada", "state": State::Active.name()});
    schemas.of::<View>(example)
}

fn a_handshake(schemas: &mut Schemas) -> Shape {
    let state = HandshakeState::Pending.name();
    let example = json!({
        "id": cast::HANDSHAKE, "to": cast::PEER, "state": state, "error": null, "connection": null, "finished_at": null,
    });
    schemas.of::<HandshakeView>(example)
}

fn named(operation: Operation) -> Operation {
    operation.path("id", kinds::id(cast::CONNECTION))
}

pub(in super::super) fn start(schemas: &mut Schemas) -> Operation {
    let replies = shape::boolean().default(true).about("Whether the other side may send to us");
    let body = shape::request([
        must("from", kinds::our_address()),
        must("to", kinds::address()),
        must("pass_code", shape::form("^[0-9]{6}$", "042137").about("What the other side's user was shown")),
        may("allow_replies", replies),
    ]);
    Operation::new("Connect to an address elsewhere")
        .about("Starts a handshake, which a worker carries out.")
        .waits(LONGEST_WAIT, "Wait so many seconds for its end")
        .takes(body)
        .answers(200, "The handshake, which has ended", a_handshake(schemas))
        .answers(202, "The handshake", a_handshake(schemas))
}

pub(in super::super) fn handshake(schemas: &mut Schemas) -> Operation {
    Operation::new("Show a handshake")
        .path("id", kinds::id(cast::HANDSHAKE))
        .waits(LONGEST_WAIT, "Wait so many seconds for its end")
        .answers(200, "The handshake", a_handshake(schemas))
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let page = shape::page(connection(schemas), kinds::id(cast::CONNECTION));
    Operation::new("List connections")
        .paged(kinds::id(cast::MESSAGE))
        .query("account", kinds::our_address().about("Only of this account; 404 where there is none"))
        .answers(200, "A page", page)
        .refuses(&[super::Kind::NotFound])
}

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Show a connection")).answers(200, "The connection", connection(schemas))
}

pub(in super::super) fn block(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Block a connection"))
        .about("The peer's messages are answered SM_E002, ours are refused.")
        .answers(200, "The connection", connection(schemas))
}

pub(in super::super) fn unblock(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Unblock a connection")).answers(200, "The connection", connection(schemas))
}

pub(in super::super) fn delete(_: &mut Schemas) -> Operation {
    named(Operation::new("Delete a connection")).answers_nothing("Gone; the peer learns it by SM_E001")
}
