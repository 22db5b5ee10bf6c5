//! What the endpoints of the hub say about themselves.

use serde_json::json;

use crate::hub::stats::Day;

use super::super::describe::shape::Property;
use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::super::problem::Kind;
use super::LONGEST;

fn fields() -> [Property; 10] {
    let no = |shape: Shape| shape.eg(json!(null)).or_null();
    [
        must("id", shape::any_text().eg(cast::SITE)),
        must("name", shape::any_text().eg("Shop")),
        must("persona", shape::any_text().eg("ada")),
        must("state", shape::word(&["active", "trial-ended", "revoked", "deleted"]).about("`deleted`: by its owner")),
        must("trial_ends_at", no(kinds::moment()).about("Null: the trial has no end")),
        must("created_at", kinds::moment()),
        must("revoked_at", no(kinds::moment())),
        must("endpoints", shape::all(kinds::url().eg("https://shop.example/hs"))),
        must("fingerprint_mode", shape::word(&["site", "merchant", "global"])),
        must("otp_alg", shape::word(&["hmac", "md5"])),
    ]
}

fn with_days(schemas: &mut Schemas) -> Shape {
    let day = schemas.of::<Day>(json!({"requests": 3, "approved": 2}));
    let [a, b, c, d, e, f, g, h, i, j] = fields();
    let days = must("days", shape::all(day).about("Up to 92 of them"));
    schemas.named("SiteWithDays", shape::answer([a, b, c, d, e, f, g, h, i, j, days]))
}

fn named(operation: Operation) -> Operation {
    operation.path("id", shape::any_text().eg(cast::SITE))
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let site = schemas.named("Site", shape::answer(fields()));
    Operation::new("List the hub's sites").paged(shape::any_text().eg("h")).answers(
        200,
        "A page",
        shape::page(site, shape::any_text()),
    )
}

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Show a site and its days")).answers(200, "The site", with_days(schemas))
}

pub(in super::super) fn change(schemas: &mut Schemas) -> Operation {
    let state = shape::word(&["active", "revoked"]).about("Revoked: nobody is let in until it is active again");
    let body = shape::request([may("trial_ends_at", kinds::moment().about("Null: without end")), may("state", state)]);
    named(Operation::new("Change a site's trial, revoke it or let it be again"))
        .may_take(body)
        .answers(200, "The site", with_days(schemas))
        .refuses(&[Kind::Conflict])
}

fn ring(schemas: &mut Schemas) -> Shape {
    let key = shape::answer([
        must("id", shape::any_text().eg("k1")),
        must("use", shape::word(&["sign", "box"])),
        must("public", shape::any_text().eg("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")),
        must("not_before", kinds::moment()),
        must("not_after", kinds::moment().eg(json!(null)).or_null()),
    ]);
    let key = schemas.named("HubKey", key);
    shape::whole_page(key)
}

pub(in super::super) fn keys(schemas: &mut Schemas) -> Operation {
    Operation::new("The hub's keys, as merchants see them").answers(200, "Newest first by use", ring(schemas))
}

pub(in super::super) fn rotate(schemas: &mut Schemas) -> Operation {
    let after =
        shape::whole(0, LONGEST).eg(86_400).default(86_400).about("Seconds for which the new ones are only shown");
    Operation::new("Give the hub new keys").may_take(shape::request([may("after", after)])).answers(
        200,
        "Newest first by use",
        ring(schemas),
    )
}
