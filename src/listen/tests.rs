//! The listener over loopback, against clients that are slow, rude, many or merely late.

mod tls;
mod upgrade;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use warp::{Filter, Reply};

use super::*;
use crate::config::ByteSize;

/// Nothing here takes this long; a test that hangs fails instead.
const AT_MOST: Duration = Duration::from_secs(20);

fn settings() -> Settings {
    Settings {
        name: "test",
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        trusted_proxies: Vec::new(),
        connections: 100,
        connections_per_ip: 100,
        read_timeout: Period::seconds(30),
        grace: Period::seconds(10),
        after_stop: Period::seconds(3),
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
    let arrived = warp::path("patient").and(body()).then(async |body: Body| {
        body.read(ByteSize::kib(64), Period::seconds(60))
            .await
            .map_or_else(|e| e.to_string(), |bytes| bytes.len().to_string())
    });
    let large = warp::path("large").map(|| "x".repeat(64 << 20));
    ip.or(early).unify().or(slow).unify().or(echo).unify().or(arrived).unify().or(large).unify()
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

/// The client reads only when it has written its last byte, and writes more than the kernel takes from it.
#[tokio::test]
async fn an_early_answer_survives_an_unread_body() {
    let server = running(settings()).await;
    for (path, answer) in [("/early", "early"), ("/echo", "the request body is too large")] {
        let mut stream = server.connect().await;
        socket2::SockRef::from(&stream).set_send_buffer_size(8 << 10).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&[b'x'; 900_000]).await.expect("the server does not hang up on a writing client");
        assert!(rest(&mut stream).await.ends_with(answer));
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
    server.go_on.notify_one();
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
async fn a_connection_that_was_taken_just_before_the_stop_is_answered() {
    let server = running(settings()).await;
    let mut silent = server.connect().await;
    // Taken in order: when the second has its answer, the first has its place.
    let mut other = server.connect().await;
    other.write_all(b"GET /early HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    until(&mut other, "early").await;
    server.stop.cancel();
    assert_eq!(rest(&mut other).await, "", "the stop has begun");
    silent.write_all(b"GET /early HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(rest(&mut silent).await.ends_with("early"));
    drop((other, silent));
    tokio::time::timeout(AT_MOST, server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn newcomers_at_a_socket_that_was_handed_over_wait_for_the_next_process() {
    let kept = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = Settings { listen: kept.local_addr().unwrap(), ..settings() };
    let on = |settings: &Settings| Listener::on(kept.try_clone().unwrap(), settings.clone()).unwrap();
    let service = || warp::service(warp::any().map(|| "here"));
    let stop = CancellationToken::new();
    stop.cancel();
    on(&settings).serve(service(), stop).await;
    let mut newcomer = TcpStream::connect(settings.listen).await.unwrap();
    newcomer.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    tokio::spawn(on(&settings).serve(service(), CancellationToken::new()));
    assert!(rest(&mut newcomer).await.ends_with("here"));
}

#[tokio::test]
async fn a_socket_that_is_not_where_the_settings_say_is_refused() {
    let handed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = handed.local_addr().unwrap();
    let refused = Listener::on(handed, settings()).unwrap_err().to_string();
    assert!(refused.contains(&at.to_string()) && refused.contains("127.0.0.1:0"), "{refused}");
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

/// What was begun before the stop: half a head, a body of which a byte comes now and then, an answer that nobody reads.
#[tokio::test]
async fn nobody_slow_is_waited_for_after_the_stop() {
    let grace = Period::seconds(600);
    let server = running(Settings { grace, after_stop: Period::millis(200), ..settings() }).await;
    let (mut head, mut body, mut large) = (server.connect().await, server.connect().await, server.connect().await);
    head.write_all(b"GET /early HTTP/1.1\r\nHo").await.unwrap();
    body.write_all(b"POST /patient HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n1").await.unwrap();
    large.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    until(&mut large, "\r\n\r\n").await;
    let (mut answer, mut trickle) = body.into_split();
    tokio::spawn(async move {
        while trickle.write_all(b"1").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    server.stop.cancel();
    until(&mut answer, "did not arrive in time").await;
    tokio::time::timeout(AT_MOST, server.task).await.expect("long before the grace is over").unwrap();
}

/// However slowly: what was begun to be answered is not torn.
#[tokio::test]
async fn who_goes_on_reading_has_the_whole_answer_after_the_stop() {
    let server = running(Settings { after_stop: Period::seconds(2), ..settings() }).await;
    let mut large = server.connect().await;
    large.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    until(&mut large, "\r\n\r\n").await;
    server.stop.cancel();
    let mut part = vec![0; 1 << 20];
    for _ in 0..64 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        large.read_exact(&mut part).await.expect("the whole answer");
    }
    tokio::time::timeout(AT_MOST, server.task).await.expect("and then the end").unwrap();
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
