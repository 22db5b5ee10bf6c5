//! What the endpoints of the record of changes and of the settings say about themselves.

use serde_json::json;

use crate::audit::{Entry, Via};

use super::super::describe::{Operation, Schemas, Shape, cast, kinds, must, shape};

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let entry = json!({
        "via": "api", "actor": "shop", "key": cast::KEY, "action": "POST webhooks", "subject": cast::WEBHOOK, "outcome": 201,
    });
    let entry = schemas.of::<Entry>(entry);
    Operation::new("Who changed what, newest first")
        .about("Each change is written down before it is made, and how it ended. `outcome` null: it is not known whether it was done.")
        .paged(kinds::id(cast::MESSAGE).eg(json!(null)))
        .query("since", kinds::moment())
        .query("until", kinds::moment().eg(json!(null)))
        .query("actor", shape::any_text().eg("shop").about("Who"))
        .query("action", shape::any_text().eg("POST webhooks").about("Part of what was asked for"))
        .query("via", shape::word(&Via::ALL.map(Via::name)))
        .query("subject", shape::any_text().eg(cast::WEBHOOK).about("What it was done to"))
        .answers(200, "A page", shape::page(entry, kinds::id(cast::MESSAGE)))
}

pub(in super::super) fn configuration(_: &mut Schemas) -> Operation {
    let settings = Shape::new(json!({"type": "object"}), json!({"domain": "our.example"}))
        .about("By section, as in the settings file; secrets are dots");
    let version = shape::any_text().eg(env!("CARGO_PKG_VERSION"));
    Operation::new("The settings in effect").answers(
        200,
        "Of the process that answers",
        shape::answer([must("version", version), must("settings", settings)]),
    )
}
