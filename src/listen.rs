//! Under warp: sockets, TLS, and what keeps one client from taking the listener away from the others.
//!
//! Promises
//! - Nobody holds a connection for nothing: handshake, head, body and silence each have a time-out; connections are capped
//!   in all and per address; heads are capped in size and number. While the listener is full, newcomers wait in the kernel.
//! - An answer given before the request was read to its end still arrives: the rest is read and thrown away for a moment
//!   before the connection is closed.
//! - A renewed certificate is used by the next connection, without a restart; a bad one is reported and the old one kept.
//! - Stopping finishes the requests in hand, up to a grace time, and leaves no task behind. A connection that was upgraded keeps its
//!   place, is told of the stop and waited for like the others. Running out of file descriptors is survived.
//! - A connection that was taken just before the stop is still asked what it came for; a request that then goes on arriving, or an
//!   answer that nobody takes, is not waited for: somebody slow does not keep the next process from its start. A socket that was
//!   handed over (`service`) is not closed by the end of this process: newcomers wait for the next one.
//!
//! A client that goes away takes its request's future with it, so handlers may be dropped at any `await`.
//!
//! Leaves out: which paths there are and how errors look (the doors).

mod activity;
mod body;
mod certificate;
mod client_ip;
mod connection;
mod descriptors;
mod linger;
mod places;
#[cfg(test)]
mod tests;
mod upgrade;

pub(crate) use descriptors::raise_limit;

pub use body::{Body, BodyError, body};
pub use client_ip::{ClientIp, FromProxy, client_ip, from_proxy};
pub use upgrade::{Upgrade, upgrade};

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body as HttpBody, Incoming};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::config::{Config, Period};
use crate::telemetry::families::CONNECTIONS;
use crate::tls::TlsError;
use certificate::Certificate;
use connection::Connection;
use places::Places;
use upgrade::Hold;

/// How long accepting rests when the system has no descriptors or memory left.
const EXHAUSTED: Duration = Duration::from_millis(200);
/// And how often that is logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// An answer that nobody acknowledges for this long ends the connection.
const UNREAD_ANSWER: Duration = Duration::from_secs(30);

/// How long after the stop a request may go on arriving, and an answer go without any of it being taken. Newcomers wait meanwhile.
const AFTER_STOP: Period = Period::seconds(3);

/// How one listener behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// In metrics.
    pub name: &'static str,
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate chain and key, as PEM files; without them the listener speaks plain HTTP/1.1.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections open at once.
    pub connections: usize,
    /// Connections open at once from one IPv4 address or one IPv6 /64; trusted proxies are not counted.
    pub connections_per_ip: usize,
    /// How long a client may take for the TLS handshake, for a whole head, and how long it may be silent between requests.
    pub read_timeout: Period,
    /// How long stopping waits for requests in hand.
    pub grace: Period,
    /// How long after the stop a request may go on arriving, and an answer go without any of it being taken.
    pub after_stop: Period,
    /// How often the certificate files are looked at.
    pub reload_every: Period,
}

impl Settings {
    /// The listener strangers reach.
    pub fn public(config: &Config) -> Self {
        let public = &config.public;
        Self {
            name: "public",
            listen: public.listen,
            tls: public.tls_cert.clone().zip(public.tls_key.clone()),
            trusted_proxies: public.trusted_proxies.clone(),
            connections: public.connections,
            connections_per_ip: public.connections_per_ip,
            read_timeout: public.read_timeout,
            grace: config.delivery.grace,
            after_stop: AFTER_STOP,
            reload_every: Period::seconds(5),
        }
    }

    /// The listener our own applications reach: no TLS, no cap per address (one application may be all the traffic).
    pub fn private(config: &Config) -> Self {
        let private = &config.private;
        Self {
            name: "private",
            listen: private.listen,
            tls: None,
            trusted_proxies: private.trusted_proxies.clone(),
            connections: private.connections,
            connections_per_ip: private.connections,
            read_timeout: private.read_timeout,
            grace: config.delivery.grace,
            after_stop: AFTER_STOP,
            reload_every: Period::seconds(5),
        }
    }
}

/// Connections to a worker's own listener: those of whoever scrapes it.
const WATCHERS: usize = 16;

impl Settings {
    /// A worker's own listener, if it is to have one.
    pub fn work(config: &Config) -> Option<Self> {
        let listen = config.work.listen?;
        let private = Self::private(config);
        Some(Self { name: "work", listen, connections: WATCHERS, connections_per_ip: WATCHERS, ..private })
    }
}

/// Why a listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, foreign or forbidden.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The service manager's socket and the settings disagree.
    #[error(
        "the socket that was handed over listens on {handed}, the settings say {address}: make them agree (for systemd: \
             `systemctl edit` the socket's unit), or mask the unit"
    )]
    Elsewhere {
        /// What the settings say.
        address: SocketAddr,
        /// Where it listens.
        handed: SocketAddr,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] TlsError),
}

/// A bound listener: from here on clients can connect, and wait until [`Listener::serve`].
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    settings: Settings,
}

impl Listener {
    /// Reads the certificate, if any, and takes the address.
    pub async fn bind(settings: Settings) -> Result<Self, ListenError> {
        let certificate = certificate(&settings)?;
        let failed = |source| ListenError::Bind { address: settings.listen, source };
        let socket = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address, certificate, settings })
    }

    /// Reads the certificate, if any, and listens on a socket that was handed over, which must be at the address of the settings:
    /// what is open is what the settings say.
    pub fn on(socket: std::net::TcpListener, settings: Settings) -> Result<Self, ListenError> {
        let certificate = certificate(&settings)?;
        let failed = |source| ListenError::Bind { address: settings.listen, source };
        let address = socket.local_addr().map_err(failed)?;
        if address != settings.listen {
            return Err(ListenError::Elsewhere { address: settings.listen, handed: address });
        }
        socket.set_nonblocking(true).map_err(failed)?;
        let socket = TcpListener::from_std(socket).map_err(failed)?;
        Ok(Self { socket, address, certificate, settings })
    }

    /// The address in use, with the port that port 0 became.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves `service` (usually `warp::service(filter)`) until `stop`, then finishes what is in hand. Dropping the future
    /// closes every connection at once.
    pub async fn serve<S, B>(self, service: S, stop: CancellationToken)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: HttpBody<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        let tasks = TaskTracker::new();
        let (stop, kill) = (stop.child_token(), CancellationToken::new());
        let _dropped = (stop.clone().drop_guard(), kill.clone().drop_guard());
        let places = Places::new(self.settings.connections, self.settings.connections_per_ip);
        if let Some(certificate) = &self.certificate {
            tasks.spawn(certificate.clone().watch(self.settings.reload_every.duration(), stop.clone()));
        }
        let connection = Connection::new(&self.settings, self.certificate.as_ref(), stop.clone());
        let mut quiet = Quiet::default();
        // When the socket is dropped, newcomers are refused by the kernel and can turn to another process (unless the service
        // manager holds it too: then they wait for the next one).
        while let Some((stream, peer, place)) = self.next(&places, &stop, &mut quiet).await {
            let (connection, service, kill) = (connection.clone(), service.clone(), kill.clone());
            let (stop, task, place) = (stop.clone(), tasks.token(), Arc::new(place));
            let hold = Hold { stop, kill: kill.clone(), task, place };
            let open = CONNECTIONS.hold([self.settings.name]);
            tasks.spawn(async move {
                let _open = open;
                kill.run_until_cancelled_owned(connection.serve(stream, peer, hold, service)).await;
            });
        }
        drop(self.socket);
        tasks.close();
        if tokio::time::timeout(self.settings.grace.duration(), tasks.wait()).await.is_err() {
            tracing::warn!(open = tasks.len(), "the grace time is over: closing connections with requests in hand");
            kill.cancel();
            tasks.wait().await;
        }
    }

    /// The next connection that there is a place for; nothing once `stop` is given.
    async fn next(
        &self,
        places: &Places,
        stop: &CancellationToken,
        quiet: &mut Quiet,
    ) -> Option<(TcpStream, SocketAddr, places::Place)> {
        loop {
            let room = stop.run_until_cancelled(places.room()).await?;
            match stop.run_until_cancelled(self.socket.accept()).await? {
                Ok((stream, peer)) => {
                    let proxy = client_ip::is_trusted(peer.ip().to_canonical(), &self.settings.trusted_proxies);
                    match places.take(room, (!proxy).then(|| peer.ip())) {
                        Some(place) => {
                            prepare(&stream);
                            return Some((stream, peer, place));
                        }
                        None => tracing::debug!(%peer, "too many connections from this address: closed"),
                    }
                }
                Err(error) if is_the_client_s(&error) => {}
                Err(error) => {
                    quiet.complain(&error);
                    stop.run_until_cancelled(tokio::time::sleep(EXHAUSTED)).await?;
                }
            }
        }
    }
}

fn certificate(settings: &Settings) -> Result<Option<Arc<Certificate>>, TlsError> {
    settings.tls.as_ref().map(|(cert, key)| Certificate::load(cert, key).map(Arc::new)).transpose()
}

/// The connection ended between the kernel's handshake and our call.
fn is_the_client_s(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn prepare(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    // None of these is worth losing a connection for.
    let _ = stream.set_nodelay(true);
    let _ = socket.set_tcp_user_timeout(Some(UNREAD_ANSWER));
    let _ = socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)));
}

/// Keeps a lasting trouble from filling the log.
#[derive(Default)]
struct Quiet {
    until: Option<Instant>,
}

impl Quiet {
    fn complain(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self.until.is_none_or(|until| until <= now) {
            self.until = Some(now + COMPLAIN_EVERY);
            tracing::warn!(%error, "no further connection can be accepted for now; raise the limit of open files?");
        }
    }
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzzed(forwarded: &http::HeaderValue) {
    let Ok(peer) = "10.0.0.1".parse() else { return };
    let Ok(trusted) = "10.0.0.0/8".parse() else { return };
    let headers = http::HeaderMap::from_iter([(http::HeaderName::from_static("x-forwarded-for"), forwarded.clone())]);
    // Whoever is not trusted is believed nothing.
    assert_eq!(client_ip::client(peer, &headers, &[]), peer);
    let said = client_ip::client(peer, &headers, &[trusted]);
    assert_eq!(said, said.to_canonical());
}
