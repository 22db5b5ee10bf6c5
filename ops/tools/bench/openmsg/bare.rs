//! The yardstick: what a message costs in HTTPS alone.
//!
//! A loader posts bodies of a message's size to a server that, before it answers, posts a body of a confirm's size to another
//! server: the two calls of Openmsg, with the nodes' TLS stack, HTTP client, certificates and keep-alive, and nothing else: no
//! database, no broker, no cryptography beyond TLS. Each of the three runs on a thread of its own, as each node is a process.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::latencies::Latencies;

/// Length of a `message-receive` body with a text of 100 characters, and of a `message-confirm` body.
const MESSAGE: usize = 873;
const CONFIRM: usize = 156;
const ANSWER: &[u8] = br#"{"success":true,"response_code":"SM_S888"}"#;

/// The loop, ready to run.
pub(crate) struct Bare {
    client: reqwest::Client,
    url: reqwest::Url,
}

impl Bare {
    /// Starts both servers, with the certificates that the nodes in `data` have.
    pub(crate) fn start(data: &Path) -> anyhow::Result<Self> {
        let confirm_at = serve(data, "shop", |_| async { Ok(()) })?;
        let confirming = client(data, "shop.test", confirm_at)?;
        let confirm_url = url("shop.test", confirm_at)?;
        let message_at = serve(data, "customers", move |_| {
            let (client, url) = (confirming.clone(), confirm_url.clone());
            async move { post(&client, &url, CONFIRM).await }
        })?;
        Ok(Self { client: client(data, "customers.test", message_at)?, url: url("customers.test", message_at)? })
    }

    /// As many as possible, `at_once` at a time; messages per second.
    pub(crate) async fn rate(&self, at_once: usize, time: Duration) -> anyhow::Result<f64> {
        let (begun, done) = (Instant::now(), AtomicUsize::new(0));
        let one = || async {
            while begun.elapsed() < time {
                post(&self.client, &self.url, MESSAGE).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        };
        futures_util::future::try_join_all((0..at_once).map(|_| one())).await?;
        Ok(done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64())
    }

    /// One every `pause`; the rate reached, and how long each took.
    pub(crate) async fn paced(&self, pause: Duration, count: usize) -> anyhow::Result<(f64, Latencies)> {
        let begun = Instant::now();
        let took = crate::pacing::paced(pause, count, |_| async {
            let sent = Instant::now();
            post(&self.client, &self.url, MESSAGE).await?;
            anyhow::Ok(sent.elapsed().as_secs_f64() * 1000.0)
        });
        let took = took.await?;
        Ok((count as f64 / begun.elapsed().as_secs_f64(), Latencies::of(took)))
    }
}

async fn post(client: &reqwest::Client, url: &reqwest::Url, length: usize) -> anyhow::Result<()> {
    let mut request = reqwest::Request::new(reqwest::Method::POST, url.clone());
    request.headers_mut().insert("content-type", reqwest::header::HeaderValue::from_static("application/json"));
    *request.body_mut() = Some(vec![b'x'; length].into());
    let answer = client.execute(request).await?;
    anyhow::ensure!(answer.status().is_success(), "the bare loop was answered {}", answer.status());
    answer.bytes().await?;
    Ok(())
}

/// As the nodes' own.
fn client(data: &Path, name: &str, at: SocketAddr) -> anyhow::Result<reqwest::Client> {
    let tls = handfast::tls::client_config(Some(&data.join("ca.pem")))?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).http1_only().no_proxy().tcp_nodelay(true);
    Ok(client.resolve(name, at).build()?)
}

fn url(name: &str, at: SocketAddr) -> anyhow::Result<reqwest::Url> {
    Ok(format!("https://{name}:{}/openmsg/message-receive/", at.port()).parse()?)
}

/// A server on a thread of its own, for as long as the process lives.
fn serve<F>(data: &Path, node: &str, act: impl Fn(Bytes) -> F + Send + Sync + 'static) -> anyhow::Result<SocketAddr>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let dir = data.join(node);
    let certified = handfast::tls::server_certificate(&dir.join("tls.crt"), &dir.join("tls.key"))?;
    let resolver = rustls::sign::SingleCertAndKey::from(certified);
    let mut tls = rustls::ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(resolver));
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let at = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    std::thread::spawn(move || runtime.block_on(accept(listener, TlsAcceptor::from(Arc::new(tls)), Arc::new(act))));
    Ok(at)
}

async fn accept<F>(
    listener: std::net::TcpListener,
    tls: TlsAcceptor,
    act: Arc<impl Fn(Bytes) -> F + Send + Sync + 'static>,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, act) = (tls.clone(), Arc::clone(&act));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let answer =
                hyper::service::service_fn(move |request: Request<Incoming>| answer(request, Arc::clone(&act)));
            // Connections end when the client lets them go.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer<F>(
    request: Request<Incoming>,
    act: Arc<impl Fn(Bytes) -> F>,
) -> Result<Response<Full<Bytes>>, Infallible>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let done = match request.into_body().collect().await {
        Ok(body) => act(body.to_bytes()).await,
        Err(error) => Err(error.into()),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER)));
    if done.is_err() {
        *response.status_mut() = hyper::StatusCode::BAD_GATEWAY;
    }
    Ok(response)
}
