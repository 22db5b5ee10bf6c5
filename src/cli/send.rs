//! `handfast send`: one message, or one for every row of a file.
//!
//! A file is streamed: rows are read by a thread of their own, go to the node in batches of up to 500, a few batches at a time, and
//! are forgotten when the node has answered. There is no journal of a run: every row's key (see [`campaign`]) makes the node itself
//! remember what it has, so an interrupted run goes on by running the same command again.

mod batch;
mod campaign;
pub(crate) mod progress;
mod report;
mod run;
mod source;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use self::campaign::{Campaign, Lane};
pub(super) use self::source::Format;
use self::source::Source;
use super::status::{settled, show_message};
use super::target::{Session, Target};
use super::{Failure, stop_on_signal};
use crate::config::Period;
use crate::template::Template;

/// Send one message, or a message for every row of a file.
#[derive(Debug, Args)]
#[command(after_help = "\
One message: --from, --to and --text are taken as they stand.

A file: --from, --to and --text are templates. {column} stands for the row's value, {{ and }} for braces. Without \
them the columns from, to and text are used. A row that lacks something fails alone and is listed at the end.

Running the same command on the same file again is safe: every row has a key made from its place in the file, its \
addresses and its text, and the node keeps keys for 24 hours. So after Ctrl-C or a crash just run it again: what was \
accepted is not sent twice. To send the same rows on purpose a second time, give another --run NAME. Rows must keep \
their places: put new ones at the end. After 24 hours the keys are forgotten, and all rows are sent anew.

Messages of a file are tagged, so that they can be counted and found: `handfast status --summary --tag TAG`. Rows \
that an earlier run had sent keep that run's tag; without --tag, the same command on the same file has the same tag.

Examples:
  handfast send --from 1000 --to '0012345*other.example' \\
      --text 'Your order is on its way' --follow
  handfast send orders.csv --from '1000*shop.test' \\
      --to '{customer_id}*customers.test' --text 'Order {order_id}: {status}' \\
      --errors refused.csv
  ./new-orders | handfast send - --format ndjson --from 1000 \\
      --to '{address}' --text 'Order {id}' --tag today")]
pub struct SendCommand {
    #[command(flatten)]
    target: Target,
    /// CSV with a header, or a JSON object a line (.ndjson, .jsonl, or --format ndjson); - is standard input
    file: Option<PathBuf>,
    /// Our account [default for a file: {from}]
    #[arg(long, value_name = "ADDRESS", required_unless_present = "file")]
    from: Option<String>,
    /// Who it is for; there must be a connection [default for a file: {to}]
    #[arg(long, value_name = "ADDRESS", required_unless_present = "file")]
    to: Option<String>,
    /// The text, 1-2000 characters [default for a file: {text}]
    #[arg(long, required_unless_present = "file")]
    text: Option<String>,
    /// Which queue [default: interactive for one message, bulk for a file]
    #[arg(long)]
    lane: Option<Lane>,
    /// Give up if not delivered within this time, such as 30m or 2d [default: the node's setting, 3d]
    #[arg(long, value_name = "TIME")]
    expires_in: Option<Period>,
    /// Label to find and count the messages by [default for a file: made from command and file]
    #[arg(long)]
    tag: Option<String>,
    /// Wait until everything is settled; the exit code is 1 unless all was delivered
    #[arg(long)]
    follow: bool,
    /// One message: sending again with the same key makes no second message [default: random]
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    of_file: OfFile,
}

/// What only makes sense with a file.
#[derive(Debug, Args)]
#[command(next_help_heading = "For a file")]
struct OfFile {
    /// How the file is written [default: by its name, else csv]
    #[arg(long, requires = "file")]
    format: Option<Format>,
    /// What separates columns, such as ';' (a tab is \t)
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = delimiter)]
    delimiter: u8,
    /// Part of every row's key: another name sends the same rows again
    #[arg(long, value_name = "NAME", requires = "file")]
    run: Option<String>,
    /// Write what was refused to this CSV file: row, key, error
    #[arg(long, value_name = "FILE", requires = "file")]
    errors: Option<PathBuf>,
    /// How long to try again while the node cannot be reached or says "temporarily"
    #[arg(long, value_name = "TIME", default_value = "10m")]
    patience: Period,
}

impl SendCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.file.clone() {
            Some(file) => self.send_file(&file).await,
            None => self.send_one().await,
        }
    }

    async fn send_one(self) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Accepted {
            id: Uuid,
            state: String,
        }
        let session = self.target.session()?;
        let mut body = json!({"from": self.from, "to": self.to, "text": self.text});
        body["lane"] = json!(self.lane.unwrap_or(Lane::Interactive));
        if let Some(seconds) = self.seconds()? {
            body["expires_in"] = json!(seconds);
        }
        if let Some(tag) = &self.tag {
            body["tag"] = json!(tag);
        }
        // With a key the request can be repeated when its answer is lost.
        let key = self.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        let key = HeaderValue::try_from(key)
            .map_err(|_| Failure::Usage("--idempotency-key: 1-255 visible ASCII characters".into()))?;
        let call = session.client.post(&["messages"]).json(body).idempotent();
        let answer = call.header(HeaderName::from_static("idempotency-key"), key).send().await?;
        let Accepted { id, state } = answer.parse()?;
        let before = if answer.replayed() { " (had been accepted before)" } else { "" };
        session.out.answer(&answer.text, || format!("{id}  {}{before}", super::output::harmless(&state)))?;
        if self.follow { follow_one(&session, id).await } else { Ok(()) }
    }

    async fn send_file(self, file: &Path) -> Result<(), Failure> {
        if self.of_file.errors.as_ref().is_some_and(|errors| is_same(errors, file)) {
            return Err(Failure::Usage("--errors would overwrite the file to send".into()));
        }
        let campaign = self.campaign(file)?;
        let session = self.target.session()?;
        let (input, length) = open(file)?;
        let read_failure = |source| Failure::File { path: file.to_owned(), source };
        let format = self.of_file.format.unwrap_or_else(|| format_of(file));
        let source = Source::open(input, format, self.of_file.delimiter).map_err(read_failure)?;
        if let Some(header) = &source.header {
            campaign.check(header).map_err(Failure::Usage)?;
        }
        let errors = self.of_file.errors.clone();
        let job = run::Job { file, campaign, source, length, errors, patience: self.of_file.patience.duration() };
        run::run(&session, job, self.follow, &stop_on_signal()).await
    }

    fn campaign(&self, file: &Path) -> Result<Campaign, Failure> {
        let template = |option: &str, text: &Option<String>| {
            let text = text.clone().unwrap_or_else(|| format!("{{{option}}}"));
            Template::parse(&text).map_err(|e| Failure::Usage(format!("--{option}: {e}")))
        };
        let (from, to, text) =
            (template("from", &self.from)?, template("to", &self.to)?, template("text", &self.text)?);
        let run = self.of_file.run.clone();
        let tag = match &self.tag {
            Some(tag) => tag.clone(),
            None => campaign::default_tag([&from, &to, &text], run.as_deref(), content_of(file)?.as_deref()),
        };
        let (lane, expires_in) = (self.lane.unwrap_or(Lane::Bulk), self.seconds()?);
        Ok(Campaign { from, to, text, lane, expires_in, run, tag })
    }

    fn seconds(&self) -> Result<Option<u64>, Failure> {
        match self.expires_in.map(|period| period.duration().as_secs()) {
            Some(0) => Err(Failure::Usage("--expires-in is less than a second".into())),
            seconds => Ok(seconds),
        }
    }
}

async fn follow_one(session: &Session, id: Uuid) -> Result<(), Failure> {
    let stop = stop_on_signal();
    let state = settled(&session.client, id, &stop).await?;
    show_message(session, id).await?;
    if state == "delivered" { Ok(()) } else { Err(Failure::Silent) }
}

/// The input and, for a plain file, its length in bytes.
fn open(file: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if is_stdin(file) {
        return Ok((Box::new(io::stdin()), None));
    }
    let failure = |source| Failure::File { path: file.to_owned(), source };
    let opened = File::open(file).map_err(failure)?;
    let metadata = opened.metadata().map_err(failure)?;
    if metadata.is_dir() {
        return Err(Failure::Usage(format!("{} is a directory", file.display())));
    }
    Ok((Box::new(opened), metadata.is_file().then_some(metadata.len())))
}

/// A fingerprint of a plain file; what can be read only once has none.
fn content_of(file: &Path) -> Result<Option<String>, Failure> {
    if is_stdin(file) || !file.is_file() {
        return Ok(None);
    }
    let failure = |source| Failure::File { path: file.to_owned(), source };
    File::open(file).and_then(campaign::content).map(Some).map_err(failure)
}

fn format_of(file: &Path) -> Format {
    match file.extension().and_then(|e| e.to_str()) {
        Some("ndjson" | "jsonl") => Format::Ndjson,
        _ => Format::Csv,
    }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if !byte.is_ascii_alphanumeric() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err("one character that is no letter, digit or quote".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_one_character() {
        assert_eq!((delimiter("\\t"), delimiter(";"), delimiter("\t")), (Ok(9), Ok(b';'), Ok(9)));
        for wrong in ["", ";;", "a", "\"", "ü"] {
            assert!(delimiter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_format_follows_the_name() {
        assert_eq!(format_of(Path::new("a.jsonl")), Format::Ndjson);
        assert_eq!(format_of(Path::new("a.csv")), Format::Csv);
        assert_eq!(format_of(Path::new("-")), Format::Csv);
    }
}
