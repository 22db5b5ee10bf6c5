//! How an accept is laid out: which delivery goes into which chunk, and the columns of the statement.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::Chunks;
use crate::App;
use crate::books::{Lane, NewMessage};
use crate::crypto::Purpose;
use crate::jobs::ChunkRef;

/// Fewer than this to one destination and lane go into mixed chunks.
const WORTH_A_CHUNK: usize = 8;

/// The columns of one accept, as arrays.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) id: Vec<Uuid>,
    pub(super) connection: Vec<Uuid>,
    pub(super) sender: Vec<String>,
    pub(super) from: Vec<String>,
    pub(super) to: Vec<String>,
    pub(super) lane: Vec<i16>,
    pub(super) tag: Vec<Option<String>>,
    pub(super) content: Vec<Vec<u8>>,
    pub(super) expires_at: Vec<Timestamp>,
    pub(super) key_hash: Vec<Option<Vec<u8>>>,
    pub(super) body_hash: Vec<Option<Vec<u8>>>,
    pub(super) chunk: Vec<Uuid>,
    pub(super) seq: Vec<i16>,
    pub(super) destination: Vec<String>,
    pub(super) chunk_id: Vec<Uuid>,
    pub(super) chunk_lane: Vec<i16>,
    pub(super) chunk_destination: Vec<String>,
    pub(super) chunk_n: Vec<i16>,
}

impl Rows {
    pub(super) fn lay_out(app: &App, messages: &[NewMessage], now: Timestamp) -> Self {
        let mut rows = Self::default();
        let mut seats = Seats::new(messages, app.config.delivery.chunk);
        for message in messages {
            let id = app.new_id();
            let (chunk, seq) = seats.take(app, &mut rows, message);
            rows.content.push(app.keys.seal(Purpose::Message, id.as_bytes(), message.text.as_bytes()));
            rows.id.push(id);
            rows.connection.push(message.connection);
            rows.sender.push(message.sender.clone());
            rows.from.push(message.from.to_string());
            rows.to.push(message.to.to_string());
            rows.lane.push(message.lane.number());
            rows.tag.push(message.tag.clone());
            rows.expires_at.push(now + message.expires_in);
            rows.key_hash
                .push(message.key.as_ref().map(|key| app.keys.hash(Purpose::Idempotency, &[key.as_bytes()]).to_vec()));
            rows.body_hash.push(message.key.as_ref().map(|_| body_hash(app, message)));
            rows.chunk.push(chunk);
            rows.seq.push(seq);
            rows.destination.push(message.to.domain().to_string());
        }
        rows
    }

    /// The chunks it fills.
    pub(super) fn chunks(self) -> Chunks {
        let columns = self.chunk_id.into_iter().zip(self.chunk_lane).zip(self.chunk_destination).zip(self.chunk_n);
        columns
            .map(|(((id, lane), destination), n)| (Lane::from_number(lane), ChunkRef { id, destination, n }))
            .collect()
    }
}

/// Everything that makes two messages the same message, length by length.
fn body_hash(app: &App, message: &NewMessage) -> Vec<u8> {
    let from = message.from.to_string();
    let to = message.to.to_string();
    let life = message.expires_in.as_secs().to_be_bytes();
    let tag = message.tag.as_deref().unwrap_or_default();
    let parts = [
        from.as_bytes(),
        to.as_bytes(),
        message.text.as_bytes(),
        tag.as_bytes(),
        message.lane.name().as_bytes(),
        &life,
    ];
    app.keys.hash(Purpose::Idempotency, &parts).to_vec()
}

/// Gives each delivery its place in a chunk.
struct Seats {
    most: usize,
    /// How many of this batch go to each lane and destination.
    crowd: HashMap<(Lane, String), usize>,
    /// The chunk being filled, by lane and destination (empty: mixed): its index among the rows.
    open: HashMap<(Lane, String), usize>,
}

impl Seats {
    fn new(messages: &[NewMessage], most: usize) -> Self {
        let mut crowd: HashMap<(Lane, String), usize> = HashMap::new();
        for message in messages {
            *crowd.entry((message.lane, message.to.domain().to_string())).or_default() += 1;
        }
        Self { most, crowd, open: HashMap::new() }
    }

    fn take(&mut self, app: &App, rows: &mut Rows, message: &NewMessage) -> (Uuid, i16) {
        let own = (message.lane, message.to.domain().to_string());
        // All of one destination: its own chunk, however few they are.
        let worth = self.crowd.len() == 1 || self.crowd.get(&own).copied().unwrap_or(0) >= WORTH_A_CHUNK;
        let place = if worth { own } else { (message.lane, String::new()) };
        let full = |index: &usize| rows.chunk_n[*index] as usize >= self.most;
        let index = match self.open.get(&place).copied().filter(|index| !full(index)) {
            Some(index) => index,
            None => {
                rows.chunk_id.push(chunk_id(app));
                rows.chunk_lane.push(place.0.number());
                rows.chunk_destination.push(place.1.clone());
                rows.chunk_n.push(0);
                self.open.insert(place, rows.chunk_id.len() - 1);
                rows.chunk_id.len() - 1
            }
        };
        let seq = rows.chunk_n[index];
        rows.chunk_n[index] += 1;
        (rows.chunk_id[index], seq)
    }
}

/// A chunk's id ends in two zero bytes, where its deliveries have their number.
fn chunk_id(app: &App) -> Uuid {
    let mut bytes = *app.new_id().as_bytes();
    bytes[14..].fill(0);
    Uuid::from_bytes(bytes)
}
