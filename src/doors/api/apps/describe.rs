//! What the endpoints of applications and sessions say about themselves.

use serde_json::json;

use crate::logins::apps::{Mode, ResultStyle, Way};

use super::super::describe::shape::Property;
use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::super::problem::Kind;
use super::draft::{LONGEST_ID, LONGEST_LIFE, LONGEST_NAME, LONGEST_TEXT, LONGEST_TOKEN, MOST_COUNTRIES};

fn no(shape: Shape) -> Shape {
    shape.eg(json!(null))
}

fn ways() -> Shape {
    shape::word(&Way::ALL.map(|(_, name)| name))
}

fn style() -> Shape {
    shape::word(&ResultStyle::ALL.map(|(_, name)| name)).about("How the mesibo door writes `result`")
}

fn mode() -> Shape {
    shape::word(&Mode::ALL.map(|(_, name)| name)).about("What makes tokens")
}

fn appid() -> Shape {
    shape::form(&format!("^[A-Za-z0-9][A-Za-z0-9._-]{{0,{}}}$", LONGEST_ID - 1), cast::APP)
}

fn settings() -> [Property; 15] {
    let country = || shape::list(shape::form("^[0-9]+$", "49"), 0, MOST_COUNTRIES);
    [
        may("enabled", shape::boolean()),
        may("result_style", no(style())),
        may("legacy_errors", no(shape::boolean().about("A wrong code is `BADUSER`, as in the original"))),
        may("ways", shape::list(ways(), 1, Way::ALL.len()).about("How somebody proves who they are, in this order")),
        may("countries", country().about("Country codes whose numbers may sign in; empty: all")),
        may("countries_refused", no(country())),
        may(
            "text",
            shape::text(0, LONGEST_TEXT)
                .eg("{code} is your {app} code.")
                .about("The message; `{code}` must be in it, empty: the usual words"),
        ),
        may("backend", mode()),
        may("backend_url", no(shape::any_text())),
        may("backend_token", no(shape::form(&format!("^[!-~]{{1,{LONGEST_TOKEN}}}$"), "xyzzy"))),
        may("token_minutes", no(shape::whole(1, LONGEST_LIFE))),
        may("makes_codes", no(shape::boolean())),
        may("revoke_op", no(shape::form("^[A-Za-z0-9_]{0,64}$", "useradd"))),
        may("verifier_url", no(shape::any_text())),
        may("verifier_secret", no(shape::form("^whsec_", cast::SECRET))),
    ]
}

fn application(schemas: &mut Schemas) -> Shape {
    let texts = |example: serde_json::Value| shape::all(shape::any_text()).eg(example);
    let shape = shape::answer([
        must("appid", shape::any_text().eg(cast::APP)),
        must("name", shape::any_text().eg("Example")),
        must("enabled", shape::boolean()),
        must("result_style", style()),
        must("legacy_errors", shape::boolean().eg(false)),
        must("ways", shape::all(ways())),
        must("countries", texts(json!(["49"]))),
        must("countries_refused", texts(json!([]))),
        must("text", shape::any_text()),
        must("backend", mode()),
        must("backend_url", shape::any_text().eg("")),
        must("has_backend_token", shape::boolean().eg(false)),
        must("token_minutes", shape::count().eg(525_600)),
        must("makes_codes", shape::boolean().eg(false)),
        must("revoke_op", shape::any_text().eg("")),
        must("verifier_url", no(shape::any_text().or_null())),
        must("created_at", kinds::moment()),
        must("updated_at", kinds::moment()),
        may(
            "verifier_secret",
            no(shape::any_text().about("Shown this once, in the answer to the request that made it")),
        ),
    ]);
    schemas.named("Application", shape)
}

fn named(operation: Operation) -> Operation {
    operation.path("appid", shape::any_text().eg(cast::APP))
}

pub(in super::super) fn create(schemas: &mut Schemas) -> Operation {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = settings();
    let appid = must("appid", appid().eg("com.example.other"));
    let name = must("name", shape::text(1, LONGEST_NAME).eg("Example"));
    Operation::new("Make an application")
        .takes(shape::request([appid, name, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o]))
        .answers(201, "The application", application(schemas))
        .refuses(&[Kind::Conflict])
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let page = shape::page(application(schemas), shape::any_text());
    Operation::new("List applications, by id").paged(shape::any_text().eg("a")).answers(200, "A page", page)
}

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Show an application")).answers(200, "The application", application(schemas))
}

pub(in super::super) fn update(schemas: &mut Schemas) -> Operation {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = settings();
    let name = may("name", shape::text(1, LONGEST_NAME).eg("Example"));
    named(Operation::new("Change an application"))
        .about("Lists are replaced as a whole. It holds from the next request on.")
        .may_take(shape::request([name, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o]))
        .answers(200, "The application", application(schemas))
}

pub(in super::super) fn delete(_: &mut Schemas) -> Operation {
    named(Operation::new("Delete an application")).answers_nothing("Gone, with everybody's sessions")
}

pub(in super::super) fn unlock(_: &mut Schemas) -> Operation {
    let unlocked = shape::boolean().eg(false).about("False: nothing was counted against it");
    named(Operation::new("Let somebody sign in again who was wrong too often"))
        .takes(shape::request([must("address", shape::any_text().eg("18005551234"))]))
        .answers(200, "Done", shape::answer([must("unlocked", unlocked)]))
}

pub(in super::super) fn sessions(schemas: &mut Schemas) -> Operation {
    let maybe = || shape::any_text().or_null().eg(json!(null));
    let session = shape::answer([
        must("id", kinds::id(cast::SESSION)),
        must("app", shape::any_text().eg(cast::APP)),
        must("address", shape::any_text().eg("18005551234")),
        must("kind", shape::word(&["phone", "email", "user"])),
        must("name", maybe()),
        must("device", maybe()),
        must("device_type", maybe()),
        must("ip", maybe().eg("192.0.2.7")),
        must("created_at", kinds::moment()),
        must("seen_at", kinds::moment().about("To the minute")),
        must("expires_at", kinds::moment()),
        must("ends_at", kinds::moment().about("Its end if nobody uses it")),
        must("revoked_at", no(kinds::moment().or_null())),
    ]);
    let session = schemas.named("Session", session);
    Operation::new("List sessions, newest first")
        .paged(kinds::id(cast::MESSAGE))
        .query("app", shape::any_text().eg(cast::APP))
        .query("address", shape::any_text().eg("18005551234").about("Beside `app` only"))
        .answers(200, "A page", shape::page(session, kinds::id(cast::SESSION)))
}

pub(in super::super) fn revoke(_: &mut Schemas) -> Operation {
    Operation::new("End a session")
        .path("id", kinds::id(cast::SESSION))
        .answers_nothing("Ended: its token is good for nothing from now on")
}
