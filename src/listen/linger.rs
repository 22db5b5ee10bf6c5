//! Closing so that the last answer arrives.
//!
//! A server that closes a socket while the client is still sending resets the connection, and the reset can overtake the
//! answer: the client of a body that was too large would see "connection reset" and never "413". So the sending side is
//! closed first, and what still comes is read and thrown away until the client closes too, within bounds.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::activity::Activity;

/// How long, and how much, is read after the answer.
const LONGEST: Duration = Duration::from_secs(2);
const MOST: usize = 1 << 20;

/// A TCP stream whose shutdown waits for the client's, and which says when the client takes something.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    activity: Arc<Activity>,
    farewell: Option<Farewell>,
}

#[derive(Debug)]
struct Farewell {
    until: Pin<Box<Sleep>>,
    left: usize,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity, farewell: None }
    }

    fn wrote(&self, taken: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(taken, Poll::Ready(Ok(n)) if n > 0) {
            self.activity.wrote();
        }
        taken
    }
}

impl Farewell {
    fn new() -> Self {
        Self { until: Box::pin(tokio::time::sleep(LONGEST)), left: MOST }
    }

    fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let mut waste = [0; 8192];
        while self.left > 0 && self.until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut waste);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.left = self.left.saturating_sub(buffer.filled().len()),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, farewell, .. } = self.get_mut();
        if farewell.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        farewell.get_or_insert_with(Farewell::new).poll(stream, cx).map(Ok)
    }
}
