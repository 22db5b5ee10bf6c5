//! The listener over loopback, against clients that are slow, rude, many or merely late.

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use warp::{Filter, Reply};

use super::*;
use crate::config::ByteSize;
use crate::tls;

/// Nothing here takes this long; a test that hangs fails instead.
const AT_MOST: Duration = Duration::from_secs(20);

fn settings() -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        trusted_proxies: Vec::new(),
        connections: 100,
        connections_per_ip: 100,
        read_timeout: Period::seconds(30),
        grace: Period::seconds(10),
        reload_every: Period::millis(20),
    }
}

/// A running listener with a few paths to try things on.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    /// Told when a request for `/slow` is in hand.
    slow: mpsc::UnboundedReceiver<()>,
    /// Lets one request for `/slow` be answered.
    go_on: Arc<Notify>,
    task: JoinHandle<()>,
}

async fn running(settings: Settings) -> Running {
    let listener = Listener::bind(settings).await.unwrap();
    let (address, stop) = (listener.local_addr(), CancellationToken::new());
    let (told, slow) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let service = warp::service(paths(told, Arc::clone(&go_on)));
    let task = tokio::spawn(listener.serve(service, stop.clone()));
    Running { address, stop, slow, go_on, task }
}

fn paths(
    told: mpsc::UnboundedSender<()>,
    go_on: Arc<Notify>,
) -> impl Filter<Extract = (impl Reply,), Error = warp::Rejection> + Clone {
    let ip = warp::path("ip").and(client_ip()).map(|ip: IpAddr| ip.to_string());
    let early = warp::path("early").map(|| "early".to_owned());
    let slow = warp::path("slow").then(move || {
        let (told, go_on) = (told.clone(), Arc::clone(&go_on));
        async move {
            told.send(()).unwrap();
            go_on.notified().await;
            "slow".to_owned()
        }
    });
    let echo = warp::path("echo").and(body()).then(async |body: Body| {
        match body.read(ByteSize::kib(64), Period::millis(300)).await {
            Ok(bytes) => bytes.len().to_string(),
            Err(error) => error.to_string(),
        }
    });
    ip.or(early).unify().or(slow).unify().or(echo).unify()
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One request on a connection of its own; everything that comes back until the server closes.
    async fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        rest(&mut stream).await
    }
}

/// Everything until the server closes. A reset is an error, not an end.
async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    tokio::time::timeout(AT_MOST, stream.read_to_end(&mut text)).await.expect("the server closes").unwrap();
    String::from_utf8(text).unwrap()
}

/// Reads until `text` has come.
async fn until(stream: &mut (impl tokio::io::AsyncRead + Unpin), text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let byte = tokio::time::timeout(AT_MOST, stream.read_u8()).await.expect("something comes");
        read.push(byte.unwrap());
    }
}

const CLOSE: &str = "Host: x\r\nConnection: close\r\n";

#[tokio::test]
async fn x_forwarded_for_counts_only_from_a_trusted_proxy() {
    let request = format!("GET /ip HTTP/1.1\r\n{CLOSE}X-Forwarded-For: 1.2.3.4, 198.51.100.7\r\n\r\n");
    let direct = running(settings()).await;
    assert!(direct.ask(&request).await.ends_with("\r\n\r\n127.0.0.1"));
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let behind = running(Settings { trusted_proxies, ..settings() }).await;
    assert!(behind.ask(&request).await.ends_with("\r\n\r\n198.51.100.7"));
}

#[tokio::test]
async fn a_slow_head_and_silence_are_cut_off() {
    let server = running(Settings { read_timeout: Period::millis(200), ..settings() }).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /early HTTP/1.1\r\nHost:").await.unwrap();
    let mut idle = server.connect().await;
    idle.write_all(b"GET /early HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(rest(&mut idle).await.ends_with("early"));
    assert!(!rest(&mut slow).await.contains("early"));
    rest(&mut silent).await;
}

#[tokio::test]
async fn heads_have_a_limit() {
    let server = running(settings()).await;
    let long = format!("GET /early HTTP/1.1\r\n{CLOSE}X: {}\r\n\r\n", "x".repeat(20 << 10));
    assert!(server.ask(long).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET /early HTTP/1.1\r\n{CLOSE}{}\r\n", "X: x\r\n".repeat(100));
    assert!(server.ask(many).await.starts_with("HTTP/1.1 431"));
    let good = format!("GET /early HTTP/1.1\r\n{CLOSE}X: {}\r\n\r\n", "x".repeat(8 << 10));
    assert!(server.ask(good).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_door_hears_of_bodies_too_large_and_too_slow() {
    let server = running(settings()).await;
    let post = |length: usize| format!("POST /echo HTTP/1.1\r\n{CLOSE}Content-Length: {length}\r\n\r\n");
    assert!(server.ask(post(5) + "12345").await.ends_with("\r\n\r\n5"));
    assert!(server.ask(post(65_536) + &"x".repeat(65_536)).await.ends_with("\r\n\r\n65536"));
    assert!(server.ask(post(5) + "123").await.ends_with("the request body did not arrive in time"));
    assert!(server.ask(post(65_537)).await.ends_with("the request body is too large"));
    let chunked = format!("POST /echo HTTP/1.1\r\n{CLOSE}Transfer-Encoding: chunked\r\n\r\n");
    let chunks = format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(3) + "0\r\n\r\n";
    assert!(server.ask(chunked + &chunks).await.ends_with("the request body is too large"));
}

/// The client writes a whole megabyte before it reads, to handlers that read little or nothing of it.
#[tokio::test]
async fn an_early_answer_survives_an_unread_body() {
    let server = running(settings()).await;
    for (path, answer) in [("/early", "early"), ("/echo", "the request body is too large")] {
        for _ in 0..5 {
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n");
            let text = server.ask(head + &"x".repeat(900_000)).await;
            assert!(text.ends_with(answer), "{text}");
        }
    }
}

#[tokio::test]
async fn a_full_listener_lets_newcomers_wait() {
    let mut server = running(Settings { connections: 2, ..settings() }).await;
    let slow = format!("GET /slow HTTP/1.1\r\n{CLOSE}\r\n");
    let (mut one, mut two, mut three) = (server.connect().await, server.connect().await, server.connect().await);
    for stream in [&mut one, &mut two, &mut three] {
        stream.write_all(slow.as_bytes()).await.unwrap();
    }
    server.slow.recv().await.unwrap();
    server.slow.recv().await.unwrap();
    // The third is in the kernel's hands until one of the first two has gone.
    assert!(tokio::time::timeout(Duration::from_millis(200), server.slow.recv()).await.is_err());
    server.go_on.notify_one();
    let served = tokio::select! { text = rest(&mut one) => text, text = rest(&mut two) => text };
    assert!(served.ends_with("slow"));
    drop((one, two));
    server.slow.recv().await.unwrap();
    server.go_on.notify_waiters();
    assert!(rest(&mut three).await.ends_with("slow"));
}

#[tokio::test]
async fn one_address_has_only_so_many_connections_unless_it_is_a_trusted_proxy() {
    let request = format!("GET /early HTTP/1.1\r\n{CLOSE}\r\n");
    for (trusted_proxies, welcome) in [(vec![], false), (vec!["127.0.0.1/32".parse().unwrap()], true)] {
        let mut server = running(Settings { connections_per_ip: 1, trusted_proxies, ..settings() }).await;
        let mut first = server.connect().await;
        first.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        server.slow.recv().await.unwrap();
        let mut second = server.connect().await;
        let _ = second.write_all(request.as_bytes()).await;
        let mut text = Vec::new();
        // A connection that is closed at once may be seen as reset.
        let _ = tokio::time::timeout(AT_MOST, second.read_to_end(&mut text)).await.unwrap();
        assert_eq!(text.ends_with(b"early"), welcome);
        server.go_on.notify_one();
        until(&mut first, "slow").await;
    }
}

#[tokio::test]
async fn stopping_finishes_what_is_in_hand() {
    let mut server = running(settings()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /early HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    until(&mut idle, "early").await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    server.slow.recv().await.unwrap();
    server.stop.cancel();
    assert_eq!(rest(&mut idle).await, "", "an idle connection is closed at once");
    drop(idle);
    // The socket is gone as soon as stopping has begun.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.task.is_finished());
    server.go_on.notify_one();
    assert!(rest(&mut busy).await.ends_with("slow"));
    drop(busy);
    tokio::time::timeout(AT_MOST, server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_longer_than_the_grace() {
    let mut server = running(Settings { grace: Period::millis(200), ..settings() }).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    server.slow.recv().await.unwrap();
    server.stop.cancel();
    tokio::time::timeout(AT_MOST, server.task).await.unwrap().unwrap();
    assert!(!rest(&mut busy).await.contains("slow"));
}

#[tokio::test]
async fn a_dropped_listener_closes_its_connections() {
    let mut server = running(settings()).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    server.slow.recv().await.unwrap();
    server.task.abort();
    assert!(!rest(&mut busy).await.contains("slow"));
}

fn write_certificate(directory: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

fn with_tls(directory: &Path) -> Settings {
    Settings { tls: Some((directory.join("cert.pem"), directory.join("key.pem"))), ..settings() }
}

/// A handshake that trusts exactly what lies in `cert.pem` now, and asks for `name`.
async fn handshake(
    address: SocketAddr,
    directory: &Path,
    name: &str,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let pem = std::fs::read(directory.join("cert.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn tls_speaks_http_1_and_2() {
    let directory = tempfile::tempdir().unwrap();
    write_certificate(directory.path(), "one.test");
    let server = running(with_tls(directory.path())).await;
    let mut one = handshake(server.address, directory.path(), "one.test", "http/1.1").await.unwrap();
    one.write_all(format!("GET /early HTTP/1.1\r\n{CLOSE}\r\n").as_bytes()).await.unwrap();
    assert!(rest(&mut one).await.ends_with("early"));

    let two = handshake(server.address, directory.path(), "one.test", "h2").await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(two)).await.unwrap();
    tokio::spawn(connection);
    let post = |path, body: Vec<u8>| {
        http::Request::post(format!("https://one.test{path}")).body(Full::new(Bytes::from(body))).unwrap()
    };
    for (path, body, expected) in [
        ("/echo", vec![b'x'; 1000], "1000"),
        ("/echo", vec![b'x'; 70_000], "the request body is too large"),
        ("/ip", vec![], "127.0.0.1"),
    ] {
        let answer = send.send_request(post(path, body)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.collect().await.unwrap().to_bytes(), expected);
    }
}

#[tokio::test]
async fn an_idle_http_2_connection_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    write_certificate(directory.path(), "one.test");
    let server = running(Settings { read_timeout: Period::millis(300), ..with_tls(directory.path()) }).await;
    let stream = handshake(server.address, directory.path(), "one.test", "h2").await.unwrap();
    let (send, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    // It answers pings all the time; that alone must not keep it open.
    tokio::time::timeout(AT_MOST, connection).await.expect("the server closes").unwrap();
    drop(send);
}

#[tokio::test]
async fn a_handshake_that_hangs_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    write_certificate(directory.path(), "one.test");
    let server = running(Settings { read_timeout: Period::millis(200), ..with_tls(directory.path()) }).await;
    let mut silent = server.connect().await;
    assert_eq!(rest(&mut silent).await, "");
}

#[tokio::test]
async fn a_new_certificate_is_used_and_a_bad_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_certificate(path, "one.test");
    let server = running(with_tls(path)).await;
    let mut early = handshake(server.address, path, "one.test", "http/1.1").await.unwrap();

    write_certificate(path, "two.test");
    let renewed = async {
        while handshake(server.address, path, "two.test", "http/1.1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(AT_MOST, renewed).await.expect("the new certificate is used");
    early.write_all(format!("GET /early HTTP/1.1\r\n{CLOSE}\r\n").as_bytes()).await.unwrap();
    assert!(rest(&mut early).await.ends_with("early"), "an open connection is not disturbed");
}

#[test]
fn a_bad_certificate_leaves_the_old_one_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_certificate(path, "one.test");
    let certificate = Certificate::load(&path.join("cert.pem"), &path.join("key.pem")).unwrap();
    let mut seen = certificate.look(0);
    let first = certificate.in_use();

    let key = std::fs::read(path.join("key.pem")).unwrap();
    write_certificate(path, "two.test");
    let renewed = std::fs::read(path.join("key.pem")).unwrap();
    // The certificate has been replaced, its key not yet.
    std::fs::write(path.join("key.pem"), key).unwrap();
    seen = certificate.look(seen);
    assert_eq!(certificate.in_use(), first);
    std::fs::remove_file(path.join("key.pem")).unwrap();
    seen = certificate.look(seen);
    assert_eq!(certificate.in_use(), first);
    std::fs::write(path.join("key.pem"), renewed).unwrap();
    certificate.look(seen);
    assert_ne!(certificate.in_use(), first);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let taken = running(settings()).await;
    let error = Listener::bind(Settings { listen: taken.address, ..settings() }).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {}: ", taken.address)), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let error = Listener::bind(with_tls(directory.path())).await.unwrap_err().to_string();
    assert!(error.contains("cert.pem: cannot be read: "), "{error}");
}

/// A panic in one handler is that request's end and nobody else's.
#[tokio::test]
async fn a_panic_frees_its_place() {
    let listener = Listener::bind(Settings { connections: 1, ..settings() }).await.unwrap();
    let (address, calls) = (listener.local_addr(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&calls);
    let filter = warp::any().map(move || {
        assert!(counter.fetch_add(1, Ordering::SeqCst) > 0, "the first request panics");
        "fine"
    });
    tokio::spawn(listener.serve(warp::service(filter), CancellationToken::new()));
    let request = format!("GET / HTTP/1.1\r\n{CLOSE}\r\n");
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    let _ = tokio::time::timeout(AT_MOST, first.read_to_end(&mut text)).await.unwrap();
    assert!(text.is_empty());
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(request.as_bytes()).await.unwrap();
    assert!(rest(&mut second).await.ends_with("fine"));
}
