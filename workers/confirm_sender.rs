//! A handshake from outside: ask the sending domain whether it really asks, then make the secrets and store the connection.
//!
//! The pass code is burnt before this begins (specification §2.2). It comes back only where the callback failed before any byte
//! left this machine (§6.2), at most three times.

use jiff::Timestamp;
use uuid::Uuid;

use super::peer::{self, Endpoint, PeerError};
use crate::codes;
use crate::connections::{self, NewConnection, Secrets};
use crate::jobs::{ConfirmSender, Reply};
use crate::openmsg::answer::{self, Grant, HandshakeRefusal};
use crate::openmsg::handshake::auth_confirm_body;
use crate::openmsg::reply::ConfirmReply;
use crate::openmsg::{AuthCode, CryptKey, IdentCode, PassCode};
use crate::worker::Crew;

/// Why there is no connection.
enum Refused {
    /// The other domain did not say yes.
    NotConfirmed,
    /// We could not ask, or could not store: nothing was done.
    Temporarily,
}

/// Answers the ask `id`.
pub async fn run(crew: &Crew, id: Uuid, deadline: Timestamp, ask: ConfirmSender) -> Reply {
    match codes::begin(&crew.app, id).await {
        Ok(true) => {}
        // The door has taken the code back, or another worker had this ask before it died.
        Ok(false) => return Reply::Temporarily,
        Err(error) => {
            tracing::warn!(%error, "a handshake could not begin");
            return Reply::Temporarily;
        }
    }
    let refused = match confirm(crew, id, deadline, &ask).await {
        Ok(()) => match store(crew, deadline, &ask).await {
            Ok(Some(grant)) => {
                tracing::info!(from = %ask.sending, to = %ask.receiving, "connected by a handshake from outside");
                return body(answer::auth_granted(&grant, &ask.receiving_name));
            }
            Ok(None) => Refused::Temporarily,
            Err(error) => {
                tracing::error!(error = &*error as &dyn std::error::Error, "a connection could not be stored");
                Refused::Temporarily
            }
        },
        Err(refused) => refused,
    };
    match refused {
        Refused::NotConfirmed => body(HandshakeRefusal::NotConfirmed.body()),
        Refused::Temporarily => Reply::Temporarily,
    }
}

async fn confirm(crew: &Crew, id: Uuid, deadline: Timestamp, ask: &ConfirmSender) -> Result<(), Refused> {
    let app = &crew.app;
    let domain = ask.sending.domain();
    if domain.as_str() == app.config.domain {
        // Two accounts of one node shake hands inside it; a stranger who claims to be one of ours is none.
        return Err(Refused::NotConfirmed);
    }
    let Ok(code) = ask.pass_code.parse::<PassCode>() else { return Err(Refused::NotConfirmed) };
    let request = auth_confirm_body(&code, &ask.sending_verbatim, &ask.receiving, app.config.openmsg.strict_confirm);
    match callback(crew, deadline, ask, request).await {
        Ok(ConfirmReply::Confirmed) => Ok(()),
        Ok(ConfirmReply::Refused { .. }) => {
            tracing::info!(from = %ask.sending, "the sending domain knows nothing of the handshake");
            Err(Refused::NotConfirmed)
        }
        Err(error) => {
            let restored = match error.downcast_ref::<PeerError>() {
                Some(error) if error.nothing_sent() => codes::restore(app, id).await.unwrap_or(false),
                _ => false,
            };
            tracing::info!(from = %ask.sending, error = &*error as &dyn std::error::Error, restored, "the sending domain could not be asked");
            Err(Refused::NotConfirmed)
        }
    }
}

async fn callback(
    crew: &Crew,
    deadline: Timestamp,
    ask: &ConfirmSender,
    request: Vec<u8>,
) -> anyhow::Result<ConfirmReply> {
    let app = &crew.app;
    let timeout = app.config.outbound.confirm_timeout.duration();
    let left = std::time::Duration::try_from(deadline.duration_since(app.clock.now())).unwrap_or_default();
    let domain = ask.sending.domain();
    let _place = crew.callbacks.place(domain, left.min(timeout)).await?;
    let answer = peer::post(app, &crew.outbound, domain, Endpoint::AuthConfirm, request, left.min(timeout)).await?;
    anyhow::ensure!(answer.status == 200, "status {}", answer.status);
    Ok(ConfirmReply::parse(&answer.body)?)
}

/// Stores the connection, unless the deadline has passed by the database's clock: the asker has gone then.
async fn store(crew: &Crew, deadline: Timestamp, ask: &ConfirmSender) -> anyhow::Result<Option<Grant>> {
    let app = &crew.app;
    // Peers of 1.0 refuse a changed ident_code (specification §0, fact 7).
    let ident_code = connections::ident_for(app, &ask.receiving, &ask.sending).await?.unwrap_or_else(IdentCode::random);
    let grant = Grant { auth_code: AuthCode::random(), ident_code, crypt_key: CryptKey::random() };
    let secrets = Secrets {
        auth_code: grant.auth_code.clone(),
        ident_code: grant.ident_code.clone(),
        crypt_key: grant.crypt_key.clone(),
    };
    let new = NewConnection {
        account_id: ask.account,
        own: ask.receiving.clone(),
        other: ask.sending.clone(),
        other_name: ask.sending_name.clone(),
        // Its user has just handed out the code.
        self_accepts: true,
        other_accepts: ask.allow_replies,
        other_remembers: ask.remembers,
        secrets,
    };
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    let sql = "/* confirm_sender::store */ select clock_timestamp() < $1";
    if !transaction.query_one(sql, &[&deadline]).await?.get::<_, bool>(0) {
        return Ok(None);
    }
    connections::store(&transaction, app, &new).await?;
    transaction.commit().await?;
    Ok(Some(grant))
}

fn body(bytes: Vec<u8>) -> Reply {
    String::from_utf8(bytes).map_or(Reply::Temporarily, Reply::Body)
}
