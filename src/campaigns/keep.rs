//! What is looked after once a second: a campaign that is closed and through has finished; to one that is paused nothing comes back
//! from workers; one that has had its time is forgotten.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::{Error, State};
use crate::App;
use crate::books;
use crate::clock::Instant;

/// A campaign is looked at again after so many times what the look took: large ones that stand still cost little.
const REST: u32 = 20;
/// But within this.
const LONGEST_REST: Duration = Duration::from_secs(15);

/// Looks after campaigns; remembers when which is worth another look.
#[derive(Default)]
pub struct Keeper {
    next: HashMap<Uuid, Instant>,
}

impl Keeper {
    /// One round; answers how many campaigns finished.
    pub async fn round(&mut self, app: &App) -> Result<u64, Error> {
        let sql = "/* campaigns::keep */ select id, state, closed from campaigns where state in (0, 1) order by id";
        let open: Vec<(Uuid, State, bool)> = app
            .db
            .rows(sql, &[])
            .await?
            .iter()
            .map(|row| (row.get(0), State::from_number(row.get(1)), row.get(2)))
            .collect();
        self.next.retain(|id, _| open.iter().any(|(open, ..)| open == id));
        let (mut finished, mut failed) = (0, Ok(()));
        for (id, state, closed) in open {
            if self.next.get(&id).is_some_and(|next| !next.is_past()) {
                continue;
            }
            let begun = std::time::Instant::now();
            let looked = match state {
                State::Paused => hold(app, id).await,
                State::Running if closed => finish(app, id).await.map(|ended| finished += ended),
                _ => continue,
            };
            // What is wrong with one campaign does not hold up the others.
            failed = failed.and(looked);
            self.next.insert(id, Instant::now().after((begun.elapsed() * REST).min(LONGEST_REST)));
        }
        failed.map(|()| finished)
    }
}

/// What workers gave back, or will try again, waits with the rest. The row is locked as for any change: a campaign that is resumed
/// in this moment is not held again.
async fn hold(app: &App, id: Uuid) -> Result<(), Error> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let sql = "/* campaigns::keep lock */ select from campaigns where id = $1 and state = 1 for update";
    if tx.query_opt(&tx.prepare_cached(sql).await?, &[&id]).await?.is_some() {
        books::hold_campaign(&tx, id, app.clock.now()).await?;
    }
    Ok(tx.commit().await?)
}

/// No row is added to a closed campaign, so what is not open now never will be.
async fn finish(app: &App, id: Uuid) -> Result<u64, Error> {
    if books::is_campaign_open(app, id).await? {
        return Ok(0);
    }
    let sql = "/* campaigns::finish */
        with finished as (
            update campaigns set state = 3, finished_at = $2, updated_at = $2 where id = $1 and state = 0 and closed
            returning id, name
        )
        insert into events (at, kind, items, about) select $2, 9, array[id], name from finished";
    Ok(app.db.execute(sql, &[&id, &app.clock.now()]).await?)
}

/// Forgets campaigns that ended longer ago than messages are kept, one at a time; answers how many.
pub async fn purge(app: &App) -> Result<u64, Error> {
    let sql = "/* campaigns::purge */ delete from campaigns where id in (
        select id from campaigns where finished_at < $1 order by finished_at limit 1)";
    let before = app.clock.now() - app.config.retention.messages.duration();
    Ok(app.db.execute(sql, &[&before]).await?)
}
