//! Stand-in Openmsg peers: nodes that behave on the wire as the published code of each dialect does, mistakes
//! included, and badly when told to.
//!
//! They are written from the specification alone and use none of the node's own protocol or cryptography, so that a
//! misunderstanding on either side shows. They promise what can be seen on the wire and in the order of effects; they
//! leave out what can't: SQL, PHP's warnings, the texts of messages beyond what a peer might look at.
//!
//! A test makes a [`TestCa`] and [`Names`], starts peers, adds the node under test to the names, and points the node's
//! own resolver at [`Peer::socket`]. [`Attacker`] is for everything that isn't a conversation between peers.

// Tests use what they need of the peers; nobody uses all of it.
#![allow(dead_code)]

mod attacker;
mod ca;
mod curl;
mod dialect;
mod handshake;
mod hostile;
mod message;
mod node;
mod php;
mod seal;
mod selftest;
mod server;

use std::{net::SocketAddr, sync::Arc};

use rustls::ServerConfig;
use tokio::{net::TcpListener, task::JoinHandle};

// The names tests may need; which of them are needed is theirs to say.
#[allow(unused_imports)]
pub(crate) use self::{
    attacker::{Attacker, Reply, Wire},
    ca::TestCa,
    dialect::Dialect,
    hostile::{Behaviour, Confirming, Endpoint, Trick},
    message::{Message, SendFailure},
    node::{Call, Connection, Names, Seen},
};
use self::{
    curl::Outcome,
    node::{Node, PassCode, lock},
};

/// A running peer; dropped, it is gone, and its port closed.
pub(crate) struct Peer {
    node: Arc<Node>,
    socket: SocketAddr,
    tls: Arc<ServerConfig>,
    server: Option<JoinHandle<()>>,
}

impl Peer {
    /// Starts a node of that dialect for a domain on a free loopback port, and adds it to the names.
    pub(crate) async fn start(dialect: Dialect, domain: &str, ca: &TestCa, names: Names) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let socket = listener.local_addr().expect("an address");
        names.add(domain, socket);
        let node = Arc::new(Node::new(dialect.traits(), domain, names, ca.client_config()));
        let mut peer = Self { node, socket, tls: ca.server_config(domain), server: None };
        peer.listen(listener);
        peer
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> SocketAddr {
        self.socket
    }

    /// The domain behind the `*` of its addresses.
    pub(crate) fn domain(&self) -> &str {
        &self.node.domain
    }

    /// `ID*domain`.
    pub(crate) fn address(&self, id: &str) -> String {
        self.node.address(id)
    }

    /// Refuses connections from now on, and drops the open ones.
    pub(crate) async fn go_down(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            // Only to be sure that the port is closed; the error says that it was aborted.
            let _ = server.await;
        }
    }

    /// Listens again, on the same port, with everything it knew.
    pub(crate) async fn come_back(&mut self) {
        self.listen(TcpListener::bind(self.socket).await.expect("its old port"));
    }

    /// Creates a user.
    pub(crate) fn user(&self, id: &str, name: &str) {
        self.node.tables().users.insert(self.node.address(id), name.to_owned());
    }

    /// A fresh pass code for a user.
    pub(crate) fn issue_code(&self, id: &str) -> String {
        let code = format!("{:06}", rand::random_range(0..1_000_000));
        self.add_code(id, &code);
        code
    }

    /// A pass code of the test's choice.
    pub(crate) fn add_code(&self, id: &str, code: &str) {
        let (address, created) = (self.node.address(id), self.node.now());
        self.node.tables().codes.push(PassCode { address, code: code.to_owned(), created });
    }

    /// How many pass codes have not been burnt.
    pub(crate) fn codes_left(&self) -> usize {
        self.node.tables().codes.len()
    }

    /// Shakes hands as initiator, allowing replies; the error is what its user would see.
    pub(crate) async fn handshake(&self, from: &str, to: &str, code: &str) -> Result<(), String> {
        handshake::initiate(&self.node, from, to, code, "true").await
    }

    /// The same with any JSON as `sending_allow_replies`.
    pub(crate) async fn handshake_replying(
        &self,
        from: &str,
        to: &str,
        code: &str,
        replies: &str,
    ) -> Result<(), String> {
        handshake::initiate(&self.node, from, to, code, replies).await
    }

    /// Sends a text over an existing connection.
    pub(crate) async fn send(&self, from: &str, to: &str, text: &str) -> Result<(), SendFailure> {
        let message = self.compose(from, to, text)?;
        self.post(&message).await
    }

    /// Seals a text and puts it into the outbox, without sending it.
    pub(crate) fn compose(&self, from: &str, to: &str, text: &str) -> Result<Message, SendFailure> {
        message::compose(&self.node, from, to, text)
    }

    /// Posts a composed message, changed or not, for the first time or again.
    pub(crate) async fn post(&self, message: &Message) -> Result<(), SendFailure> {
        message::post(&self.node, message).await
    }

    /// What a user received, oldest first: sender's address and text.
    pub(crate) fn inbox(&self, id: &str) -> Vec<(String, String)> {
        let tables = self.node.tables();
        let own = tables.inbox.iter().filter(|(receiver, _, _)| receiver == id);
        own.map(|(_, from, text)| (from.clone(), text.clone())).collect()
    }

    /// How many messages have not been accepted; such rows stay for ever.
    pub(crate) fn outbox_len(&self) -> usize {
        self.node.tables().outbox.len()
    }

    /// Every connection it holds.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.node.tables().connections.clone()
    }

    /// Puts a connection in place without a handshake.
    pub(crate) fn insert_connection(&self, connection: Connection) {
        self.node.tables().connections.push(connection);
    }

    /// Every request that reached it, oldest first, also those that a trick answered.
    pub(crate) fn log(&self) -> Vec<Seen> {
        self.node.seen()
    }

    /// The requests that reached one endpoint, under whatever prefix.
    pub(crate) fn log_of(&self, endpoint: Endpoint) -> Vec<Seen> {
        let named = |seen: &Seen| seen.path.trim_end_matches('/').rsplit('/').next() == Some(endpoint.name());
        self.log().into_iter().filter(named).collect()
    }

    /// Every request that it made and that has ended, oldest first.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.node.calls()
    }

    /// Moves its clock.
    pub(crate) fn shift_clock(&self, seconds: i64) {
        self.node.shift_clock(seconds);
    }

    /// Switches a behaviour on, beside those that are on already.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        lock(&self.node.tricks).switch(behaviour);
    }

    /// Makes its latest confirmation call (made or withheld) now: the status, 0 without an answer, and the body.
    pub(crate) async fn confirm_now(&self) -> (u16, String) {
        match hostile::confirm_now(&self.node).await.expect("something to confirm") {
            Outcome::Failed(error) => (0, error),
            Outcome::Answered { status, body } => (status, String::from_utf8_lossy(&body).into_owned()),
        }
    }

    fn listen(&mut self, listener: TcpListener) {
        let acceptor = tokio_rustls::TlsAcceptor::from(self.tls.clone());
        self.server = Some(tokio::spawn(server::serve(listener, acceptor, self.node.clone())));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}
