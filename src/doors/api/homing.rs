//! Homing Space: whom a session of the gateway belongs to, for the merchant's application.

pub(super) mod describe;

use serde_json::{Value, json};

use super::call::{Answer, Call, ok};
use super::values;
use crate::gateway::{self, Session};

/// Longest token looked at, in bytes: ours have 43.
const LONGEST: usize = 256;

/// `POST /homing/introspect` (the shape of RFC 7662, 2.2): nothing but `active` where the session does not hold.
pub(super) async fn introspect(mut call: Call) -> Answer {
    call.unbound()?;
    call.no_query()?;
    let mut fields = call.fields().await?;
    let token = fields.required("token", values::text);
    let token = fields.finish(token)?;
    let session = if token.len() > LONGEST { None } else { gateway::find(call.app(), &token).await? };
    ok(&session.as_ref().map_or_else(|| json!({"active": false}), view))
}

fn view(session: &Session) -> Value {
    let Session { account, username, granted, created_at, expires_at } = session;
    let claims: serde_json::Map<String, Value> =
        account.claims.iter().map(|(scope, value)| (scope.clone(), value.as_str().into())).collect();
    json!({
        "active": true,
        "sub": account.id,
        "account": account.id,
        "account_created_at": account.created_at,
        "username": username,
        "f_in_g": account.f_in_g,
        "scope": granted.replace(';', " "),
        "claims": claims,
        "iat": created_at.as_second(),
        "exp": expires_at.as_second(),
    })
}
