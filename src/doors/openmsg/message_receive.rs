//! `message-receive`: a message for one of our accounts (specification §3.2, §3.3; order of checks: the end of §6).

use super::Door;
use super::lookups::{Known, Lookup};
use crate::connections::{Found, Secrets, State};
use crate::inbox::Seen;
use crate::jobs::{Ask, ConfirmMessage, Reply};
use crate::openmsg::message::MessageReceiveRequest;
use crate::openmsg::{Code, answer};

pub(super) async fn answer(door: &Door, body: &[u8]) -> Vec<u8> {
    let request = match MessageReceiveRequest::parse(body) {
        Ok(request) => request,
        Err(error) => return answer::message_malformed(&error),
    };
    match run(door, &request).await {
        Ok(body) => body,
        Err(code) => answer::message_refused(code),
    }
}

async fn run(door: &Door, request: &MessageReceiveRequest) -> Result<Vec<u8>, Code> {
    let own = door.own_address(&request.receiving_id).ok_or(Code::IdentInvalid)?;
    let decoded = request.package.decode();
    let nonce = decoded.as_ref().ok().map(|decoded| *decoded.nonce().as_bytes());
    let hash = *request.message_hash.as_bytes();
    let lookup = Lookup { own: own.clone(), ident: request.ident_code.clone(), nonce, hash };
    let Known { found, seen, our_own_for } = door.lookups.look(lookup).await.map_err(|_| Code::RejectedForNow)?;
    let found = found.filter(|found| !found.account_disabled).ok_or(Code::IdentInvalid)?;
    // Only connections that exist are counted: ident codes can be made up without end.
    if door.floods.count_message(found.keyed.connection.id) {
        return Err(Code::RejectedForNow);
    }
    if !found.account_accepts || !found.keyed.connection.self_accepts || found.keyed.connection.state == State::Blocked
    {
        return Err(Code::RejectedByUser);
    }
    if !request.is_timely(door.app.clock.unix_seconds()) {
        return Err(Code::Expired);
    }
    let secrets = fitting_secrets(&found, request).ok_or(Code::HashInvalid)?;
    if our_own_for.is_some_and(|recipient| recipient != own.as_str()) {
        // Our own message to somebody else, sent back to us as if it were one for us (weakness 6.7b).
        return Err(Code::HashInvalid);
    }
    match seen {
        Seen::Repeat => return Ok(answer::message_accepted()),
        Seen::NonceReused => return Err(Code::NonceUsed),
        Seen::New => {}
    }
    let nonce = nonce.ok_or(Code::DecryptionFailed)?;
    let ask = confirm_message(&found, secrets, request, nonce)?;
    match door.asker.ask(door.app.new_id(), door.deadline(), Ask::ConfirmMessage(ask)).await {
        Ok(Reply::Body(body)) => Ok(body.into_bytes()),
        Ok(Reply::Peer { .. } | Reply::Backend(_) | Reply::Hub { .. } | Reply::Temporarily) | Err(_) => {
            Err(Code::RejectedForNow)
        }
    }
}

/// The current secrets, or, until a message has passed under them, those before (weakness 6.12). Both hashes are worked out
/// whichever fits.
fn fitting_secrets<'a>(found: &'a Found, request: &MessageReceiveRequest) -> Option<&'a Secrets> {
    let current = request.is_hashed_with(&found.keyed.secrets.auth_code);
    let older = found.keyed.older.as_ref().filter(|older| request.is_hashed_with(&older.auth_code));
    if current { Some(&found.keyed.secrets) } else { older }
}

fn confirm_message(
    found: &Found,
    secrets: &Secrets,
    request: &MessageReceiveRequest,
    nonce: [u8; 24],
) -> Result<ConfirmMessage, Code> {
    let connection = &found.keyed.connection;
    let sent_at = jiff::Timestamp::from_second(request.timestamp).map_err(|_| Code::Expired)?;
    Ok(ConfirmMessage {
        connection: connection.id,
        account: connection.account_id,
        from: connection.other_address.clone(),
        from_name: connection.other_name.parse().map_err(|_| Code::Unknown)?,
        package: request.package.as_str().to_owned(),
        hash: *request.message_hash.as_bytes(),
        nonce,
        new_name: request.sending_name.clone(),
        sent_at,
        message_id: request.proven_id(&secrets.auth_code),
        key: *secrets.crypt_key.as_bytes(),
        proves_current: found.keyed.older.is_some() && *secrets == found.keyed.secrets,
    })
}
