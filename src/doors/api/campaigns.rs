//! Campaigns: one template, rows in any number.
//!
//! | file | what |
//! |---|---|
//! | `wanted` | what a new campaign is to be |
//! | `rows` | its rows, streamed in |
//! | `report` | what became of them, streamed out |
//!
//! A key that is bound to an account makes campaigns of that account only, and sees no others.

pub(super) mod describe;

mod report;
mod rows;
mod wanted;

pub(super) use report::report;
pub(super) use rows::take;

use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::App;
use crate::books::{self, Summary};
use crate::campaigns::{self, Campaign, Changed, Error, NewCampaign};
use crate::openmsg::Address;

use super::audited::made;
use super::call::{Answer, Call, json as answer, ok};
use super::fields::{Fields, parse_json};
use super::page::Wanted;
use super::problem::{Kind, Problem};
use super::values;
use wanted::Definition;

/// Rows with errors in one answer.
const MOST_ERRORS: u64 = 1000;

/// `POST /campaigns`
pub(super) async fn create(mut call: Call) -> Answer {
    call.no_query()?;
    let body = call.json().await?;
    let Definition { name, form, lane, tag, rate, scheduled, from } = Definition::read(&body)?;
    if let Some(own) = &call.key.account {
        let allowed = from.is_some_and(|from| Address::of_ours(&from, call.domain()).ok() == Some(own.address.clone()));
        if !allowed {
            let detail =
                "A key that is bound to an account makes campaigns whose `from` is that account, as it stands.";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
    }
    let new = NewCampaign {
        sender: &call.key.sender,
        account: account(&call),
        name: &name,
        form: &form,
        lane,
        tag: tag.as_deref(),
        rate,
        scheduled,
    };
    let campaign = campaigns::create(call.app(), &new).await?;
    made(answer(StatusCode::CREATED, &campaign), campaign.id)
}

/// The account the key is bound to.
fn account(call: &Call) -> Option<Uuid> {
    call.key.account.as_ref().map(|account| account.id)
}

/// The campaign the path names, if this key may see it.
async fn find(call: &Call) -> Result<Campaign, Problem> {
    let id = call.id(0, "campaign")?;
    campaigns::find(call.app(), id, account(call)).await?.ok_or_else(|| Problem::not_found("campaign"))
}

/// `GET /campaigns`
pub(super) async fn list(call: Call) -> Answer {
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    query.finish(Some(()))?;
    let found = campaigns::list(call.app(), account(&call), wanted.after, wanted.rows()).await?;
    ok(&wanted.page(found, |campaign| campaign.id))
}

/// A campaign with what became of its messages.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "CampaignWithCounts")]
struct View {
    #[serde(flatten)]
    campaign: Campaign,
    counts: Counts,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "CampaignCounts")]
struct Counts {
    pending: i64,
    sending: i64,
    retrying: i64,
    delivered: i64,
    failed: i64,
    cancelled: i64,
    expired: i64,
    unconfirmed: i64,
}

async fn view(app: &App, campaign: Campaign) -> Answer {
    let Summary { pending, sending, retrying, delivered, failed, cancelled, expired, unconfirmed, .. } =
        books::count_campaign(app, campaign.id).await?;
    let counts = Counts { pending, sending, retrying, delivered, failed, cancelled, expired, unconfirmed };
    ok(&View { campaign, counts })
}

/// `GET /campaigns/{id}`
pub(super) async fn show(call: Call) -> Answer {
    call.no_query()?;
    view(call.app(), find(&call).await?).await
}

/// `PATCH /campaigns/{id}`
pub(super) async fn update(mut call: Call) -> Answer {
    call.no_query()?;
    let campaign = find(&call).await?;
    let body = parse_json(&call.json().await?)?;
    // Null means something here: no limit.
    let given = body.get("rate").is_some();
    let mut fields = Fields::of(body)?;
    let rate = fields.optional("rate", wanted::rate);
    if !given {
        fields.mistake("rate", "is missing: a number, or null for no limit");
    }
    fields.finish(Some(()))?;
    let changed = campaigns::set_rate(call.app(), campaign.id, rate).await;
    after(&call, changed).await
}

/// Answers a change.
async fn after(call: &Call, changed: Result<Option<Changed>, Error>) -> Answer {
    match changed? {
        Some(Changed::Done(campaign)) => view(call.app(), campaign).await,
        Some(Changed::Forbidden(why)) => Err(Problem::new(Kind::Conflict, why)),
        None => Err(Problem::not_found("campaign")),
    }
}

/// The campaign to be changed by a request without any content.
async fn named(call: &mut Call) -> Result<Uuid, Problem> {
    call.no_query()?;
    let campaign = find(call).await?;
    call.fields().await?.finish(Some(()))?;
    Ok(campaign.id)
}

/// `POST /campaigns/{id}/close`
pub(super) async fn close(mut call: Call) -> Answer {
    let id = named(&mut call).await?;
    let changed = campaigns::close(call.app(), id).await;
    after(&call, changed).await
}

/// `POST /campaigns/{id}/pause`
pub(super) async fn pause(mut call: Call) -> Answer {
    let id = named(&mut call).await?;
    let changed = campaigns::pause(call.app(), id).await;
    after(&call, changed).await
}

/// `POST /campaigns/{id}/resume`
pub(super) async fn resume(mut call: Call) -> Answer {
    let id = named(&mut call).await?;
    let changed = campaigns::resume(call.app(), id).await;
    after(&call, changed).await
}

/// `POST /campaigns/{id}/cancel`
pub(super) async fn cancel(mut call: Call) -> Answer {
    let id = named(&mut call).await?;
    let changed = campaigns::cancel(call.app(), id).await;
    after(&call, changed).await
}

/// `GET /campaigns/{id}/errors`
pub(super) async fn errors(call: Call) -> Answer {
    let mut query = call.query();
    let after = query.optional("after", values::number(0..=i64::MAX as u64)).unwrap_or(0) as i64;
    let limit = query.optional("limit", values::number(1..=MOST_ERRORS)).unwrap_or(100) as usize;
    query.finish(Some(()))?;
    let campaign = find(&call).await?;
    let mut items = campaigns::errors(call.app(), campaign.id, after, limit as i64 + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|error| error.row.to_string());
    ok(&json!({"items": items, "next": next}))
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(data: &[u8]) -> Result<(), Problem> {
    // The first line is the definition, the others are rows under it.
    let mut lines = data.split(|byte| *byte == b'\n');
    let definition = wanted::Definition::read(lines.next().unwrap_or_default())?;
    for line in lines {
        let Ok(values) = crate::rows::of_object(line) else { continue };
        let Ok(message) = definition.form.message(&values) else { continue };
        let json: Result<serde_json::Value, _> = serde_json::from_str(&message);
        assert!(json.is_ok_and(|json| json.is_object()), "a row that made something else of the template");
    }
    Ok(())
}
