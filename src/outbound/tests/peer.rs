//! The other side of a call: a throw-away authority and a TLS server on loopback whose every byte is scripted.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{Config, Mode};
use crate::outbound::Outbound;
use crate::tls;

pub(super) type Stream = TlsStream<TcpStream>;

/// A throw-away authority, and a server behind it for `shop.test` and `www.shop.test`.
pub(super) struct Peer {
    directory: tempfile::TempDir,
    address: SocketAddr,
    pub(super) connections: Arc<AtomicUsize>,
}

impl Peer {
    /// Runs `script` for each connection, which gets its number from 0 on. `names` is what the certificate says.
    pub(super) async fn with_names<F, Fut>(names: &[&str], script: F) -> Self
    where
        F: Fn(Stream, usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let directory = tempfile::tempdir().unwrap();
        let acceptor = acceptor(directory.path(), names);
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let script = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
                let number = counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        script(stream, number).await;
                    }
                });
            }
        });
        Self { directory, address, connections }
    }

    pub(super) async fn new<F, Fut>(script: F) -> Self
    where
        F: Fn(Stream, usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::with_names(&["shop.test", "www.shop.test"], script).await
    }

    /// Answers every request of every connection with what `answer` makes of it.
    pub(super) async fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::new(move |mut stream, _| {
            let answer = Arc::clone(&answer);
            async move {
                while let Some(request) = request(&mut stream).await {
                    stream.write_all(answer(&request).as_bytes()).await.unwrap();
                }
            }
        })
        .await
    }

    pub(super) fn config(&self) -> Config {
        let mut config = Config { mode: Mode::Development, ..Config::default() };
        config.outbound.ca_file = Some(self.directory.path().join("ca.pem"));
        for name in ["shop.test", "www.shop.test", "evil.test"] {
            config.development.resolve.insert(name.into(), self.address);
        }
        config.development.allow_addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        config
    }

    pub(super) fn client(&self) -> Outbound {
        Outbound::new(&self.config()).unwrap()
    }
}

fn acceptor(directory: &Path, names: &[&str]) -> TlsAcceptor {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(directory.join("ca.pem"), issuer.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// One whole request as text; nothing if the client closes.
pub(super) async fn request(stream: &mut Stream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().unwrap() {
                return Some(text.into_owned());
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => read.extend_from_slice(&part[..n]),
        }
    }
}
