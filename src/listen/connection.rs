//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::Settings;
use super::activity::{Activity, InHand, Told};
use super::body::Stop;
use super::certificate::Certificate;
use super::client_ip::{ClientIp, FromProxy, client, is_trusted};
use super::linger::Lingering;
use super::upgrade::{Hold, Upgrade};

/// A head may be this long and have so many lines; every protocol here stays far below.
const LONGEST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// How long a stop waits for the first request of a connection: it was on its way when the connection was taken.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// What is buffered for one connection in each direction.
const BUFFER: usize = 64 << 10;
/// HTTP/2 requests at once on one connection.
const STREAMS: u32 = 64;

/// How long an answer over HTTP/1 may go without any of it being taken, once its connection is to end.
const UNREAD: Duration = Duration::from_secs(300);

type BoxError = Box<dyn Error + Send + Sync>;

/// What every connection of one listener has in common.
#[derive(Clone)]
pub(super) struct Connection {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    trusted: Arc<[IpNet]>,
    patience: Duration,
    stop: Arc<Stop>,
}

impl Connection {
    pub(super) fn new(settings: &Settings, certificate: Option<&Arc<Certificate>>, stop: CancellationToken) -> Self {
        let patience = settings.read_timeout.duration();
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(patience);
        http1.max_headers(MOST_HEADERS).max_header_size(LONGEST_HEAD).max_buf_size(BUFFER);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2.timer(TokioTimer::new()).keep_alive_interval(patience).keep_alive_timeout(patience);
        http2.max_header_list_size(LONGEST_HEAD as u32).max_concurrent_streams(STREAMS).max_send_buf_size(BUFFER);
        http2.initial_stream_window_size(BUFFER as u32).initial_connection_window_size(4 * BUFFER as u32);
        let stop = Arc::new(Stop { told: stop, patience: settings.after_stop.duration() });
        let tls = certificate.map(|certificate| TlsAcceptor::from(Arc::new(certificate.server_config())));
        Self { http1, http2, tls, trusted: settings.trusted_proxies.clone().into(), patience, stop }
    }

    /// Returns when the connection is closed. What goes wrong on the way is the client's affair and only a debug line.
    pub(super) async fn serve<S, B>(&self, stream: TcpStream, peer: SocketAddr, hold: Hold, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let activity = Arc::new(Activity::new());
        let stream = Lingering::new(stream, Arc::clone(&activity));
        let outcome = match &self.tls {
            None => self.speak(stream, false, peer, hold, service, activity).await,
            Some(tls) => match self.until_soon_after_the_stop(timeout(self.patience, tls.accept(stream))).await {
                None => Ok(()),
                Some(Err(_)) => Err("the TLS handshake took too long".into()),
                Some(Ok(Err(error))) => Err(error.into()),
                Some(Ok(Ok(stream))) => {
                    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    self.speak(stream, h2, peer, hold, service, activity).await
                }
            },
        };
        if let Err(error) = outcome {
            tracing::debug!(%peer, error, "connection ended");
        }
    }

    async fn until_soon_after_the_stop<F: Future>(&self, work: F) -> Option<F::Output> {
        let soon_after = async {
            self.stop.told.cancelled().await;
            sleep(FIRST_REQUEST).await;
        };
        tokio::select! {
            done = work => Some(done),
            () = soon_after => None,
        }
    }

    async fn speak<I, S, B>(
        &self,
        io: I,
        h2: bool,
        peer: SocketAddr,
        hold: Hold,
        service: S,
        activity: Arc<Activity>,
    ) -> Result<(), BoxError>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let service = self.hand_over(peer.ip(), hold, service, &activity);
        let io = TokioIo::new(io);
        if h2 {
            // What is neither in hand nor moving is an answer that its client does not read: a window of zero and answered pings
            // would hold the place for ever.
            let connection = self.http2.serve_connection(io, service);
            let finish = http2::Connection::graceful_shutdown;
            self.drive(connection, finish, &activity, self.patience).await.map_err(Into::into)
        } else {
            // The kernel's time-out ends who acknowledges nothing; this, who reads a byte now and then.
            let connection = self.http1.serve_connection(io, service).with_upgrades();
            let finish = http1::UpgradeableConnection::graceful_shutdown;
            self.drive(connection, finish, &activity, UNREAD).await.map_err(Into::into)
        }
    }

    /// What hyper calls for each request.
    fn hand_over<S, B>(
        &self,
        peer: IpAddr,
        hold: Hold,
        service: S,
        activity: &Arc<Activity>,
    ) -> impl HttpService<Incoming, ResBody = Told<B>, Error = Infallible, Future: Send> + use<S, B>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: Body + Unpin,
    {
        let (trusted, activity, stop) = (Arc::clone(&self.trusted), Arc::clone(activity), Arc::clone(&self.stop));
        service_fn(move |mut request: Request<Incoming>| {
            let mut service = service.clone();
            let in_hand = InHand::new(&activity);
            let address = client(peer, request.headers(), &trusted);
            request.extensions_mut().insert(ClientIp(address));
            request.extensions_mut().insert(FromProxy(is_trusted(peer.to_canonical(), &trusted)));
            request.extensions_mut().insert(Arc::clone(&stop));
            name_host(&mut request);
            if let Some(coming) = request.extensions_mut().remove::<OnUpgrade>() {
                request.extensions_mut().insert(Upgrade::new(coming, hold.clone()));
            }
            async move {
                let in_hand = in_hand;
                std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
                let response = service.call(request).await?;
                Ok(response.map(|body| Told::new(body, &in_hand)))
            }
        })
    }

    /// Runs the connection to its end, which is also when it was upgraded; asks it to finish when the node stops or when it has been
    /// idle for too long. After that it has `farewell` from its last request on, and less once the node stops.
    async fn drive<C: Future<Output = hyper::Result<()>>>(
        &self,
        connection: C,
        finish: impl FnOnce(Pin<&mut C>),
        activity: &Activity,
        farewell: Duration,
    ) -> hyper::Result<()> {
        let mut connection = pin!(connection);
        tokio::select! {
            done = connection.as_mut() => return done,
            () = self.stop.told.cancelled() => {
                // hyper would close a connection of which nothing has been read yet.
                tokio::select! {
                    done = connection.as_mut() => return done,
                    () = activity.asked() => {}
                    () = sleep(FIRST_REQUEST) => {}
                }
            }
            () = activity.idle_for(self.patience) => {}
        }
        finish(connection.as_mut());
        let stopped = async {
            self.stop.told.cancelled().await;
            activity.stuck_for(self.stop.patience).await;
        };
        tokio::select! {
            done = connection => done,
            () = activity.idle_for(farewell) => Ok(()),
            () = stopped => Ok(()),
        }
    }
}

/// HTTP/2 names the host in `:authority` and not in `Host` (RFC 9113, 8.3.1): what is asked for `Host` must find it either way.
fn name_host<B>(request: &mut Request<B>) {
    if request.headers().contains_key(HOST) {
        return;
    }
    let host = request.uri().authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_once_whatever_the_version() {
        let host = |uri: &str, header: Option<&str>| {
            let mut request = Request::builder().uri(uri);
            if let Some(value) = header {
                request = request.header(HOST, value);
            }
            let mut request = request.body(()).unwrap();
            name_host(&mut request);
            let found: Vec<_> =
                request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap().to_owned()).collect();
            found
        };
        assert_eq!(host("https://shop.example:8443/x", None), ["shop.example:8443"]);
        assert_eq!(host("/x", Some("shop.example")), ["shop.example"]);
        assert_eq!(host("https://other.example/x", Some("shop.example")), ["shop.example"]);
        assert!(host("/x", None).is_empty());
    }
}
