//! Taking a group of rows: one transaction for their messages, keys and errors, and the campaign's counters.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::pace::Pace;
use super::{COLUMNS, Campaign, Error, State, read};
use crate::App;
use crate::books::{self, Accepted, Acceptor, NewMessage};
use crate::crypto::Purpose;
use crate::db::Transaction;

/// The keys of a campaign's rows are remembered for its whole life.
const KEYS_LIVE: Duration = Duration::from_secs(90 * 86_400);

/// A row as it came, read and checked.
pub struct Row {
    /// Its key, if it has one.
    pub key: Option<String>,
    /// What it becomes; or what is wrong with it, in words.
    pub message: Result<NewMessage, String>,
}

/// What became of a group: all are ordinary outcomes.
pub enum Taken {
    /// Committed; the campaign as it stands now.
    Done(Box<Campaign>),
    /// Its first row is not the next one: so many rows have been taken.
    Elsewhere(i64),
    /// The campaign takes no rows any more.
    Closed,
}

/// Takes rows, the first of which is the campaign's row `first` (counted from 0).
pub async fn take(app: &App, acceptor: &Acceptor, id: Uuid, first: i64, rows: Vec<Row>) -> Result<Taken, Error> {
    acceptor.room(crate::books::Lane::Bulk).await;
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let sql = format!("/* campaigns::take lock */ select {COLUMNS}, next_due from campaigns where id = $1 for update");
    let Some(row) = tx.query_opt(&tx.prepare_cached(&sql).await?, &[&id]).await? else { return Ok(Taken::Closed) };
    let (campaign, next_due) = (read(&row), row.get("next_due"));
    if campaign.closed || matches!(campaign.state, State::Cancelled | State::Finished) {
        return Ok(Taken::Closed);
    }
    if campaign.taken != first {
        return Ok(Taken::Elsewhere(campaign.taken));
    }
    let now = app.clock.now();
    let mut group = Group { campaign: &campaign, now, next_due, accepted: 0, repeated: 0, refused: 0 };
    let n = rows.len() as i64;
    let rows = group.without_repeats(app, &tx, rows).await?;
    let rows = group.without_errors(&tx, rows).await?;
    let publish = group.accept(acceptor, &tx, rows).await?;
    let campaign = group.count(&tx, n).await?;
    tx.commit().await?;
    if let Some(publish) = publish {
        acceptor.publish(publish);
    }
    Ok(Taken::Done(Box::new(campaign)))
}

/// A group on its way in.
struct Group<'a> {
    campaign: &'a Campaign,
    now: Timestamp,
    next_due: Option<Timestamp>,
    accepted: i64,
    repeated: i64,
    refused: i64,
}

impl Group<'_> {
    /// Numbers the rows from 1, and leaves out those whose key has come before. Only good rows take their key: one that was
    /// refused may be mended and sent again.
    async fn without_repeats(
        &mut self,
        app: &App,
        tx: &Transaction<'_>,
        rows: Vec<Row>,
    ) -> Result<Vec<(i64, Row)>, Error> {
        let hash = |key: &str| app.keys.lasting_hash(Purpose::Idempotency, &[key.as_bytes()]).to_vec();
        let hash = |row: &Row| row.key.as_deref().filter(|_| row.message.is_ok()).map(hash);
        let mut hashes: Vec<Vec<u8>> = rows.iter().filter_map(hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut fresh: HashSet<Vec<u8>> = match hashes.is_empty() {
            true => HashSet::new(),
            false => self.take_keys(tx, &hashes).await?,
        };
        let first = self.campaign.taken + 1;
        let numbered = (first..).zip(rows);
        let kept: Vec<(i64, Row)> =
            numbered.filter(|(_, row)| hash(row).is_none_or(|key| fresh.remove(&key))).collect();
        Ok(kept)
    }

    /// Those of the keys that had not come before. Their scope is the campaign, whose row is locked: nobody else inserts them.
    async fn take_keys(&self, tx: &Transaction<'_>, hashes: &[Vec<u8>]) -> Result<HashSet<Vec<u8>>, Error> {
        let sql = "/* campaigns::take keys */
            insert into idempotency as i (sender, key_hash, body_hash, expires_at)
            select $1::text, key_hash, '', $3::timestamptz from unnest($2::bytea[]) as k(key_hash)
            on conflict (sender, key_hash) do update set expires_at = excluded.expires_at where i.expires_at <= $4
            returning key_hash";
        let scope = format!("campaign:{}", self.campaign.id);
        let until = self.now + KEYS_LIVE;
        let rows = tx.query(&tx.prepare_cached(sql).await?, &[&scope, &hashes, &until, &self.now]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Writes down what is wrong with rows, and leaves them out.
    async fn without_errors(
        &mut self,
        tx: &Transaction<'_>,
        rows: Vec<(i64, Row)>,
    ) -> Result<Vec<(i64, Option<String>, NewMessage)>, Error> {
        let mut good = Vec::with_capacity(rows.len());
        let (mut numbers, mut keys, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for (number, row) in rows {
            match row.message {
                Ok(message) => good.push((number, row.key, message)),
                Err(problem) => {
                    // What a stranger wrote can hold what no text of the database can: it would fail the whole group.
                    numbers.push(number);
                    keys.push(row.key.filter(|key| !key.contains(char::is_control)));
                    problems.push(problem.replace(char::is_control, " "));
                }
            }
        }
        if !numbers.is_empty() {
            let sql = "/* campaigns::take errors */
                insert into campaign_errors (campaign, row, key, problem)
                select $1::uuid, * from unnest($2::bigint[], $3::text[], $4::text[])";
            let statement = tx.prepare_cached(sql).await?;
            tx.execute(&statement, &[&self.campaign.id, &numbers, &keys, &problems]).await?;
        }
        self.refused = numbers.len() as i64;
        Ok(good)
    }

    async fn accept(
        &mut self,
        acceptor: &Acceptor,
        tx: &Transaction<'_>,
        rows: Vec<(i64, Option<String>, NewMessage)>,
    ) -> Result<Option<books::ToPublish>, Error> {
        self.accepted = rows.len() as i64;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut pace = self.campaign.rate.map(|rate| Pace::new(rate, self.next_due, self.now));
        let (mut named, mut messages) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for (number, key, mut message) in rows {
            let due = pace.as_mut().map(Pace::next);
            message.deliver_at = message.deliver_at.max(due);
            message.campaign = Some(self.campaign.id);
            message.held = self.campaign.state == State::Paused;
            message.sender.clone_from(&self.campaign.sender);
            messages.push(message);
            named.push((number, key));
        }
        self.next_due = pace.map(|pace| pace.reached());
        let lined = messages.iter().any(|message| message.order.is_some());
        let (accepted, publish) = acceptor.accept_in(tx, messages).await?;
        let ids = accepted.into_iter().map(|accepted| match accepted {
            Accepted::New(id) => Some(id),
            // They have no keys of the books.
            Accepted::Replayed(_) | Accepted::Mismatch | Accepted::RefusedBefore => None,
        });
        let placed = ids.zip(named).filter_map(|(id, (row, key))| Some((id?, row, key)));
        books::note_rows(tx, self.campaign.id, placed).await?;
        if lined && self.campaign.state == State::Paused {
            // Those that go one by one are held one by one.
            books::hold_campaign(tx, self.campaign.id, self.now).await?;
        }
        Ok(Some(publish))
    }

    async fn count(&mut self, tx: &Transaction<'_>, n: i64) -> Result<Campaign, Error> {
        self.repeated = n - self.accepted - self.refused;
        let sql = format!(
            "/* campaigns::take count */
            update campaigns set taken = taken + $2, accepted = accepted + $3, repeated = repeated + $4, refused = refused + $5,
                                 next_due = $6, updated_at = $7
            where id = $1 returning {COLUMNS}"
        );
        let statement = tx.prepare_cached(&sql).await?;
        let row = tx
            .query_one(
                &statement,
                &[&self.campaign.id, &n, &self.accepted, &self.repeated, &self.refused, &self.next_due, &self.now],
            )
            .await?;
        Ok(read(&row))
    }
}
