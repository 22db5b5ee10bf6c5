//! Campaigns: one template, many rows.
//!
//! Rows are taken in groups, each in one transaction: their messages, chunks, keys and errors, and the campaign's counters. So
//! `taken` says exactly which rows the node has, whoever died when, and an upload that broke off goes on from there. Whoever changes
//! a campaign or adds to it locks its row first.
//!
//! | file | what |
//! |---|---|
//! | `form` | the template, and what a row becomes by it |
//! | `intake` | taking a group of rows |
//! | `pace` | when rows are due, with a rate |
//! | `control` | close, pause, resume, another rate, cancel |
//! | `report` | what became of every row, as CSV |
//! | `keep` | what is looked after once a second: campaigns that end, that are paused, that have had their time |
//!
//! What becomes of deliveries is the books' (`crate::books`). Leaves out HTTP and who may do what.

mod control;
mod form;
mod intake;
mod keep;
mod pace;
mod report;

pub use control::{Changed, cancel, close, pause, resume, set_rate};
pub use form::{Form, LONGEST_MESSAGE};
pub use intake::{Row, Taken, take};
pub use keep::{Keeper, purge};
pub use report::{REPORT_TYPE, Report};

use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::App;
use crate::books::{BooksError, Lane};
use crate::crypto::OpenError;
use crate::db::{self, DbError};

/// Deliveries a second that a campaign may be set to: slower than one in about a day is a pause, faster is no limit.
pub const RATES: RangeInclusive<f64> = 0.00001..=1_000_000.0;

/// Why a campaign could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The books.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// The template does not open: the wrong node key, or damage.
    #[error("a sealed template does not open")]
    Sealed(#[from] OpenError),
    /// The stored template is none.
    #[error("a stored template cannot be read")]
    Template,
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

impl crate::failure::Failure for Error {
    fn is_passing(&self) -> bool {
        match self {
            Self::Db(error) => error.is_passing(),
            Self::Books(error) => error.is_passing(),
            Self::Sealed(_) | Self::Template => false,
        }
    }
}

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "CampaignState")]
pub enum State {
    /// Its rows are delivered.
    Running,
    /// Nothing of it goes out until it is resumed; rows are taken.
    Paused,
    /// What had not gone will not go.
    Cancelled,
    /// Closed, and nothing is open any more.
    Finished,
}

impl State {
    fn from_number(number: i16) -> Self {
        match number {
            1 => Self::Paused,
            2 => Self::Cancelled,
            3 => Self::Finished,
            _ => Self::Running,
        }
    }
}

/// A campaign, without its template.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Campaign {
    /// Its id.
    pub id: Uuid,
    /// For people.
    pub name: String,
    /// Whose it is.
    #[serde(skip)]
    pub sender: String,
    /// The account of the key it was made with, if that was bound to one.
    #[serde(skip)]
    pub account: Option<Uuid>,
    /// Where it stands.
    pub state: State,
    /// No more rows are taken.
    pub closed: bool,
    /// Which queue.
    pub lane: Lane,
    /// The tag of all its messages.
    pub tag: Option<String>,
    /// Deliveries a second; none: as fast as they go.
    pub rate: Option<f64>,
    /// Rows taken, good or not.
    pub taken: i64,
    /// Rows that became messages.
    pub accepted: i64,
    /// Rows whose key had come before.
    pub repeated: i64,
    /// Rows that could not be accepted.
    pub refused: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed or took rows.
    pub updated_at: Timestamp,
    /// When it finished or was cancelled.
    pub finished_at: Option<Timestamp>,
}

/// A campaign to be made.
pub struct NewCampaign<'a> {
    /// Whose it is.
    pub sender: &'a str,
    /// The account of the key, if that is bound to one.
    pub account: Option<Uuid>,
    /// For people; 1 to 64 characters.
    pub name: &'a str,
    /// What rows become.
    pub form: &'a Form,
    /// Which queue.
    pub lane: Lane,
    /// The tag of all its messages.
    pub tag: Option<&'a str>,
    /// Deliveries a second.
    pub rate: Option<f64>,
    /// Its rows say themselves when they are to be delivered.
    pub scheduled: bool,
}

/// A row that could not be accepted.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[schemars(rename = "CampaignError")]
pub struct RowError {
    /// Which, counted from 1.
    pub row: i64,
    /// Its key, if it had one.
    pub key: Option<String>,
    /// Why, in words.
    pub problem: String,
}

const COLUMNS: &str = "id, name, sender, account_id, state, closed, lane, tag, rate, taken, accepted, repeated, refused, created_at, \
                       updated_at, finished_at";

fn read(row: &db::Row) -> Campaign {
    Campaign {
        id: row.get(0),
        name: row.get(1),
        sender: row.get(2),
        account: row.get(3),
        state: State::from_number(row.get(4)),
        closed: row.get(5),
        lane: Lane::from_number(row.get(6)),
        tag: row.get(7),
        rate: row.get::<_, Option<f32>>(8).map(f64::from),
        taken: row.get(9),
        accepted: row.get(10),
        repeated: row.get(11),
        refused: row.get(12),
        created_at: row.get(13),
        updated_at: row.get(14),
        finished_at: row.get(15),
    }
}

/// Makes a campaign, which runs from now on.
pub async fn create(app: &App, new: &NewCampaign<'_>) -> Result<Campaign, Error> {
    let id = app.new_id();
    let sql = format!(
        "/* campaigns::create */
        insert into campaigns (id, sender, account_id, name, template, lane, tag, rate, scheduled, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) returning {COLUMNS}"
    );
    let sealed = new.form.seal(app, id)?;
    let (lane, rate, now) = (new.lane.number(), new.rate.map(|rate| rate as f32), app.clock.now());
    let client = app.db.client().await?;
    let statement = client.prepare_cached(&sql).await?;
    let row = client
        .query_one(
            &statement,
            &[&id, &new.sender, &new.account, &new.name, &sealed, &lane, &new.tag, &rate, &new.scheduled, &now],
        )
        .await?;
    Ok(read(&row))
}

/// The campaign with this id, with `account` only if it is that account's.
pub async fn find(app: &App, id: Uuid, account: Option<Uuid>) -> Result<Option<Campaign>, Error> {
    let sql = format!(
        "/* campaigns::find */ select {COLUMNS} from campaigns where id = $1 and ($2::uuid is null or account_id = $2)"
    );
    Ok(app.db.row(&sql, &[&id, &account]).await?.as_ref().map(read))
}

/// Campaigns, newest first, those before `after`; with `account` only that account's.
pub async fn list(app: &App, account: Option<Uuid>, after: Option<Uuid>, limit: i64) -> Result<Vec<Campaign>, Error> {
    let sql = format!(
        "/* campaigns::list */ select {COLUMNS} from campaigns
        where ($1::uuid is null or id < $1) and ($2::uuid is null or account_id = $2) order by id desc limit $3"
    );
    Ok(app.db.rows(&sql, &[&after, &account, &limit]).await?.iter().map(read).collect())
}

/// Its template.
pub async fn form(app: &App, id: Uuid) -> Result<Form, Error> {
    let sql = "/* campaigns::form */ select template from campaigns where id = $1";
    let row = app.db.row(sql, &[&id]).await?.ok_or(Error::Template)?;
    Form::open(app, id, row.get(0))
}

/// Rows that could not be accepted, in their order, those after the row `after`.
pub async fn errors(app: &App, id: Uuid, after: i64, limit: i64) -> Result<Vec<RowError>, Error> {
    let sql = "/* campaigns::errors */ select row, key, problem from campaign_errors
        where campaign = $1 and row > $2 order by row limit $3";
    let rows = app.db.rows(sql, &[&id, &after, &limit]).await?;
    Ok(rows.iter().map(|row| RowError { row: row.get(0), key: row.get(1), problem: row.get(2) }).collect())
}
