//! How an accept is laid out: which delivery goes into which chunk, and the columns of the statement.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::keys::{Before, Keys};
use super::publishing::{Publishing, ToPublish};
use super::{Request, statement::Taken};
use crate::App;
use crate::books::turns::Joining;
use crate::books::{Accepted, DeliveryId, Expiry, Lane, NewMessage, Way};
use crate::crypto::Purpose;
use crate::jobs::ChunkRef;
use crate::telemetry::traces::Parent;

/// Fewer than this to one destination and lane go into mixed chunks.
const WORTH_A_CHUNK: usize = 16;

/// The columns of one accept, as arrays.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) id: Vec<Uuid>,
    /// Its key among [`Keys`], counted from 1; 0: none.
    pub(super) key_no: Vec<i64>,
    pub(super) channel: Vec<i16>,
    pub(super) lane: Vec<Lane>,
    pub(super) destination: Vec<String>,
    pub(super) connection: Vec<Option<Uuid>>,
    pub(super) sender: Vec<String>,
    pub(super) from: Vec<Option<String>>,
    pub(super) to: Vec<Option<String>>,
    pub(super) tag: Vec<Option<String>>,
    pub(super) campaign: Vec<Option<Uuid>>,
    pub(super) line: Vec<Option<String>>,
    pub(super) deliver_at: Vec<Option<Timestamp>>,
    pub(super) content: Vec<Vec<u8>>,
    pub(super) expires_at: Vec<Timestamp>,
    pub(super) trace: Vec<Option<Vec<u8>>>,
    /// What the jobs belong to: of several requests, the first that is traced.
    traced: Option<Parent>,
    pub(super) chunks: Chunks,
    pub(super) keys: Keys,
    /// Those with an ordering key.
    pub(super) joining: Vec<(usize, Joining)>,
    /// The id of each message of each request; nil where it is another's twin.
    ids: Vec<Vec<Uuid>>,
    pub(super) now: Timestamp,
}

/// The chunks, as columns.
#[derive(Default)]
pub(super) struct Chunks {
    pub(super) id: Vec<Uuid>,
    pub(super) lane: Vec<i16>,
    pub(super) sender: Vec<String>,
    pub(super) destination: Vec<String>,
    pub(super) campaign: Vec<Option<Uuid>>,
    pub(super) state: Vec<i16>,
    pub(super) due_at: Vec<Timestamp>,
    pub(super) published_at: Vec<Option<Timestamp>>,
    n: Vec<i16>,
    /// A chunk of ordered deliveries is only a range of ids: each of them goes by its own row.
    lined: Vec<bool>,
}

impl Rows {
    pub(super) fn lay_out(app: &App, publishing: &Publishing, requests: &[Request], now: Timestamp) -> Self {
        let mut rows = Self { now, ..Self::default() };
        for request in requests {
            rows.keys.add(app, request, now);
        }
        let named = std::mem::take(&mut rows.keys.of_requests);
        let fresh = requests.iter().zip(&named).flat_map(|(request, named)| {
            request.messages.iter().zip(named).filter(|(_, named)| !named.twin).map(|(message, _)| message)
        });
        let mut seats = Seats::new(fresh, app.config.delivery.chunk, now);
        rows.traced = requests.iter().find_map(|request| request.trace);
        for (request, named) in requests.iter().zip(&named) {
            let trace = request.trace.map(|trace| trace.bytes());
            let mut ids = Vec::with_capacity(request.messages.len());
            for (message, named) in request.messages.iter().zip(named) {
                if named.twin {
                    ids.push(Uuid::nil());
                    continue;
                }
                let id = seats.take(app, &mut rows.chunks, message);
                rows.keys.is(*named, id.uuid());
                rows.push(app, message, id, named.key);
                rows.trace.push(trace.clone());
                ids.push(id.uuid());
            }
            rows.ids.push(ids);
        }
        rows.keys.of_requests = named;
        rows.chunks.settle_states(publishing, now);
        rows
    }

    fn push(&mut self, app: &App, message: &NewMessage, id: DeliveryId, key: Option<usize>) {
        let (connection, from, to) = match &message.way {
            Way::Openmsg { connection, from, to } => (Some(*connection), Some(from.to_string()), Some(to.to_string())),
            Way::Webhook { .. } | Way::Own { .. } => (None, None, None),
        };
        if let Some(order) = &message.order {
            let destination = message.way.destination().to_owned();
            let joining = Joining {
                destination,
                key: order.key.clone(),
                id,
                skip: order.skip,
                lane: message.lane,
                deliver_at: message.deliver_at,
            };
            self.joining.push((self.id.len(), joining));
        }
        self.content.push(app.keys.seal(Purpose::Message, id.uuid().as_bytes(), &message.content));
        self.id.push(id.uuid());
        self.key_no.push(key.map_or(0, |key| key as i64 + 1));
        self.channel.push(message.way.channel().number());
        self.lane.push(message.lane);
        self.destination.push(message.way.destination().to_owned());
        self.connection.push(connection);
        self.sender.push(message.sender.clone());
        self.from.push(from);
        self.to.push(to);
        self.tag.push(message.tag.clone());
        self.campaign.push(message.campaign);
        self.line.push(message.order.as_ref().map(|order| order.key.clone()));
        self.deliver_at.push(message.deliver_at);
        self.expires_at.push(match message.expiry {
            Expiry::In(life) => message.deliver_at.unwrap_or(self.now).max(self.now) + life,
            Expiry::At(at) => at,
        });
    }

    /// What each request is answered.
    pub(super) fn answers(&self, taken: &Taken) -> Vec<Vec<Accepted>> {
        let of = |before: &HashMap<usize, Before>| {
            let all = self.keys.of_requests.iter().zip(&self.ids);
            all.map(|(named, ids)| {
                let each = named.iter().zip(ids);
                each.map(|(named, id)| self.keys.answer(*named, before).unwrap_or(Accepted::New(*id))).collect()
            })
            .collect()
        };
        of(&taken.before)
    }

    /// What goes to the broker: chunks that are due, and the heads of lines; and how much was accepted.
    pub(super) fn to_publish(&self, taken: Taken) -> ToPublish {
        let mut accepted = [0; 3];
        for (lane, key) in self.lane.iter().zip(&self.key_no) {
            let before = *key > 0 && taken.before.contains_key(&(*key as usize - 1));
            accepted[*lane as usize] += usize::from(!before);
        }
        ToPublish { chunks: self.chunks.published(), heads: taken.heads, accepted, trace: self.traced }
    }
}

impl Chunks {
    /// Which are published at once: those that are due, unless their campaign is paused or enough of theirs lies in the broker.
    fn settle_states(&mut self, publishing: &Publishing, now: Timestamp) {
        for index in 0..self.id.len() {
            if self.lined[index] || self.state[index] != 0 || self.due_at[index] > now {
                continue;
            }
            let lane = Lane::from_number(self.lane[index]);
            if publishing.has_room(lane, &self.sender[index], &self.destination[index], i64::from(self.n[index])) {
                self.published_at[index] = Some(now);
            } else {
                self.state[index] = 3;
            }
        }
    }

    fn published(&self) -> Vec<(Lane, ChunkRef)> {
        let due = (0..self.id.len()).filter(|index| self.published_at[*index].is_some());
        due.map(|index| {
            let chunk = ChunkRef { id: self.id[index], destination: self.destination[index].clone(), n: self.n[index] };
            (Lane::from_number(self.lane[index]), chunk)
        })
        .collect()
    }

    /// The rows that are inserted: all but the ranges of ordered deliveries.
    pub(super) fn real(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.id.len()).filter(|index| !self.lined[*index])
    }

    fn open(&mut self, app: &App, message: &NewMessage, destination: &str, now: Timestamp) -> usize {
        self.id.push(chunk_id(app));
        self.lane.push(message.lane.number());
        self.sender.push(message.sender.clone());
        self.destination.push(destination.to_owned());
        self.campaign.push(message.campaign);
        self.state.push(if message.held { 4 } else { 0 });
        self.due_at.push(message.deliver_at.unwrap_or(now).max(now));
        self.published_at.push(None);
        self.n.push(0);
        self.lined.push(message.order.is_some());
        self.id.len() - 1
    }
}

/// What the deliveries of a chunk have in common. The destination is not part of it: chunks can be mixed.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct Kind<'a> {
    lane: Lane,
    sender: &'a str,
    campaign: Option<Uuid>,
    deliver_at: Option<Timestamp>,
    held: bool,
    lined: bool,
}

impl<'a> Kind<'a> {
    fn of(message: &'a NewMessage) -> Self {
        Self {
            lane: message.lane,
            sender: &message.sender,
            campaign: message.campaign,
            deliver_at: message.deliver_at,
            held: message.held,
            lined: message.order.is_some(),
        }
    }
}

/// Gives each delivery its place in a chunk.
struct Seats<'a> {
    now: Timestamp,
    most: usize,
    /// How many there are by kind and destination, and to how many destinations a kind goes.
    crowd: HashMap<(Kind<'a>, &'a str), usize>,
    destinations: HashMap<Kind<'a>, usize>,
    /// The chunk being filled, by kind and destination (empty: mixed): its index among the rows.
    open: HashMap<(Kind<'a>, &'a str), usize>,
}

impl<'a> Seats<'a> {
    fn new(messages: impl Iterator<Item = &'a NewMessage>, most: usize, now: Timestamp) -> Self {
        let mut seats = Self { now, most, crowd: HashMap::new(), destinations: HashMap::new(), open: HashMap::new() };
        for message in messages {
            let kind = Kind::of(message);
            let n = seats.crowd.entry((kind, message.way.destination())).or_default();
            if *n == 0 {
                *seats.destinations.entry(kind).or_default() += 1;
            }
            *n += 1;
        }
        seats
    }

    fn take(&mut self, app: &App, chunks: &mut Chunks, message: &'a NewMessage) -> DeliveryId {
        let (kind, own) = (Kind::of(message), message.way.destination());
        // All of one destination: its own chunk, however few they are.
        let alone = self.destinations.get(&kind) == Some(&1);
        let worth = alone || self.crowd.get(&(kind, own)).copied().unwrap_or(0) >= WORTH_A_CHUNK;
        let destination = if worth { own } else { "" };
        let full = |index: &usize| chunks.n[*index] as usize >= self.most;
        let index = match self.open.get(&(kind, destination)).copied().filter(|index| !full(index)) {
            Some(index) => index,
            None => {
                let index = chunks.open(app, message, destination, self.now);
                self.open.insert((kind, destination), index);
                index
            }
        };
        let seq = chunks.n[index];
        chunks.n[index] += 1;
        DeliveryId { chunk: chunks.id[index], seq }
    }
}

/// A chunk's id ends in two zero bytes, where its deliveries have their number.
fn chunk_id(app: &App) -> Uuid {
    let mut bytes = *app.new_id().as_bytes();
    bytes[14..].fill(0);
    Uuid::from_bytes(bytes)
}
