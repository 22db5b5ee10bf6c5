//! One message of a request into types.

use std::time::Duration;

use uuid::Uuid;

use crate::books::{Lane, NewMessage};
use crate::config::Config;
use crate::openmsg::Address;

use super::super::fields::Fields;
use super::super::problem::Problem;
use super::super::values;

/// A message as it was handed over, with its connection still to be found.
pub(super) struct Row {
    pub(super) from: Address,
    pub(super) to: Address,
    text: String,
    lane: Lane,
    expires_in: Duration,
    tag: Option<String>,
    key: Option<String>,
}

/// Where a message's idempotency key comes from.
pub(super) enum Keyed {
    /// A single message: the request's header.
    ByHeader(Option<String>),
    /// A row of a batch: its own `key`, or else the batch's header with the row's place.
    ByRow { header: Option<String>, index: u64 },
}

impl Row {
    /// Reads all fields; `lane` is for those who name none.
    pub(super) fn read(mut fields: Fields, config: &Config, lane: Lane, keyed: Keyed) -> Result<Self, Problem> {
        let from = fields.required("from", values::our_address(&config.domain));
        let to = fields.required("to", values::parsed::<Address>);
        let text = fields.required("text", values::message_text(config.delivery.text_limit));
        let lane = fields.optional("lane", values::lane).unwrap_or(lane);
        let expires_in = fields.optional("expires_in", values::life);
        let tag = fields.optional("tag", values::tag);
        let key = match keyed {
            Keyed::ByHeader(key) => key,
            Keyed::ByRow { header, index } => {
                let own = fields.optional("key", values::idempotency_key);
                own.or_else(|| header.map(|header| derived_key(&header, index)))
            }
        };
        let expires_in = expires_in.unwrap_or_else(|| config.delivery.lifetime.duration());
        fields.finish((|| Some(Self { from: from?, to: to?, text: text?, lane, expires_in, tag, key }))())
    }

    /// As the books take it.
    pub(super) fn into_message(self, sender: &str, connection: Uuid) -> NewMessage {
        let Self { from, to, text, lane, expires_in, tag, key } = self;
        NewMessage { sender: sender.into(), connection, from, to, lane, tag, text, expires_in, key }
    }
}

/// The key of a batch's row. A line feed is in no key that a client can send, so it never meets another.
fn derived_key(header: &str, index: u64) -> String {
    format!("{header}\n{index}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config() -> Config {
        Config { domain: "our.example".into(), ..Config::default() }
    }

    fn read(json: &str, keyed: Keyed) -> Result<Row, Problem> {
        Row::read(Fields::parse(json.as_bytes())?, &config(), Lane::Bulk, keyed)
    }

    #[test]
    fn a_row_has_its_own_key_or_one_by_its_place() {
        let json = r#"{"from":"1000","to":"2*a.example","text":"hi","key":"k"}"#;
        let header = || Some("h".to_owned());
        assert_eq!(read(json, Keyed::ByRow { header: header(), index: 3 }).unwrap().key.unwrap(), "k");
        let json = r#"{"from":"1000","to":"2*a.example","text":"hi"}"#;
        assert_eq!(read(json, Keyed::ByRow { header: header(), index: 3 }).unwrap().key.unwrap(), "h\n3");
        assert_eq!(read(json, Keyed::ByHeader(header())).unwrap().key.unwrap(), "h");
    }

    #[test]
    fn every_field_is_checked() {
        let json =
            r#"{"from":"1000*other.example","to":"1000","text":"","lane":"fast","expires_in":0,"tag":"","key":"k"}"#;
        let problem = read(json, Keyed::ByHeader(None)).err().unwrap();
        let named: Vec<_> = problem.errors().iter().map(|error| error.field.as_str()).collect();
        assert_eq!(named, ["from", "to", "text", "lane", "expires_in", "tag", "key"]);
    }

    proptest! {
        #[test]
        fn any_row_is_answered(from: String, to: String, text: String, rest in "[ -~]{0,40}") {
            let json = serde_json::json!({"from": from, "to": to, "text": text, "tag": rest}).to_string();
            let _ = read(&json, Keyed::ByRow { header: None, index: 0 });
            let _ = read(&rest, Keyed::ByRow { header: None, index: 0 });
        }
    }
}
