//! Accounts: who of this node there is.

pub(super) mod describe;

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::accounts::{self, Account};
use crate::openmsg::{Address, DisplayName};

use super::call::{Answer, Call, json as answer, ok};
use super::fields::Fields;
use super::page::{Page, Wanted};
use super::problem::{Kind, Problem};
use super::values;

/// Accounts in one batch.
const BATCH: usize = 1000;

/// An account as the API shows it.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Account")]
struct View {
    address: Address,
    name: String,
    accepts_messages: bool,
    disabled: bool,
    created_at: Timestamp,
}

impl From<Account> for View {
    fn from(account: Account) -> Self {
        let Account { address, name, accepts_messages, disabled, created_at, .. } = account;
        Self { address, name, accepts_messages, disabled, created_at }
    }
}

type New = (Address, DisplayName, bool);

fn read_new(mut fields: Fields, domain: &str) -> Result<New, Problem> {
    let address = fields.required("address", values::new_address(domain));
    let name = fields.required("name", values::parsed::<DisplayName>);
    let accepts = fields.optional("accepts_messages", values::boolean).unwrap_or(true);
    fields.finish((|| Some((address?, name?, accepts)))())
}

/// `POST /accounts`
pub(super) async fn create(mut call: Call) -> Answer {
    call.no_query()?;
    call.unbound()?;
    let (address, name, accepts) = read_new(call.fields().await?, call.domain())?;
    match accounts::create(call.app(), &address, &name, accepts).await? {
        Some(account) => answer(StatusCode::CREATED, &View::from(account)),
        None => Err(Problem::new(Kind::Conflict, format!("The account {address} exists."))),
    }
}

/// `POST /accounts/batch`
pub(super) async fn create_many(mut call: Call) -> Answer {
    call.no_query()?;
    call.unbound()?;
    let mut fields = call.fields().await?;
    let rows = fields.required("accounts", values::list(BATCH));
    let rows = fields.finish(rows)?;
    let read = |row| Fields::of(row).and_then(|fields| read_new(fields, call.domain()));
    let rows: Vec<Result<New, Problem>> = rows.into_iter().map(read).collect();
    let good: Vec<New> = rows.iter().filter_map(|row| row.as_ref().ok().cloned()).collect();
    let mut created = match good.is_empty() {
        true => Vec::new(),
        false => accounts::create_many(call.app(), good).await?,
    }
    .into_iter();
    let result = |(index, row): (usize, Result<New, Problem>)| match row {
        Ok((address, ..)) => json!({"index": index, "address": address, "created": created.next().unwrap_or(false)}),
        Err(problem) => json!({"index": index, "error": problem}),
    };
    let results: Vec<Value> = rows.into_iter().enumerate().map(result).collect();
    ok(&json!({ "results": results }))
}

/// `GET /accounts`
pub(super) async fn list(call: Call) -> Answer {
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    query.finish(Some(()))?;
    let page = match &call.key.account {
        Some(own) => Page::whole(accounts::find(call.app(), &own.address).await?.into_iter().collect()),
        None => wanted.page(accounts::list(call.app(), wanted.after, wanted.rows()).await?, |account| account.id),
    };
    ok(&page.map(View::from))
}

/// `GET /accounts/{address}`
pub(super) async fn show(call: Call) -> Answer {
    call.no_query()?;
    ok(&View::from(call.account().await?))
}

/// `PATCH /accounts/{address}`
pub(super) async fn update(mut call: Call) -> Answer {
    call.no_query()?;
    let address = call.address()?;
    let mut fields = call.fields().await?;
    let name = fields.optional("name", values::parsed::<DisplayName>);
    let accepts = fields.optional("accepts_messages", values::boolean);
    fields.finish(Some(()))?;
    let account = accounts::update(call.app(), &address, name.as_ref(), accepts).await?;
    ok(&View::from(account.ok_or_else(|| Problem::not_found("account"))?))
}

/// `POST /accounts/{address}/disable`
pub(super) async fn disable(call: Call) -> Answer {
    set_disabled(call, true).await
}

/// `POST /accounts/{address}/enable`
pub(super) async fn enable(call: Call) -> Answer {
    set_disabled(call, false).await
}

async fn set_disabled(mut call: Call, disabled: bool) -> Answer {
    call.no_query()?;
    call.unbound()?;
    call.fields().await?.finish(Some(()))?;
    let account = accounts::set_disabled(call.app(), &call.address()?, disabled).await?;
    ok(&View::from(account.ok_or_else(|| Problem::not_found("account"))?))
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(fields: Fields, domain: &str) -> Result<(), Problem> {
    let (address, name, _) = read_new(fields, domain)?;
    assert!(address.id().check_issued().is_ok() && address.domain().as_str() == domain);
    crate::fuzzing::read_back(&name);
    Ok(())
}
