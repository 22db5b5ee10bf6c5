//! What the endpoint of the gateway's sessions says about itself.

use serde_json::json;

use super::super::describe::{Operation, Schemas, Shape, cast, kinds, must, shape};

pub(in super::super) fn introspect(_: &mut Schemas) -> Operation {
    let second = || shape::count().eg(1_790_000_000).about("Unix seconds");
    let active = shape::answer([
        must("active", Shape::new(json!({"const": true}), true)),
        must("sub", kinds::id(cast::PERSON).about("The account")),
        must("account", kinds::id(cast::PERSON)),
        must("account_created_at", kinds::moment()),
        must("username", shape::any_text().eg("ada")),
        must(
            "f_in_g",
            shape::any_text().eg("0f3a").about("The fingerprint: personal data, for the merchant's application only"),
        ),
        must("scope", shape::any_text().eg("email fullname")),
        must(
            "claims",
            shape::texts_by_name()
                .eg(json!({"email": "ada@mail.example"}))
                .about("What the user said, by scope; nobody verified it"),
        ),
        must("iat", second()),
        must("exp", second()),
    ]);
    let not = shape::answer([must("active", Shape::new(json!({"const": false}), false))]);
    Operation::new("Whom a session of the gateway belongs to")
        .about("The shape of RFC 7662. `token` is the value of the cookie `hs_session`.")
        .takes(shape::request([must("token", shape::any_text().eg(cast::TOKEN))]))
        .answers(200, "Whose it is, or that it is good for nothing", shape::either([active, not]))
}
