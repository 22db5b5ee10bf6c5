//! What the endpoints of pass codes say about themselves.

use super::super::describe::{Operation, Schemas, cast, kinds, may, must, shape};
use super::super::problem::Kind;
use super::LONGEST_LIFE;

fn named(operation: Operation) -> Operation {
    operation.path("address", kinds::our_address())
}

pub(in super::super) fn issue(_: &mut Schemas) -> Operation {
    let life = kinds::seconds(1, LONGEST_LIFE).about("`codes.pass_code_life` unless said");
    let issued = shape::answer([
        must("id", kinds::id(cast::PASS_CODE)),
        must("address", shape::any_text().eg(cast::ACCOUNT)),
        must("pass_code", shape::form("^[0-9]{6}$", "042137").about("Shown this once")),
        must("expires_at", kinds::moment()),
    ]);
    named(Operation::new("Issue a pass code"))
        .may_take(shape::request([may("life_seconds", life)]))
        .answers(201, "The code", issued)
        .refuses(&[Kind::Conflict])
}

pub(in super::super) fn list(_: &mut Schemas) -> Operation {
    let live = shape::answer([
        must("id", kinds::id(cast::PASS_CODE)),
        must("created_at", kinds::moment()),
        must("expires_at", kinds::moment()),
    ]);
    named(Operation::new("List live pass codes, without the codes")).answers(
        200,
        "All of them",
        shape::whole_page(live),
    )
}

pub(in super::super) fn withdraw_all(_: &mut Schemas) -> Operation {
    let withdrawn = shape::answer([must("withdrawn", shape::count())]);
    named(Operation::new("Withdraw all pass codes of an account")).answers(200, "How many", withdrawn)
}

pub(in super::super) fn withdraw(_: &mut Schemas) -> Operation {
    let withdrawn = shape::answer([must("withdrawn", shape::count().about("0: it was used, or had expired"))]);
    named(Operation::new("Withdraw a pass code"))
        .path("id", kinds::id(cast::PASS_CODE))
        .answers(200, "How many", withdrawn)
}
