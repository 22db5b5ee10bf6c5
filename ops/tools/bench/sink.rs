//! The sink: where deliveries arrive. TLS 1.3, HTTP/1.1, keep-alive; answers 204 to everything, verifies no signature.
//!
//! The path says for which destination a request is and how it is treated:
//!
//! | path | answer |
//! |---|---|
//! | `/hook/N` | 204 at once |
//! | `/late/N` | 204 after ten seconds |
//! | `/silent/N` | none |

mod arrivals;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::body;
use crate::part::{self, Orders};
use arrivals::Arrivals;

pub(crate) use arrivals::Report;

/// What makes a destination late.
const LATE: Duration = Duration::from_secs(10);

/// What a sink can be told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SinkOrder {
    /// Begin to listen; answered with nothing.
    Listen {
        /// On loopback.
        port: u16,
        /// PEM.
        certificate: PathBuf,
        /// PEM.
        key: PathBuf,
    },
    /// Forget everything.
    Reset,
    /// How many different numbers arrived at destinations from this one on.
    Count {
        /// The first destination counted.
        from: u32,
    },
    /// All about them.
    Report {
        /// The first destination reported on.
        from: u32,
        /// Arrivals until this moment are also counted by themselves.
        until_us: u64,
    },
}

/// The part's life.
pub(crate) async fn run() -> anyhow::Result<()> {
    let arrivals = Rc::new(RefCell::new(Arrivals::default()));
    let mut orders = Orders::new();
    while let Some(order) = orders.next().await? {
        match order {
            SinkOrder::Listen { port, certificate, key } => {
                let tls = acceptor(&certificate, &key);
                let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
                let begun = tls.and_then(|tls| Ok((tls, listener?)));
                let begun = begun.map(|(tls, listener)| {
                    tokio::task::spawn_local(accept(listener, tls, Rc::clone(&arrivals)));
                });
                part::answer(begun)?;
            }
            SinkOrder::Reset => {
                arrivals.borrow_mut().forget();
                part::answer(Ok(()))?;
            }
            SinkOrder::Count { from } => part::answer(Ok(arrivals.borrow_mut().different(from)))?,
            SinkOrder::Report { from, until_us } => part::answer(Ok(arrivals.borrow().report(from, until_us)))?,
        }
    }
    Ok(())
}

fn acceptor(certificate: &std::path::Path, key: &std::path::Path) -> anyhow::Result<TlsAcceptor> {
    let certified = handfast::tls::server_certificate(certificate, key)?;
    let resolver = rustls::sign::SingleCertAndKey::from(certified);
    let mut tls = rustls::ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, arrivals: Rc<RefCell<Arrivals>>) {
    loop {
        // Out of descriptors, or a client that went away: the next one may do better.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, arrivals) = (tls.clone(), Rc::clone(&arrivals));
        tokio::task::spawn_local(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = tls.accept(stream).await else { return };
            arrivals.borrow_mut().note_connection();
            let answer = hyper::service::service_fn(move |request| answer(request, Rc::clone(&arrivals)));
            // Connections end when the client lets them go.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    arrivals: Rc<RefCell<Arrivals>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut path = head.uri.path().split('/').skip(1);
    let (kind, destination) = (path.next().unwrap_or_default(), path.next().and_then(|n| n.parse().ok()));
    if let Ok(body) = body.collect().await {
        let at_us = body::now_us();
        let signed = head.headers.contains_key("webhook-signature") && head.headers.contains_key("webhook-id");
        let arrived = body::read(&body.to_bytes()).zip(destination);
        arrivals.borrow_mut().note(arrived, at_us, signed);
    }
    match kind {
        "late" => tokio::time::sleep(LATE).await,
        "silent" => std::future::pending().await,
        _ => {}
    }
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
