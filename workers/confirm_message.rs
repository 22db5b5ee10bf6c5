//! A message from outside: ask the sender's domain whether it is sending it right now, decrypt it, store it.
//!
//! The door has checked everything that needs no call (specification §6, order of checks); what is left is the confirm, the
//! decryption, and one statement that stores message and memory of it together.

use std::time::Duration;

use jiff::Timestamp;

use super::peer::{self, Endpoint};
use crate::connections;
use crate::inbox::{NewEntry, Stored};
use crate::jobs::{ConfirmMessage, Reply};
use crate::openmsg::message::message_confirm_body;
use crate::openmsg::reply::ConfirmReply;
use crate::openmsg::{Code, CryptKey, MessageHash, Package, answer};
use crate::worker::Crew;

/// Answers the ask.
pub async fn run(crew: &Crew, deadline: Timestamp, ask: ConfirmMessage) -> Reply {
    let package = Package::from_wire(&*ask.package);
    if let Err(code) = confirm(crew, deadline, &ask, &package).await {
        return refused(code);
    }
    let key = CryptKey::from_bytes(ask.key);
    let Some(text) = package.decode().ok().and_then(|decoded| decoded.open(&key).ok()) else {
        return refused(Code::DecryptionFailed);
    };
    if text.contains('\0') {
        return refused(Code::DecryptionFailed);
    }
    let entry = NewEntry {
        connection_id: Some(ask.connection),
        account_id: ask.account,
        from: ask.from.clone(),
        from_name: ask.new_name.clone().unwrap_or_else(|| ask.from_name.clone()),
        text: text.to_string(),
        sent_at: ask.sent_at,
        nonce: Some(ask.nonce),
        hash: ask.hash,
        message_id: ask.message_id,
        deadline: Some(deadline),
    };
    match crew.shared.store(entry).await {
        Ok(Stored::New) => {
            after(crew, &ask).await;
            accepted()
        }
        Ok(Stored::Repeat) => accepted(),
        Ok(Stored::NonceReused) => refused(Code::NonceUsed),
        Ok(Stored::TooLate) | Err(_) => Reply::Temporarily,
    }
}

/// The peer's own domain must say that it is sending this now. Errors are the codes of specification §3.3, step 6.
async fn confirm(crew: &Crew, deadline: Timestamp, ask: &ConfirmMessage, package: &Package) -> Result<(), Code> {
    let app = &crew.app;
    let timeout = app.config.outbound.confirm_timeout.duration();
    let left = Duration::try_from(deadline.duration_since(app.clock.now())).unwrap_or_default().min(timeout);
    let domain = ask.from.domain();
    let hash = MessageHash::from_bytes(ask.hash);
    let request = message_confirm_body(&hash, package.nonce_text().unwrap_or_default());
    let call = async {
        let _place = crew.callbacks.place(domain, left).await?;
        peer::post(app, &crew.outbound, domain, Endpoint::MessageConfirm, request, left).await
    };
    let failed = |why: &dyn std::fmt::Display| {
        tracing::info!(from = %ask.from, why = %why, "a message was not confirmed by its sender's domain");
    };
    match call.await {
        Ok(answer) if answer.status == 200 => match ConfirmReply::parse(&answer.body) {
            Ok(ConfirmReply::Confirmed) => Ok(()),
            Ok(ConfirmReply::Refused { code, .. }) => {
                failed(&"the domain says no");
                // S888 with an error beside it is no code to pass on.
                Err(code.filter(|code| *code != Code::Accepted).unwrap_or(Code::Unknown))
            }
            Err(error) => {
                failed(&error);
                Err(Code::Unknown)
            }
        },
        Ok(answer) => {
            failed(&format_args!("status {}", answer.status));
            Err(if answer.status == 404 { Code::MessageUnknown } else { Code::Unknown })
        }
        Err(error) => {
            failed(&error);
            Err(Code::Unknown)
        }
    }
}

/// What follows from an accepted message; nothing of it is worth refusing the message for.
async fn after(crew: &Crew, ask: &ConfirmMessage) {
    if ask.proves_current
        && let Ok(Some(keyed)) = crew.shared.keyed(ask.connection).await
        && keyed.secrets.crypt_key.as_bytes() == &ask.key
        && let Err(error) = connections::prove_current(&crew.app, &[keyed.version()]).await
    {
        tracing::debug!(%error, "older secrets could not be dropped yet");
    }
    if let Some(name) = &ask.new_name
        && let Err(error) = connections::rename_other(&crew.app, ask.connection, name).await
    {
        tracing::debug!(%error, "a new name could not be stored yet");
    }
}

fn accepted() -> Reply {
    body(answer::message_accepted())
}

fn refused(code: Code) -> Reply {
    body(answer::message_refused(code))
}

fn body(bytes: Vec<u8>) -> Reply {
    String::from_utf8(bytes).map_or(Reply::Temporarily, Reply::Body)
}
