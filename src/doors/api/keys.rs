//! API keys: nobody can make one that may do more than their own.

use http::StatusCode;
use serde_json::{Value, json};

use crate::accounts;
use crate::senders::{self, Key};

use super::call::{Answer, Call, json as answer, nothing, ok};
use super::page::Page;
use super::problem::{Kind, Problem};
use super::values;

/// Scopes in one key.
const MOST_SCOPES: usize = 16;

fn view(key: &Key) -> Value {
    json!({
        "id": key.id,
        "sender": key.sender,
        "scopes": key.scopes,
        "account": key.account.as_ref().map(|account| &account.address),
    })
}

/// `POST /keys`
pub(super) async fn create(mut call: Call) -> Answer {
    call.no_query()?;
    let mut fields = call.fields().await?;
    let sender = fields.required("sender", values::sender);
    let scopes = fields.required("scopes", scopes);
    let address = fields.optional("account", values::our_address(call.domain()));
    let (sender, scopes) = fields.finish((|| Some((sender?, scopes?)))())?;
    if let Some(missing) = call.key.scopes.lacks(&scopes) {
        return Err(Problem::new(Kind::Forbidden, format!("Your own key does not have the scope `{missing}`.")));
    }
    let account = match (&address, &call.key.account) {
        (Some(address), _) => {
            call.act_for(address)?;
            let account = accounts::find(call.app(), address).await?;
            Some(account.ok_or_else(|| Problem::field("account", "is no account of this node"))?.id)
        }
        (None, Some(_)) => {
            return Err(Problem::new(Kind::Forbidden, "Your key is bound to an account; name it as `account`."));
        }
        (None, None) => None,
    };
    let (key, plain) = senders::create(call.app(), &sender, scopes, account).await?;
    let mut shown = view(&key);
    shown["key"] = Value::String(plain.to_string());
    answer(StatusCode::CREATED, &shown)
}

fn scopes(value: Value) -> Result<senders::Scopes, String> {
    let names = values::list(MOST_SCOPES)(value)?.into_iter().map(values::text).collect::<Result<Vec<_>, _>>();
    senders::Scopes::parse(names.map_err(|_| "holds something that is not text")?).map_err(|error| error.to_string())
}

/// The keys this key may see: all, or those bound to its own account.
async fn visible(call: &Call) -> Result<Vec<Key>, Problem> {
    let own = call.key.account.as_ref().map(|account| account.id);
    let mut keys = senders::list(call.app()).await?;
    keys.retain(|key| own.is_none() || key.account.as_ref().map(|account| account.id) == own);
    Ok(keys)
}

/// `GET /keys`
pub(super) async fn list(call: Call) -> Answer {
    call.no_query()?;
    let keys = visible(&call).await?;
    ok(&Page::whole(keys.iter().map(view).collect()))
}

/// `DELETE /keys/{id}`
pub(super) async fn revoke(call: Call) -> Answer {
    call.no_query()?;
    let id = call.id(0, "key")?;
    let known = visible(&call).await?.iter().any(|key| key.id == id);
    if known && senders::revoke(call.app(), id).await? { nothing() } else { Err(Problem::not_found("key")) }
}
