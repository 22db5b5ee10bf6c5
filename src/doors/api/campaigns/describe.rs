//! What the endpoints of campaigns say about themselves.

use serde_json::json;

use crate::campaigns::{Campaign, RowError};

use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::super::problem::Kind;
use super::super::streamed::NDJSON;
use super::rows::Progress;
use super::{MOST_ERRORS, View};
use crate::campaigns::RATES;

fn example() -> serde_json::Value {
    json!({"id": cast::CAMPAIGN, "name": "Spring", "tag": "spring", "closed": false, "lane": "bulk", "finished_at": null})
}

fn campaign(schemas: &mut Schemas) -> Shape {
    schemas.of::<Campaign>(example())
}

fn counted(schemas: &mut Schemas) -> Shape {
    schemas.of::<View>(example())
}

fn named(operation: Operation) -> Operation {
    operation.path("id", kinds::id(cast::CAMPAIGN))
}

fn rate() -> Shape {
    shape::number(*RATES.start(), *RATES.end()).about("Deliveries a second")
}

pub(in super::super) fn create(schemas: &mut Schemas) -> Operation {
    let template = json!({"from": cast::ACCOUNT, "to": "{to}", "text": "Dear {name}, the sale begins."});
    let template = Shape::new(json!({"type": "object"}), template)
        .about("A message of `POST /messages` without `lane`, `tag` and `key`, with `{name}` for a row's value in any text of it");
    let body = shape::request([
        must("name", kinds::tag().eg("Spring").about("For people")),
        must("template", template),
        may("lane", kinds::lane().eg("bulk").default("bulk")),
        may("tag", kinds::tag()),
        may("rate", rate()),
        may(
            "key_field",
            kinds::tag().eg("key").about("Which value of a row is its idempotency key; `key` unless said"),
        ),
    ]);
    Operation::new("Begin a campaign").takes(body).answers(201, "The campaign", campaign(schemas))
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let page = shape::page(campaign(schemas), kinds::id(cast::CAMPAIGN));
    Operation::new("List campaigns, newest first").paged(kinds::id(cast::MESSAGE)).answers(200, "A page", page)
}

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Show a campaign")).answers(200, "The campaign", counted(schemas))
}

pub(in super::super) fn update(schemas: &mut Schemas) -> Operation {
    let body = shape::request([must("rate", rate().or_null().about("Deliveries a second; null: as fast as they go"))]);
    changed(Operation::new("Change a campaign's rate").takes(body), schemas)
}

pub(in super::super) fn take(schemas: &mut Schemas) -> Operation {
    let row = Shape::new(json!({"type": "object"}), json!({"key": "k1", "to": cast::PEER, "name": "Ada"}))
        .about("The values of the template, and the row's key; at most 64 KiB");
    let lines = Shape::new(json!({"type": "string"}), format!("{}\n", row.example));
    let csv = Shape::new(json!({"type": "string"}), format!("key,to,name\nk1,{},Ada\n", cast::PEER));
    let progress =
        schemas.of::<Progress>(json!({"taken": 1, "accepted": 1, "repeated": 0, "refused": 0, "done": true}));
    let answers = Shape::new(json!({"type": "string"}), format!("{}\n", progress.example));
    let offset = shape::whole(0, i64::MAX as u64)
        .eg(0)
        .about("How many rows the campaign must have taken before: 409 otherwise, which says how many");
    named(Operation::new("Add rows, in any number"))
        .about(
            "Taken as they arrive; a line of the answer for each group that is committed, at the end one with `\"done\":true`, or \
             `{\"error\":{problem}}` when the request broke off. Read the answers while you send. The first line of CSV names the columns.",
        )
        .query("offset", offset)
        .header("Content-Encoding", shape::word(&["gzip"]).eg(json!(null)))
        .takes_as(NDJSON, lines, Some(&row))
        .takes_as("text/csv", csv, None)
        .answers_as(200, "How far it is, line by line", NDJSON, answers, Some(&progress))
        .refuses(&[Kind::Conflict])
}

fn changed(operation: Operation, schemas: &mut Schemas) -> Operation {
    named(operation).answers(200, "The campaign", counted(schemas)).refuses(&[Kind::Conflict])
}

pub(in super::super) fn close(schemas: &mut Schemas) -> Operation {
    let words = "It is finished when nothing of it is open.";
    changed(Operation::new("Close a campaign: no more rows").about(words), schemas)
}

pub(in super::super) fn pause(schemas: &mut Schemas) -> Operation {
    changed(Operation::new("Pause a campaign"), schemas)
}

pub(in super::super) fn resume(schemas: &mut Schemas) -> Operation {
    changed(Operation::new("Go on with a paused campaign"), schemas)
}

pub(in super::super) fn cancel(schemas: &mut Schemas) -> Operation {
    changed(Operation::new("Cancel a campaign: what has not gone out will not"), schemas)
}

pub(in super::super) fn errors(schemas: &mut Schemas) -> Operation {
    let error = schemas.of::<RowError>(json!({"row": 3, "key": "k3", "problem": "the row has no value for {name}"}));
    let row = || shape::form("^[0-9]+$", "2");
    named(Operation::new("List rows that could not be accepted"))
        .query("limit", shape::whole(1, MOST_ERRORS).eg(2).default(100))
        .query("after", shape::whole(0, i64::MAX as u64).eg(0).about("Rows after this one, counted from 1"))
        .answers(200, "A page", shape::page(error, row()))
}

pub(in super::super) fn report(_: &mut Schemas) -> Operation {
    let text = "row,key,id,to,state,reason,attempts,accepted_at,last_attempt_at\n";
    named(Operation::new("What became of every row")).about("One that cannot be ended well breaks off.").answers_as(
        200,
        "All rows",
        "text/csv",
        Shape::new(json!({"type": "string"}), text),
        None,
    )
}
