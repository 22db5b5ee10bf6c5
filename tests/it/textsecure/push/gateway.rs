//! A push service as somebody else would write it: TLS, HTTP/1.1 or HTTP/2, and answers by a script.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::node::{Net, eventually};

/// What it does with its `n`-th request, from 0 on. None: it keeps the caller waiting.
type Script = dyn Fn(&Seen, usize) -> Option<Response<String>> + Send + Sync;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) at: Instant,
}

/// Which HTTP it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
}

/// Serves until the test ends.
pub(super) struct Gateway {
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// An answer in JSON.
pub(super) fn says(status: u16, body: impl Into<Value>) -> Option<Response<String>> {
    Some(Response::builder().status(status).body(body.into().to_string()).unwrap())
}

/// An answer that asks for a pause.
pub(super) fn pause(status: u16, seconds: u32) -> Option<Response<String>> {
    Some(Response::builder().status(status).header("retry-after", seconds.to_string()).body("{}".into()).unwrap())
}

impl Gateway {
    /// Under `domain`, for nodes that start from now on.
    pub(super) async fn start(
        net: &Net,
        domain: &str,
        speaks: Speaks,
        script: impl Fn(&Seen, usize) -> Option<Response<String>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        net.name(domain, listener.local_addr().unwrap());
        Self::serve(net, domain, listener, speaks, Arc::new(script))
    }

    /// Where the domain leads already, and where nobody has listened so far.
    pub(super) async fn rise(
        net: &Net,
        domain: &str,
        at: SocketAddr,
        script: impl Fn(&Seen, usize) -> Option<Response<String>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        Self::serve(net, domain, listener, Speaks::Http1, Arc::new(script))
    }

    fn serve(net: &Net, domain: &str, listener: TcpListener, speaks: Speaks, script: Arc<Script>) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let mut tls = (*net.ca.server_config(domain)).clone();
        if speaks == Speaks::Http2 {
            tls.alpn_protocols = vec![b"h2".to_vec()];
        }
        let (tls, all) = (TlsAcceptor::from(Arc::new(tls)), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, all, script) = (tls.clone(), Arc::clone(&all), Arc::clone(&script));
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(request, Arc::clone(&all), Arc::clone(&script)));
                    let io = TokioIo::new(stream);
                    let _ = match speaks {
                        Speaks::Http1 => http1::Builder::new().serve_connection(io, service).await,
                        Speaks::Http2 => http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await,
                    };
                });
            }
        });
        Self { seen }
    }

    /// All requests so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    pub(super) async fn got(&self, n: usize) -> Vec<Seen> {
        eventually("the push service is called", async || self.seen.lock().unwrap().len() >= n).await;
        self.seen()
    }
}

async fn answer(
    request: Request<Incoming>,
    all: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Script>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    assert_eq!(head.method, "POST");
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let seen = Seen { path: head.uri.path().to_owned(), headers: head.headers, body, at: Instant::now() };
    let n = {
        let mut all = all.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    match script(&seen, n) {
        Some(response) => Ok(response.map(|text| Full::new(text.into()))),
        None => std::future::pending().await,
    }
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}
