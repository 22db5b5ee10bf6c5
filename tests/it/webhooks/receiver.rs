//! A receiver as somebody else would write it: a TLS server, and a check of signatures that shares no code with the node.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::{hmac, signature};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::node::{Net, eventually};

/// What it answers to its `n`-th request, from 0 on.
type Script = dyn Fn(&Seen, usize) -> Response<String> + Send + Sync;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

/// Serves until the test ends.
pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// An answer with a status alone.
pub(crate) fn status(status: u16) -> Response<String> {
    Response::builder().status(status).body(String::new()).unwrap()
}

/// An answer that asks for a pause.
pub(crate) fn pause(code: u16, retry_after: &str) -> Response<String> {
    Response::builder().status(code).header("retry-after", retry_after).body("slowly".into()).unwrap()
}

/// The same answer, after so long.
pub(crate) fn slowly(mut response: Response<String>, after: Duration) -> Response<String> {
    response.extensions_mut().insert(after);
    response
}

impl Receiver {
    /// Under `domain`, for nodes that start from now on.
    pub(crate) async fn start(
        net: &Net,
        domain: &str,
        script: impl Fn(&Seen, usize) -> Response<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        net.name(domain, address);
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let tls = TlsAcceptor::from(net.ca.server_config(domain));
        let (all, script): (_, Arc<Script>) = (Arc::clone(&seen), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, all, script) = (tls.clone(), Arc::clone(&all), Arc::clone(&script));
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(request, Arc::clone(&all), Arc::clone(&script)));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, seen }
    }

    /// Its port, for a URL that names it.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    pub(crate) async fn got(&self, n: usize) -> Vec<Seen> {
        eventually("the receiver is called", async || self.seen.lock().unwrap().len() >= n).await;
        self.seen()
    }
}

async fn answer(
    request: Request<Incoming>,
    all: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Script>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (method, path) = (head.method.to_string(), head.uri.to_string());
    let seen = Seen { method, path, headers: head.headers, body, at: Instant::now() };
    let n = {
        let mut all = all.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    let response = script(&seen, n);
    if let Some(after) = response.extensions().get::<Duration>() {
        tokio::time::sleep(*after).await;
    }
    Ok(response.map(|text| Full::new(text.into())))
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether one of its signatures fits: `key` is `whsec_…` or `whpk_…`.
    pub(crate) fn is_signed_with(&self, key: &str) -> bool {
        let head = format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp"));
        let signed = [head.as_bytes(), &self.body].concat();
        self.header("webhook-signature").split(' ').any(|one| match (one.split_once(','), key.split_once('_')) {
            (Some(("v1", mac)), Some(("whsec", key))) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).unwrap());
                hmac::verify(&key, &signed, &STANDARD.decode(mac).unwrap()).is_ok()
            }
            (Some(("v1a", mark)), Some(("whpk", key))) => {
                let key = signature::UnparsedPublicKey::new(&signature::ED25519, STANDARD.decode(key).unwrap());
                key.verify(&signed, &STANDARD.decode(mark).unwrap()).is_ok()
            }
            _ => false,
        })
    }
}
