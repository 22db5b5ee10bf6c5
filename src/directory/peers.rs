//! What federated nodes list: whose turn it is to be read, and what follows from what was read (specification §1.F).

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::App;
use crate::db::DbError;
use crate::textsecure::Token;

/// How long a reader may be silent before another one begins anew.
const SILENCE: Duration = Duration::from_secs(300);
/// First wait after a failure; doubled each time, up to the usual interval.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// Entries looked through in one statement.
const PART: i64 = 5_000;

/// A peer whose directory is to be read now, by this reader and no other.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Its name.
    pub peer: String,
    reader: Uuid,
}

/// How the directory of a peer was last read.
#[derive(Debug, Clone)]
pub struct PeerState {
    /// Its name.
    pub name: String,
    /// When that last went well.
    pub synced_at: Option<Timestamp>,
    /// When it is read next.
    pub due_at: Timestamp,
    /// Failures since it last went well.
    pub failures: i32,
    /// Its entries after that.
    pub contacts: i64,
    /// Why the last try failed, in a word.
    pub error: Option<String>,
}

const ADD: &str = "/* directory::add_peers */
insert into peers (name, due_at) select name, $2 from unnest($1::text[]) name on conflict (name) do nothing";

const GONE: &str = "/* directory::gone_peers */
select name from peers where not name = any ($1)";

const DROP: &str = "/* directory::drop_peer */
delete from peers where name = $1";

const FORGET_PEER: &str = "/* directory::forget_peer */
delete from directory where token = any (array(select token from directory where relay = $1 limit $2))";

const TURN: &str = "/* directory::turn */
update peers set due_at = $2, worker = $3 where name = (
    select name from peers where name = any ($4) and due_at <= $1 order by due_at, name limit 1 for update skip locked)
returning name";

const KEEP: &str = "/* directory::keep_turn */
update peers set due_at = $3 where name = $1 and worker = $2";

const DONE: &str = "/* directory::done */
update peers set synced_at = $3, due_at = $4, worker = null, failures = 0, error = null, contacts = $5
where name = $1 and worker = $2";

const FAILED: &str = "/* directory::failed */
update peers set worker = null, error = $3, failures = failures + 1,
    due_at = $4::timestamptz + least($5::bigint, $6::bigint * (1 << least(failures, 16))) * interval '1 millisecond'
where name = $1 and worker = $2";

const PUT: &str = "/* directory::put_theirs */
insert into directory (token, relay, supports_sms) select token, $3, sms from unnest($1::bytea[], $2::boolean[]) t (token, sms)
on conflict (token) do update set supports_sms = excluded.supports_sms
where directory.relay = excluded.relay and directory.supports_sms <> excluded.supports_sms";

const TAKE: &str = "/* directory::take_theirs */
delete from directory where token = any ($1) and relay = $2";

const THEIRS: &str = "/* directory::theirs */
select token from directory where relay = $1 and token > $2 order by token limit $3";

const STATES: &str = "/* directory::peers */
select name, synced_at, due_at, failures, contacts, error from peers order by name";

/// Follows the settings: a peer that is new is due at once; one that is gone takes its entries with it.
pub async fn follow_settings(app: &App) -> Result<(), DbError> {
    let names = names(app);
    app.db.execute(ADD, &[&names, &app.clock.now()]).await?;
    for row in app.db.rows(GONE, &[&names]).await? {
        let gone: &str = row.get(0);
        while app.db.execute(FORGET_PEER, &[&gone, &PART]).await? > 0 {}
        // Last: who is interrupted begins again.
        app.db.execute(DROP, &[&gone]).await?;
    }
    Ok(())
}

/// Takes the turn to read a peer's directory, if one is due.
pub async fn turn(app: &App) -> Result<Option<Turn>, DbError> {
    let (now, reader) = (app.clock.now(), app.new_id());
    let row = app.db.row(TURN, &[&now, &(now + SILENCE), &reader, &names(app)]).await?;
    Ok(row.map(|row| Turn { peer: row.get(0), reader }))
}

/// How all directories were last read.
pub async fn states(app: &App) -> Result<Vec<PeerState>, DbError> {
    let read = |row: &crate::db::Row| PeerState {
        name: row.get(0),
        synced_at: row.get(1),
        due_at: row.get(2),
        failures: row.get(3),
        contacts: row.get(4),
        error: row.get(5),
    };
    Ok(app.db.rows(STATES, &[]).await?.iter().map(read).collect())
}

impl Turn {
    /// Takes over a page: what is active is listed, unless it is ours or another peer's; what is not is taken away from this peer.
    /// False: another reader has the turn by now.
    pub async fn page(&self, app: &App, active: &[(Token, bool)], inactive: &[Token]) -> Result<bool, DbError> {
        let kept = app.db.execute(KEEP, &[&self.peer, &self.reader, &(app.clock.now() + SILENCE)]).await?;
        if kept == 0 {
            return Ok(false);
        }
        // In one order, so that two readers never wait for each other; none twice in one statement.
        let mut active = active.to_vec();
        active.sort_unstable();
        active.dedup_by_key(|(token, _)| *token);
        let tokens: Vec<&[u8]> = active.iter().map(|(token, _)| token.0.as_slice()).collect();
        let sms: Vec<bool> = active.iter().map(|(_, sms)| *sms).collect();
        app.db.execute(PUT, &[&tokens, &sms, &self.peer]).await?;
        self.take(app, inactive).await?;
        Ok(true)
    }

    /// Ends the turn. What this peer listed before and `listed` does not have is taken away, if that is `complete`: somebody may have
    /// been passed over where the list changed while it was read.
    pub async fn done(&self, app: &App, listed: &BTreeSet<Token>, complete: bool) -> Result<(), DbError> {
        let (mut after, mut theirs) = (Vec::<u8>::new(), 0);
        loop {
            let rows = app.db.rows(THEIRS, &[&self.peer, &after, &PART]).await?;
            let Some(last) = rows.last() else { break };
            let known = rows.iter().filter_map(|row| row.get::<_, &[u8]>(0).try_into().ok().map(Token));
            let gone: Vec<Token> = known.filter(|token| complete && !listed.contains(token)).collect();
            self.take(app, &gone).await?;
            theirs += rows.len() - gone.len();
            after = last.get(0);
        }
        let (now, theirs) = (app.clock.now(), i64::try_from(theirs).unwrap_or(i64::MAX));
        let next = now + app.config.textsecure.sync_every.duration();
        app.db.execute(DONE, &[&self.peer, &self.reader, &now, &next, &theirs]).await?;
        Ok(())
    }

    /// Ends the turn without a result; the next one comes sooner than usual, and later each time.
    pub async fn failed(&self, app: &App, why: &str) -> Result<(), DbError> {
        let ms = |wait: Duration| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let (usual, first) = (ms(app.config.textsecure.sync_every.duration()), ms(FIRST_WAIT));
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&self.peer, &self.reader, &why, &app.clock.now(), &usual, &first];
        app.db.execute(FAILED, &parameters).await?;
        Ok(())
    }

    async fn take(&self, app: &App, tokens: &[Token]) -> Result<(), DbError> {
        if tokens.is_empty() {
            return Ok(());
        }
        let tokens: Vec<&[u8]> = tokens.iter().map(|token| token.0.as_slice()).collect();
        app.db.execute(TAKE, &[&tokens, &self.peer]).await?;
        Ok(())
    }
}

fn names(app: &App) -> Vec<&str> {
    app.config.textsecure.peers.iter().map(|peer| peer.name.as_str()).collect()
}
