//! Connections that leave HTTP behind.

use hyper_util::rt::TokioIo;
use warp::reply::Response;

use super::*;

/// A listener whose clients are upgraded: they are sent back what they send, and `bye` at the stop.
async fn echoing(settings: Settings) -> Running {
    let listener = Listener::bind(settings).await.unwrap();
    let (address, stop) = (listener.local_addr(), CancellationToken::new());
    let (_, slow) = mpsc::unbounded_channel();
    let filter = warp::any().and(upgrade()).map(|upgrade: Option<Upgrade>| {
        let Some(upgrade) = upgrade else { return "plain".into_response() };
        upgrade.run(|connection, stop| async move {
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(connection));
            tokio::select! {
                _ = tokio::io::copy(&mut reader, &mut writer) => {}
                () = stop.cancelled() => {}
            }
            let _ = writer.write_all(b"bye").await;
            let _ = writer.shutdown().await;
        });
        let mut response = Response::new(Vec::new().into());
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("upgrade", http::HeaderValue::from_static("echo"));
        response.headers_mut().insert("connection", http::HeaderValue::from_static("upgrade"));
        response
    });
    let task = tokio::spawn(listener.serve(warp::service(filter), stop.clone()));
    Running { address, stop, slow, go_on: Arc::default(), task }
}

impl Running {
    /// Upgraded, and proven to be.
    async fn upgraded(&self) -> TcpStream {
        let mut stream = self.connect().await;
        let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly";
        stream.write_all(request.as_bytes()).await.unwrap();
        until(&mut stream, "\r\n\r\nearly").await;
        stream
    }
}

#[tokio::test]
async fn an_upgraded_connection_outlives_the_patience_for_silence() {
    let server = echoing(Settings { read_timeout: Period::millis(100), ..settings() }).await;
    let mut stream = server.upgraded().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    stream.write_all(b"still here").await.unwrap();
    until(&mut stream, "still here").await;
}

#[tokio::test]
async fn an_upgraded_connection_keeps_its_place() {
    let server = echoing(Settings { connections: 1, ..settings() }).await;
    let first = server.upgraded().await;
    let mut second = server.connect().await;
    second.write_all(format!("GET / HTTP/1.1\r\n{CLOSE}\r\n").as_bytes()).await.unwrap();
    let mut byte = [0];
    let waits = tokio::time::timeout(Duration::from_millis(200), second.read(&mut byte)).await;
    assert!(waits.is_err(), "the only place is taken");
    drop(first);
    assert!(rest(&mut second).await.ends_with("plain"));
}

#[tokio::test]
async fn stopping_tells_upgraded_connections_and_waits_for_them() {
    let server = echoing(settings()).await;
    let mut stream = server.upgraded().await;
    server.stop.cancel();
    assert_eq!(rest(&mut stream).await, "bye");
    drop(stream);
    tokio::time::timeout(AT_MOST, server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dropped_listener_ends_upgraded_connections() {
    let server = echoing(settings()).await;
    let mut stream = server.upgraded().await;
    server.task.abort();
    let mut text = Vec::new();
    tokio::time::timeout(AT_MOST, stream.read_to_end(&mut text)).await.expect("it ends").unwrap();
}
