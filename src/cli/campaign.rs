//! `handfast campaign`: one template, rows in any number, and what becomes of them.

mod definition;
mod source;
mod upload;
mod watch;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use futures_util::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use self::definition::Definition;
use self::source::{Format, Source};
use self::watch::Campaign;
use super::client::{Answer, Patience};
use super::list::{self, Extent};
use super::table::{Column, Show, fields};
use super::target::{Session, Target};
use super::{Failure, stop_on_signal};
use crate::config::Period;

const LIST: [Column; 8] = [
    Column("ID", "id", Show::Text),
    Column("NAME", "name", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("CLOSED", "closed", Show::Flag),
    Column("TAKEN", "taken", Show::Text),
    Column("ACCEPTED", "accepted", Show::Text),
    Column("REFUSED", "refused", Show::Text),
    Column("CREATED", "created_at", Show::Time),
];
const ONE: [Column; 14] = [
    Column("ID", "id", Show::Text),
    Column("NAME", "name", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("CLOSED", "closed", Show::Flag),
    Column("LANE", "lane", Show::Text),
    Column("TAG", "tag", Show::Text),
    Column("RATE", "rate", Show::Text),
    Column("TAKEN", "taken", Show::Text),
    Column("ACCEPTED", "accepted", Show::Text),
    Column("REPEATED", "repeated", Show::Text),
    Column("REFUSED", "refused", Show::Text),
    Column("CREATED", "created_at", Show::Time),
    Column("UPDATED", "updated_at", Show::Time),
    Column("FINISHED", "finished_at", Show::Time),
];
const ERRORS: [Column; 3] =
    [Column("ROW", "row", Show::Text), Column("KEY", "key", Show::Text), Column("PROBLEM", "problem", Show::Text)];

/// One template, rows in any number: create, upload, watch, pause, slow down, cancel, report.
#[derive(Debug, Args)]
#[command(after_help = "\
A template is a message as `POST /messages` takes it, with {column} for a row's value in any text of it ({{ and }} are \
braces). Rows are CSV with a header or a JSON object a line, plain or gzip (.gz). Every row that cannot become a message \
is listed by `campaign errors`; the others go out.

`run` does all of it, and can be repeated: with --campaign ID it asks the node how many rows it has, and goes on behind \
them, whoever died when. A column `key` (or --key-field) makes rows unique within the campaign.

Examples:
  handfast campaign run orders.csv --name spring --key-field id \\
      --template '{\"webhook\":\"orders\",\"payload\":{\"order\":\"{id}\"}}'
  handfast campaign create spring --template @hook.json --rate 50
  handfast campaign rows ID orders.csv.gz --close
  handfast campaign report ID > spring.csv")]
pub struct CampaignCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a campaign; prints its id
    Create {
        #[command(flatten)]
        definition: Definition,
        /// For people
        name: String,
    },
    /// Upload rows, behind those that the campaign has
    Rows {
        /// Id of the campaign
        id: Uuid,
        #[command(flatten)]
        file: RowsFile,
        /// No more rows follow: the campaign ends when all is through
        #[arg(long)]
        close: bool,
    },
    /// Create, upload, close, and wait until all is through; exit code 1 unless every row was delivered
    Run(Run),
    /// List campaigns, newest first
    List {
        #[command(flatten)]
        extent: Extent,
    },
    /// Show a campaign, and how many of its messages are in which state
    Show {
        /// Id of the campaign
        id: Uuid,
    },
    /// Follow a campaign until it is through
    Watch {
        /// Id of the campaign
        id: Uuid,
    },
    /// No more rows follow
    Close {
        /// Id of the campaign
        id: Uuid,
    },
    /// Let nothing more go out until it is resumed
    Pause {
        /// Id of the campaign
        id: Uuid,
    },
    /// Go on
    Resume {
        /// Id of the campaign
        id: Uuid,
    },
    /// Change how many deliveries go out a second
    Rate {
        /// Id of the campaign
        id: Uuid,
        /// Deliveries a second; `none` for as fast as they go
        rate: String,
    },
    /// Stop what has not gone out, for good
    Cancel {
        /// Id of the campaign
        id: Uuid,
    },
    /// List rows that could not be accepted
    Errors {
        /// Id of the campaign
        id: Uuid,
        #[command(flatten)]
        extent: Extent,
    },
    /// Write what became of every row as CSV
    Report {
        /// Id of the campaign
        id: Uuid,
        /// Where to [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// A file of rows.
#[derive(Debug, Args)]
struct RowsFile {
    /// CSV with a header, or a JSON object a line; also gzip (.gz)
    file: PathBuf,
    /// How the file is written [default: by its name, else csv]
    #[arg(long)]
    format: Option<Format>,
    /// How long to try again while the node cannot be reached or says "temporarily"
    #[arg(long, value_name = "TIME", default_value = "10m")]
    patience: Period,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    file: RowsFile,
    #[command(flatten)]
    definition: definition::Maybe,
    /// For people [default: the file's name]
    #[arg(long)]
    name: Option<String>,
    /// Go on with this campaign instead of making one
    #[arg(long, value_name = "ID", conflicts_with_all = ["template", "name"])]
    campaign: Option<Uuid>,
    /// Do not wait until all is through
    #[arg(long)]
    no_wait: bool,
}

impl CampaignCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let s = &session;
        match self.what {
            What::Create { definition, name } => {
                let answer = create(s, &definition, &name).await?;
                let campaign: Campaign = answer.parse()?;
                s.out.answer(&answer.text, || campaign.id.to_string())
            }
            What::Rows { id, file, close } => rows(s, id, &file, close).await,
            What::Run(run) => run.run(s).await,
            What::List { extent } => list::print(s, &extent, &LIST, || s.client.get(&["campaigns"])).await,
            What::Show { id } => show(s, s.client.get(&["campaigns", &id.to_string()]).send().await?),
            What::Watch { id } => watch::watch(s, id, &stop_on_signal()).await,
            What::Close { id } => change(s, id, "close").await,
            What::Pause { id } => change(s, id, "pause").await,
            What::Resume { id } => change(s, id, "resume").await,
            What::Cancel { id } => change(s, id, "cancel").await,
            What::Rate { id, rate } => set_rate(s, id, &rate).await,
            What::Errors { id, extent } => {
                list::print(s, &extent, &ERRORS, || s.client.get(&["campaigns", &id.to_string(), "errors"])).await
            }
            What::Report { id, output } => report(s, id, output).await,
        }
    }
}

async fn create<'a>(session: &'a Session, definition: &Definition, name: &str) -> Result<Answer<'a>, Failure> {
    Ok(session.client.post(&["campaigns"]).json(definition.body(name)?).send().await?)
}

async fn rows(session: &Session, id: Uuid, file: &RowsFile, close: bool) -> Result<(), Failure> {
    let source = Source::new(file.file.clone(), file.format)?;
    let stop = stop_on_signal();
    let campaign = upload::upload(session, id, &source, file.patience.duration(), &stop).await?;
    if close {
        watch::close(session, id).await?;
    }
    session.out.line(&campaign.rows_words())?;
    if campaign.refused == 0 { Ok(()) } else { Err(Failure::Silent) }
}

impl Run {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let source = Source::new(self.file.file.clone(), self.file.format)?;
        let stop = stop_on_signal();
        let id = match (self.campaign, self.definition.given()) {
            (Some(id), _) => id,
            (None, Some(definition)) => {
                let name = self.name.unwrap_or_else(|| source.name());
                create(session, &definition, &name).await?.parse::<Campaign>()?.id
            }
            (None, None) => return Err(Failure::Usage("give --template for a new campaign, or --campaign ID".into())),
        };
        eprintln!("campaign {id}");
        if self.campaign.is_some() && Campaign::of(session, id, Patience::SHORT).await?.closed {
            // All rows were there before; only the end was not waited for.
            return watch::watch(session, id, &stop).await;
        }
        let uploaded = upload::upload(session, id, &source, self.file.patience.duration(), &stop).await;
        let go_on = format!("handfast campaign run {} --campaign {id}", source.path.display());
        let campaign = uploaded.map_err(|failure| Failure::Refused(format!("{failure}\nto go on: {go_on}")))?;
        watch::close(session, id).await?;
        if campaign.refused > 0 {
            eprintln!("rows were refused; see: handfast campaign errors {id}");
        }
        if self.no_wait {
            session.out.line(&campaign.rows_words())?;
            return if campaign.refused == 0 { Ok(()) } else { Err(Failure::Silent) };
        }
        watch::watch(session, id, &stop).await
    }
}

fn show(session: &Session, answer: Answer<'_>) -> Result<(), Failure> {
    let campaign: Value = answer.parse()?;
    let counts = answer.parse::<Campaign>()?.counted();
    session.out.answer(&answer.text, || format!("{}\n{}", fields(&ONE, &campaign), counts.counts.words()))
}

async fn change(session: &Session, id: Uuid, what: &str) -> Result<(), Failure> {
    show(session, session.client.post(&["campaigns", &id.to_string(), what]).json(json!({})).idempotent().send().await?)
}

async fn set_rate(session: &Session, id: Uuid, rate: &str) -> Result<(), Failure> {
    let rate = match rate {
        "none" => Value::Null,
        number => json!(number.parse::<f64>().map_err(|_| Failure::Usage("a rate is a number, or none".into()))?),
    };
    let call = session.client.call(http::Method::PATCH, &["campaigns", &id.to_string()]);
    show(session, call.json(json!({"rate": rate})).idempotent().send().await?)
}

async fn report(session: &Session, id: Uuid, output: Option<PathBuf>) -> Result<(), Failure> {
    let failure = |path: &PathBuf, source| Failure::File { path: path.clone(), source };
    let pieces = session.client.get(&["campaigns", &id.to_string(), "report"]).stream(Duration::from_secs(60)).await?;
    let mut pieces = std::pin::pin!(pieces);
    let mut file = output.as_ref().map(|path| File::create(path).map_err(|e| failure(path, e))).transpose()?;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        match (&mut file, &output) {
            (Some(file), Some(path)) => file.write_all(&piece).map_err(|e| failure(path, e))?,
            _ => session.out.bytes(&piece)?,
        }
    }
    Ok(())
}
