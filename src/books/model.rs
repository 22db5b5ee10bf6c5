//! The nouns of the books.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::openmsg::Address;

/// Separate queues, so that a campaign never delays a code or a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Someone waits for it.
    Interactive,
    /// Volume.
    Bulk,
    /// Status events on their way to those who want them: an alarm of many never delays a customer's message.
    Status,
}

impl Lane {
    /// All, in the order they are served.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Bulk, Self::Status];

    /// As stored.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// As read; anything unknown is bulk.
    pub fn from_number(number: i16) -> Self {
        Self::ALL.into_iter().find(|lane| lane.number() == number).unwrap_or(Self::Bulk)
    }

    /// As in queue names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
            Self::Status => "status",
        }
    }
}

/// Over what a delivery goes. Each has its [`Channel`](crate::worker::Channel) among the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Channel")]
pub enum ChannelName {
    /// Another node's `message-receive`.
    Openmsg,
    /// An HTTPS endpoint, signed by the Standard Webhooks convention.
    Webhook,
    /// A code by short message.
    Sms,
    /// A code by a call.
    Voice,
    /// A code by mail.
    Email,
    /// Waking a device, with what waits for it where that fits.
    Push,
    /// A federated node.
    Relay,
    /// Telling somebody of a Homing Space welcome, wherever they want to hear of it.
    Notice,
}

impl ChannelName {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::Openmsg, Self::Webhook, Self::Sms, Self::Voice, Self::Email, Self::Push, Self::Relay, Self::Notice];

    /// As stored.
    pub fn number(self) -> i16 {
        self as i16 + 1
    }

    /// As read; `None`: stored by a newer program.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.number() == number)
    }

    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Openmsg => "openmsg",
            Self::Webhook => "webhook",
            Self::Sms => "sms",
            Self::Voice => "voice",
            Self::Email => "email",
            Self::Push => "push",
            Self::Relay => "relay",
            Self::Notice => "notice",
        }
    }
}

/// A delivery's place: its chunk, and its number there. Written as one UUID, the chunk's with the number in the last two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// The chunk it was opened in.
    pub chunk: Uuid,
    /// Its number there.
    pub seq: i16,
}

impl DeliveryId {
    /// As one UUID.
    pub fn uuid(self) -> Uuid {
        let mut bytes = *self.chunk.as_bytes();
        bytes[14..].copy_from_slice(&self.seq.to_be_bytes());
        Uuid::from_bytes(bytes)
    }

    /// From one UUID; `None` when no delivery can have it.
    pub fn from_uuid(id: Uuid) -> Option<Self> {
        let mut bytes = *id.as_bytes();
        let seq = i16::from_be_bytes([bytes[14], bytes[15]]);
        bytes[14..].fill(0);
        (seq >= 0).then(|| Self { chunk: Uuid::from_bytes(bytes), seq })
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid().fmt(f)
    }
}

/// What the API door hands over, already checked: types, rights, connection.
pub struct NewMessage {
    /// The key's owner.
    pub sender: String,
    /// Over what it goes, and where.
    pub way: Way,
    /// Which queue.
    pub lane: Lane,
    /// A word of the sender's, to find it by; at most 64 characters.
    pub tag: Option<String>,
    /// What is to be delivered, in the clear; sealed before it is stored. Openmsg: the text; webhook: head and body.
    pub content: Vec<u8>,
    /// When it is given up.
    pub expiry: Expiry,
    /// Not tried before.
    pub deliver_at: Option<Timestamp>,
    /// Its place among others.
    pub order: Option<Order>,
    /// The campaign it is a row of.
    pub campaign: Option<Uuid>,
    /// Its campaign is paused: it waits for that to end.
    pub held: bool,
    /// The key that makes accepting it twice harmless.
    pub key: Option<Key>,
}

impl NewMessage {
    /// What the node itself sends: somebody waits for it, and it may be sent until `expires_at`.
    pub fn own(
        sender: &str,
        channel: ChannelName,
        destination: String,
        content: Vec<u8>,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            sender: sender.to_owned(),
            way: Way::Own { channel, destination },
            lane: Lane::Interactive,
            tag: None,
            content,
            expiry: Expiry::At(expires_at),
            deliver_at: None,
            order: None,
            campaign: None,
            held: false,
            key: None,
        }
    }
}

/// Over what a message goes, and where.
#[derive(Debug, Clone)]
pub enum Way {
    /// To another node, or another account of this one.
    Openmsg {
        /// The connection (of the account `from`).
        connection: Uuid,
        /// One of our accounts.
        from: Address,
        /// The peer.
        to: Address,
    },
    /// To an endpoint.
    Webhook {
        /// The webhook's name.
        name: String,
    },
    /// What the node itself sends, to no address of anybody.
    Own {
        /// Over what.
        channel: ChannelName,
        /// `KIND:NAME`, such as `sms:codes`: neither a domain nor the name of a webhook has a colon.
        destination: String,
    },
}

impl Way {
    /// What limits and breakers apply to.
    pub fn destination(&self) -> &str {
        match self {
            Self::Openmsg { to, .. } => to.domain().as_str(),
            Self::Webhook { name } => name,
            Self::Own { destination, .. } => destination,
        }
    }

    /// The channel.
    pub fn channel(&self) -> ChannelName {
        match self {
            Self::Openmsg { .. } => ChannelName::Openmsg,
            Self::Webhook { .. } => ChannelName::Webhook,
            Self::Own { channel, .. } => *channel,
        }
    }
}

/// When a message is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// So long after it is accepted, or after it may first be tried.
    In(Duration),
    /// At that time.
    At(Timestamp),
}

/// Deliveries of one destination with the same key go one after the other, as they were accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// At most 255 characters.
    pub key: String,
    /// When this one fails: true lets the next go, false holds the line until this one is replayed, cancelled or expired.
    pub skip: bool,
}

/// An idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Within what it is unique; none: the sender.
    pub scope: Option<String>,
    /// As the client wrote it.
    pub text: String,
    /// How long it is remembered; none: `retention.idempotency`.
    pub life: Option<Duration>,
}

impl Key {
    /// A client's, for one message.
    pub fn of_client(text: String) -> Self {
        Self { scope: None, text, life: None }
    }
}

/// What became of a [`NewMessage`]: all three are ordinary outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Committed under this id.
    New(Uuid),
    /// This idempotency key came before with the same content; the id of then.
    Replayed(Uuid),
    /// This idempotency key came before with other content.
    Mismatch,
    /// It is a row of a batch whose key came before, and was refused then.
    RefusedBefore,
}

/// Where a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Accepted, not tried.
    Pending,
    /// A worker holds it.
    Sending,
    /// Tried; waits for its next attempt.
    Retrying,
    /// The peer has it.
    Delivered,
    /// The peer said no for good.
    Failed,
    /// Withdrawn by its sender.
    Cancelled,
    /// Its life ended first.
    Expired,
    /// Sent, asked for, and the answer lost.
    Unconfirmed,
}

impl State {
    /// All, in the order a delivery may pass them.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Sending,
        Self::Retrying,
        Self::Delivered,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
        Self::Unconfirmed,
    ];

    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// From the API's word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The peer has it.
    Delivered,
    /// The peer, or the way to it, said "not now".
    RefusedForNow,
    /// The peer said no for good.
    RefusedForGood,
    /// No byte left this machine.
    NotSent,
    /// Sent, and no answer that says what became of it.
    Unknown,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Delivered, Self::RefusedForNow, Self::RefusedForGood, Self::NotSent, Self::Unknown];

    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::RefusedForNow => "refused-for-now",
            Self::RefusedForGood => "refused-for-good",
            Self::NotSent => "not-sent",
            Self::Unknown => "unknown",
        }
    }

    /// As stored.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// As read; anything unknown is `Unknown`.
    pub fn from_number(number: i16) -> Self {
        Self::ALL.get(number as usize).copied().unwrap_or(Self::Unknown)
    }
}

/// What a delivery that is not on its way waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WaitsFor {
    /// Its time.
    Time,
    /// Room, at a destination that is slow, closed or paused.
    Destination,
    /// Those before it in its line.
    Turn,
    /// Its campaign, which is paused.
    Campaign,
}

/// A message as its sender may see it.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Message")]
pub struct MessageView {
    /// Its id.
    pub id: Uuid,
    /// One of our accounts; none when it goes to a webhook.
    pub from: Option<String>,
    /// The peer, likewise.
    pub to: Option<String>,
    /// Where it goes: the peer's domain, or the webhook's name.
    pub destination: String,
    /// Where its delivery is.
    pub state: State,
    /// The sender's word.
    pub tag: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// Only when one message is looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<DeliveryView>,
}

/// A delivery as its sender may see it.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[schemars(rename = "DeliveryOfMessage")]
pub struct DeliveryView {
    /// Its id.
    pub id: Uuid,
    /// Over what it goes; none when a newer program opened it.
    pub channel: Option<ChannelName>,
    /// Domain.
    pub destination: String,
    /// Where it is.
    pub state: State,
    /// Why, in a word or code, where it did not go well.
    pub reason: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<Timestamp>,
    /// Every try so far.
    pub attempts: Vec<AttemptView>,
}

/// One try.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Attempt")]
pub struct AttemptView {
    /// Counted from 1.
    pub no: i16,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub ms: i32,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status.
    pub status: Option<i16>,
    /// Response code or error class.
    pub code: Option<String>,
    /// Reported by a worker that no longer held it.
    pub late: bool,
    /// First bytes of the answer, where it was not a success.
    pub answer: Option<String>,
}

/// Which messages to list.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// Only from this account.
    pub from: Option<String>,
    /// Only to this peer.
    pub to: Option<String>,
    /// Only in this state.
    pub state: Option<State>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only older than this one (newest come first).
    pub after: Option<Uuid>,
    /// How many at most.
    pub limit: i64,
}

/// Counts by state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Summary {
    /// All of them.
    pub accepted: i64,
    /// Accepted, not tried.
    pub pending: i64,
    /// A worker holds them.
    pub sending: i64,
    /// Wait for the next attempt.
    pub retrying: i64,
    /// The peers have them.
    pub delivered: i64,
    /// Refused for good.
    pub failed: i64,
    /// Withdrawn.
    pub cancelled: i64,
    /// Life ended.
    pub expired: i64,
    /// Outcome unknown.
    pub unconfirmed: i64,
    /// With more than one delivered attempt.
    pub doubles: i64,
}

impl Summary {
    /// The count of a state.
    pub fn of(&mut self, state: State) -> &mut i64 {
        match state {
            State::Pending => &mut self.pending,
            State::Sending => &mut self.sending,
            State::Retrying => &mut self.retrying,
            State::Delivered => &mut self.delivered,
            State::Failed => &mut self.failed,
            State::Cancelled => &mut self.cancelled,
            State::Expired => &mut self.expired,
            State::Unconfirmed => &mut self.unconfirmed,
        }
    }
}

/// What a cancel found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cancelled {
    /// It will not be sent.
    Stopped,
    /// A worker holds it; it is dropped within a second unless it has just gone.
    Stopping,
    /// Too late.
    Gone,
}
