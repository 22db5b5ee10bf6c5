//! What the endpoints of accounts say about themselves.

use serde_json::json;

use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::super::problem::{Kind, Problem};
use super::{BATCH, View};

fn account(schemas: &mut Schemas) -> Shape {
    schemas.of::<View>(json!({"address": cast::ACCOUNT, "name": "Shop", "disabled": false}))
}

fn named(operation: Operation) -> Operation {
    operation.path("address", kinds::our_address())
}

fn new_account() -> Shape {
    let accepts = shape::boolean().default(true).about("Whether others may send to it");
    let address = kinds::our_address().eg(cast::NEW_ACCOUNT).about("The ID has 1–20 digits and is not `0`");
    shape::request([must("address", address), must("name", kinds::display_name()), may("accepts_messages", accepts)])
}

pub(in super::super) fn create(schemas: &mut Schemas) -> Operation {
    Operation::new("Make an account")
        .takes(new_account())
        .answers(201, "The account", account(schemas))
        .refuses(&[Kind::Conflict])
}

pub(in super::super) fn create_many(schemas: &mut Schemas) -> Operation {
    let index = || must("index", shape::count().eg(0).about("Which of the request, counted from 0"));
    let problem = schemas.of::<Problem>(json!({}));
    let address = must("address", shape::any_text().eg(cast::NEW_ACCOUNT));
    let made = shape::answer([index(), address, must("created", shape::boolean().about("False: it was there before"))]);
    let refused = shape::answer([index(), must("error", problem)]);
    let result = schemas.named("AccountResult", shape::either([made, refused]));
    Operation::new("Make up to 1,000 accounts")
        .about("One bad row fails alone.")
        .takes(shape::request([must("accounts", shape::list(new_row(), 1, BATCH))]))
        .answers(200, "A result for each", shape::answer([must("results", shape::all(result))]))
}

/// Anything is taken as a row: what is none is that row's error.
fn new_row() -> Shape {
    let row = new_account();
    Shape::new(json!({"examples": [row.example.clone()]}), row.example)
        .about("As for `POST /accounts`; what is not is that row's error")
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let page = shape::page(account(schemas), kinds::id(cast::MESSAGE));
    Operation::new("List accounts").paged(kinds::id(cast::MESSAGE)).answers(200, "A page", page)
}

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Show an account")).answers(200, "The account", account(schemas))
}

pub(in super::super) fn update(schemas: &mut Schemas) -> Operation {
    let body = shape::request([may("name", kinds::display_name()), may("accepts_messages", shape::boolean())]);
    named(Operation::new("Change an account")).may_take(body).answers(200, "The account", account(schemas))
}

pub(in super::super) fn disable(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Disable an account"))
        .about("It answers like one that does not exist, and sends nothing.")
        .answers(200, "The account", account(schemas))
}

pub(in super::super) fn enable(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Enable an account again")).answers(200, "The account", account(schemas))
}
