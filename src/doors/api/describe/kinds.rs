//! What single fields may be: the other half of `values`, with the same names and bounds.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::books::State;
use crate::doors::api::values;
use crate::openmsg::Address;

use super::cast;
use super::shape::{Shape, form, list, text, whole, word};

/// Where an id of this node's making stands.
pub(in crate::doors::api) fn id(example: &str) -> Shape {
    Shape::new(json!({"type": "string", "format": "uuid"}), example)
}

/// Up to `most` ids.
pub(in crate::doors::api) fn ids(example: &str, most: usize) -> Shape {
    list(id(example), 1, most)
}

/// A moment, RFC 3339.
pub(in crate::doors::api) fn moment() -> Shape {
    Shape::new(json!({"type": "string", "format": "date-time"}), cast::MOMENT)
}

/// An address of this node as it may be asked for.
pub(in crate::doors::api) fn our_address() -> Shape {
    form(r"^[0-9]{1,255}(\*[A-Za-z0-9.-]+)?$", cast::ACCOUNT).about("An address of this node, in full or its ID alone")
}

/// Any address.
pub(in crate::doors::api) fn address() -> Shape {
    form(r"^[0-9]{1,255}\*[A-Za-z0-9.-]+$", cast::PEER).about("`ID*domain`")
}

/// The name of an account, as other people see it.
pub(in crate::doors::api) fn display_name() -> Shape {
    text(1, 40).eg("Shop").about("What other people see")
}

pub(in crate::doors::api) fn tag() -> Shape {
    text(1, values::LONGEST_TAG).eg("spring").about("A word of the sender's own, to find things again by")
}

pub(in crate::doors::api) fn sender() -> Shape {
    text(1, values::LONGEST_SENDER).eg("shop").about("The name under which limits and idempotency keys are counted")
}

pub(in crate::doors::api) fn idempotency_key() -> Shape {
    form("^[!-~]{1,255}$", "order-7").about("The same key with the same content is the same message, for 24 hours")
}

pub(in crate::doors::api) fn ordering_key() -> Shape {
    text(1, values::LONGEST_KEY)
        .eg("customer-7")
        .about("Messages to one destination with the same key go one after the other")
}

pub(in crate::doors::api) fn lane() -> Shape {
    word(&["interactive", "bulk"]).about("`interactive`: somebody waits for it; `bulk`: volume")
}

pub(in crate::doors::api) fn state() -> Shape {
    word(&State::ALL.map(State::name)).about("Where the delivery is")
}

/// Whole seconds.
pub(in crate::doors::api) fn seconds(least: u64, most: u64) -> Shape {
    whole(least, most).eg(least.max(600).min(most))
}

pub(in crate::doors::api) fn url() -> Shape {
    Shape::new(json!({"type": "string", "format": "uri"}), "https://hooks.example/in")
}

/// A name of a webhook.
pub(in crate::doors::api) fn webhook_name() -> Shape {
    form("^[a-z0-9][a-z0-9_-]{0,62}$", cast::WEBHOOK)
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "examples": [cast::ACCOUNT]})
    }
}
