//! `auth`: a stranger presents a pass code (specification §2.1, §2.2; weaknesses 6.1, 6.2, 6.2b).

use std::net::IpAddr;

use super::Door;
use crate::accounts::{self, Account};
use crate::codes::{self, Purpose};
use crate::guessing::Try;
use crate::jobs::{Ask, ConfirmSender, Reply};
use crate::openmsg::answer::HandshakeRefusal;
use crate::openmsg::handshake::AuthRequest;

pub(super) async fn answer(door: &Door, ip: IpAddr, body: &[u8]) -> Vec<u8> {
    let request = match AuthRequest::parse(body) {
        Ok(request) => request,
        Err(error) => return HandshakeRefusal::of_auth(&error).body(),
    };
    match run(door, ip, request).await {
        Ok(body) => body,
        Err(refusal) => refusal.body(),
    }
}

async fn run(door: &Door, ip: IpAddr, request: AuthRequest) -> Result<Vec<u8>, HandshakeRefusal> {
    let app = &door.app;
    let away = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "a handshake from outside could not be looked at");
        HandshakeRefusal::Temporarily
    };
    let own = door.own_address(&request.receiving_id).ok_or(HandshakeRefusal::CodeNotValid)?;
    let account = accounts::find(app, &own).await.map_err(|e| away(&e))?.filter(|account| !account.disabled);
    let attempt = Try { account: account.as_ref().map(|a| a.id), ip: Some(ip), domain: Some(request.sending.domain()) };
    // Without leave the code is still looked for, of nobody: the answer takes as long.
    let allowed = attempt.may(app).await.map_err(|e| away(&e))?;
    let ask = app.new_id();
    // Accounts of one node shake hands inside it: who claims to be one of ours out here is none, and burns no code.
    let allowed = allowed && *request.sending.domain() != door.domain;
    let whose = attempt.account.filter(|_| allowed);
    let burnt = codes::burn(app, Purpose::PassCode, whose, &request.pass_code, ask).await.map_err(|e| away(&e))?;
    let Some(account) = account.filter(|_| burnt) else {
        attempt.was_wrong(app, allowed).await.map_err(|e| away(&e))?;
        return Err(HandshakeRefusal::CodeNotValid);
    };
    if let Err(error) = attempt.was_right(app).await {
        tracing::debug!(%error, "a right code could not be uncounted");
    }
    let asked = confirm_sender(account, request);
    let Ok(asked) = asked else { return Err(give_back(door, ask).await) };
    match door.asker.ask(ask, door.deadline(), Ask::ConfirmSender(asked)).await {
        Ok(Reply::Body(body)) => Ok(body.into_bytes()),
        Ok(Reply::Peer { .. } | Reply::Backend(_) | Reply::Hub { .. } | Reply::Temporarily) | Err(_) => {
            Err(give_back(door, ask).await)
        }
    }
}

fn confirm_sender(account: Account, request: AuthRequest) -> Result<ConfirmSender, crate::openmsg::NameError> {
    Ok(ConfirmSender {
        account: account.id,
        receiving: account.address,
        receiving_name: account.name.parse()?,
        sending: request.sending,
        sending_verbatim: request.sending_verbatim,
        sending_name: request.sending_name,
        allow_replies: request.allow_replies,
        pass_code: request.pass_code.as_str().to_owned(),
        remembers: request.handfast,
    })
}

/// No worker began: the code is good again, and a worker that begins from now on finds that it may not.
async fn give_back(door: &Door, ask: uuid::Uuid) -> HandshakeRefusal {
    match codes::give_back(&door.app, ask).await {
        Ok(given) => tracing::warn!(%ask, code_given_back = given, "no worker answered a handshake from outside"),
        Err(error) => tracing::warn!(%ask, %error, "no worker answered, and the code could not be given back"),
    }
    HandshakeRefusal::Temporarily
}
