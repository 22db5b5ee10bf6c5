//! Where the webhooks lead: a TLS server that keeps its own ledger of what it got. It verifies nothing and believes nobody.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The name it is found under.
pub(crate) const HOST: &str = "sink.test";
/// A try in a hundred is answered 500, before it is noted: retries and blocked lines belong to the picture.
const REFUSED_OF: u64 = 100;
/// How long an answer takes: as the body's number has it, up to so many milliseconds.
const SLOWEST_MS: u64 = 25;

/// What a numbered message carries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Body {
    /// Its number in the outside ledger.
    pub(crate) n: u64,
    /// Its ordering key and its place in that line, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<(String, u64)>,
}

/// The third ledger.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// By `webhook-id`: the number, and how often it came.
    pub(crate) by_id: HashMap<String, (u64, usize)>,
    /// The highest place that came of each line.
    lines: HashMap<String, u64>,
    /// First arrivals behind a later one of their line, in words.
    pub(crate) out_of_order: Vec<String>,
    /// When each number came first.
    pub(crate) first: HashMap<u64, Instant>,
}

/// The server, for as long as this lives.
pub(crate) struct Sink {
    address: SocketAddr,
    /// The throw-away authority's certificate.
    pub(crate) ca_pem: String,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct State {
    received: Mutex<Received>,
    tries: std::sync::atomic::AtomicU64,
}

impl Sink {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let (tls, ca_pem) = identity()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::<State>::default();
        let task = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&state)));
        Ok(Self { address, ca_pem, state, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn received(&self) -> MutexGuard<'_, Received> {
        self.state.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Received {
    /// Messages that came at least once, and further copies of them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.by_id.len(), self.by_id.values().map(|(_, times)| times - 1).sum())
    }

    fn note(&mut self, id: String, body: Body) {
        let (_, times) = self.by_id.entry(id).or_insert((body.n, 0));
        *times += 1;
        let is_first = *times == 1;
        self.first.entry(body.n).or_insert_with(Instant::now);
        // A copy of what came before is told by its id; order is about what is new.
        let Some((line, place)) = body.line.filter(|_| is_first) else { return };
        match self.lines.get(&line) {
            Some(highest) if *highest > place => {
                self.out_of_order.push(format!("{line}: {place} came after {highest} (number {})", body.n));
            }
            _ => {
                self.lines.insert(line, place);
            }
        }
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = tls.accept(stream).await else { return };
            let answer = hyper::service::service_fn(move |request| answer(request, Arc::clone(&state)));
            // Connections end when the client lets them go.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let id = request.headers().get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let whole = request.into_body().collect().await.ok().map(|body| body.to_bytes());
    let body = whole.and_then(|whole| serde_json::from_slice::<Body>(&whole).ok());
    let status = match body {
        None => StatusCode::BAD_REQUEST,
        Some(body) => {
            let tries = state.tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(body.n * 7 % SLOWEST_MS)).await;
            match tries % REFUSED_OF {
                99 => StatusCode::INTERNAL_SERVER_ERROR,
                _ => {
                    state.received.lock().unwrap_or_else(PoisonError::into_inner).note(id, body);
                    StatusCode::NO_CONTENT
                }
            }
        }
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

/// A certificate for the sink's name, by an authority that is forgotten at once.
fn identity() -> anyhow::Result<(rustls::ServerConfig, String)> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    authority.distinguished_name.push(DnType::CommonName, "chaos");
    let key = KeyPair::generate()?;
    let ca_pem = authority.self_signed(&key)?.pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![HOST.to_owned()])?.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let tls = rustls::ServerConfig::builder().with_no_client_auth();
    Ok((tls.with_single_cert(vec![certificate.der().clone()], key)?, ca_pem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_counted_and_order_is_about_what_is_new() {
        let mut received = Received::default();
        let body = |n, place| Body { n, line: Some(("key".to_owned(), place)) };
        for (id, n, place) in [("a", 1, 0), ("b", 2, 1), ("a", 1, 0), ("d", 4, 3), ("c", 3, 2)] {
            received.note(id.to_owned(), body(n, place));
        }
        assert_eq!(received.counts(), (4, 1));
        assert_eq!(received.out_of_order.len(), 1, "{:?}", received.out_of_order);
    }
}
