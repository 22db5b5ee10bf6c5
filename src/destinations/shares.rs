//! Workers tell what they have seen, and are given shares: many destinations in one transaction.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

pub use super::pace::Told;
use super::pace::{self, Breaker, Grant, Part, Settings, State, Turn};
use super::settings::Change;
use crate::db::{DbError, GenericClient, Row, Transaction};
use crate::telemetry::families;
use crate::{App, pushes};

/// What a worker tells of a destination, and wants of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Which.
    pub destination: String,
    /// Calls at once that it keeps to until it has the answer.
    pub slots_held: u32,
    /// Calls at once that it could make.
    pub slots_wanted: u32,
    /// Calls that it could begin now.
    pub tokens_wanted: u32,
    /// What it has seen since its last word.
    pub told: Told,
}

/// What it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// Calls at once that it may make from now on.
    pub slots: u32,
    /// What counts as its until it tells that it holds less.
    pub counted: u32,
    /// Calls that it may begin of the destination's rate; none: it has no rate.
    pub tokens: Option<u32>,
    /// When to ask for further ones.
    pub tokens_again_at: Option<Timestamp>,
    /// Nothing goes before.
    pub closed_until: Option<Timestamp>,
    /// Nothing goes until an operator resumes it.
    pub paused: bool,
    /// Why, in a word.
    pub why: Option<String>,
    /// The breaker.
    pub breaker: Breaker,
    /// Failures in a row.
    pub failures: u32,
    /// Something is not well: successes are news too.
    pub ailing: bool,
    /// Somebody has less than a fair share.
    pub contended: bool,
    /// Calls at once over all workers, as it is now.
    pub limit: u32,
    /// The same as it is set.
    pub concurrency: u32,
    /// Seconds between attempts, where it has a setting of its own.
    pub schedule: Option<Vec<i32>>,
    /// When anything last changed that concerns other workers.
    pub changed_at: Timestamp,
}

/// Tells and asks, for a worker; answers in the order of `wants`, whose destinations must be different ones. None: the worker has
/// no row, so it was declared dead and nothing of this was taken.
pub async fn sync(app: &App, worker: Uuid, wants: &[Want]) -> Result<Option<Vec<Given>>, DbError> {
    let names: Vec<&str> = wants.iter().map(|want| want.destination.as_str()).collect();
    let mut client = app.db.client().await?;
    loop {
        let tx = client.transaction().await?;
        let (rows, shares) = read(&tx, worker, &names).await?;
        if rows.len() < names.len() {
            // On its own: rows made under locks that others want in another order are how deadlocks are made.
            tx.rollback().await?;
            make(&client, &names, app.clock.now()).await?;
            continue;
        }
        let Some(shares) = shares else { return Ok(None) };
        let now = app.clock.now();
        let mut written = Written::default();
        let given = wants
            .iter()
            .map(|want| {
                let name = want.destination.as_str();
                let before = Before::read(app, name, rows.get(name), shares.get(name), worker);
                before.decide(app, want, now, &mut written)
            })
            .collect();
        written.write(&tx, worker, now).await?;
        tx.commit().await?;
        families::BREAKERS.add([], written.opened.len());
        return Ok(Some(given));
    }
}

/// Gives back what a worker does not need.
pub async fn release(app: &App, worker: Uuid, destinations: &[String]) -> Result<(), DbError> {
    app.db.execute(RELEASE, &[&worker, &destinations]).await?;
    Ok(())
}

/// Gives back what workers hold that have no row; to be called where their rows are deleted.
pub async fn release_dead(tx: &Transaction<'_>, now: Timestamp) -> Result<(), DbError> {
    // First the destinations, in order, as `sync` does.
    for (sql, with_now) in [(LOCK_OF_DEAD, false), (TOUCH_OF_DEAD, true), (DELETE_OF_DEAD, false)] {
        let statement = tx.prepare_cached(sql).await?;
        match with_now {
            true => tx.execute(&statement, &[&now]).await?,
            false => tx.execute(&statement, &[]).await?,
        };
    }
    Ok(())
}

/// What changed after `since` that concerns workers other than the one that changed it. A change may become visible a moment
/// later than it says: look back further than to the last look.
pub async fn changed_since(app: &App, since: Timestamp) -> Result<Vec<Change>, DbError> {
    let rows = app.db.rows(CHANGED, &[&since]).await?;
    Ok(rows.iter().map(Change::of_row).collect())
}

/// Locked in the order of their names, so that two workers never wait for each other.
const LOCK: &str = "/* destinations::sync lock */
select name, concurrency, rate, schedule, paused, breaker, closed_until, why, trips, failures, counted_ok, counted_failed,
    counted_since, congestion, threshold, slowed_at, tokens, tokens_at, contended, changed_at,
    set_config('synchronous_commit', 'off', true)
from destinations where name = any($1) order by name for update";

/// A statement of its own, after the locks are held: it sees what their holders before have written.
const SHARES: &str = "/* destinations::sync shares */
select s.destination, s.worker, s.slots, s.wanted from shares s
where s.destination = any($1) and exists (select from workers w where w.id = s.worker)
union all select null, id, 0, 0 from workers where id = $2";

const MAKE: &str = "/* destinations::sync make */
insert into destinations (name, congestion, changed_at)
select name, $2::real, $3::timestamptz from unnest($1::text[]) as x(name) order by name on conflict do nothing";

const WRITE: &str = "/* destinations::sync write */
with changed as (
    update destinations d set breaker = x.breaker, closed_until = x.closed_until, why = x.why, trips = x.trips,
        failures = x.failures, counted_ok = x.counted_ok, counted_failed = x.counted_failed, counted_since = x.counted_since,
        congestion = x.congestion, threshold = x.threshold, slowed_at = x.slowed_at, tokens = x.tokens, tokens_at = x.tokens_at,
        contended = x.contended, changed_at = x.changed_at
    from unnest($1::text[], $2::smallint[], $3::timestamptz[], $4::text[], $5::smallint[], $6::integer[], $7::integer[],
                $8::integer[], $9::timestamptz[], $10::real[], $11::real[], $12::timestamptz[], $13::real[], $14::timestamptz[],
                $15::boolean[], $16::timestamptz[])
        as x(name, breaker, closed_until, why, trips, failures, counted_ok, counted_failed, counted_since, congestion, threshold,
             slowed_at, tokens, tokens_at, contended, changed_at)
    where d.name = x.name
), given as (
    insert into shares as s (destination, worker, slots, wanted)
    select destination, $17, slots, wanted from unnest($18::text[], $19::integer[], $20::integer[]) as x(destination, slots, wanted)
    order by destination
    on conflict (destination, worker) do update set slots = excluded.slots, wanted = excluded.wanted
), of_others as (
    select destination, worker from shares where destination = any($21::text[]) and worker <> $17
    order by destination, worker for update
), void as (
    delete from shares s using of_others o where s.destination = o.destination and s.worker = o.worker
)
insert into events (at, kind, about) select $22, kind, about from unnest($23::smallint[], $24::text[]) as x(kind, about)";

const RELEASE: &str = "/* destinations::release */
with mine as (
    select destination, worker from shares where worker = $1 and destination = any($2) order by destination for update
)
delete from shares s using mine m where s.destination = m.destination and s.worker = m.worker";

const LOCK_OF_DEAD: &str = "/* destinations::release_dead lock */
select name from destinations where name in (
    select destination from shares s where not exists (select from workers w where w.id = s.worker))
order by name for update";

const TOUCH_OF_DEAD: &str = "/* destinations::release_dead touch */
update destinations set changed_at = greatest($1, changed_at + interval '1 microsecond') where name in (
    select destination from shares s where not exists (select from workers w where w.id = s.worker))";

const DELETE_OF_DEAD: &str = "/* destinations::release_dead */
delete from shares s where not exists (select from workers w where w.id = s.worker)";

const CHANGED: &str = "/* destinations::changed_since */
select name, paused, breaker, closed_until, failures, contended, changed_at from destinations where changed_at > $1";

const OPENED: i16 = 7;
const CLOSED: i16 = 8;

type Rows = HashMap<String, Row>;
type Shares = HashMap<String, Vec<(Uuid, Part)>>;

/// The rows, locked, and who has what; no shares where the worker itself has no row.
async fn read(tx: &Transaction<'_>, worker: Uuid, names: &[&str]) -> Result<(Rows, Option<Shares>), DbError> {
    let (lock, shares) = (tx.prepare_cached(LOCK).await?, tx.prepare_cached(SHARES).await?);
    // The second is sent without waiting for the first, and run after it.
    let of: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&names, &worker];
    let (rows, parts) = tokio::try_join!(tx.query(&lock, &of[..1]), tx.query(&shares, &of))?;
    let rows = rows.into_iter().map(|row| (row.get::<_, String>(0), row)).collect();
    let (mut shares, mut alive) = (Shares::new(), false);
    for row in parts {
        match row.get::<_, Option<String>>(0) {
            None => alive = true,
            Some(name) => {
                let part = Part { slots: count(row.get(2)), wanted: count(row.get(3)) };
                shares.entry(name).or_default().push((row.get(1), part));
            }
        }
    }
    Ok((rows, alive.then_some(shares)))
}

async fn make(client: &crate::db::Client, names: &[&str], now: Timestamp) -> Result<(), DbError> {
    let statement = client.prepare_cached(MAKE).await?;
    client.execute(&statement, &[&names, &pace::SLOW_START, &now]).await?;
    Ok(())
}

/// A destination as it was found.
struct Before {
    set: Settings,
    state: State,
    contended: bool,
    changed_at: Timestamp,
    schedule: Option<Vec<i32>>,
    mine: Part,
    others: Vec<Part>,
}

impl Before {
    fn read(app: &App, name: &str, row: Option<&Row>, shares: Option<&Vec<(Uuid, Part)>>, worker: Uuid) -> Self {
        let parts = shares.map(Vec::as_slice).unwrap_or_default();
        let mine = parts.iter().find(|(holder, _)| *holder == worker).map(|(_, part)| *part).unwrap_or_default();
        let others = parts.iter().filter(|(holder, _)| *holder != worker).map(|(_, part)| *part).collect();
        Self {
            set: settings(app, name, row),
            state: row.map(state).unwrap_or_default(),
            contended: row.is_some_and(|row| row.get("contended")),
            changed_at: row.map_or(Timestamp::UNIX_EPOCH, |row| row.get("changed_at")),
            schedule: row.and_then(|row| row.get("schedule")),
            mine,
            others,
        }
    }

    fn decide<'a>(self, app: &App, want: &'a Want, now: Timestamp, written: &mut Written<'a>) -> Given {
        let (set, before) = (self.set, self.state);
        let limit_before = before.limit(&set, now);
        let (mut state, turn) = before.clone().at(now).hear(&want.told, &set, &app.config.destinations, now);
        let limit = state.limit(&set, now);
        let (others, held) = match turn {
            // What was given before it opened is void: half open, there is one call over all.
            Some(Turn::Opened) => (Vec::new(), 0),
            _ => (self.others, want.slots_held.min(self.mine.slots)),
        };
        let mine = Part { slots: held, wanted: want.slots_wanted };
        let Grant { slots, counted, contended } = pace::grant(limit, mine, &others);
        let wanting = 1 + others.iter().filter(|other| other.wanted > 0).count() as u32;
        let wanted = if slots > 0 { want.tokens_wanted } else { 0 };
        let tokens = state.take_tokens(wanted, wanting, &set, now);
        let concerns_others = state.breaker != before.breaker
            || state.closed_until != before.closed_until
            || state.is_ailing() != before.is_ailing()
            || contended != self.contended
            || limit < limit_before;
        // Later than the change before, whatever the clock of its process said: so nobody takes this one for known.
        let later = self.changed_at.checked_add(Duration::from_micros(1)).unwrap_or(now).max(now);
        let changed_at = if concerns_others { later } else { self.changed_at };
        if state != before || concerns_others {
            written.destination(want, &state, contended, changed_at);
        }
        let part = Part { slots: counted, wanted: want.slots_wanted };
        if part != self.mine {
            written.share(want, part);
        }
        if let Some(turn) = turn {
            written.turn(want, turn);
        }
        Given {
            slots,
            counted,
            tokens: tokens.map(|(given, _)| given),
            tokens_again_at: tokens.and_then(|(_, again)| again),
            closed_until: state.closed_until,
            paused: set.paused,
            breaker: state.breaker,
            failures: state.failures,
            ailing: state.is_ailing(),
            why: state.why,
            contended,
            limit,
            concurrency: set.concurrency,
            schedule: self.schedule,
            changed_at,
        }
    }
}

pub(super) fn settings(app: &App, name: &str, row: Option<&Row>) -> Settings {
    let default = match name.starts_with(pushes::PREFIX) {
        true => app.config.providers.push.concurrency,
        false => app.config.destinations.concurrency,
    };
    let concurrency = row.and_then(|row| row.get::<_, Option<i32>>("concurrency"));
    Settings {
        concurrency: concurrency.map_or(default, count).max(1),
        rate: row.and_then(|row| row.get("rate")),
        paused: row.is_some_and(|row| row.get("paused")),
    }
}

pub(super) fn breaker(row: &Row) -> Breaker {
    match row.get::<_, i16>("breaker") {
        1 => Breaker::Open,
        2 => Breaker::HalfOpen,
        _ => Breaker::Closed,
    }
}

pub(super) fn state(row: &Row) -> State {
    State {
        breaker: breaker(row),
        closed_until: row.get("closed_until"),
        why: row.get("why"),
        trips: u16::try_from(row.get::<_, i16>("trips")).unwrap_or(0),
        failures: count(row.get("failures")),
        counted_ok: count(row.get("counted_ok")),
        counted_failed: count(row.get("counted_failed")),
        counted_since: row.get("counted_since"),
        congestion: row.get("congestion"),
        threshold: row.get("threshold"),
        slowed_at: row.get("slowed_at"),
        tokens: row.get("tokens"),
        tokens_at: row.get("tokens_at"),
    }
}

pub(super) fn count(n: i32) -> u32 {
    u32::try_from(n).unwrap_or(0)
}

fn stored(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// Columns of what is written in one statement.
#[derive(Default)]
struct Written<'a> {
    names: Vec<&'a str>,
    breaker: Vec<i16>,
    closed_until: Vec<Option<Timestamp>>,
    why: Vec<Option<String>>,
    trips: Vec<i16>,
    failures: Vec<i32>,
    counted_ok: Vec<i32>,
    counted_failed: Vec<i32>,
    counted_since: Vec<Option<Timestamp>>,
    congestion: Vec<Option<f32>>,
    threshold: Vec<Option<f32>>,
    slowed_at: Vec<Option<Timestamp>>,
    tokens: Vec<Option<f32>>,
    tokens_at: Vec<Option<Timestamp>>,
    contended: Vec<bool>,
    changed_at: Vec<Timestamp>,
    share_of: Vec<&'a str>,
    slots: Vec<i32>,
    wanted: Vec<i32>,
    opened: Vec<&'a str>,
    kind: Vec<i16>,
    about: Vec<&'a str>,
}

impl<'a> Written<'a> {
    fn destination(&mut self, want: &'a Want, state: &State, contended: bool, changed_at: Timestamp) {
        self.names.push(&want.destination);
        self.breaker.push(match state.breaker {
            Breaker::Closed => 0,
            Breaker::Open => 1,
            Breaker::HalfOpen => 2,
        });
        self.closed_until.push(state.closed_until);
        self.why.push(state.why.clone());
        self.trips.push(i16::try_from(state.trips).unwrap_or(i16::MAX));
        self.failures.push(stored(state.failures));
        self.counted_ok.push(stored(state.counted_ok));
        self.counted_failed.push(stored(state.counted_failed));
        self.counted_since.push(state.counted_since);
        self.congestion.push(state.congestion);
        self.threshold.push(state.threshold);
        self.slowed_at.push(state.slowed_at);
        self.tokens.push(state.tokens);
        self.tokens_at.push(state.tokens_at);
        self.contended.push(contended);
        self.changed_at.push(changed_at);
    }

    fn share(&mut self, want: &'a Want, part: Part) {
        self.share_of.push(&want.destination);
        self.slots.push(stored(part.slots));
        self.wanted.push(stored(part.wanted));
    }

    fn turn(&mut self, want: &'a Want, turn: Turn) {
        self.about.push(&want.destination);
        self.kind.push(match turn {
            Turn::Opened => OPENED,
            Turn::Closed => CLOSED,
        });
        if turn == Turn::Opened {
            self.opened.push(&want.destination);
        }
    }

    async fn write(&self, tx: &Transaction<'_>, worker: Uuid, now: Timestamp) -> Result<(), DbError> {
        if self.names.is_empty() && self.share_of.is_empty() {
            return Ok(());
        }
        let statement = tx.prepare_cached(WRITE).await?;
        tx.execute(
            &statement,
            &[
                &self.names,
                &self.breaker,
                &self.closed_until,
                &self.why,
                &self.trips,
                &self.failures,
                &self.counted_ok,
                &self.counted_failed,
                &self.counted_since,
                &self.congestion,
                &self.threshold,
                &self.slowed_at,
                &self.tokens,
                &self.tokens_at,
                &self.contended,
                &self.changed_at,
                &worker,
                &self.share_of,
                &self.slots,
                &self.wanted,
                &self.opened,
                &now,
                &self.kind,
                &self.about,
            ],
        )
        .await?;
        Ok(())
    }
}
