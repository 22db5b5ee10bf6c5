//! How a websocket ends, and what the client is told.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use super::Socket;
use crate::textsecure::frames::NotUnderstood;

/// How long a client has to answer that the connection is closed.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client has closed it, or is lost.
    Left,
    /// The client does not read.
    Unread,
    /// Nothing was heard for too long.
    Idle,
    /// The process stops.
    Stopping,
    /// A frame that is none of this form's.
    NotUnderstood(NotUnderstood),
    /// A frame, or a message, that is too large.
    TooLarge,
    /// Text that is not UTF-8.
    NotText,
    /// Not what RFC 6455 allows.
    Protocol,
    /// The device has opened another websocket.
    Replaced,
    /// The device has registered again, is unregistered, or disabled.
    Gone,
    /// The database is away.
    Unavailable,
}

impl Ending {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::TooLarge,
            Error::Utf8(_) => Self::NotText,
            Error::Protocol(tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Left
            }
            Error::Protocol(_) => Self::Protocol,
            _ => Self::Left,
        }
    }

    /// Code and reason, where there is somebody to tell.
    fn words(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Left | Self::Unread => None,
            Self::Idle => Some((1001, "nothing was heard for too long")),
            Self::Stopping => Some((1001, "the server stops")),
            Self::NotUnderstood(NotUnderstood::Kind) => Some((1003, "a frame of the other kind")),
            Self::NotUnderstood(NotUnderstood::Broken) => Some((1007, "a frame that cannot be read")),
            Self::NotUnderstood(NotUnderstood::Type) => Some((1008, "a frame of an unknown type")),
            Self::TooLarge => Some((1009, "too large")),
            Self::NotText => Some((1007, "not UTF-8")),
            Self::Protocol => Some((1002, "not as RFC 6455 has it")),
            Self::Replaced => Some((4409, "connected elsewhere")),
            Self::Gone => Some((1008, "registered anew, or no more")),
            Self::Unavailable => Some((1011, "try again later")),
        }
    }
}

impl From<NotUnderstood> for Ending {
    fn from(what: NotUnderstood) -> Self {
        Self::NotUnderstood(what)
    }
}

/// Tells the client, and waits a moment for its answer; `heard` is given what still comes until then.
pub(super) async fn say(socket: &mut Socket, ending: Ending, mut heard: impl FnMut(Message)) {
    let whole = async {
        if let Some((code, reason)) = ending.words() {
            socket.send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))).await?;
        }
        while let Some(Ok(message)) = socket.next().await {
            heard(message);
        }
        socket.get_mut().shutdown().await?;
        Ok::<(), Error>(())
    };
    // It goes in any case: how is its own affair.
    let _ = timeout(FAREWELL, whole).await;
}
