//! One kept-alive HTTP/1.1 connection, one request at a time: only what our own node's answers need (a status, a
//! Content-Length, Retry-After).

use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer takes longer, or the node hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// When a node asks for patience and does not say for how long.
const SHORTLY: Duration = Duration::from_millis(200);

/// The connection.
pub(super) struct Connection {
    at: String,
    stream: TcpStream,
    answer: Vec<u8>,
}

/// An answer.
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    pub(super) retry_after: Duration,
    pub(super) body: &'a [u8],
}

struct Head {
    status: u16,
    retry_after: Duration,
    /// Bytes before the body, and of it.
    length: usize,
    content: usize,
    closes: bool,
}

impl Connection {
    pub(super) async fn open(at: &str) -> anyhow::Result<Self> {
        let stream = connect(at).await?;
        Ok(Self { at: at.to_owned(), stream, answer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request, reads its answer to the end.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Reply<'_>> {
        let head =
            tokio::time::timeout(PATIENCE, self.attempt(request)).await.context("no answer within a minute")??;
        if head.closes {
            self.stream = connect(&self.at).await?;
        }
        let body = &self.answer[head.length..head.length + head.content];
        Ok(Reply { status: head.status, retry_after: head.retry_after, body })
    }

    async fn attempt(&mut self, request: &[u8]) -> anyhow::Result<Head> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        loop {
            anyhow::ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the connection was closed");
            let Some(head) = head(&self.answer)? else { continue };
            while self.answer.len() < head.length + head.content {
                anyhow::ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the connection was closed");
            }
            return Ok(head);
        }
    }
}

async fn connect(at: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The head, once it is complete.
fn head(answer: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..end])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).context("not HTTP")?;
    let mut head = Head { status, retry_after: SHORTLY, length: end + 4, content: 0, closes: false };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.content = value.parse()?,
            "retry-after" => head.retry_after = Duration::from_secs(value.parse()?),
            "connection" => head.closes = value.eq_ignore_ascii_case("close"),
            "transfer-encoding" => anyhow::bail!("the answer has no length"),
            _ => {}
        }
    }
    Ok(Some(head))
}
