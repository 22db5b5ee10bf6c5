//! What is open, in numbers that are cheap however much it is.
//!
//! Every part reads the index of what is open in that way, the oldest first where there is an order, and no further than
//! [`MOST`] rows: beyond that the numbers are what there is at the least, and say so. A chunk counts whole until it is settled,
//! so a delivery that has left its chunk may count twice for the moment until then.

use jiff::Timestamp;
use serde::Serialize;

use super::campaign::FAR;
use super::{Lane, published_ahead};
use crate::App;
use crate::db::DbError;

/// Rows of an index looked at in one part.
const MOST: i64 = 20_000;

/// Open deliveries of a lane.
#[derive(Debug, Clone, Serialize, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(rename = "LaneStanding")]
pub struct Standing {
    /// Which.
    pub lane: Lane,
    /// Due, and in the broker or on the way there.
    pub ready: i64,
    /// Not due before a time to come.
    pub scheduled: i64,
    /// Tried before, and tried again later.
    pub retrying: i64,
    /// In the hands of a worker.
    pub sending: i64,
    /// Due, and waiting until their destination has room.
    pub waits_for_destination: i64,
    /// Held because their campaign is paused.
    pub waits_for_campaign: i64,
    /// In a line, behind others.
    pub waits_for_turn: i64,
    /// Of the ready ones, those that lie in the broker.
    pub published_ahead: i64,
    /// There are more: counting ended before the end.
    pub more: bool,
    /// Since when the oldest of the ready ones has been due: how long a worker has let it wait.
    pub oldest_ready_since: Option<Timestamp>,
    /// The same with those that wait for their destinations, which count from when they were accepted, or handed back.
    pub oldest_waiting_since: Option<Timestamp>,
}

impl Standing {
    fn nothing(lane: Lane) -> Self {
        Self {
            lane,
            ready: 0,
            scheduled: 0,
            retrying: 0,
            sending: 0,
            waits_for_destination: 0,
            waits_for_campaign: 0,
            waits_for_turn: 0,
            published_ahead: 0,
            more: false,
            oldest_ready_since: None,
            oldest_waiting_since: None,
        }
    }

    /// All that is open, by the names of the fields above.
    pub fn states(&self) -> [(&'static str, i64); 7] {
        [
            ("ready", self.ready),
            ("scheduled", self.scheduled),
            ("retrying", self.retrying),
            ("sending", self.sending),
            ("waits_for_destination", self.waits_for_destination),
            ("waits_for_campaign", self.waits_for_campaign),
            ("waits_for_turn", self.waits_for_turn),
        ]
    }

    fn of(&mut self, state: &str) -> &mut i64 {
        match state {
            "ready" => &mut self.ready,
            "scheduled" => &mut self.scheduled,
            "retrying" => &mut self.retrying,
            "sending" => &mut self.sending,
            "destination" => &mut self.waits_for_destination,
            "campaign" => &mut self.waits_for_campaign,
            _ => &mut self.waits_for_turn,
        }
    }
}

/// What is open, by lane.
pub async fn standing(app: &App) -> Result<Vec<Standing>, DbError> {
    let sql = format!(
        "/* books::standing */
        with open as (
            (select 1 as part, lane, case when due_at <= $1 then 'ready' else 'scheduled' end as state, n, due_at as since
             from chunks where state = 0 order by due_at limit $2)
            union all (select 2, lane, 'sending', n, null from chunks where state = 1 limit $2)
            union all (select 3, lane, 'destination', n, to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
             from chunks where state = 3 limit $2)
            union all (select 4, k.lane, 'campaign', k.n, null from campaigns c cross join lateral (
                select lane, n from chunks where campaign = c.id and state = 4 limit $2) k
             where c.state in (0, 1) and c.state = 1 limit $2)
            union all (select 5, lane, case when due_at > $1::timestamptz + {FAR} then 'campaign' when due_at <= $1 then 'ready'
                when tries = 0 then 'scheduled' else 'retrying' end, 1::smallint, due_at
             from exceptions where state = 1 order by due_at limit $2)
            union all (select 6, lane, 'sending', 1::smallint, null from exceptions where state = 2 limit $2)
            union all (select 7, lane, 'destination', 1::smallint, updated_at from exceptions where state = 8 limit $2)
            union all (select 8, lane, 'turn', 1::smallint, null from (
                select lane, state from exceptions where state in (1, 2, 8, 9) limit $2) x where state = 9)
        )
        select lane, state, sum(n)::bigint, min(since) filter (where state in ('ready', 'destination') and since <= $1),
            bool_or(part in (select part from open group by part having count(*) >= $2))
        from open group by lane, state"
    );
    let mut lanes = Lane::ALL.map(Standing::nothing);
    for row in app.db.rows_along_indexes(&sql, &[&app.clock.now(), &MOST]).await? {
        let lane = &mut lanes[Lane::from_number(row.get(0)) as usize];
        *lane.of(row.get(1)) += row.get::<_, i64>(2);
        let since: Option<Timestamp> = row.get(3);
        if row.get::<_, &str>(1) == "ready" {
            lane.oldest_ready_since = since;
        }
        lane.oldest_waiting_since = [lane.oldest_waiting_since, since].into_iter().flatten().min();
        lane.more |= row.get::<_, bool>(4);
    }
    for (lane, ahead) in lanes.iter_mut().zip(published_ahead(app).await?) {
        lane.published_ahead = ahead;
    }
    Ok(lanes.into())
}
