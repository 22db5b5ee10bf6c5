//! The handshake from all three sides: initiating, `auth`, `auth-confirm` (specification §2). The order of the checks,
//! what is stored before a failure and what a failure leaves behind are those of the published code.

use serde_json::Value;

use super::{
    curl::{self, Outcome},
    dialect::{Ident, Proof},
    hostile::{self, Endpoint},
    node::{Connection, Node, PassCode, Pending},
    php::{self, Answer},
    seal,
};

const CODE_LIFETIME: i64 = 3600;
const PENDING_LIFETIME: i64 = 60;

/// What `auth` was sent.
struct Asked {
    receiving: String,
    code: String,
    sending: String,
    sending_name: String,
    allow_replies: Value,
}

/// The initiator: what the user sees is `Ok`, or the error's text.
pub(crate) async fn initiate(
    node: &Node,
    from: &str,
    other: &str,
    code: &str,
    allow_replies: &str,
) -> Result<(), String> {
    let sending = node.address(from);
    let name = node.tables().users.get(&sending).cloned().ok_or("Missing data (8BgrT)")?;
    let (id, domain) = (php::explode(other, 0), php::explode(other, 1));
    if !php::digits(id) {
        return Err("other_openmsg_address_id not valid".into());
    }
    if domain.contains(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-') {
        return Err("openmsg_address_domain not valid".into());
    }
    remember(node, &sending, other, code)?;
    let body = php::object(&[
        ("receiving_openmsg_address_id", php::quote(id)),
        ("pass_code", php::quote(code)),
        ("sending_openmsg_address", php::quote(&sending)),
        ("sending_openmsg_address_name", php::quote(&name)),
        ("sending_allow_replies", allow_replies.to_owned()),
        ("openmsg_version", "1".into()),
    ]);
    let answer =
        confirmed(curl::post(node, &format!("https://{domain}/openmsg/auth/"), &body).await, "initiate-handshake.php")?;
    let connection = read_answer(node, &sending, other, &answer)?;
    store(node, connection).ok_or_else(|| "HTTP 500".to_owned())
}

/// `/openmsg/auth/`.
pub(crate) async fn auth(node: &Node, data: &Value) -> Answer {
    let named = |name| php::field(data, name);
    let required =
        ["receiving_openmsg_address_id", "pass_code", "sending_openmsg_address", "sending_openmsg_address_name"];
    if data.is_string() {
        return Answer::Crash;
    }
    if required.iter().any(|name| php::blank(named(name))) {
        return blanks(node, &required.map(|name| php::text(named(name))));
    }
    let [id, code, sending, sending_name] = required.map(|name| php::text(named(name)));
    let receiving = node.address(&id);
    if node.traits.express && !node.tables().users.contains_key(&receiving) {
        return php::error("User not found");
    }
    if let Err(refusal) = burn(node, &receiving, &code) {
        return php::error(refusal);
    }
    let allow_replies = named("sending_allow_replies").clone();
    let asked = Asked { receiving, code, sending, sending_name, allow_replies };
    if !php::digits(php::explode(&asked.sending, 0)) {
        return php::error("other_openmsg_address_id should be numeric");
    }
    match confirmed(ask_initiator(node, &asked).await, "/auth/") {
        Ok(_) => accept(node, asked),
        Err(message) if message == CRASH => Answer::Crash,
        Err(message) => php::error(&message),
    }
}

/// `/openmsg/auth-confirm/`.
pub(crate) fn auth_confirm(node: &Node, data: &Value) -> Answer {
    if data.is_string() {
        return Answer::Crash;
    }
    let receiving = php::text(php::field(data, node.traits.confirm_address));
    let proof = php::text(php::field(data, proof_field(node)));
    let mut tables = node.tables();
    let matches = |row: &Pending| php::same(&row.receiving, &receiving) && php::same(&row.proof, &proof);
    let Some(position) = tables.pending.iter().position(matches) else {
        return php::error(&format!("unknown pending authorization with {receiving}, {proof}"));
    };
    if tables.pending[position].created < node.now() - PENDING_LIFETIME {
        return php::error("expired handshake, over 60 seconds old");
    }
    tables.pending.remove(position);
    Answer::Json(php::object(&[("success", "true".into())]))
}

fn proof_field(node: &Node) -> &'static str {
    match node.traits.proof {
        Proof::Code => "pass_code",
        Proof::Hash | Proof::SwappedHash => "passcode_hash",
    }
}

/// Stores the pending handshake. Where the table holds the code itself its column is six characters wide.
fn remember(node: &Node, sending: &str, receiving: &str, code: &str) -> Result<(), String> {
    let proof = match node.traits.proof {
        Proof::Code => code.to_owned(),
        Proof::Hash | Proof::SwappedHash => seal::passcode_hash(code, sending, receiving),
    };
    if node.traits.proof == Proof::Code && !php::fits(code, 6) {
        return Err("HTTP 500".into());
    }
    let created = node.now();
    node.tables().pending.push(Pending { receiving: receiving.to_owned(), proof, created });
    Ok(())
}

/// The published test for success, used on both sides: curl's error, the status, `error`, then `success`, all loosely.
fn confirmed(outcome: Outcome, place: &str) -> Result<Value, String> {
    let (status, body) = match outcome {
        Outcome::Failed(error) => return Err(format!("Error. Curl error: {error}")),
        Outcome::Answered { status, body } => (status, body),
    };
    let answer = php::decode(&body);
    if status != 200 {
        let label =
            if place == "/auth/" { "Error. Curl response status -- : " } else { "Error. Curl response status: " };
        return Err(format!("{label}{status}"));
    }
    if answer.is_string() {
        return Err(CRASH.into());
    }
    if php::truthy(php::field(&answer, "error")) {
        return Err(format!("Error: {}", php::text(php::field(&answer, "error_message"))));
    }
    if !php::truthy(php::field(&answer, "success")) {
        return Err(format!("Error: Unsuccessful from {place}"));
    }
    Ok(answer)
}

fn read_answer(node: &Node, sending: &str, other: &str, answer: &Value) -> Result<Connection, String> {
    let needed = |name: &str| {
        let value = php::field(answer, name);
        let missing = || format!("Error: Missing {name} in response");
        php::truthy(value).then(|| php::text(value)).ok_or_else(missing)
    };
    let connection = Connection {
        self_address: sending.to_owned(),
        other_address: other.to_owned(),
        auth_code: needed("auth_code")?,
        ident_code: needed("ident_code")?,
        key: needed("message_crypt_key")?,
        other_name: needed(node.traits.name_read)?,
        other_accepts: "1".into(),
    };
    let tables = node.tables();
    let mut known = tables.connections.iter().filter(|row| between(row, sending, other));
    if node.traits.ident == Ident::Kept && known.any(|row| row.ident_code != connection.ident_code) {
        return Err("Cant replace ident_code".into());
    }
    Ok(connection)
}

fn blanks(node: &Node, values: &[String; 4]) -> Answer {
    let text =
        "self_openmsg_address_id, pass_code, other_openmsg_address and other_openmsg_address_name cannot be blank";
    match node.traits.echoes_blanks {
        true => php::error(&format!("{text}: {}", values.join(", "))),
        false => php::error(text),
    }
}

/// Looks the code up and deletes it: before the callback, and not in one statement.
fn burn(node: &Node, receiving: &str, code: &str) -> Result<(), &'static str> {
    let matches = |row: &PassCode| php::same(&row.address, receiving) && php::same(&row.code, code);
    let created = node.tables().codes.iter().find(|row| matches(row)).map(|row| row.created);
    if created.ok_or("pass code not valid")? < node.now() - CODE_LIFETIME {
        return Err("expired pass code, over 1 hour old");
    }
    let mut tables = node.tables();
    if let Some(position) = tables.codes.iter().position(matches) {
        tables.codes.remove(position);
    }
    Ok(())
}

async fn ask_initiator(node: &Node, asked: &Asked) -> Outcome {
    let Asked { receiving, code, sending, .. } = asked;
    let (right, wrong) = match node.traits.proof {
        Proof::Code => (code.clone(), format!("{:0>6}", code.parse::<u32>().map_or(1, |code| (code + 1) % 1_000_000))),
        Proof::Hash => (seal::passcode_hash(code, sending, receiving), seal::secret()),
        Proof::SwappedHash => (seal::passcode_hash(code, receiving, sending), seal::secret()),
    };
    let body = |proof: &str| {
        php::object(&[(node.traits.confirm_address, php::quote(receiving)), (proof_field(node), php::quote(proof))])
    };
    let domain = php::explode(sending, 1);
    hostile::call_back(node, domain, Endpoint::AuthConfirm, body(&right), body(&wrong)).await
}

/// Makes the secrets, replaces the connection, answers. The old connection is gone even if the new one doesn't fit.
fn accept(node: &Node, asked: Asked) -> Answer {
    let Asked { receiving, sending, sending_name, allow_replies, .. } = asked;
    let known = node.tables().connections.iter().find(|row| between(row, &receiving, &sending)).cloned();
    let kept = known.filter(|_| node.traits.ident == Ident::Kept).map(|row| row.ident_code);
    let name = node.tables().users.get(&receiving).map_or_else(|| "null".into(), |name| php::quote(name));
    let accepts = if php::fits_tinyint(&allow_replies) { php::text(&allow_replies) } else { String::new() };
    let connection = Connection {
        self_address: receiving,
        other_address: sending,
        other_name: sending_name,
        other_accepts: accepts,
        auth_code: seal::secret(),
        ident_code: kept.unwrap_or_else(seal::secret),
        key: seal::secret(),
    };
    let answer = php::object(&[
        ("success", "true".into()),
        ("auth_code", php::quote(&connection.auth_code)),
        ("ident_code", php::quote(&connection.ident_code)),
        ("message_crypt_key", php::quote(&connection.key)),
        (node.traits.name_sent, name),
    ]);
    store(node, connection).map_or(Answer::Crash, |()| Answer::Json(answer))
}

/// DELETE, then INSERT; `None` when the second one fails in strict mode.
fn store(node: &Node, connection: Connection) -> Option<()> {
    let mut tables = node.tables();
    tables.connections.retain(|row| !between(row, &connection.self_address, &connection.other_address));
    let secrets = [&connection.auth_code, &connection.ident_code, &connection.key];
    let fits = php::fits(&connection.other_name, 40)
        && php::fits(&connection.other_address, 255)
        && secrets.iter().all(|secret| php::fits(secret, 64))
        && !connection.other_accepts.is_empty();
    fits.then(|| tables.connections.push(connection))
}

fn between(row: &Connection, own: &str, other: &str) -> bool {
    php::same(&row.self_address, own) && php::same(&row.other_address, other)
}

const CRASH: &str = "HTTP 500";
