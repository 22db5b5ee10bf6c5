//! Idempotency keys: committed with what they stand for.
//!
//! A key stands for the rows of its request: one of its own for a message, one for a whole batch. What came twice in one statement
//! is found here, because a row that a statement inserts is not visible to it.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::Request;
use crate::App;
use crate::books::{Accepted, BooksError, NewMessage, Way};
use crate::crypto::Purpose;

/// One key for all rows of a request.
pub struct BatchKey {
    /// Within what it is unique: the sender.
    pub scope: String,
    /// As the client wrote it.
    pub text: String,
    /// The request's body: the same key with another one is refused.
    pub body: bytes::Bytes,
    /// Which row of the request each message is: refused ones leave gaps.
    pub places: Vec<usize>,
}

/// A key as it is looked for.
type Name = (String, Vec<u8>);

/// The keys of a statement, as columns, and what they stand for.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) scope: Vec<String>,
    pub(super) hash: Vec<Vec<u8>>,
    pub(super) body_hash: Vec<Vec<u8>>,
    pub(super) results: Vec<Vec<u8>>,
    pub(super) expires_at: Vec<Timestamp>,
    known: HashMap<Name, usize>,
    /// For each request: what its messages are called under.
    pub(super) of_requests: Vec<Vec<Named>>,
}

/// Under which key a message was handed over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    /// None: without one.
    pub(super) key: Option<usize>,
    /// Its row under that key.
    pub(super) place: usize,
    /// Whether an earlier request of the same statement has the key: then it is not inserted, and answered by that one.
    pub(super) twin: bool,
    /// Whether that one had the same content.
    pub(super) same: bool,
}

/// What the books answered for a key that was not free.
pub(super) struct Before {
    /// Whether it came with the same content.
    pub(super) same: bool,
    /// Ids by row.
    pub(super) results: Vec<u8>,
}

impl Keys {
    /// Notes the keys of a request.
    pub(super) fn add(&mut self, app: &App, request: &Request, now: Timestamp) {
        let named = match &request.key {
            Some(key) => {
                let hash = app.keys.lasting_hash(Purpose::Idempotency, &[key.text.as_bytes()]).to_vec();
                let body = app.keys.lasting_hash(Purpose::Idempotency, &[b"batch", &key.body]).to_vec();
                let expires_at = now + app.config.retention.idempotency.duration();
                let (index, twin, same) = self.name(key.scope.clone(), hash, body, expires_at);
                key.places.iter().map(|place| Named { key: Some(index), place: *place, twin, same }).collect()
            }
            None => request.messages.iter().map(|message| self.add_own(app, message, now)).collect(),
        };
        self.of_requests.push(named);
    }

    fn add_own(&mut self, app: &App, message: &NewMessage, now: Timestamp) -> Named {
        let Some(key) = &message.key else { return Named { key: None, place: 0, twin: false, same: true } };
        let hash = app.keys.lasting_hash(Purpose::Idempotency, &[key.text.as_bytes()]).to_vec();
        let life = key.life.unwrap_or(app.config.retention.idempotency.duration());
        let scope = key.scope.clone().unwrap_or_else(|| message.sender.clone());
        let (index, twin, same) = self.name(scope, hash, body_hash(app, message), now + life);
        Named { key: Some(index), place: 0, twin, same }
    }

    fn name(&mut self, scope: String, hash: Vec<u8>, body: Vec<u8>, expires_at: Timestamp) -> (usize, bool, bool) {
        let next = self.hash.len();
        let index = *self.known.entry((scope.clone(), hash.clone())).or_insert(next);
        if index < next {
            return (index, true, self.body_hash[index] == body);
        }
        self.scope.push(scope);
        self.hash.push(hash);
        self.body_hash.push(body);
        self.results.push(Vec::new());
        self.expires_at.push(expires_at);
        (index, false, true)
    }

    /// The message that a key's row became.
    pub(super) fn is(&mut self, named: Named, id: Uuid) {
        let Some(results) = named.key.map(|key| &mut self.results[key]) else { return };
        let at = named.place * 16;
        results.resize(results.len().max(at + 16), 0);
        results[at..at + 16].copy_from_slice(id.as_bytes());
    }

    /// What is answered for a message, if its key decides.
    pub(super) fn answer(&self, named: Named, before: &HashMap<usize, Before>) -> Option<Accepted> {
        let key = named.key?;
        match before.get(&key) {
            Some(before) if !before.same || !named.same => Some(Accepted::Mismatch),
            Some(before) => Some(replayed(&before.results, named.place)),
            None if named.twin && !named.same => Some(Accepted::Mismatch),
            None if named.twin => Some(replayed(&self.results[key], named.place)),
            None => None,
        }
    }
}

fn replayed(results: &[u8], place: usize) -> Accepted {
    let id = results.get(place * 16..place * 16 + 16).and_then(|bytes| Uuid::from_slice(bytes).ok());
    id.filter(|id| !id.is_nil()).map_or(Accepted::RefusedBefore, Accepted::Replayed)
}

/// Everything that makes two messages the same message, length by length.
fn body_hash(app: &App, message: &NewMessage) -> Vec<u8> {
    let (from, to) = match &message.way {
        Way::Openmsg { from, to, .. } => (from.as_str(), to.as_str()),
        Way::Webhook { name } => ("", name.as_str()),
        Way::Own { destination, .. } => ("", destination.as_str()),
    };
    let life = match message.expiry {
        crate::books::Expiry::In(life) => life.as_secs().to_be_bytes(),
        crate::books::Expiry::At(at) => at.as_second().to_be_bytes(),
    };
    let start = message.deliver_at.map_or(0, Timestamp::as_microsecond).to_be_bytes();
    let order = message.order.as_ref().map(|order| (order.key.as_bytes(), [u8::from(order.skip)]));
    let (line, skip) = order.unwrap_or((b"", [2]));
    let parts: [&[u8]; 9] = [
        from.as_bytes(),
        to.as_bytes(),
        &message.content,
        message.tag.as_deref().unwrap_or_default().as_bytes(),
        message.lane.name().as_bytes(),
        &life,
        &start,
        line,
        &skip,
    ];
    app.keys.lasting_hash(Purpose::Idempotency, &parts).to_vec()
}

/// Deletes idempotency keys past their life, some at a time; answers how many.
pub async fn purge_keys(app: &App) -> Result<u64, BooksError> {
    let sql = "/* books::open purge_keys */ delete from idempotency where ctid = any(array(
        select ctid from idempotency where expires_at < $1 limit 5000))";
    Ok(app.db.execute(sql, &[&app.clock.now()]).await?)
}
