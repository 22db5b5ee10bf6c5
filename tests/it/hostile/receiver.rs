//! A receiver that plays a trick on its first connection and behaves on every later one.
//!
//! A trick is data: how far TLS goes, whether the request is read, what is said then, and how it goes on. Nothing here speaks
//! HTTP by a library, for a library would refuse to say most of it.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::node::Net;
use crate::peers::TestCa;

/// What is said where a receiver behaves.
const THANKS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// One way to misbehave.
#[derive(Clone)]
pub(super) struct Trick {
    /// What lies under the words.
    pub(super) layer: Layer,
    /// Whether the request is read, to its last byte, before anything is said.
    pub(super) hears: bool,
    /// Said once.
    pub(super) says: Vec<u8>,
    /// What comes after that.
    pub(super) then: Then,
}

/// How far TLS goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// None: what is said answers the ClientHello.
    Tcp,
    /// As it should be.
    Tls,
    /// A server that offers HTTP/2 only.
    OnlyH2,
    /// The certificate is another host's.
    OtherName,
    /// The certificate is signed by nobody that the node trusts.
    OtherAuthority,
}

/// How it goes on.
#[derive(Clone)]
pub(super) enum Then {
    /// Says nothing more, until the node gives up.
    Waits,
    /// Ends the connection in good order.
    Closes,
    /// Ends its own direction and waits for the node to end the other.
    HalfCloses,
    /// Ends it with a reset.
    Resets,
    /// Says this again and again, with a pause in between, until the node gives up.
    Repeats(Vec<u8>, Duration),
    /// Says this again and again as fast as it is taken.
    Floods(Vec<u8>),
}

/// A request of which it was told the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) id: String,
    /// `Accept-Encoding`, which none should have.
    pub(super) encodings: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Listens until the test ends.
pub(super) struct Receiver {
    state: Arc<State>,
}

struct State {
    trick: Trick,
    tricky: Arc<ServerConfig>,
    good: Arc<ServerConfig>,
    connections: AtomicUsize,
    over: AtomicUsize,
    taken: AtomicU64,
    heard: Mutex<Vec<Heard>>,
}

impl Receiver {
    /// Under `domain`, for nodes that start from now on.
    pub(super) async fn start(net: &Net, domain: &str, trick: Trick) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        net.name(domain, listener.local_addr().unwrap());
        let good = net.ca.server_config(domain);
        let state = Arc::new(State {
            tricky: certificate(net, domain, trick.layer, &good),
            trick,
            good,
            connections: AtomicUsize::new(0),
            over: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            heard: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let first = shared.connections.fetch_add(1, Ordering::SeqCst) == 0;
                let state = Arc::clone(&shared);
                tokio::spawn(
                    async move { if first { state.misbehave(stream).await } else { state.behave(stream).await } },
                );
            }
        });
        Self { state }
    }

    /// Whether the trick was played and the node has let go of that connection.
    pub(super) fn is_over(&self) -> bool {
        self.state.over.load(Ordering::SeqCst) == 1
    }

    /// Bytes of repetitions that were taken off its hands.
    pub(super) fn taken(&self) -> u64 {
        self.state.taken.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// All whole requests.
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.state.heard.lock().unwrap().clone()
    }
}

fn certificate(net: &Net, domain: &str, layer: Layer, good: &Arc<ServerConfig>) -> Arc<ServerConfig> {
    match layer {
        Layer::Tcp | Layer::Tls => Arc::clone(good),
        Layer::OnlyH2 => {
            let mut config = ServerConfig::clone(good);
            config.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(config)
        }
        Layer::OtherName => net.ca.server_config("somebody-else.test"),
        Layer::OtherAuthority => TestCa::new().server_config(domain),
    }
}

impl State {
    async fn misbehave(&self, stream: TcpStream) {
        if matches!(self.trick.then, Then::Resets) {
            // Whatever ends this connection, it ends with a reset.
            stream.set_zero_linger().unwrap();
        }
        if self.trick.layer == Layer::Tcp {
            self.play(stream).await;
        } else if let Ok(stream) = TlsAcceptor::from(Arc::clone(&self.tricky)).accept(stream).await {
            self.play(stream).await;
        }
        self.over.fetch_add(1, Ordering::SeqCst);
    }

    async fn play<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S) {
        if self.trick.hears
            && let Some(heard) = hear(&mut stream).await
        {
            self.heard.lock().unwrap().push(heard);
        }
        if say(&mut stream, &self.trick.says).await.is_err() {
            return;
        }
        match &self.trick.then {
            Then::Closes => drop(stream.shutdown().await),
            Then::Resets => {}
            Then::Waits => until_closed(&mut stream).await,
            Then::HalfCloses => {
                let _ = stream.shutdown().await;
                until_closed(&mut stream).await;
            }
            Then::Repeats(words, pause) => self.repeat(stream, words, *pause).await,
            Then::Floods(words) => self.repeat(stream, words, Duration::ZERO).await,
        }
    }

    /// Reads meanwhile: who speaks without listening would not hear that the node is gone.
    async fn repeat<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, words: &[u8], pause: Duration) {
        let (mut listening, mut speaking) = tokio::io::split(stream);
        let speak = async {
            while say(&mut speaking, words).await.is_ok() {
                self.taken.fetch_add(words.len() as u64, Ordering::SeqCst);
                // Without a pause it still lets others run.
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! { () = speak => {}, () = until_closed(&mut listening) => {} }
    }

    async fn behave(&self, stream: TcpStream) {
        let Ok(mut stream) = TlsAcceptor::from(Arc::clone(&self.good)).accept(stream).await else { return };
        while let Some(heard) = hear(&mut stream).await {
            self.heard.lock().unwrap().push(heard);
            if say(&mut stream, THANKS).await.is_err() {
                return;
            }
        }
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), words: &[u8]) -> std::io::Result<()> {
    stream.write_all(words).await?;
    stream.flush().await
}

async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
}

/// One request; `None` where the connection ends before it does.
async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> Option<Heard> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let field = |wanted: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned()).next_back()
    };
    let mut body = vec![0; field("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some(Heard { id: field("webhook-id")?, encodings: field("accept-encoding"), body })
}
