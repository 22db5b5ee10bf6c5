//! What the endpoints of API keys say about themselves.

use serde_json::json;

use crate::senders::Scope;

use super::super::describe::shape::Property;
use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::MOST_SCOPES;

fn scope() -> Shape {
    let names = Scope::ALL.map(Scope::name);
    shape::form(&format!(r"^(\*|({})(:read)?)$", names.join("|")), "messages")
}

fn fields() -> [Property; 4] {
    [
        must("id", kinds::id(cast::KEY)),
        must("sender", kinds::sender()),
        must("scopes", shape::all(scope())),
        must("account", shape::any_text().or_null().eg(json!(null)).about("The account it is bound to")),
    ]
}

pub(in super::super) fn create(_: &mut Schemas) -> Operation {
    let body = shape::request([
        must("sender", kinds::sender()),
        must("scopes", shape::list(scope(), 1, MOST_SCOPES)),
        may("account", kinds::our_address().about("Bind it to this account, which it then cannot leave")),
    ]);
    let [id, sender, scopes, account] = fields();
    let key = must("key", shape::any_text().eg("hf_…").about("Shown this once"));
    Operation::new("Make a key").takes(body).answers(201, "The key", shape::answer([id, sender, scopes, account, key]))
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let key = schemas.named("Key", shape::answer(fields()));
    Operation::new("List keys, without what they are").paged(kinds::id(cast::MESSAGE)).answers(
        200,
        "A page",
        shape::page(key, kinds::id(cast::KEY)),
    )
}

pub(in super::super) fn revoke(_: &mut Schemas) -> Operation {
    Operation::new("Revoke a key")
        .path("id", kinds::id(cast::KEY))
        .answers_nothing("Refused everywhere within two seconds")
}
