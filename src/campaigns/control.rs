//! Changing a campaign as a whole: its row is locked, its deliveries follow in the same transaction.

use jiff::Timestamp;
use uuid::Uuid;

use super::{COLUMNS, Campaign, Error, State, pace, read};
use crate::App;
use crate::books;
use crate::db::Transaction;

/// How often a change is begun anew when it met others in the books.
const TRIES: usize = 3;

/// What a change found: both are ordinary outcomes.
#[derive(Debug, Clone)]
pub enum Changed {
    /// Done, or it was so already.
    Done(Campaign),
    /// Its state forbids it.
    Forbidden(&'static str),
}

/// What is to be changed.
#[derive(Debug, Clone, Copy)]
enum Change {
    Close,
    Pause,
    Resume,
    Cancel,
    Rate(Option<f64>),
}

/// No more rows are taken.
pub async fn close(app: &App, id: Uuid) -> Result<Option<Changed>, Error> {
    change(app, id, Change::Close).await
}

/// Nothing of it goes out any more, but for what a worker is just sending.
pub async fn pause(app: &App, id: Uuid) -> Result<Option<Changed>, Error> {
    change(app, id, Change::Pause).await
}

/// It goes on; with a rate its times begin anew from now.
pub async fn resume(app: &App, id: Uuid) -> Result<Option<Changed>, Error> {
    change(app, id, Change::Resume).await
}

/// What has not gone out will not, but for what has just left a worker; no more rows are taken.
pub async fn cancel(app: &App, id: Uuid) -> Result<Option<Changed>, Error> {
    change(app, id, Change::Cancel).await
}

/// Another rate, from now on, also for what is waiting: chunk by chunk, as it was laid out when it came.
pub async fn set_rate(app: &App, id: Uuid, rate: Option<f64>) -> Result<Option<Changed>, Error> {
    change(app, id, Change::Rate(rate)).await
}

/// `None`: there is no such campaign.
async fn change(app: &App, id: Uuid, change: Change) -> Result<Option<Changed>, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match change_once(app, id, change).await {
            Err(error) if tries < TRIES && crate::failure::Failure::is_passing(&error) => {}
            done => return done,
        }
    }
}

async fn change_once(app: &App, id: Uuid, change: Change) -> Result<Option<Changed>, Error> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let sql =
        format!("/* campaigns::change lock */ select {COLUMNS}, scheduled from campaigns where id = $1 for update");
    let statement = tx.prepare_cached(&sql).await?;
    let Some(row) = tx.query_opt(&statement, &[&id]).await? else { return Ok(None) };
    let (campaign, scheduled) = (read(&row), row.get("scheduled"));
    if let Some(why) = forbidden(&campaign, change) {
        return Ok(Some(Changed::Forbidden(why)));
    }
    let changed = apply(&tx, &campaign, change, Spacing { scheduled, now: app.clock.now() }).await?;
    tx.commit().await?;
    Ok(Some(Changed::Done(changed)))
}

fn forbidden(campaign: &Campaign, change: Change) -> Option<&'static str> {
    match (campaign.state, change) {
        (State::Cancelled, Change::Cancel) | (State::Cancelled | State::Finished, Change::Close) => None,
        (State::Cancelled, _) => Some("The campaign was cancelled."),
        (State::Finished, _) => Some("The campaign has finished."),
        (State::Running | State::Paused, _) => None,
    }
}

#[derive(Clone, Copy)]
struct Spacing {
    /// Its rows say themselves when they are to be delivered: that is never moved.
    scheduled: bool,
    now: Timestamp,
}

async fn apply(tx: &Transaction<'_>, campaign: &Campaign, change: Change, by: Spacing) -> Result<Campaign, Error> {
    let (id, now) = (campaign.id, by.now);
    match (change, campaign.state) {
        (Change::Close, _) => {
            let sql = "/* campaigns::close */ update campaigns set closed = true, updated_at = $2 where id = $1";
            tx.execute(sql, &[&id, &now]).await?;
        }
        (Change::Pause, State::Running) => {
            books::hold_campaign(tx, id, now).await?;
            let sql = "/* campaigns::pause */ update campaigns set state = 1, updated_at = $2 where id = $1";
            tx.execute(sql, &[&id, &now]).await?;
        }
        (Change::Resume, State::Paused) => {
            books::let_go_campaign(tx, id, now).await?;
            let next = space(tx, campaign, campaign.rate, by).await?;
            let sql = "/* campaigns::resume */
                update campaigns set state = 0, next_due = $3, updated_at = $2 where id = $1";
            tx.execute(sql, &[&id, &now, &next]).await?;
        }
        (Change::Cancel, State::Running | State::Paused) => {
            books::stop_campaign(tx, id, now).await?;
            let sql = "/* campaigns::cancel */
                update campaigns set state = 2, closed = true, finished_at = $2, updated_at = $2 where id = $1";
            tx.execute(sql, &[&id, &now]).await?;
        }
        (Change::Rate(rate), state) => {
            // What is paused is spaced when it is resumed.
            let next = if state == State::Running { space(tx, campaign, rate, by).await? } else { None };
            let sql = "/* campaigns::set_rate */
                update campaigns set rate = $2, next_due = $4, updated_at = $3 where id = $1";
            tx.execute(sql, &[&id, &rate.map(|rate| rate as f32), &now, &next]).await?;
        }
        (Change::Pause | Change::Resume | Change::Cancel, _) => {}
    }
    let sql = format!("/* campaigns::change read */ select {COLUMNS} from campaigns where id = $1");
    Ok(read(&tx.query_one(&tx.prepare_cached(&sql).await?, &[&id]).await?))
}

/// Gives what waits its times by `rate`, from now on; answers when the next row would be due.
async fn space(
    tx: &Transaction<'_>,
    campaign: &Campaign,
    rate: Option<f64>,
    by: Spacing,
) -> Result<Option<Timestamp>, Error> {
    if by.scheduled {
        return Ok(None);
    }
    let waiting = books::space_campaign(tx, campaign.id, rate, by.now).await?;
    Ok(rate.map(|rate| pace::after(by.now, waiting, rate)))
}
