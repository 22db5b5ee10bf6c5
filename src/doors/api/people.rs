//! People who sign in to the mailbox: their passwords, invitations, sessions.
//!
//! Whoever can set a password can become that person: a key needs every right that the mailbox gives.

pub(super) mod describe;

use http::StatusCode;
use serde_json::{Value, json};

use crate::mailbox::{self, Set, check_new};
use crate::openmsg::Address;
use crate::passwords::Busy;
use crate::senders::Scope;

use super::call::{Answer, Call, json as answer, nothing, ok};
use super::problem::{Kind, Problem};

/// What somebody who is signed in may do.
const NEEDED: [(Scope, &str); 4] = [
    (Scope::Passcodes, "passcodes"),
    (Scope::Connections, "connections"),
    (Scope::Messages, "messages"),
    (Scope::Inbox, "inbox"),
];

fn may(call: &Call) -> Result<Address, Problem> {
    call.no_query()?;
    call.unbound()?;
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(scope, _)| !call.key.scopes.allows(*scope, true)).map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        let detail = format!("Whoever lets somebody in could go in as well: this key also needs the scopes {missing}.");
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    call.address()
}

/// `PUT /accounts/{address}/password`
pub(super) async fn set_password(mut call: Call) -> Answer {
    let address = may(&call)?;
    let mut fields = call.fields().await?;
    let password = fields.required("password", |value| match value {
        Value::String(password) => {
            check_new(&password).map(|()| zeroize::Zeroizing::new(password)).map_err(|f| f.to_string())
        }
        _ => Err("is not a text".to_owned()),
    });
    let password = fields.finish(password)?;
    match call.shared.serve.mailbox.set_password(&address, &password).await? {
        Ok(Set::Done) => nothing(),
        Ok(Set::Nobody) => Err(Problem::not_found("account")),
        Err(Busy) => Err(Problem::new(Kind::Unavailable, "Many passwords are being checked at this moment.")),
    }
}

/// `DELETE /accounts/{address}/password`
pub(super) async fn take_password(call: Call) -> Answer {
    let address = may(&call)?;
    if call.shared.serve.mailbox.take_password(&address).await? {
        nothing()
    } else {
        Err(Problem::not_found("account"))
    }
}

/// `POST /accounts/{address}/invite`
pub(super) async fn invite(mut call: Call) -> Answer {
    let address = may(&call)?;
    call.fields().await?.finish(Some(()))?;
    if !call.app().config.mailbox.enabled {
        return Err(Problem::new(Kind::Conflict, "The mailbox is not switched on at this node (mailbox.enabled)."));
    }
    let invitation = call.shared.serve.mailbox.invite(&address).await?;
    let invitation = invitation.ok_or_else(|| Problem::not_found("account that is in use"))?;
    let url = format!("{}/me/invite/{}", call.app().config.mailbox_url(), *invitation.token);
    answer(StatusCode::CREATED, &json!({"address": address, "url": url, "expires_at": invitation.expires_at}))
}

/// `POST /accounts/{address}/sign-out`
pub(super) async fn sign_out(mut call: Call) -> Answer {
    call.no_query()?;
    let account = call.account().await?;
    call.fields().await?.finish(Some(()))?;
    let ended = mailbox::sign_out_all(call.app(), account.id, None).await?;
    ok(&json!({ "ended": ended }))
}
