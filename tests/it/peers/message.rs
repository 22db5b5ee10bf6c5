//! Messages from both sides: composing and posting, `message-receive`, `message-confirm` (specification §3). A failed
//! message's outbox row stays, duplicates are stored again, nothing limits the future: as published.

use serde_json::Value;

use super::{
    curl::{self, Outcome},
    dialect::{Alphabet, Codes},
    hostile::{self, Endpoint},
    node::{Connection, Node, Outgoing},
    php::{self, Answer},
    seal::{self, NONCE},
};

const LIFETIME: i64 = 60;
const TEXT_COLUMN: usize = 2_000;

/// A message ready to be posted. Tests may change any field before posting it, or post it twice.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Where it is posted.
    pub(crate) domain: String,
    pub(crate) receiving_id: String,
    pub(crate) ident_code: String,
    pub(crate) package: String,
    pub(crate) hash: String,
    pub(crate) salt: String,
    pub(crate) timestamp: i64,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SendFailure {
    /// The HTTP status; 0 without an answer; 500 also when the sending script itself crashed.
    pub(crate) status: u16,
    /// The answer's `response_code`, if it had one.
    pub(crate) code: Option<String>,
}

/// Seals a text for a connection and puts it into the outbox.
pub(crate) fn compose(node: &Node, from: &str, to: &str, text: &str) -> Result<Message, SendFailure> {
    let own = node.address(from);
    let between = |row: &&Connection| php::same(&row.self_address, &own) && php::same(&row.other_address, to);
    let connection = node.tables().connections.iter().find(between).cloned();
    let connection = connection.ok_or(SendFailure { status: 0, code: None })?;
    if !php::fits(text, TEXT_COLUMN) {
        return Err(SendFailure { status: 500, code: None });
    }
    let nonce: [u8; NONCE] = rand::random();
    let package = seal::encode(node.traits.alphabet, &seal::seal(&connection.key, &nonce, text.as_bytes()));
    let salt = hex::encode(rand::random::<[u8; 16]>());
    let timestamp = node.now();
    let hash = seal::message_hash(&package, &connection.auth_code, &salt, &timestamp.to_string());
    let nonce = seal::encode(node.traits.alphabet, &nonce);
    node.tables().outbox.push(Outgoing { hash: hash.clone(), nonce, text: text.to_owned() });
    let (receiving_id, domain) = (php::explode(to, 0).to_owned(), php::explode(to, 1).to_owned());
    Ok(Message { domain, receiving_id, ident_code: connection.ident_code, package, hash, salt, timestamp })
}

/// Posts a message; on success the outbox row moves to "sent".
pub(crate) async fn post(node: &Node, message: &Message) -> Result<(), SendFailure> {
    let url = format!("https://{}/openmsg/message-receive/", message.domain);
    let (status, body) = match curl::post(node, &url, &body(message)).await {
        Outcome::Failed(_) => return Err(SendFailure { status: 0, code: None }),
        Outcome::Answered { status, body } => (status, php::decode(&body)),
    };
    let code = php::field(&body, "response_code").as_str().map(str::to_owned);
    let accepted = !php::truthy(php::field(&body, "error")) && php::truthy(php::field(&body, "success"));
    if status != 200 || !accepted {
        return Err(SendFailure { status, code });
    }
    let mut tables = node.tables();
    if let Some(position) = tables.outbox.iter().position(|row| row.hash == message.hash) {
        let row = tables.outbox.remove(position);
        tables.sent.push(row.text);
    }
    Ok(())
}

/// The request's body, as PHP spells it.
pub(crate) fn body(message: &Message) -> String {
    let verified = ["verified_account_signature", "verified_account_name", "verified_account_expires"];
    php::object(&[
        ("receiving_openmsg_address_id", php::quote(&message.receiving_id)),
        ("sending_openmsg_address_name", "null".into()),
        ("ident_code", php::quote(&message.ident_code)),
        ("message_package", php::quote(&message.package)),
        ("message_hash", php::quote(&message.hash)),
        ("message_salt", php::quote(&message.salt)),
        ("message_timestamp", message.timestamp.to_string()),
        ("openmsg_version", "1".into()),
        ("verified_account", php::object(&verified.map(|name| (name, "null".into())))),
    ])
}

/// `/openmsg/message-receive/`.
pub(crate) async fn receive(node: &Node, data: &Value) -> Answer {
    let required = [
        "receiving_openmsg_address_id",
        "ident_code",
        "message_package",
        "message_hash",
        "message_salt",
        "message_timestamp",
    ];
    if data.is_string() {
        return Answer::Crash;
    }
    if required.iter().any(|name| !php::truthy(php::field(data, name))) {
        return fail(node, "SM_E000", "message_data_missing");
    }
    let [id, ident, package, hash, salt, timestamp] = required.map(|name| php::text(php::field(data, name)));
    let own = node.address(&id);
    let known = |row: &&Connection| php::same(&row.self_address, &own) && php::same(&row.ident_code, &ident);
    let Some(connection) = node.tables().connections.iter().find(known).cloned() else {
        return fail(node, "SM_E001", "ident_code_invalid");
    };
    if hash != seal::message_hash(&package, &connection.auth_code, &salt, &timestamp) {
        return fail(node, "SM_E004", "message_hash_invalid");
    }
    match php::integer(php::field(data, "message_timestamp")) {
        None => return Answer::Crash,
        Some(timestamp) if timestamp.saturating_add(LIFETIME) < node.now() => {
            return fail(node, "SM_E005", "message_expired");
        }
        Some(_) => {}
    }
    take(node, &id, &connection, &package, &hash).await
}

/// Decodes, asks the sender's domain, decrypts, stores.
async fn take(node: &Node, id: &str, connection: &Connection, package: &str, hash: &str) -> Answer {
    let Some(sealed) = seal::decode(node.traits.alphabet, package) else { return Answer::Crash };
    let nonce = &sealed[..sealed.len().min(NONCE)];
    if nonce.len() < NONCE && node.traits.alphabet == Alphabet::UrlSafe {
        return Answer::Crash;
    }
    if let Err(refused) = ask_sender(node, &connection.other_address, hash, nonce).await {
        return refused;
    }
    if nonce.len() < NONCE {
        return Answer::Crash;
    }
    let Some(text) = seal::open(&connection.key, &sealed) else {
        let code = if node.traits.codes == Codes::First { "SM_E005" } else { "SM_E006" };
        return fail(node, code, "message_decryption_error");
    };
    let stored = String::from_utf8(text).ok().filter(|text| php::fits(text, TEXT_COLUMN));
    let Some(text) = stored else { return Answer::Crash };
    node.tables().inbox.push((id.to_owned(), connection.other_address.clone(), text));
    Answer::Json(php::object(&[("success", "true".into()), ("response_code", php::quote("SM_S888"))]))
}

/// `/openmsg/message-confirm/`.
pub(crate) fn confirm(node: &Node, data: &Value) -> Answer {
    if data.is_string() {
        return Answer::Crash;
    }
    let [hash, nonce] = ["message_hash", "message_nonce"].map(|name| php::text(php::field(data, name)));
    if hash.is_empty() || nonce.is_empty() {
        let code = if node.traits.codes == Codes::First { "SM_E003" } else { "SM_E000" };
        return fail(node, code, "message_data_missing");
    }
    if !node.tables().outbox.iter().any(|row| php::same(&row.hash, &hash) && php::same(&row.nonce, &nonce)) {
        return fail(node, "SM_E003", "message_unknown");
    }
    Answer::Json(php::object(&[("success", "true".into())]))
}

async fn ask_sender(node: &Node, sender: &str, hash: &str, nonce: &[u8]) -> Result<(), Answer> {
    let body = |nonce: &[u8]| {
        let nonce = seal::encode(node.traits.alphabet, nonce);
        php::object(&[("message_hash", php::quote(hash)), ("message_nonce", php::quote(&nonce))])
    };
    let wrong: [u8; NONCE] = rand::random();
    let domain = php::explode(sender, 1);
    let outcome = hostile::call_back(node, domain, Endpoint::MessageConfirm, body(nonce), body(&wrong)).await;
    let (status, body) = match outcome {
        Outcome::Failed(error) => return Err(failure("\"SM_E000\"", &format!("Curl error: {error}"))),
        Outcome::Answered { status, body } => (status, php::decode(&body)),
    };
    match status {
        200 => {}
        404 => return Err(failure("\"SM_E003\"", "message could not be confirmed: 404")),
        _ => return Err(failure("\"SM_E000\"", &format!("Curl response status: {status}"))),
    }
    if body.is_string() {
        return Err(Answer::Crash);
    }
    if php::truthy(php::field(&body, "error")) {
        let code = php::field(&body, "response_code").to_string();
        return Err(failure(&code, &php::text(php::field(&body, "error_message"))));
    }
    php::truthy(php::field(&body, "success")).then_some(()).ok_or_else(|| failure("\"SM_E000\"", "not confirmed"))
}

/// An error found here: with its name as `error_code` since the second set of codes.
fn fail(node: &Node, code: &str, name: &str) -> Answer {
    let mut fields = vec![("error", "true".to_owned()), ("response_code", php::quote(code))];
    if node.traits.codes == Codes::Second {
        fields.push(("error_code", php::quote(name)));
    }
    fields.push(("error_message", php::quote(&name.replace('_', " "))));
    Answer::Json(php::object(&fields))
}

/// An error found while confirming: no `error_code`; the code is JSON already, null when the sender gave none.
fn failure(code: &str, message: &str) -> Answer {
    Answer::Json(php::object(&[
        ("error", "true".into()),
        ("response_code", code.to_owned()),
        ("error_message", php::quote(message)),
    ]))
}
