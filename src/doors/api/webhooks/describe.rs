//! What the endpoints of webhooks say about themselves.

use serde_json::json;

use crate::webhooks::{LONGEST_TIMEOUT, SecretKind, Signing};

use super::super::describe::shape::Property;
use super::super::describe::{Operation, Schemas, Shape, cast, kinds, may, must, shape};
use super::super::destinations::describe::pace;
use super::super::problem::Kind;
use super::LONGEST_OVERLAP;
use super::draft::{MOST_KINDS, MOST_STATUSES};

fn signing() -> Shape {
    shape::word(&Signing::ALL.map(|(_, name)| name))
}

fn secret() -> Shape {
    shape::form("^whs[a-z]*_", cast::SECRET)
}

fn auth() -> Shape {
    let text = |example: &str| shape::any_text().eg(example);
    let basic =
        [must("type", shape::word(&["basic"])), must("username", text("shop")), must("password", text("xyzzy"))];
    let bearer = [must("type", shape::word(&["bearer"])), must("token", text("xyzzy"))];
    shape::either([shape::request(basic), shape::request(bearer)]).eg(json!(null)).about("Sent as `Authorization`")
}

/// What can be changed.
fn changeable() -> [Property; 6] {
    let no = |shape: Shape| shape.eg(json!(null));
    let statuses = shape::list(shape::whole(300, 599), 0, MOST_STATUSES);
    let kinds = shape::list(shape::any_text(), 0, MOST_KINDS).eg(json!(["delivery.*"]));
    [
        may("signing", signing()),
        may("headers", no(shape::texts_by_name().about("Sent along; replaced as a whole"))),
        may("auth", auth()),
        may("final_statuses", no(statuses.about("Answers after which it is not tried again; null: the usual ones"))),
        may("timeout_seconds", no(shape::whole(1, LONGEST_TIMEOUT.as_secs()))),
        may("events", kinds.about("Kinds of events it gets, as `delivery.*`")),
    ]
}

fn fields(schemas: &mut Schemas) -> [Property; 14] {
    let no = |shape: Shape| shape.eg(json!(null)).or_null();
    let secret = shape::answer([
        must("kind", shape::word(&[SecretKind::Hmac.name(), SecretKind::Ed25519.name()])),
        must("public_key", no(shape::any_text()).about("`whpk_…`, of Ed25519")),
        must("until", no(kinds::moment()).about("When it stops to sign; null: the current one")),
    ]);
    let secret = schemas.named("WebhookSecret", secret);
    let username = may("username", shape::any_text());
    let auth = shape::answer([must("type", shape::word(&["basic", "bearer"])), username]);
    [
        must("name", kinds::webhook_name()),
        must("url", kinds::url()),
        must("sender", kinds::sender()),
        must("signing", signing()),
        must("secrets", shape::all(secret)),
        must("headers", shape::all(shape::any_text().eg("x-shop")).about("Names only")),
        must("auth", no(auth)),
        must("final_statuses", shape::all(shape::whole(300, 599).eg(404))),
        must("timeout_seconds", no(shape::count())),
        must("events", shape::all(shape::any_text().eg("delivery.failed"))),
        must("disabled", shape::boolean().eg(false)),
        must("gone_at", no(kinds::moment()).about("When it last answered 410")),
        must("created_at", kinds::moment()),
        must("updated_at", kinds::moment()),
    ]
}

fn webhook(schemas: &mut Schemas) -> Shape {
    let fields = fields(schemas);
    let shape = shape::answer(fields);
    schemas.named("Webhook", shape)
}

/// With its secret, where this answer is the one that shows it.
fn with_secret(schemas: &mut Schemas) -> Shape {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = fields(schemas);
    let secret = may(
        "secret",
        shape::any_text().eg(cast::SECRET).about("Shown this once, where an HMAC secret was made or given"),
    );
    let shape = shape::answer([a, b, c, d, e, f, g, h, i, j, k, l, m, n, secret]);
    schemas.named("WebhookWithSecret", shape)
}

fn named(operation: Operation) -> Operation {
    operation.path("name", shape::any_text().eg(cast::WEBHOOK))
}

pub(in super::super) fn create(schemas: &mut Schemas) -> Operation {
    let ([a, b, c, d, e, f], [g, h, i]) = (changeable(), pace());
    let name = must("name", kinds::webhook_name().eg("invoices"));
    let url = must("url", kinds::url().about("HTTPS, port 443 or one of `outbound.ports`"));
    let secret = may("secret", secret().eg(json!(null)).about("Made if not given"));
    Operation::new("Make a webhook")
        .takes(shape::request([name, url, secret, a, b, c, d, e, f, g, h, i]))
        .answers(201, "The webhook, with its secret", with_secret(schemas))
        .refuses(&[Kind::Conflict])
}

pub(in super::super) fn list(schemas: &mut Schemas) -> Operation {
    let page = shape::page(webhook(schemas), shape::any_text());
    Operation::new("List webhooks, by name").paged(shape::any_text().eg("a")).answers(200, "A page", page)
}

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Show a webhook")).about("Values of headers, passwords and tokens are not shown.").answers(
        200,
        "The webhook",
        webhook(schemas),
    )
}

pub(in super::super) fn update(schemas: &mut Schemas) -> Operation {
    let ([a, b, c, d, e, f], [g, h, i]) = (changeable(), pace());
    named(Operation::new("Change a webhook"))
        .about("A new `url` is called at once; an HMAC secret that a change of `signing` makes is in the answer.")
        .may_take(shape::request([may("url", kinds::url()), a, b, c, d, e, f, g, h, i]))
        .answers(200, "The webhook", with_secret(schemas))
}

pub(in super::super) fn delete(_: &mut Schemas) -> Operation {
    named(Operation::new("Delete a webhook")).answers_nothing("Gone; what still waits for it fails with `no-webhook`")
}

pub(in super::super) fn rotate(schemas: &mut Schemas) -> Operation {
    let overlap = shape::whole(0, LONGEST_OVERLAP).eg(86_400).default(86_400).about("How long the old ones sign too");
    let secret = secret().eg(json!(null)).about("Made if not given");
    named(Operation::new("Give a webhook a new secret"))
        .may_take(shape::request([may("overlap_seconds", overlap), may("secret", secret)]))
        .answers(200, "The webhook, with its secret", with_secret(schemas))
        .refuses(&[Kind::Conflict])
}

pub(in super::super) fn test(_: &mut Schemas) -> Operation {
    let sent = shape::answer([must("id", kinds::id(cast::MESSAGE)), must("state", shape::word(&["pending"]))]);
    named(Operation::new("Send a webhook a ping"))
        .about("A message like any other; it lives 10 minutes.")
        .answers(202, "It is accepted", sent)
        .refuses(&[Kind::TooManyRequests])
}

pub(in super::super) fn disable(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Disable a webhook: everything waits")).answers(200, "The webhook", webhook(schemas))
}

pub(in super::super) fn enable(schemas: &mut Schemas) -> Operation {
    named(Operation::new("Enable a webhook again")).answers(200, "The webhook", webhook(schemas))
}
