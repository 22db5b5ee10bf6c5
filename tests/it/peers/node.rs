//! What stands behind a peer: its tables, its clock, its log, its names. No lock here is held across an await, as no
//! PHP script holds one across a curl call.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rustls::ClientConfig;

use super::{dialect::Traits, hostile::Tricks};
use crate::secrets;

/// The test's DNS: who answers for which domain. Clones share one map, so names can be added while peers run.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<HashMap<String, SocketAddr>>>);

impl Names {
    /// Lets a domain (or `domain:port`, for redirects to another port) be answered at an address.
    pub(crate) fn add(&self, domain: &str, address: SocketAddr) {
        lock(&self.0).insert(domain.to_ascii_lowercase(), address);
    }

    /// Where a URL's host is served: `domain:port` first, then the domain whatever the port, then an IP literal.
    pub(crate) fn find(&self, host: &str, port: u16) -> Option<SocketAddr> {
        let names = lock(&self.0);
        let host = host.to_ascii_lowercase();
        let literal = || host.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
        names.get(&format!("{host}:{port}")).or_else(|| names.get(&host)).copied().or_else(literal)
    }
}

/// A request that reached the peer.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path with query, as sent.
    pub(crate) path: String,
    pub(crate) version: http::Version,
    /// In the order sent; names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Seen {
    /// The first header of that (lower-case) name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it isn't.
    pub(crate) fn json(&self) -> serde_json::Value {
        super::php::decode(&self.body)
    }
}

/// A request that the peer made, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) url: String,
    pub(crate) body: String,
    /// 0 when there was no answer.
    pub(crate) status: u16,
    /// The answer's body, or curl's error.
    pub(crate) answer: String,
}

/// A row of `openmsg_user_connections`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) self_address: String,
    pub(crate) other_address: String,
    pub(crate) other_name: String,
    pub(crate) other_accepts: String,
    pub(crate) auth_code: String,
    pub(crate) ident_code: String,
    pub(crate) key: String,
}

/// A row of `openmsg_passCodes`.
pub(crate) struct PassCode {
    pub(crate) address: String,
    pub(crate) code: String,
    pub(crate) created: i64,
}

/// A row of `openmsg_handshakes`: the proof is the code or its hash.
pub(crate) struct Pending {
    pub(crate) receiving: String,
    pub(crate) proof: String,
    pub(crate) created: i64,
}

/// A row of the outbox.
pub(crate) struct Outgoing {
    pub(crate) hash: String,
    pub(crate) nonce: String,
    pub(crate) text: String,
}

/// The database.
#[derive(Default)]
pub(crate) struct Tables {
    /// Address → name.
    pub(crate) users: BTreeMap<String, String>,
    pub(crate) codes: Vec<PassCode>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) outbox: Vec<Outgoing>,
    pub(crate) sent: Vec<String>,
    /// Receiving ID, sending address, text.
    pub(crate) inbox: Vec<(String, String, String)>,
}

/// One node.
pub(crate) struct Node {
    pub(crate) traits: Traits,
    pub(crate) domain: String,
    pub(crate) names: Names,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) tricks: Mutex<Tricks>,
    tables: Mutex<Tables>,
    seen: Mutex<Vec<Seen>>,
    calls: Mutex<Vec<Call>>,
    clock_offset: AtomicI64,
}

impl Node {
    pub(crate) fn new(traits: Traits, domain: &str, names: Names, tls: Arc<ClientConfig>) -> Self {
        Self {
            traits,
            domain: domain.to_owned(),
            names,
            tls,
            tricks: Mutex::default(),
            tables: Mutex::default(),
            seen: Mutex::default(),
            calls: Mutex::default(),
            clock_offset: AtomicI64::new(0),
        }
    }

    pub(crate) fn address(&self, id: &str) -> String {
        format!("{id}*{}", self.domain)
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.tables)
    }

    /// Unix seconds, by this node's own clock.
    pub(crate) fn now(&self) -> i64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
        real as i64 + self.clock_offset.load(Ordering::Relaxed)
    }

    pub(crate) fn shift_clock(&self, seconds: i64) {
        self.clock_offset.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn saw(&self, request: Seen) {
        secrets::of_body(&request.body);
        lock(&self.seen).push(request);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    pub(crate) fn called(&self, call: Call) {
        secrets::of_body(call.body.as_bytes());
        secrets::of_body(call.answer.as_bytes());
        lock(&self.calls).push(call);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }
}

/// A lock that another test's panic doesn't spoil.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
