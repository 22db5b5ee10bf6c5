//! Pass codes: what an account's user gives to somebody who may then send.

pub(super) mod describe;

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::codes::{self, Purpose};

use super::audited::made;
use super::call::{Answer, Call, json as answer, ok};
use super::page::Page;
use super::problem::{Kind, Problem};
use super::values;

/// Openmsg: "1 hour or less".
const LONGEST_LIFE: u64 = 3600;

/// `POST /accounts/{address}/passcodes`
pub(super) async fn issue(mut call: Call) -> Answer {
    call.no_query()?;
    let account = call.account().await?;
    let mut fields = call.fields().await?;
    let life = fields.optional("life_seconds", values::seconds(1..=LONGEST_LIFE));
    fields.finish(Some(()))?;
    if account.disabled {
        return Err(Problem::new(Kind::Conflict, format!("The account {} is disabled.", account.address)));
    }
    let life: Duration = life.unwrap_or_else(|| call.app().config.codes.pass_code_life.duration());
    let issued = codes::issue(call.app(), Purpose::PassCode, account.id, life).await.map_err(refuse)?;
    let told = json!({
        "id": issued.id,
        "address": account.address,
        "pass_code": issued.code.as_str(),
        "expires_at": issued.expires_at,
    });
    made(answer(StatusCode::CREATED, &told), issued.id)
}

fn refuse(error: codes::Error) -> Problem {
    match error {
        codes::Error::Exhausted => {
            Problem::new(Kind::Conflict, "No free code was found; wait until older ones have expired.")
        }
        codes::Error::NoAccount => Problem::not_found("account"),
        error => error.into(),
    }
}

/// `GET /accounts/{address}/passcodes`
pub(super) async fn list(call: Call) -> Answer {
    call.no_query()?;
    let account = call.account().await?;
    let live = codes::live(call.app(), Purpose::PassCode, account.id).await?;
    let shape = |code: codes::Live| -> Value {
        json!({"id": code.id, "created_at": code.created_at, "expires_at": code.expires_at})
    };
    ok(&Page::whole(live.into_iter().map(shape).collect()))
}

/// `DELETE /accounts/{address}/passcodes`
pub(super) async fn withdraw_all(call: Call) -> Answer {
    withdraw_some(call, None).await
}

/// `DELETE /accounts/{address}/passcodes/{id}`
pub(super) async fn withdraw(call: Call) -> Answer {
    let id = call.id(1, "pass code")?;
    withdraw_some(call, Some(id)).await
}

async fn withdraw_some(call: Call, id: Option<Uuid>) -> Answer {
    call.no_query()?;
    let account = call.account().await?;
    let withdrawn = codes::withdraw(call.app(), Purpose::PassCode, account.id, id).await?;
    ok(&json!({ "withdrawn": withdrawn }))
}
