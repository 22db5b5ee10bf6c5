//! One message of a request into types.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::App;
use crate::books::{Expiry, Key, Lane, NewMessage, Order, Way};
use crate::openmsg::Address;
use crate::webhooks::{Content, ContentType, CustomHeaders, WebhookName};

use super::super::fields::Fields;
use super::super::problem::Problem;
use super::super::values;

/// Longest body of a webhook message, in bytes.
const LONGEST_BODY: usize = 256 * 1024;
/// A message can be scheduled so far ahead.
const FARTHEST: Duration = Duration::from_secs(366 * 86_400);

/// A message as it was handed over; what it goes to is still to be looked up.
pub(in super::super) struct Row {
    pub(in super::super) to: To,
    content: Vec<u8>,
    lane: Lane,
    expiry: Expiry,
    deliver_at: Option<Timestamp>,
    order: Option<Order>,
    tag: Option<String>,
    pub(super) key: Option<String>,
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum To {
    /// Over the connection of two addresses.
    Peer { from: Address, to: Address },
    /// To a webhook.
    Webhook(WebhookName),
}

impl To {
    /// The webhook's name, if it goes to one.
    pub(super) fn webhook(&self) -> Option<&str> {
        match self {
            Self::Webhook(name) => Some(name.as_str()),
            Self::Peer { .. } => None,
        }
    }
}

/// Where a message's idempotency key comes from.
pub(in super::super) enum Keyed {
    /// A single message: the request's header.
    ByHeader(Option<String>),
    /// A row: its own `key`.
    ByRow,
}

impl Row {
    /// Reads all fields; `lane` is for those who name none.
    pub(in super::super) fn read(mut fields: Fields, app: &App, lane: Lane, keyed: Keyed) -> Result<Self, Problem> {
        let addressed = match fields.optional("webhook", values::parsed::<WebhookName>) {
            Some(name) => Self::read_body(&mut fields).map(|content| (To::Webhook(name), content)),
            None if fields.has_mistakes() => None,
            None => Self::read_text(&mut fields, app),
        };
        let lane = fields.optional("lane", values::lane).unwrap_or(lane);
        let now = app.clock.now();
        let deliver_at = fields.optional("deliver_at", values::moment);
        if deliver_at.is_some_and(|at| at > now + FARTHEST) {
            fields.mistake("deliver_at", "is more than 366 days ahead");
        }
        // Too far ahead it is refused all the same, and nothing can be added to the end of time.
        let start = deliver_at.unwrap_or(now).clamp(now, now + FARTHEST);
        let expiry = Self::read_expiry(&mut fields, app, start);
        let order = Self::read_order(&mut fields);
        let tag = fields.optional("tag", values::tag);
        let key = match keyed {
            Keyed::ByHeader(key) => key,
            Keyed::ByRow => fields.optional("key", values::idempotency_key),
        };
        let (to, content) = match fields.finish(Some(addressed)) {
            Ok(Some(addressed)) => addressed,
            Ok(None) => return Err(Problem::field("webhook", "or `from` and `to` are missing")),
            Err(problem) => return Err(problem),
        };
        Ok(Self { to, content, lane, expiry, deliver_at, order, tag, key })
    }

    fn read_text(fields: &mut Fields, app: &App) -> Option<(To, Vec<u8>)> {
        let from = fields.required("from", values::our_address(&app.config.domain));
        let to = fields.required("to", values::parsed::<Address>);
        let text = fields.required("text", values::message_text(app.config.delivery.text_limit));
        Some((To::Peer { from: from?, to: to? }, text?.into_bytes()))
    }

    fn read_body(fields: &mut Fields) -> Option<Vec<u8>> {
        let payload = fields.raw();
        let body = fields.optional("body", values::text);
        let content_type = fields.optional("content_type", values::parsed::<ContentType>);
        let headers = fields.optional("headers", |value| {
            serde_json::from_value::<CustomHeaders>(value).map_err(|error| format!("cannot be sent: {error}"))
        });
        let body = match (&payload, body) {
            (Some(payload), None) => payload.get().as_bytes().to_vec(),
            (None, Some(body)) => body.into_bytes(),
            _ => {
                fields.mistake("payload", "(JSON) or `body` (text) is wanted, one of the two");
                return None;
            }
        };
        if body.len() > LONGEST_BODY {
            fields.mistake("payload", "is longer than 256 KiB");
            return None;
        }
        if content_type.is_some() && payload.is_some() {
            fields.mistake("content_type", "goes with `body`; a payload is application/json");
        }
        let (content_type, headers) = (content_type.unwrap_or_default(), headers.unwrap_or_default());
        Some(Content { content_type, headers, body: &body }.encode())
    }

    fn read_expiry(fields: &mut Fields, app: &App, start: Timestamp) -> Expiry {
        let life = fields.optional("expires_in", values::life);
        let at = fields.optional("expires_at", values::moment);
        if life.is_some() && at.is_some() {
            fields.mistake("expires_at", "and `expires_in` exclude each other");
        }
        if at.is_some_and(|at| at <= start) {
            fields.mistake("expires_at", "is past, or before `deliver_at`");
        }
        if at.is_some_and(|at| at > start + Duration::from_secs(values::LONGEST_LIFE)) {
            fields.mistake("expires_at", "is more than seven days after now, or after `deliver_at`");
        }
        match (life, at) {
            (Some(life), _) => Expiry::In(life),
            (None, Some(at)) => Expiry::At(at),
            (None, None) => Expiry::In(app.config.delivery.lifetime.duration()),
        }
    }

    fn read_order(fields: &mut Fields) -> Option<Order> {
        let key = fields.optional("ordering_key", values::ordering_key);
        let skip = fields.optional("on_failure", values::on_failure);
        if key.is_none() && skip.is_some() {
            fields.mistake("on_failure", "goes with `ordering_key`");
        }
        key.map(|key| Order { key, skip: skip.unwrap_or(false) })
    }

    /// As the books take it.
    pub(in super::super) fn into_message(self, sender: &str, connection: Option<Uuid>) -> NewMessage {
        let Self { to, content, lane, expiry, deliver_at, order, tag, key } = self;
        let way = match to {
            To::Peer { from, to } => Way::Openmsg { connection: connection.unwrap_or_default(), from, to },
            To::Webhook(name) => Way::Webhook { name: name.as_str().to_owned() },
        };
        let key = key.map(Key::of_client);
        let sender = sender.to_owned();
        NewMessage { sender, way, lane, tag, content, expiry, deliver_at, order, campaign: None, held: false, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(json: &str, keyed: Keyed) -> Result<Row, Problem> {
        let app = App::for_tests("our.example");
        Row::read(Fields::parse_with_raw(json.as_bytes())?, &app, Lane::Bulk, keyed)
    }

    /// Found while its fuzz target was written: seven days after the end of time there is no time.
    #[tokio::test]
    async fn the_end_of_time_is_too_far_ahead() {
        let json = r#"{"from":"1000","to":"2*a.example","text":"hi","deliver_at":"9999-12-30T22:00:00Z","expires_at":"9999-12-30T22:00:00Z"}"#;
        let Err(problem) = read(json, Keyed::ByRow) else { panic!("it was taken") };
        assert_eq!(problem.errors()[0].field, "deliver_at");
    }

    #[tokio::test]
    async fn a_row_has_its_own_key_or_the_header() {
        let json = r#"{"from":"1000","to":"2*a.example","text":"hi","key":"k"}"#;
        assert_eq!(read(json, Keyed::ByRow).unwrap().key.unwrap(), "k");
        let json = r#"{"from":"1000","to":"2*a.example","text":"hi"}"#;
        assert_eq!(read(json, Keyed::ByRow).unwrap().key, None);
        assert_eq!(read(json, Keyed::ByHeader(Some("h".into()))).unwrap().key.unwrap(), "h");
    }

    #[tokio::test]
    async fn a_payload_is_kept_byte_for_byte() {
        let row = read(r#"{"webhook":"orders","payload":{ "b":1.50, "a":[1,2 ]}}"#, Keyed::ByRow).unwrap();
        assert!(row.content.ends_with(br#"{ "b":1.50, "a":[1,2 ]}"#));
        assert_eq!(row.to, To::Webhook("orders".parse().unwrap()));
    }

    #[tokio::test]
    async fn every_field_is_checked() {
        let named = |json: &str| {
            let problem = read(json, Keyed::ByHeader(None)).err().unwrap();
            problem.errors().iter().map(|error| error.field.clone()).collect::<Vec<_>>()
        };
        let json =
            r#"{"from":"1000*other.example","to":"1000","text":"","lane":"fast","expires_in":0,"tag":"","key":"k"}"#;
        assert_eq!(named(json), ["from", "to", "text", "lane", "expires_in", "tag", "key"]);
        assert_eq!(named(r#"{"webhook":"no.dots","payload":1}"#), ["webhook", "payload"]);
        assert_eq!(named(r#"{"webhook":"w"}"#), ["payload"]);
        assert_eq!(named(r#"{"webhook":"w","payload":1,"text":"x"}"#), ["text"]);
        assert_eq!(named(r#"{"from":"1000","to":"2*a.example","text":"x","payload":1}"#), ["payload"]);
        assert_eq!(named(r#"{"webhook":"w","payload":1,"deliver_at":"2100-01-01T00:00:00Z"}"#), ["deliver_at"]);
        assert_eq!(named(r#"{"webhook":"w","payload":1,"expires_at":"2020-01-01T00:00:00Z"}"#), ["expires_at"]);
        assert_eq!(named(r#"{"webhook":"w","payload":1,"on_failure":"skip"}"#), ["on_failure"]);
    }

    proptest! {
        #[test]
        fn any_row_is_answered(from: String, to: String, text: String, rest in "[ -~]{0,40}") {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _in = runtime.enter();
            let json = serde_json::json!({"from": from, "to": to, "text": text, "tag": rest}).to_string();
            let _ = read(&json, Keyed::ByRow);
            let _ = read(&rest, Keyed::ByRow);
        }
    }
}
