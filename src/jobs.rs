//! Every kind of job as plain data, in one list.
//!
//! A [`Job`] names work that lies in Postgres: losing it costs latency, never work. An [`Ask`] carries what a worker needs to
//! answer an HTTP request that waits; it travels sealed and transient, and is void after its deadline.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::openmsg::{Address, DisplayName};

/// What a queue of a lane may carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Chunks to claim and deliver.
    Deliver(Vec<ChunkRef>),
    /// Deliveries that left their chunks and are due again, by [`crate::books::DeliveryId`].
    DeliverAgain(Vec<Uuid>),
    /// A handshake that one of our accounts starts.
    StartHandshake(Uuid),
}

/// What a worker must know of a chunk to decide whether to claim it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// The chunk.
    pub id: Uuid,
    /// The domain its deliveries go to; empty when they go to several.
    pub destination: String,
    /// How many deliveries it has.
    pub n: i16,
}

/// What an HTTP request waits for.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// A handshake from outside: confirm it with the sending domain, store the connection.
    ConfirmSender(ConfirmSender),
    /// A message from outside: confirm it with the sender's domain, decrypt it, store it.
    ConfirmMessage(ConfirmMessage),
    /// A request of one of our devices that a federated node has to answer.
    CallPeer(CallPeer),
    /// Something that an application's own back end has to do before somebody is signed in to it.
    CallBackend(CallBackend),
    /// A welcome that a Homing Space hub has to make, or a captcha that somebody else has to verify.
    CallHub(CallHub),
}

/// What an application's own back end is asked. Where it is, and its secrets, the worker reads from the books.
#[derive(Clone, Serialize, Deserialize)]
pub struct CallBackend {
    /// Which application.
    pub app: String,
    /// What is asked.
    pub call: BackendCall,
}

/// A question to an application's back end.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendCall {
    /// mesibo: make a code (`op=otp`).
    MakeCode {
        /// For whom.
        address: String,
    },
    /// mesibo: add a user, or find it, and make a token (`op=useradd`).
    AddUser {
        /// Who.
        address: String,
        /// What the user is called.
        name: String,
        /// The code, where mesibo made it.
        code: Option<String>,
    },
    /// mesibo: revoke a token, where the application says with which operation.
    Revoke {
        /// Whose.
        address: String,
        /// The token.
        token: String,
    },
    /// The application's own verifier: somebody wants to sign in.
    BeginElsewhere(Elsewhere),
    /// The application's own verifier: is this the secret?
    VerifyElsewhere(Elsewhere),
}

/// What an application's own verifier is told.
#[derive(Clone, Serialize, Deserialize)]
pub struct Elsewhere {
    /// The user's id, as it was typed.
    pub user: String,
    /// What was typed as the secret; empty when somebody begins.
    pub secret: String,
    /// The device's id, if it says one.
    pub device: String,
    /// Where the request came from, if that is known.
    pub ip: Option<std::net::IpAddr>,
}

/// What came of a [`CallBackend`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendAnswer {
    /// It was done; there is nothing to tell.
    Done,
    /// The code that it made.
    Code(String),
    /// The token that it made, and its id of the user where it said one.
    Token {
        /// The token.
        token: String,
        /// mesibo's id of the user.
        uid: Option<String>,
    },
    /// The verifier knows this user: how the user is to be called from now on, where it says.
    Verified {
        /// The address to remember; none: the user's id as it was typed.
        address: Option<String>,
        /// What the user is called.
        name: Option<String>,
    },
    /// It said no, and will again. Its own word, or ours.
    Refused(String),
    /// It did not say anything that could be used; later it may. A word why.
    Unavailable(String),
}

/// A request to a hub, or to a captcha service.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallHub {
    /// `POST …/api/v1/welcome` with this JSON.
    Welcome(String),
    /// Whether the answer of a captcha is good.
    Captcha {
        /// The answer.
        response: String,
    },
}

/// A request to a federated node, complete but for its credentials.
#[derive(Clone, Serialize, Deserialize)]
pub struct CallPeer {
    /// Which, by its name in the settings.
    pub peer: String,
    /// Whether it is a GET; else it is a PUT.
    pub get: bool,
    /// From `/v1/federation/…` on.
    pub path: String,
    /// JSON; empty with GET.
    pub body: String,
}

/// Everything of an `auth` request whose pass code was good and is now burnt for this ask.
#[derive(Clone, Serialize, Deserialize)]
pub struct ConfirmSender {
    /// Our account.
    pub account: Uuid,
    /// Its address.
    pub receiving: Address,
    /// Its name, told to the peer.
    pub receiving_name: DisplayName,
    /// The peer's address, in the form our checks made of it.
    pub sending: Address,
    /// The same as the peer wrote it: the hash is over these bytes.
    pub sending_verbatim: String,
    /// The peer's name.
    pub sending_name: DisplayName,
    /// Whether the peer takes replies.
    pub allow_replies: bool,
    /// The pass code.
    pub pass_code: String,
    /// Whether the peer said it is a handfast node.
    pub remembers: bool,
}

/// Everything of a `message-receive` request that passed the door's checks.
#[derive(Clone, Serialize, Deserialize)]
pub struct ConfirmMessage {
    /// The connection it came over.
    pub connection: Uuid,
    /// Our account.
    pub account: Uuid,
    /// The sender.
    pub from: Address,
    /// The sender's name as we know it.
    pub from_name: DisplayName,
    /// message_package, verbatim.
    pub package: String,
    /// message_hash, 32 bytes.
    pub hash: [u8; 32],
    /// A new display name the sender announces.
    pub new_name: Option<DisplayName>,
    /// message_timestamp.
    pub sent_at: Timestamp,
    /// A handfast peer's stable id of this message, already proven.
    pub message_id: Option<Uuid>,
    /// Opens the package: the connection's key, 32 bytes.
    pub key: [u8; 32],
    /// The nonce in the package, 24 bytes.
    pub nonce: [u8; 24],
    /// Whether it came under the newer of two sets of secrets: the older one can go.
    pub proves_current: bool,
}

/// A worker's answer to an [`Ask`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The body to answer with, complete.
    Body(String),
    /// What a federated node answered.
    Peer {
        /// HTTP status.
        status: u16,
        /// JSON, or nothing.
        body: String,
    },
    /// What an application's back end said.
    Backend(BackendAnswer),
    /// What a hub, or a captcha service, answered.
    Hub {
        /// HTTP status.
        status: u16,
        /// JSON, or nothing.
        body: String,
    },
    /// Nothing was done: answer "temporarily".
    Temporarily,
}
