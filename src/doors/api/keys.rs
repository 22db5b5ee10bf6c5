//! API keys: nobody can make one that may do more than their own.

pub(super) mod describe;

use http::StatusCode;
use serde_json::{Value, json};

use crate::accounts;
use crate::senders::{self, Key, Scopes};

use super::audited::made;
use super::call::{Answer, Call, json as answer, nothing, ok};
use super::page::Wanted;
use super::problem::{Kind, Problem};
use super::values;

/// Scopes in one key.
const MOST_SCOPES: usize = 16;

fn view(key: &Key) -> Value {
    json!({
        "id": key.id,
        "sender": key.sender,
        "scopes": key.scopes.names(),
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
    if let Some(missing) = call.key.scopes.lacking(&scopes) {
        return Err(Problem::new(Kind::Forbidden, format!("Your own key does not have the scope `{missing}`.")));
    }
    let account = match (&address, &call.key.account) {
        (Some(address), _) => {
            call.act_for(address)?;
            let account = accounts::find(call.app(), address).await?;
            Some(account.ok_or_else(|| Problem::field("account", "is no account of this node"))?)
        }
        (None, Some(_)) => {
            return Err(Problem::new(Kind::Forbidden, "Your key is bound to an account; name it as `account`."));
        }
        (None, None) => None,
    };
    let (key, plain) = senders::create(call.app(), &sender, &scopes, account.as_ref()).await?;
    let mut shown = view(&key);
    shown["key"] = Value::String(plain.reveal().to_owned());
    made(answer(StatusCode::CREATED, &shown), key.id)
}

fn scopes(value: Value) -> Result<Scopes, String> {
    let names = values::list(MOST_SCOPES)(value)?.into_iter().map(values::text).collect::<Result<Vec<_>, _>>();
    Scopes::parse(names.map_err(|_| "holds something that is not text")?).map_err(|error| error.to_string())
}

/// Whether a key that is bound to an account may see this one: those of its own account.
fn visible(call: &Call, key: &Key) -> bool {
    call.key.account.as_ref().is_none_or(|own| key.account.as_ref().is_some_and(|account| account.id == own.id))
}

/// `GET /keys`
pub(super) async fn list(call: Call) -> Answer {
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    query.finish(Some(()))?;
    let keys = senders::list(call.app(), wanted.after, wanted.rows()).await?;
    let mut page = wanted.page(keys, |key| key.id);
    page.items.retain(|key| visible(&call, key));
    ok(&page.map(|key| view(&key)))
}

/// `DELETE /keys/{id}`
pub(super) async fn revoke(call: Call) -> Answer {
    call.no_query()?;
    let id = call.id(0, "key")?;
    let known =
        call.key.account.is_none() || senders::get(call.app(), id).await?.is_some_and(|key| visible(&call, &key));
    if known && senders::revoke(call.app(), id).await? { nothing() } else { Err(Problem::not_found("key")) }
}
