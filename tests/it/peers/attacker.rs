//! A client that sends whatever it is told to, at whatever speed, and shows what came back.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::ca::TestCa;
use crate::secrets;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that can be written to at will.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Chunks joined.
    pub(crate) body: Bytes,
}

impl Reply {
    /// The first header of that (lower-case) name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it isn't.
    pub(crate) fn json(&self) -> serde_json::Value {
        super::php::decode(&self.body)
    }
}

/// Someone with a socket.
#[derive(Clone)]
pub(crate) struct Attacker {
    address: SocketAddr,
    host: String,
    tls: Option<Arc<ClientConfig>>,
    pace: Option<(usize, Duration)>,
}

impl Attacker {
    /// Attacks `host`, served over TLS at `address`.
    pub(crate) fn new(ca: &TestCa, host: &str, address: SocketAddr) -> Self {
        Self { tls: Some(ca.client_config()), ..Self::plain(host, address) }
    }

    /// Attacks `host`, served without TLS at `address`.
    pub(crate) fn plain(host: &str, address: SocketAddr) -> Self {
        Self { address, host: host.to_owned(), tls: None, pace: None }
    }

    /// Sends so many bytes at a time with this pause before each piece.
    pub(crate) fn slowly(self, piece: usize, pause: Duration) -> Self {
        Self { pace: Some((piece.max(1), pause)), ..self }
    }

    /// An open connection on which nothing has been sent.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Wire>> {
        let tcp = TcpStream::connect(self.address).await?;
        let Some(tls) = self.tls.clone() else { return Ok(Box::new(tcp)) };
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(tls).connect(name, tcp).await?))
    }

    /// POSTs JSON, well formed.
    pub(crate) async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> io::Result<Reply> {
        self.request("POST", path, &[("Content-Type", "application/json")], body).await
    }

    /// Any method, path, headers and body; `Host`, `Content-Length` and `Connection: close` are added unless given.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> io::Result<Reply> {
        let body = body.as_ref();
        secrets::of_body(body);
        for (_, value) in headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            secrets::of_authorization(value);
        }
        let length = body.len().to_string();
        let defaults = [("Host", self.host.as_str()), ("Content-Length", &length), ("Connection", "close")];
        let given = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut bytes = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in defaults.iter().filter(|(name, _)| !given(name)).chain(headers) {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        bytes.push_str("\r\n");
        let reply = self.raw([bytes.as_bytes(), body].concat()).await;
        if let Ok(reply) = &reply {
            secrets::of_body(&reply.body);
        }
        reply
    }

    /// These bytes and no others. An error when the other side closes, or stays silent for a minute, without an answer.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> io::Result<Reply> {
        let (reader, writer) = tokio::io::split(self.connect().await?);
        let writing = write(writer, bytes.as_ref(), self.pace);
        let reading = read(reader);
        tokio::pin!(writing, reading);
        let both = async {
            tokio::select! {
                reply = &mut reading => reply,
                // The write half is kept open: closing it could be taken for going away.
                _writer = &mut writing => reading.await,
            }
        };
        timeout(PATIENCE, both).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// Writes and gives the half back; a write that fails is no error, the answer may be there already.
async fn write<W: AsyncWrite + Unpin>(mut writer: W, bytes: &[u8], pace: Option<(usize, Duration)>) -> W {
    let (piece, pause) = pace.unwrap_or((bytes.len().max(1), Duration::ZERO));
    for piece in bytes.chunks(piece) {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        if writer.write_all(piece).await.is_err() || writer.flush().await.is_err() {
            break;
        }
    }
    writer
}

async fn read<R: AsyncRead + Unpin>(mut reader: R) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        // A peer that closes without TLS's good-bye ends the stream with an error; what was read still counts.
        let count = reader.read(&mut buffer).await.unwrap_or(0);
        bytes.extend_from_slice(&buffer[..count]);
        match parse(&bytes, count == 0) {
            Some(reply) => return Ok(reply),
            None if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    }
}

/// The reply, once it is whole; at the end of the stream also one without a length.
fn parse(bytes: &[u8], ended: bool) -> Option<Reply> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header =
        |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let mut reply = Reply { status, headers: lines.filter_map(header).collect(), body: Bytes::new() };
    let rest = &bytes[end + 4..];
    let length = reply.header("content-length").and_then(|length| length.parse::<usize>().ok());
    reply.body = match length {
        Some(length) => Bytes::copy_from_slice(rest.get(..length)?),
        None if reply.header("transfer-encoding") == Some("chunked") => unchunk(rest)?.into(),
        None if ended || status == 204 => Bytes::copy_from_slice(rest),
        None => return None,
    };
    Some(reply)
}

/// The chunks' content, once the last one is there.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 4 + size..)?;
    }
}
