//! `POST /campaigns/{id}/rows`: rows in any number, taken as they arrive.
//!
//! Promises: memory stays flat; what was answered is committed; a bad row is that row's error. Ends with a line `{"done":true,…}`,
//! or `{"error":{problem}}` when the request broke off or may not go on. Either way `taken` says where the next upload begins.

use std::sync::Arc;

use http::header::CONTENT_ENCODING;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::campaigns::{self, Campaign, Form, Taken};
use crate::rows::{self, Cut, Cutter, Values};
use crate::senders::{Key, Standing};

use super::super::call::{Answer, Call, Shared, revoked};
use super::super::fields::Fields;
use super::super::messages::{Desk, Keyed, Row};
use super::super::problem::{Kind, Problem};
use super::super::streamed::{self, Answers, Gone, Intake, LARGEST_GROUP, NDJSON, Rows};
use super::super::values;

/// Longest row, in bytes.
const LONGEST: usize = 64 * 1024;
/// Longest key, in characters.
const LONGEST_KEY: usize = 255;

/// How far the campaign is.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "CampaignProgress")]
pub(super) struct Progress {
    taken: i64,
    accepted: i64,
    repeated: i64,
    refused: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    done: bool,
}

impl Progress {
    fn of(campaign: &Campaign, done: bool) -> Self {
        let &Campaign { taken, accepted, repeated, refused, .. } = campaign;
        Self { taken, accepted, repeated, refused, done }
    }
}

/// `POST /campaigns/{id}/rows`
pub(in super::super) async fn take(call: Call) -> Answer {
    let mut query = call.query();
    let offset = query.optional("offset", values::number(0..=i64::MAX as u64));
    query.finish(Some(()))?;
    let campaign = super::find(&call).await?;
    let (csv, gzip) = (is_csv(&call)?, is_gzip(&call)?);
    if campaign.finished_at.is_some() || campaign.closed {
        return Err(closed());
    }
    if offset.is_some_and(|offset| offset != campaign.taken as u64) {
        return Err(elsewhere(campaign.taken));
    }
    let form = campaigns::form(call.app(), campaign.id).await?;
    let body = call.body.take()?;
    let (answers, response) = Answers::new(call.app().config.private.read_timeout, NDJSON);
    let columns = if csv { Columns::Awaited } else { Columns::OfEach };
    let standing = Standing::of(call.app(), &call.key);
    let cutter = if csv { Cutter::records(LONGEST) } else { Cutter::lines(LONGEST) };
    let upload = Upload { shared: call.shared, key: call.key, standing, answers, form, columns, campaign };
    tokio::spawn(upload.run(Rows::over(body, gzip, cutter)));
    Ok(response)
}

fn is_csv(call: &Call) -> Result<bool, Problem> {
    match (call.is_of_type("text/csv"), call.is_of_type(NDJSON)) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => {
            let detail = format!("Rows come as `Content-Type: {NDJSON}` or `text/csv`.");
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
    }
}

fn is_gzip(call: &Call) -> Result<bool, Problem> {
    let encoding = call.headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default().trim());
    match encoding {
        None | Some("" | "identity") => Ok(false),
        Some(gzip) if gzip.eq_ignore_ascii_case("gzip") => Ok(true),
        Some(_) => {
            Err(Problem::new(Kind::UnsupportedMediaType, "Rows may be compressed by `Content-Encoding: gzip` only."))
        }
    }
}

fn closed() -> Problem {
    Problem::new(Kind::Conflict, "The campaign takes no more rows: it is closed, cancelled or finished.")
}

fn elsewhere(taken: i64) -> Problem {
    Problem::new(Kind::Conflict, format!("The campaign has taken {taken} rows: go on with `offset={taken}`."))
}

/// Where the names of values come from.
enum Columns {
    /// Every row brings its own.
    OfEach,
    /// The first record will name them.
    Awaited,
    /// It did.
    Known(Vec<String>),
}

struct Upload {
    shared: Arc<Shared>,
    key: Key,
    standing: Standing,
    answers: Answers,
    form: Form,
    columns: Columns,
    campaign: Campaign,
}

/// A row on its way to be a message.
struct Read {
    key: Option<String>,
    row: Result<Row, Problem>,
    /// Bytes of the message.
    length: usize,
}

impl Upload {
    async fn run(mut self, rows: Rows) {
        let (shared, answers) = (Arc::clone(&self.shared), self.answers.clone());
        if streamed::run(rows, &shared, &answers, &mut self).await.is_ok() {
            let _ = answers.lines(&[Progress::of(&self.campaign, true)]).await;
        }
    }

    async fn end(&self, problem: Problem) -> Gone {
        let _ = self.answers.lines(&[json!({"error": problem, "taken": self.campaign.taken})]).await;
        Gone
    }

    /// What a row says, and what it becomes.
    fn read(&self, cut: &Cut) -> Read {
        let mut read = Read { key: None, row: Err(too_long()), length: 0 };
        let values = match (cut, &self.columns) {
            (Cut::TooLong, _) => return read,
            (Cut::Line(line), _) => rows::of_object(line),
            (Cut::Record(record), Columns::Known(header)) => rows::of_record(header, record.fields()),
            (Cut::Record(_), _) => Err("there is no header".into()),
        };
        let invalid = |why: String| Problem::new(Kind::Invalid, why);
        let values = match values {
            Ok(values) => values,
            Err(why) => return Read { row: Err(invalid(why)), ..read },
        };
        read.key = self.form.key(&values).map(|key| key.chars().take(LONGEST_KEY + 1).collect());
        read.row = self.message(&values, read.key.as_deref()).map_err(invalid).and_then(|json| {
            read.length = json.len();
            Row::read(
                Fields::parse_with_raw(json.as_bytes())?,
                &self.shared.serve.app,
                self.campaign.lane,
                Keyed::ByHeader(None),
            )
        });
        read
    }

    fn message(&self, values: &Values, key: Option<&str>) -> Result<String, String> {
        if key.is_some_and(|key| key.chars().count() > LONGEST_KEY || key.chars().any(char::is_control)) {
            return Err(format!("the row's key is longer than {LONGEST_KEY} characters, or has control characters"));
        }
        self.form.message(values).map_err(|error| error.to_string())
    }

    /// Hands rows to the campaign, which commits them.
    async fn commit(&mut self, reads: Vec<Read>) -> Result<(), Gone> {
        match self.try_commit(reads).await {
            Ok(Taken::Done(campaign)) => {
                self.campaign = *campaign;
                self.answers.lines(&[Progress::of(&self.campaign, false)]).await
            }
            Ok(Taken::Elsewhere(taken)) => {
                self.campaign.taken = taken;
                Err(self.end(elsewhere(taken)).await)
            }
            Ok(Taken::Closed) => Err(self.end(closed()).await),
            Err(problem) => Err(self.end(problem).await),
        }
    }

    async fn try_commit(&mut self, reads: Vec<Read>) -> Result<Taken, Problem> {
        if !self.standing.holds().await? {
            return Err(revoked());
        }
        let (mut keys, mut rows) = (Vec::with_capacity(reads.len()), Vec::with_capacity(reads.len()));
        for (index, read) in reads.into_iter().enumerate() {
            keys.push(read.key);
            rows.push((index as u64, read.row));
        }
        let desk = Desk { serve: &self.shared.serve, ways: &self.shared.ways, key: &self.key };
        let messages = desk.prepare(rows).await?;
        let rows = keys
            .into_iter()
            .zip(messages)
            .map(|(key, (_, message))| campaigns::Row { key, message: message.map_err(|problem| problem.one_line()) });
        let serve = &self.shared.serve;
        let (id, taken): (Uuid, i64) = (self.campaign.id, self.campaign.taken);
        Ok(campaigns::take(&serve.app, &serve.acceptor, id, taken, rows.collect()).await?)
    }
}

impl Intake for Upload {
    async fn take(&mut self, group: Vec<(u64, Cut)>) -> Result<(), Gone> {
        let mut group = group.into_iter().map(|(_, cut)| cut);
        if matches!(self.columns, Columns::Awaited) {
            let Some(first) = group.next() else { return Ok(()) };
            match self.header(&first) {
                Ok(header) => self.columns = Columns::Known(header),
                Err(why) => return Err(self.end(Problem::new(Kind::Invalid, why)).await),
            }
        }
        // Short rows can become long messages: so many at a time that their sum stays small.
        let (mut reads, mut length) = (Vec::with_capacity(group.len()), 0);
        for cut in group {
            let read = self.read(&cut);
            length += read.length;
            reads.push(read);
            if length >= LARGEST_GROUP {
                self.commit(std::mem::take(&mut reads)).await?;
                length = 0;
            }
        }
        if reads.is_empty() { Ok(()) } else { self.commit(reads).await }
    }
}

impl Upload {
    fn header(&self, first: &Cut) -> Result<Vec<String>, String> {
        let Cut::Record(record) = first else { return Err("the header is too long".into()) };
        let header = rows::header(record.fields())?;
        self.form.check(&header)?;
        Ok(header)
    }
}

fn too_long() -> Problem {
    let detail = format!("A row has at most {LONGEST} bytes and 1,024 columns: is a quote left open?");
    Problem::new(Kind::TooLarge, detail)
}
