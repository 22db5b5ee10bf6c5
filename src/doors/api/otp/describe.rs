//! What the endpoints of logins by code say about themselves.

use serde_json::json;

use super::super::describe::shape::Property;
use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::super::problem::Kind;
use super::LONGEST;

fn short() -> Shape {
    shape::text(0, LONGEST)
}

fn no(shape: Shape) -> Shape {
    shape.eg(json!(null))
}

fn step() -> [Property; 7] {
    let ip = Shape::new(json!({"type": "string"}), "192.0.2.7")
        .about("Where the application's user is: limits per network hold only where it is said");
    [
        must("app", short().eg(cast::APP)),
        may("phone", short().eg("18005551234").about("One of `phone`, `email` and `user` is needed")),
        may("email", no(short())),
        may("user", no(short())),
        may("ip", ip),
        may("device", no(short())),
        may("device_type", no(short())),
    ]
}

/// Exactly one address.
fn with_address(mut body: Shape) -> Shape {
    body.schema["anyOf"] = json!([{"required": ["phone"]}, {"required": ["email"]}, {"required": ["user"]}]);
    body
}

fn token() -> Shape {
    shape::request([must("token", short().eg(cast::TOKEN))])
}

pub(in super::super) fn start(_: &mut Schemas) -> Operation {
    Operation::new("Send somebody a code")
        .about("The same whether or not anybody ever signed in with the address.")
        .takes(with_address(shape::request(step())))
        .answers(
            202,
            "A code is on its way, or was a moment ago",
            shape::answer([must("state", shape::word(&["started"]))]),
        )
        .refuses(&[Kind::NotFound, Kind::Conflict, Kind::TooManyRequests])
}

pub(in super::super) fn verify(_: &mut Schemas) -> Operation {
    let [a, b, c, d, e, f, g] = step();
    let body = shape::request([a, b, c, d, e, f, g, must("code", short().eg("123456")), may("name", no(short()))]);
    let signed_in = shape::answer([
        must("token", shape::any_text().eg(cast::TOKEN).about("Shown this once")),
        must("address", shape::any_text().eg("18005551234")),
        must("name", no(shape::any_text().or_null())),
        must("expires_at", kinds::moment()),
        must("session", kinds::id(cast::SESSION)),
        must("uid", no(shape::count()).or_null().about("mesibo's")),
    ]);
    Operation::new("Sign somebody in by a code")
        .takes(with_address(body))
        .answers(200, "Signed in", signed_in)
        .refuses(&[Kind::WrongCode, Kind::NotFound, Kind::Conflict, Kind::TooManyRequests])
}

pub(in super::super) fn introspect(_: &mut Schemas) -> Operation {
    let second = || shape::count().eg(1_790_000_000).about("Unix seconds");
    let active = shape::answer([
        must("active", Shape::new(json!({"const": true}), true)),
        must("app", shape::any_text().eg(cast::APP)),
        must("sub", shape::any_text().eg("18005551234")),
        must("kind", shape::word(&["phone", "email", "user"])),
        must("name", no(shape::any_text().or_null())),
        must("device", no(shape::any_text()).or_null()),
        must("sid", kinds::id(cast::SESSION)),
        must("iat", second()),
        must("exp", second()),
    ]);
    let not = shape::answer([must("active", Shape::new(json!({"const": false}), false))]);
    Operation::new("Look a token up")
        .about("The shape of RFC 7662. It counts as a use of the session.")
        .takes(token())
        .answers(200, "Whose it is, or that it is good for nothing", shape::either([active, not]))
}

pub(in super::super) fn sign_out(_: &mut Schemas) -> Operation {
    Operation::new("End a session by its token").takes(token()).answers_nothing("Ended, whether or not there was one")
}
