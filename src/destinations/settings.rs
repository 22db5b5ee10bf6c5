//! What operators see and set.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::pace::{self, Breaker};
use super::shares;
use crate::db::{DbError, GenericClient, Row, Transaction};
use crate::openmsg::Domain;
use crate::webhooks::WebhookName;
use crate::{App, pushes};

/// A destination as operators see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// A peer's domain or the name of a webhook.
    pub name: String,
    /// `paused`, `open`, `half_open`, `retry_after` (it asked for a pause), `slowed` or `well`.
    pub state: String,
    /// Calls at once, where it has a setting of its own.
    pub concurrency: Option<u32>,
    /// Calls at once, as it is set or by default.
    pub concurrency_in_effect: u32,
    /// Calls at once, as it is now.
    pub limit: u32,
    /// Calls a second, if it has a rate.
    pub rate: Option<f32>,
    /// Seconds between attempts, where it has a setting of its own.
    pub schedule: Option<Vec<i32>>,
    /// Nothing goes until it is resumed.
    pub paused: bool,
    /// The breaker.
    pub breaker: Breaker,
    /// Nothing goes before.
    pub closed_until: Option<Timestamp>,
    /// Why, in a word.
    pub why: Option<String>,
    /// How often in a row the breaker has opened.
    pub trips: u16,
    /// Failures in a row.
    pub failures: u32,
    /// Calls at once that it seems to bear; none: as many as are set.
    pub congestion: Option<f32>,
    /// Deliveries that wait for it (counted up to a hundred thousand chunks of them).
    pub waiting: i64,
    /// Since when the oldest of them has been accepted.
    pub oldest_waiting: Option<Timestamp>,
    /// Deliveries that workers hold.
    pub in_hand: i64,
    /// Calls at once that workers have been given.
    pub given_out: i64,
    /// When its settings or its health last changed.
    pub changed_at: Timestamp,
}

/// Which destinations to list, by name.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// [`Destination::state`].
    pub state: Option<String>,
    /// Names after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// What [`Destination::state`] may be.
pub const STATES: [&str; 6] = ["well", "slowed", "retry_after", "half_open", "open", "paused"];
/// Most calls at once that can be set.
pub const MOST_AT_ONCE: u32 = 10_000;
/// Fewest and most calls a second that can be set.
pub const RATES: RangeInclusive<f64> = 0.001..=1_000_000.0;
/// How destinations of codes begin.
const CODES: [&str; 3] = ["sms:", "voice:", "email:"];
/// What stands before the colon in the name of what the node itself sends to.
const KINDS: [&str; 6] = ["sms", "voice", "email", "push", "relay", "notice"];

/// Whether a destination can be called so: a domain, the name of a webhook, or what the node itself sends to (`sms:codes`, `push:fcm`).
/// Names are in lower case.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let own = name.split_once(':').is_some_and(|(kind, name)| {
        KINDS.contains(&kind) && (1..=253).contains(&name.len()) && name.bytes().all(plain)
    });
    own || name.parse::<WebhookName>().is_ok() || name.parse::<Domain>().is_ok()
}

/// The waits between attempts at a destination of this name that has no schedule of its own, in seconds.
pub fn default_schedule(app: &App, name: &str) -> Vec<u64> {
    let (delivery, providers) = (&app.config.delivery, &app.config.providers);
    let schedule = match name {
        name if name.starts_with(pushes::PREFIX) => &providers.push.schedule,
        name if CODES.iter().any(|kind| name.starts_with(kind)) => &providers.schedule,
        name if name.parse::<WebhookName>().is_ok() => &delivery.webhook_schedule,
        _ => &delivery.schedule,
    };
    schedule.iter().map(|wait| wait.duration().as_secs()).collect()
}

/// What is to be changed: outer none, leave it; inner none, the node's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Setting {
    /// Calls at once, at least 1.
    pub concurrency: Option<Option<u32>>,
    /// Calls a second, above 0.
    pub rate: Option<Option<f32>>,
    /// Seconds between attempts, at least one; the last one repeats.
    pub schedule: Option<Option<Vec<i32>>>,
}

/// A change that concerns every worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which destination.
    pub destination: String,
    /// Nothing goes until it is resumed.
    pub paused: bool,
    /// The breaker.
    pub breaker: Breaker,
    /// Nothing goes before.
    pub closed_until: Option<Timestamp>,
    /// It has failed lately: successes are news.
    pub ailing: bool,
    /// Somebody has less than a fair share.
    pub contended: bool,
    /// When.
    pub changed_at: Timestamp,
}

impl Change {
    pub(super) fn of_row(row: &Row) -> Self {
        Self {
            destination: row.get("name"),
            paused: row.get("paused"),
            breaker: shares::breaker(row),
            closed_until: row.get("closed_until"),
            ailing: row.get::<_, i32>("failures") > 0,
            contended: row.get("contended"),
            changed_at: row.get("changed_at"),
        }
    }
}

/// One destination, if anything was ever delivered to it or set for it.
pub async fn find(app: &App, name: &str) -> Result<Option<Destination>, DbError> {
    let filter = Filter { limit: 1, ..Filter::default() };
    Ok(select(app, Some(name), &filter).await?.pop())
}

/// Destinations, by name.
pub async fn list(app: &App, filter: &Filter) -> Result<Vec<Destination>, DbError> {
    select(app, None, filter).await
}

/// Changes settings; every worker follows within a second.
pub async fn set(app: &App, name: &str, setting: &Setting) -> Result<(), DbError> {
    let concurrency = setting.concurrency.flatten().map(|n| i32::try_from(n.max(1)).unwrap_or(i32::MAX));
    let rate = setting.rate.flatten();
    let schedule = setting.schedule.clone().flatten();
    let (with_concurrency, with_rate) = (setting.concurrency.is_some(), setting.rate.is_some());
    let with_schedule = setting.schedule.is_some();
    let now = app.clock.now();
    app.db
        .execute(
            SET,
            &[
                &name,
                &concurrency,
                &rate,
                &schedule,
                &with_concurrency,
                &with_rate,
                &with_schedule,
                &now,
                &pace::SLOW_START,
            ],
        )
        .await?;
    Ok(())
}

/// Lets nothing go until it is resumed.
pub async fn pause(app: &App, name: &str) -> Result<(), DbError> {
    app.db.execute(PAUSE, &[&name, &app.clock.now(), &pace::SLOW_START]).await?;
    Ok(())
}

/// Lets everything go again, also what a breaker or a Retry-After holds back; false where there is no such destination.
pub async fn resume(app: &App, name: &str) -> Result<bool, DbError> {
    lift(&app.db.client().await?, app.clock.now(), name, false).await
}

/// It has moved, in this transaction: what was learnt about the old place does not hold for the new one. An operator's pause does.
pub async fn moved(tx: &Transaction<'_>, now: Timestamp, name: &str) -> Result<(), DbError> {
    lift(tx, now, name, true).await.map(drop)
}

async fn lift(client: &impl GenericClient, now: Timestamp, name: &str, stay_paused: bool) -> Result<bool, DbError> {
    let statement = client.prepare_cached(LIFT).await?;
    let row = client.query_opt(&statement, &[&name, &now, &pace::SLOW_START, &stay_paused]).await?;
    Ok(row.is_some_and(|row| row.get(0)))
}

const SELECT: &str = "/* destinations::select */
select d.*, w.waiting, w.oldest, h.in_hand, g.given_out, e.held_back, e.oldest_held_back
from (
    select *, case when paused then 'paused' when breaker = 1 and closed_until > $1 then 'open' when breaker <> 0 then 'half_open'
                   when closed_until > $1 then 'retry_after' when slowed_at is not null then 'slowed' else 'well' end as standing
    from destinations
) d
cross join lateral (
    select coalesce(sum(n), 0)::bigint as waiting, min(id::text)::uuid as oldest from (
        select n, id from chunks where destination = d.name and state in (0, 3, 4) limit 100000) x
) w
cross join lateral (
    select coalesce(sum(n), 0)::bigint as in_hand from chunks where destination = d.name and state = 1
) h
cross join lateral (
    select count(*) as held_back, min(chunk::text)::uuid as oldest_held_back from (
        select chunk from exceptions where destination = d.name and state = 8 limit 100000) x
) e
cross join lateral (
    select coalesce(sum(slots), 0)::bigint as given_out from shares where destination = d.name
) g
where ($2::text is null or d.name = $2) and ($3::text is null or d.standing = $3) and ($4::text is null or d.name > $4)
order by d.name limit $5";

const SET: &str = "/* destinations::set */
insert into destinations as d (name, concurrency, rate, schedule, congestion, changed_at) values ($1, $2, $3, $4, $9, $8)
on conflict (name) do update set
    concurrency = case when $5::boolean then excluded.concurrency else d.concurrency end,
    rate = case when $6::boolean then excluded.rate else d.rate end,
    tokens = case when $6::boolean then null else d.tokens end,
    schedule = case when $7::boolean then excluded.schedule else d.schedule end,
    changed_at = greatest($8, d.changed_at + interval '1 microsecond')";

const PAUSE: &str = "/* destinations::pause */
insert into destinations as d (name, paused, congestion, changed_at) values ($1, true, $3, $2)
on conflict (name) do update set paused = true, changed_at = greatest($2, d.changed_at + interval '1 microsecond')";

const LIFT: &str = "/* destinations::lift */
with before as (
    select name, breaker from destinations where name = $1 for update
), lifted as (
    update destinations d set paused = d.paused and $4, breaker = 0, closed_until = null, why = null, trips = 0, failures = 0,
        counted_ok = 0, counted_failed = 0, counted_since = null,
        congestion = case when b.breaker <> 0 then $3::real else d.congestion end,
        changed_at = greatest($2, d.changed_at + interval '1 microsecond')
    from before b where d.name = b.name
), told as (
    insert into events (at, kind, about) select $2, 8, name from before where breaker <> 0
)
select exists (select from before)";

async fn select(app: &App, name: Option<&str>, filter: &Filter) -> Result<Vec<Destination>, DbError> {
    let now = app.clock.now();
    let rows =
        app.db.rows_planned_by_values(SELECT, &[&now, &name, &filter.state, &filter.after, &filter.limit]).await?;
    Ok(rows.iter().map(|row| of_row(app, row, now)).collect())
}

fn of_row(app: &App, row: &Row, now: Timestamp) -> Destination {
    let set = shares::settings(app, row.get("name"), Some(row));
    let state = shares::state(row).at(now);
    let oldest: [Option<Uuid>; 2] = [row.get("oldest"), row.get("oldest_held_back")];
    Destination {
        name: row.get("name"),
        state: row.get("standing"),
        concurrency: row.get::<_, Option<i32>>("concurrency").map(shares::count),
        concurrency_in_effect: set.concurrency,
        limit: state.limit(&set, now),
        rate: set.rate,
        schedule: row.get("schedule"),
        paused: set.paused,
        breaker: state.breaker,
        closed_until: state.closed_until,
        why: state.why,
        trips: state.trips,
        failures: state.failures,
        congestion: state.congestion,
        waiting: row.get::<_, i64>("waiting") + row.get::<_, i64>("held_back"),
        oldest_waiting: oldest.into_iter().flatten().filter_map(made_at).min(),
        in_hand: row.get("in_hand"),
        given_out: row.get("given_out"),
        changed_at: row.get("changed_at"),
    }
}

/// Ids are of version 7.
fn made_at(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let since = Duration::new(seconds, nanos);
    Timestamp::UNIX_EPOCH.checked_add(since).ok()
}
