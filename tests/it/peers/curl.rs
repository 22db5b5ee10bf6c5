//! The peers' HTTP client: what libcurl sends under the published options, and nothing it doesn't. HTTP/1.1, no
//! User-Agent, one hop of 301 or 302 by hand with the same body and no look at where it leads, no timeouts.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use url::Url;

use super::node::{Call, Node};

/// What `curl_exec` leaves behind.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// `curl_error` says something.
    Failed(String),
    Answered {
        status: u16,
        body: Bytes,
    },
}

/// POSTs JSON, follows one redirect, and notes the call.
pub(crate) async fn post(node: &Node, url: &str, body: &str) -> Outcome {
    let outcome = follow(node, url, body).await.unwrap_or_else(Outcome::Failed);
    let (status, answer) = match &outcome {
        Outcome::Failed(error) => (0, error.clone()),
        Outcome::Answered { status, body } => (*status, String::from_utf8_lossy(body).into_owned()),
    };
    node.called(Call { url: url.to_owned(), body: body.to_owned(), status, answer });
    outcome
}

async fn follow(node: &Node, url: &str, body: &str) -> Result<Outcome, String> {
    let url = parse(url)?;
    let first = exchange(node, &url, body).await?;
    let last = match (first.status().as_u16(), first.headers().get(header::LOCATION)) {
        (301 | 302, Some(location)) => {
            let location = location.to_str().map_err(|_| "URL using bad/illegal format")?;
            let target = url.join(location).map_err(|_| "URL using bad/illegal format")?;
            exchange(node, &target, body).await?
        }
        (301 | 302, None) => return Err("URL using bad/illegal format or missing URL".into()),
        _ => first,
    };
    Ok(Outcome::Answered { status: last.status().as_u16(), body: last.into_body() })
}

fn parse(url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|_| "URL using bad/illegal format or missing URL".to_owned())
}

async fn exchange(node: &Node, url: &Url, body: &str) -> Result<http::Response<Bytes>, String> {
    let host = url.host_str().ok_or("No host part in the URL")?;
    let port = url.port_or_known_default().ok_or("Unsupported protocol")?;
    let address = node.names.find(host, port).ok_or_else(|| format!("Could not resolve host: {host}"))?;
    let tcp = TcpStream::connect(address).await.map_err(|_| format!("Failed to connect to {host} port {port}"))?;
    match url.scheme() {
        "http" => send(tcp, url, host, body).await,
        "https" => {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| "SSL: no host name")?;
            let tls = TlsConnector::from(node.tls.clone()).connect(name, tcp).await;
            send(tls.map_err(|error| format!("SSL certificate problem: {error}"))?, url, host, body).await
        }
        scheme => Err(format!("Protocol \"{scheme}\" not supported")),
    }
}

async fn send<S>(stream: S, url: &Url, host: &str, body: &str) -> Result<http::Response<Bytes>, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let request = Request::post(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(header::HOST, host)
        .header(header::ACCEPT, "*/*")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .map_err(|error| error.to_string())?;
    let handshake = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|_| "Empty reply from server")?;
    let (head, incoming) = response.into_parts();
    let body = incoming.collect().await.map_err(|_| "transfer closed with outstanding read data remaining")?;
    driver.abort();
    Ok(http::Response::from_parts(head, body.to_bytes()))
}
