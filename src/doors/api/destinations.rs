//! Destinations: pace and health of what deliveries go to, seen and set by operators.
//!
//! A destination is a peer's domain or the name of a webhook. One that nothing was ever delivered to has no row, and can be set and
//! paused all the same.

pub(super) mod describe;

use std::time::Duration;

use serde_json::{Value, json};

use crate::App;
use crate::destinations::{self, Destination, Filter, Setting};

use super::call::{Answer, Call, ok};
use super::fields::{Fields, name_of};
use super::page::Wanted;
use super::problem::Problem;
use super::values;

/// Steps of a schedule.
const MOST_STEPS: usize = 100;
/// Longest wait of a schedule, in seconds.
const LONGEST_WAIT: u64 = 7 * 86_400;
fn view(app: &App, destination: &Destination) -> Value {
    let default = || json!(destinations::default_schedule(app, &destination.name));
    json!({
        "name": destination.name,
        "state": destination.state,
        "why": destination.why,
        "closed_until": destination.closed_until,
        "trips": destination.trips,
        "failures_in_a_row": destination.failures,
        "concurrency": destination.concurrency,
        "concurrency_in_effect": destination.concurrency_in_effect,
        "concurrency_now": destination.limit,
        "rate": destination.rate,
        "schedule": destination.schedule,
        "schedule_in_effect": destination.schedule.as_ref().map_or_else(default, |schedule| json!(schedule)),
        "waiting": destination.waiting,
        "oldest_waiting": destination.oldest_waiting,
        "in_hand": destination.in_hand,
        "given_out": destination.given_out,
        "changed_at": destination.changed_at,
    })
}

/// The name the path has, if a destination can be called so.
fn name(call: &Call) -> Result<String, Problem> {
    call.unbound()?;
    let name = call.parameters.first().map(|text| text.to_ascii_lowercase()).unwrap_or_default();
    if destinations::is_name(&name) { Ok(name) } else { Err(missing()) }
}

fn missing() -> Problem {
    Problem::not_found("destination")
}

async fn shown(call: &Call, name: &str) -> Answer {
    let found = destinations::find(call.app(), name).await?;
    ok(&view(call.app(), &found.ok_or_else(missing)?))
}

/// `GET /destinations`
pub(super) async fn list(call: Call) -> Answer {
    call.unbound()?;
    let mut query = call.query();
    let wanted = Wanted::read_names(&mut query);
    let state = query.optional("state", |value| {
        let state = values::text(value)?;
        let known = destinations::STATES.contains(&state.as_str());
        if known { Ok(state) } else { Err(format!("is none of {}", destinations::STATES.join(", "))) }
    });
    query.finish(Some(()))?;
    let filter = Filter { state, after: wanted.after.clone(), limit: wanted.rows() };
    let found = destinations::list(call.app(), &filter).await?;
    let page = wanted.page(found, |destination| destination.name.clone());
    ok(&page.map(|destination| view(call.app(), &destination)))
}

/// `GET /destinations/{name}`
pub(super) async fn show(call: Call) -> Answer {
    call.no_query()?;
    shown(&call, &name(&call)?).await
}

/// `PATCH /destinations/{name}`
pub(super) async fn update(mut call: Call) -> Answer {
    call.no_query()?;
    let name = name(&call)?;
    let mut fields = call.fields().await?;
    let setting = setting(&mut fields);
    fields.finish(Some(()))?;
    destinations::set(call.app(), &name, &setting).await?;
    shown(&call, &name).await
}

/// `POST /destinations/{name}/pause`
pub(super) async fn pause(call: Call) -> Answer {
    call.no_query()?;
    let name = name(&call)?;
    destinations::pause(call.app(), &name).await?;
    shown(&call, &name).await
}

/// `POST /destinations/{name}/resume`
pub(super) async fn resume(call: Call) -> Answer {
    call.no_query()?;
    let name = name(&call)?;
    if !destinations::resume(call.app(), &name).await? {
        return Err(missing());
    }
    shown(&call, &name).await
}

/// The pace a request sets; what it does not name stays, `null` is the node's default.
pub(super) fn setting(fields: &mut Fields) -> Setting {
    Setting {
        concurrency: fields.nullable("concurrency", |value| {
            values::number(1..=u64::from(destinations::MOST_AT_ONCE))(value).map(|number| number as u32)
        }),
        rate: fields.nullable("rate", rate),
        schedule: fields.nullable("schedule", schedule),
    }
}

fn rate(value: Value) -> Result<f32, String> {
    let rate = value.as_f64().filter(|rate| destinations::RATES.contains(rate));
    rate.map(|rate| rate as f32).ok_or_else(|| "is not a number of calls a second from 0.001 to 1000000".into())
}

fn schedule(value: Value) -> Result<Vec<i32>, String> {
    let wait = |value: Value| values::seconds(1..=LONGEST_WAIT)(value).map(|wait: Duration| wait.as_secs() as i32);
    match value {
        Value::Array(_) => values::list(MOST_STEPS)(value)?.into_iter().map(wait).collect::<Result<_, _>>(),
        other => Err(format!("is {}, not a list of seconds", name_of(&other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Setting, Vec<String>> {
        let mut fields = Fields::parse(json.as_bytes()).unwrap();
        let setting = setting(&mut fields);
        fields
            .finish(Some(setting))
            .map_err(|problem| problem.errors().iter().map(|error| error.field.clone()).collect())
    }

    #[test]
    fn a_pace_is_set_kept_or_left_to_the_node() {
        let set = read(r#"{"concurrency":5,"rate":0.5,"schedule":[1,60]}"#).unwrap();
        let all = Setting { concurrency: Some(Some(5)), rate: Some(Some(0.5)), schedule: Some(Some(vec![1, 60])) };
        assert_eq!(set, all);
        let defaults = Setting { concurrency: Some(None), rate: Some(None), schedule: Some(None) };
        assert_eq!(read(r#"{"concurrency":null,"rate":null,"schedule":null}"#).unwrap(), defaults);
        assert_eq!(read("{}").unwrap(), Setting::default());
        for wrong in [
            r#"{"concurrency":0,"rate":0,"schedule":[]}"#,
            r#"{"concurrency":-1,"rate":-1,"schedule":[0]}"#,
            r#"{"concurrency":1.5,"rate":"fast","schedule":60}"#,
            r#"{"concurrency":10001,"rate":1e9,"schedule":[604801]}"#,
        ] {
            assert_eq!(read(wrong).unwrap_err(), ["concurrency", "rate", "schedule"], "{wrong}");
        }
    }
}
