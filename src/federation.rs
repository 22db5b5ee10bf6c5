//! Federated nodes: who they are, and calling them.
//!
//! Promises: a peer is believed by its name together with the one secret that both sides have; it is called over TLS with the
//! certificate that its settings pin, where they pin one. Leaves out what is asked (the door's `relay`) and what a message's way
//! costs when the peer is away (`workers/relay_message.rs`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::config::textsecure::Peer;
use crate::crypto::same;
use crate::jobs::CallPeer;
use crate::outbound::{Answer, AnswerLimit, Call, CallError, Outbound, OutboundError, Ports, Redirects, Target};

/// Most accounts in one page of a directory.
pub const PAGE: i64 = 10_000;
/// Calls to one peer that somebody waits for, in one process.
const AT_ONCE: usize = 16;
/// Largest answer of a peer: a page of a directory has some 600 KB.
const LARGEST_ANSWER: usize = 4 << 20;

/// `GET /v1/federation/user_count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCount {
    /// Accounts, active or not.
    pub count: i64,
}

/// `GET /v1/federation/user_tokens/{offset}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserTokens {
    /// Up to [`PAGE`] of them.
    pub contacts: Vec<UserToken>,
}

/// An account of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserToken {
    /// Its directory token.
    pub token: String,
    /// It can take SMS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub supports_sms: bool,
    /// It cannot be written to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inactive: bool,
}

/// `PUT /v1/federation/message`: a message of version 1.
#[derive(Serialize, Deserialize)]
pub struct Signal {
    /// The number it is for.
    pub destination: String,
    /// The envelope, base64 without padding.
    #[serde(rename = "outgoingMessageSignal")]
    pub envelope: String,
}

/// What this node calls itself to its peers: its domain where the settings give no name.
pub fn own_name(config: &Config) -> &str {
    let name = config.textsecure.name.as_str();
    if name.is_empty() { &config.domain } else { name }
}

/// The peer of that name.
pub fn peer<'a>(config: &'a Config, name: &str) -> Option<&'a Peer> {
    config.textsecure.peers.iter().find(|peer| peer.name == name)
}

/// The peer that calls with these credentials.
pub fn authenticate<'a>(config: &'a Config, name: &str, token: &[u8]) -> Option<&'a Peer> {
    peer(config, name).filter(|peer| same(peer.token.reveal().as_bytes(), token))
}

/// Calls peers; cheap to clone.
#[derive(Clone)]
pub struct Peers {
    known: Arc<HashMap<String, Known>>,
}

struct Known {
    places: Arc<Semaphore>,
    outbound: Outbound,
    url: String,
    authorization: HeaderValue,
}

/// Why a peer was not called, or gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The settings know none of that name.
    #[error("there is no such peer in the settings")]
    Unknown,
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Peers {
    /// Those of the settings. A client with a pinned certificate is its own; the others share one.
    pub fn new(config: &Config, shared: &Outbound) -> Result<Self, OutboundError> {
        let mut known = HashMap::new();
        for peer in &config.textsecure.peers {
            let outbound = match &peer.certificate {
                Some(path) => Outbound::pinned(config, path)?,
                None => shared.clone(),
            };
            let own = own_name(config);
            let credentials = STANDARD.encode(format!("{own}:{}", peer.token.reveal()));
            let authorization = HeaderValue::try_from(format!("Basic {credentials}"));
            let mut authorization = authorization.map_err(|error| OutboundError::Client(error.to_string()))?;
            authorization.set_sensitive(true);
            let url = peer.url.trim_end_matches('/').to_owned();
            let wrong = |error| OutboundError::Client(format!("textsecure.peers, {}: {error}", peer.name));
            Target::with_ports(&url, &Ports::Any).map_err(wrong)?;
            let places = Arc::new(Semaphore::new(AT_ONCE));
            known.insert(peer.name.clone(), Known { places, outbound, url, authorization });
        }
        Ok(Self { known: known.into() })
    }

    /// A place for a call that somebody waits for; none: so many wait for this peer already that it must be away, and more would keep
    /// the workers from answering anything else.
    pub fn place(&self, peer: &str) -> Option<OwnedSemaphorePermit> {
        let places = &self.known.get(peer)?.places;
        Arc::clone(places).try_acquire_owned().ok()
    }

    /// One request. What the peer says is returned whatever it is.
    pub async fn call(&self, call: &CallPeer, timeout: Duration) -> Result<Answer, PeerError> {
        let known = self.known.get(&call.peer).ok_or(PeerError::Unknown)?;
        let target = Target::with_ports(&format!("{}{}", known.url, call.path), &Ports::Any);
        // A path that makes no URL names nothing that a peer could know.
        let target = target.map_err(|_| PeerError::Unknown)?;
        let mut headers = HeaderMap::from_iter([(AUTHORIZATION, known.authorization.clone())]);
        if !call.get {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let answer = known.outbound.call(Call {
            target,
            method: if call.get { Method::GET } else { Method::PUT },
            headers,
            body: Bytes::from(call.body.clone()),
            timeout,
            redirects: Redirects::None,
            answer: AnswerLimit::Refuse(LARGEST_ANSWER),
        });
        Ok(answer.await?)
    }
}
