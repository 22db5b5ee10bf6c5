//! A handshake that one of our accounts starts: present its user's pass code at the other node, store what it grants.
//!
//! The peer asks back while our request is open; it is answered from the handshake's row, which is open to it exactly that long.
//! A code is single-use at the peer, so trying again after an unknown outcome does no harm, and is done only before anything
//! was sent. With an account of our own node it is done inside the node, without HTTP (weakness 6.7b).

use std::time::Duration;

use uuid::Uuid;

use super::peer::{self, Endpoint, PeerError};
use crate::accounts;
use crate::codes;
use crate::connections::{self, NewConnection, Secrets};
use crate::guessing;
use crate::handshakes::{self, Claimed};
use crate::openmsg::answer::Grant;
use crate::openmsg::handshake::auth_body;
use crate::openmsg::reply::AuthReply;
use crate::openmsg::{AuthCode, CryptKey, DisplayName, IdentCode};
use crate::worker::Crew;

/// Tries at the most when the peer cannot be reached at all.
const TRIES: i16 = 3;
/// Between them.
const PAUSE: Duration = Duration::from_secs(3);

/// How it went.
enum Ended {
    Connected,
    /// Told to the user.
    Failed(String),
    /// Nothing was sent: once more after a pause.
    Again(String),
}

/// Runs the handshake `id`, if it is still to be run.
pub async fn run(crew: &Crew, id: Uuid) {
    let (app, claim) = (&crew.app, crew.app.new_id());
    let claimed = match handshakes::claim(app, id, crew.lease.hold().worker, claim).await {
        Ok(Some(claimed)) => claimed,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(handshake = %id, %error, "a handshake could not be claimed; the scheduler brings it again");
            return;
        }
    };
    let local = claimed.to.domain().as_str() == app.config.domain;
    let ended = if local { inside(crew, &claimed).await } else { outside(crew, &claimed, claim).await };
    let written = match ended {
        Ok(Ended::Connected) => {
            tracing::info!(from = %claimed.from, to = %claimed.to, "connected by a handshake of ours");
            Ok(true)
        }
        Ok(Ended::Failed(why)) => handshakes::finish_failed(app, id, claim, &why).await,
        Ok(Ended::Again(why)) if claimed.tries >= TRIES => handshakes::finish_failed(app, id, claim, &why).await,
        Ok(Ended::Again(_)) => handshakes::retry_at(app, id, claim, app.clock.now() + PAUSE).await,
        Err(error) => {
            tracing::error!(handshake = %id, error = &*error as &dyn std::error::Error, "a handshake broke off");
            handshakes::finish_failed(app, id, claim, "an internal error; ask for a new pass code and try again").await
        }
    };
    if let Err(error) = written {
        // Past its deadline it is failed by the sweep.
        tracing::warn!(handshake = %id, %error, "the end of a handshake could not be written down");
    }
}

async fn outside(crew: &Crew, claimed: &Claimed, claim: Uuid) -> anyhow::Result<Ended> {
    let app = &crew.app;
    let domain = claimed.to.domain();
    if !handshakes::open_asking(app, claimed.id, claim).await? {
        return Ok(Ended::Failed("no answer in time; ask for a new pass code and try again".into()));
    }
    let name: DisplayName = claimed.from_name.parse()?;
    let body = auth_body(&claimed.to.id(), &claimed.code, &claimed.from, &name, claimed.allow_replies);
    let timeout = app.config.outbound.post_timeout.duration();
    let answer = match peer::post(app, &crew.outbound, domain, Endpoint::Auth, body, timeout).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::info!(to = %claimed.to, %error, "a handshake found no answer");
            return Ok(unanswered(&error, domain.as_str()));
        }
    };
    if answer.status != 200 {
        return Ok(Ended::Failed(format!(
            "{domain} answered with HTTP status {}, not as an Openmsg node",
            answer.status
        )));
    }
    match AuthReply::parse(&answer.body) {
        Ok(AuthReply::Granted { grant, name, handfast }) => {
            let name = match name {
                Some(name) => name,
                None => fallback_name(claimed)?,
            };
            store(crew, claimed, grant, name, handfast).await?;
            Ok(Ended::Connected)
        }
        Ok(AuthReply::Refused(text)) if text.as_str().is_empty() => Ok(Ended::Failed(format!("{domain} refused"))),
        Ok(AuthReply::Refused(text)) => Ok(Ended::Failed(format!("{domain} refused: {}", text.as_str()))),
        Err(error) => Ok(Ended::Failed(format!("{domain} answered something that is no Openmsg answer: {error}"))),
    }
}

fn unanswered(error: &PeerError, domain: &str) -> Ended {
    if error.nothing_sent() {
        return Ended::Again(format!("{domain} could not be reached ({})", error.word()));
    }
    Ended::Failed(format!("no answer from {domain} ({}); ask for a new pass code and try again", error.word()))
}

/// A missing name is no reason to fail: the address stands in (specification §5.4).
fn fallback_name(claimed: &Claimed) -> anyhow::Result<DisplayName> {
    DisplayName::from_peer(claimed.to.as_str()).ok_or_else(|| anyhow::anyhow!("an address without a name"))
}

async fn store(crew: &Crew, claimed: &Claimed, grant: Grant, name: DisplayName, remembers: bool) -> anyhow::Result<()> {
    let app = &crew.app;
    let Grant { auth_code, ident_code, crypt_key } = grant;
    let new = NewConnection {
        account_id: claimed.account_id,
        own: claimed.from.clone(),
        other: claimed.to.clone(),
        other_name: name,
        self_accepts: claimed.allow_replies,
        // We hold its user's pass code: it takes our messages.
        other_accepts: true,
        other_remembers: remembers,
        secrets: Secrets { auth_code, ident_code, crypt_key },
    };
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    let connection = connections::store(&transaction, app, &new).await?;
    handshakes::finish_connected(&transaction, app, claimed.id, connection).await?;
    Ok(transaction.commit().await?)
}

/// Both accounts are ours: the code is burnt, both connections are stored, in one transaction.
async fn inside(crew: &Crew, claimed: &Claimed) -> anyhow::Result<Ended> {
    let app = &crew.app;
    let receiver = accounts::find(app, &claimed.to).await?.filter(|account| !account.disabled);
    let ask = app.new_id();
    let account = receiver.as_ref().map(|account| account.id);
    let attempt = guessing::Try { account, ip: None, domain: None };
    let allowed = attempt.may(app).await?;
    let burnt = allowed && codes::burn(app, codes::Purpose::PassCode, account, &claimed.code, ask).await?;
    let Some(receiver) = receiver.filter(|_| burnt) else {
        attempt.was_wrong(app, allowed).await?;
        return Ok(Ended::Failed(format!("{} refused: pass code not valid", claimed.to.domain())));
    };
    attempt.was_right(app).await?;
    codes::begin(app, ask).await?;
    let ident_code = connections::ident_for(app, &claimed.to, &claimed.from).await?.unwrap_or_else(IdentCode::random);
    let secrets = Secrets { auth_code: AuthCode::random(), ident_code, crypt_key: CryptKey::random() };
    let theirs = NewConnection {
        account_id: receiver.id,
        own: claimed.to.clone(),
        other: claimed.from.clone(),
        other_name: claimed.from_name.parse()?,
        self_accepts: true,
        other_accepts: claimed.allow_replies,
        other_remembers: true,
        secrets: secrets.clone(),
    };
    let ours = NewConnection {
        account_id: claimed.account_id,
        own: claimed.from.clone(),
        other: claimed.to.clone(),
        other_name: receiver.name.parse()?,
        self_accepts: claimed.allow_replies,
        other_accepts: true,
        other_remembers: true,
        secrets,
    };
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    connections::store(&transaction, app, &theirs).await?;
    let connection = connections::store(&transaction, app, &ours).await?;
    handshakes::finish_connected(&transaction, app, claimed.id, connection).await?;
    transaction.commit().await?;
    Ok(Ended::Connected)
}
