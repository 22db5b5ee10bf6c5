//! Certificates, handshakes and HTTP/2.

use std::path::Path;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::tls;

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
