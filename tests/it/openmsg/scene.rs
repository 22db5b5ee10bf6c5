//! What most tests here begin with: our node with Ada, a peer of 1.0 with Bob, and someone who calls our node by hand.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::node::{Net, Node, Options};
use crate::peers::{Connection, Dialect, Message, Peer, Reply, SendFailure};

/// Our user's ID.
pub(super) const ADA: &str = "1000";
/// The peer's user's ID.
pub(super) const BOB: &str = "2000";
/// Our domain.
pub(super) const OURS: &str = "node.test";
/// The peer's domain.
pub(super) const THEIRS: &str = "peer.test";

/// What a refused handshake is told in every case but a few.
pub(super) const NOT_VALID: &str = "pass code not valid";
/// What it is told when the callback failed, however it failed.
pub(super) const NOT_CONFIRMED: &str = "the sending domain did not confirm the handshake";
/// What an `auth-confirm` is told that fits nothing.
pub(super) const UNKNOWN_PENDING: &str = "unknown pending authorization";
/// What it is told when nobody could look.
pub(super) const TEMPORARILY: &str = "temporarily unavailable";

/// Our node with Ada, the peer with Bob.
pub(super) struct Scene {
    pub(super) net: Net,
    pub(super) node: Node,
    pub(super) peer: Peer,
}

impl Scene {
    /// Settings as [`Options::of`].
    pub(super) async fn new(dialect: Dialect) -> Self {
        Self::with(dialect, |options| options).await
    }

    /// Other settings.
    pub(super) async fn with(dialect: Dialect, change: impl FnOnce(Options) -> Options) -> Self {
        Self::on(Net::new(), dialect, change).await
    }

    /// On a net that knows further names.
    pub(super) async fn on(net: Net, dialect: Dialect, change: impl FnOnce(Options) -> Options) -> Self {
        let peer = net.peer(dialect, THEIRS).await;
        peer.user(BOB, "Bob");
        let node = Node::start(&net, change(Options::of(OURS))).await;
        node.account(ADA, "Ada").await;
        Self { net, node, peer }
    }

    /// A node and a peer of 1.0 whose users are connected.
    pub(super) async fn connected() -> Self {
        let scene = Self::new(Dialect::V1).await;
        scene.connect().await;
        scene
    }

    /// Connects Bob, who has Ada's code.
    pub(super) async fn connect(&self) {
        let code = self.node.code(ADA).await;
        assert_eq!(self.peer.handshake(BOB, &self.ada(), &code).await, Ok(()));
    }

    pub(super) fn ada(&self) -> String {
        self.node.address(ADA)
    }

    pub(super) fn bob(&self) -> String {
        self.peer.address(BOB)
    }

    /// Ada writes to Bob; the final state.
    pub(super) async fn ada_writes(&self, text: &str) -> String {
        self.node.sent(ADA, &self.bob(), text).await
    }

    /// Bob writes to Ada.
    pub(super) async fn bob_writes(&self, text: &str) -> Result<(), SendFailure> {
        self.peer.send(BOB, &self.ada(), text).await
    }

    /// A message of Bob's for Ada, in his outbox and not sent.
    pub(super) fn composed(&self, text: &str) -> Message {
        self.peer.compose(BOB, &self.ada(), text).expect("a connection")
    }

    /// The peer's side of the connection, the latest if there are several.
    pub(super) fn secrets(&self) -> Connection {
        self.peer.connections().pop().expect("a connection")
    }

    /// `auth` by hand, of someone who says to be `sending`.
    pub(super) async fn auth(&self, sending: &str, code: &str) -> Reply {
        self.call("auth", auth(ADA, sending, code)).await
    }

    /// Any request to one of our endpoints, by hand.
    pub(super) async fn call(&self, endpoint: &str, body: Value) -> Reply {
        let path = format!("/openmsg/{endpoint}/");
        self.node.attacker().post(&path, body.to_string()).await.expect("an answer")
    }

    /// Both write to each other, and all arrives, once.
    pub(super) async fn both_ways(&self, text: &str) {
        assert_eq!(self.ada_writes(text).await, "delivered");
        assert_eq!(self.bob_writes(text).await, Ok(()));
        let mine = |all: Vec<String>| all.into_iter().filter(|other| other == text).count();
        assert_eq!(mine(self.node.texts(ADA).await), 1, "{text} in our inbox");
        assert_eq!(mine(self.peer.inbox(BOB).into_iter().map(|(_, text)| text).collect()), 1, "{text} in theirs");
    }
}

/// The body of an `auth`.
pub(super) fn auth(receiving_id: &str, sending: &str, code: &str) -> Value {
    json!({
        "receiving_openmsg_address_id": receiving_id,
        "pass_code": code,
        "sending_openmsg_address": sending,
        "sending_openmsg_address_name": "Mallory",
        "sending_allow_replies": true,
        "openmsg_version": 1,
    })
}

/// The body of a `message-receive`, with the fields that count.
pub(super) fn receive(message: &Message) -> Value {
    json!({
        "receiving_openmsg_address_id": message.receiving_id,
        "sending_openmsg_address_name": null,
        "ident_code": message.ident_code,
        "message_package": message.package,
        "message_hash": message.hash,
        "message_salt": message.salt,
        "message_timestamp": message.timestamp,
        "openmsg_version": 1,
    })
}

/// Lower-case hex of SHA-256 over the parts.
pub(super) fn sha256(parts: &[&str]) -> String {
    hex::encode(Sha256::digest(parts.concat()))
}

/// `message_hash` for a message as it stands.
pub(super) fn rehash(message: &mut Message, auth_code: &str) {
    message.hash = sha256(&[&message.package, auth_code, &message.salt, &message.timestamp.to_string()]);
}

/// The handshake's error answer.
pub(super) fn refusal(text: &str) -> Value {
    json!({"error": true, "error_message": text})
}

/// A failure as the peer sees it: status 200 and this code.
pub(super) fn refused(code: &str) -> Result<(), SendFailure> {
    Err(SendFailure { status: 200, code: Some(code.to_owned()) })
}

/// The code of an answer to a message; empty when there is none.
pub(super) fn code_of(reply: &Reply) -> String {
    assert_eq!(reply.status, 200);
    reply.json()["response_code"].as_str().unwrap_or_default().to_owned()
}
