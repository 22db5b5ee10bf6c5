//! What one run of `handfast send FILE` makes of its rows: messages with stable keys, under one tag.
//!
//! A row's key depends on what is sent and on where the row stands, and on nothing else, so that the same file sent again by
//! the same command meets its own keys at the node and makes no doubles, for as long as the node keeps keys (24 h).

use std::collections::BTreeSet;
use std::io::{self, Read};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::crypto::encode_hex;
use crate::rows::Values;
use crate::template::Template;

/// A message beyond this is refused here, far above the longest text; the API would take lines of up to 512 KiB.
const LARGEST_MESSAGE: usize = 16 << 10;

/// Who waits for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Lane {
    /// Someone is waiting for it: never behind a campaign
    Interactive,
    /// One of many
    Bulk,
}

/// How rows become messages.
#[derive(Debug)]
pub(super) struct Campaign {
    pub(super) from: Template,
    pub(super) to: Template,
    pub(super) text: Template,
    pub(super) lane: Lane,
    /// Seconds.
    pub(super) expires_in: Option<u64>,
    /// Told apart by this, the same rows may be sent again on purpose.
    pub(super) run: Option<String>,
    pub(super) tag: String,
}

/// One row of a batch, as the API takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Message {
    /// The row's number in its file, from 1.
    #[serde(skip)]
    pub(super) row: u64,
    pub(super) key: String,
    from: String,
    to: String,
    text: String,
    lane: Lane,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    tag: String,
}

impl Campaign {
    /// Whether every gap has a column.
    ///
    /// # Errors
    /// The gaps without one, and the columns there are.
    pub(super) fn check(&self, header: &[String]) -> Result<(), String> {
        let gaps: BTreeSet<&str> = [&self.from, &self.to, &self.text].into_iter().flat_map(Template::gaps).collect();
        let missing: Vec<String> =
            gaps.iter().filter(|gap| !header.iter().any(|name| name == *gap)).map(|gap| format!("{{{gap}}}")).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let columns: Vec<String> = header.iter().map(|name| format!("{{{name}}}")).collect();
        Err(format!("the file has no column for {}; it has {}", missing.join(", "), columns.join(", ")))
    }

    /// The message of one row.
    ///
    /// # Errors
    /// What this row lacks, in words.
    pub(super) fn message(&self, row: u64, values: &Values) -> Result<Message, String> {
        let fill = |template: &Template| {
            template.render(|name| values.get(name).map(String::as_str)).map_err(|missing| missing.to_string())
        };
        let (from, to, text) = (fill(&self.from)?, fill(&self.to)?, fill(&self.text)?);
        if from.len() + to.len() + text.len() > LARGEST_MESSAGE - 512 {
            return Err("the message is longer than 16 KiB".into());
        }
        let key = self.key(row, &from, &to, &text);
        let (lane, expires_in, tag) = (self.lane, self.expires_in, self.tag.clone());
        Ok(Message { row, key, from, to, text, lane, expires_in, tag })
    }

    fn key(&self, row: u64, from: &str, to: &str, text: &str) -> String {
        let run = self.run.as_deref().unwrap_or_default();
        format!("row-{}", &fingerprint([run, &row.to_string(), from, to, text])[..40])
    }
}

/// The tag of a run that was given none: the same command with the same file gets the same tag, so that a run that was interrupted
/// and its continuation are counted together.
pub(super) fn default_tag(templates: [&Template; 3], run: Option<&str>, content: Option<&str>) -> String {
    let [from, to, text] = templates.map(Template::to_string);
    let parts = [run.unwrap_or_default(), content.unwrap_or_default(), &from, &to, &text];
    format!("send-{}", &fingerprint(parts)[..12])
}

/// A stable name for everything in `input`.
///
/// # Errors
/// If it cannot be read.
pub(super) fn content(mut input: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(encode_hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// Each part goes in with its length, so that no two lists of parts look alike.
fn fingerprint<const N: usize>(parts: [&str; N]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    encode_hex(&hash.finalize())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `n` messages, of the rows 1 to `n`.
    pub(in crate::cli::send) fn messages(n: u64) -> Vec<Message> {
        (1..=n).map(|row| campaign(None, "t").message(row, &values()).unwrap()).collect()
    }

    fn campaign(run: Option<&str>, tag: &str) -> Campaign {
        let template = |text| Template::parse(text).unwrap();
        Campaign {
            from: template("1000*shop.test"),
            to: template("{customer}*customers.test"),
            text: template("Order {order id}"),
            lane: Lane::Bulk,
            expires_in: None,
            run: run.map(Into::into),
            tag: tag.into(),
        }
    }

    fn values() -> Values {
        [("customer", "7"), ("order id", "A1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn keys_are_the_same_forever() {
        let message = campaign(None, "t").message(1, &values()).unwrap();
        insta::assert_snapshot!(serde_json::to_string(&message).unwrap(), @r#"{"key":"row-b9013578b8279f1f763cb730f57958830b77a57a","from":"1000*shop.test","to":"7*customers.test","text":"Order A1","lane":"bulk","tag":"t"}"#);
    }

    #[test]
    fn keys_tell_rows_and_runs_apart_but_not_tags() {
        let key = |run, tag, row| campaign(run, tag).message(row, &values()).unwrap().key;
        let first = key(None, "t", 1);
        assert_eq!(first, key(None, "other", 1));
        assert_ne!(first, key(None, "t", 2));
        assert_ne!(first, key(Some("again"), "t", 1));
        assert_ne!(fingerprint(["ab", "c"]), fingerprint(["a", "bc"]));
    }

    #[test]
    fn the_tag_follows_command_and_content() {
        let campaign = campaign(None, "");
        let templates = || [&campaign.from, &campaign.to, &campaign.text];
        let tag = |run, text: &str| default_tag(templates(), run, Some(&content(text.as_bytes()).unwrap()));
        assert_eq!(tag(None, "a\n1\n"), tag(None, "a\n1\n"));
        assert_ne!(tag(None, "a\n1\n"), tag(None, "a\n2\n"));
        assert_ne!(tag(None, "a\n1\n"), tag(Some("x"), "a\n1\n"));
    }

    #[test]
    fn missing_columns_are_named_before_anything_is_sent() {
        let header = ["customer", "Order ID"].map(str::to_owned);
        let wrong = campaign(None, "").check(&header).unwrap_err();
        assert_eq!(wrong, "the file has no column for {order id}; it has {customer}, {Order ID}");
        assert!(campaign(None, "").check(&["customer", "order id", "more"].map(str::to_owned)).is_ok());
    }

    #[test]
    fn a_bad_row_says_why() {
        let row = |values: Values| campaign(None, "").message(3, &values).unwrap_err();
        assert_eq!(row(Values::new()), "the row has no value for {customer}");
        let mut long = values();
        long.insert("customer".into(), "7".repeat(LARGEST_MESSAGE));
        assert_eq!(row(long), "the message is longer than 16 KiB");
    }
}
