//! One websocket, from its first frame to its last.
//!
//! Promises
//! - What waits for the device is sent oldest first, then what comes as it comes; at most [`window::WINDOW`] messages, and about
//!   [`window::WINDOW_BYTES`], are sent and not acknowledged. What is not acknowledged stays stored, and is sent again over the next
//!   connection.
//! - Nothing is read for the device that registered in place of this one, and nothing is sent once a later connection has begun.
//! - What a connection has sent is known to that connection alone.
//! - A client that does not read is waited for, for [`PATIENCE`]; one that says nothing at all is given up after
//!   `textsecure.websocket_idle`. When the process stops, the client is told.

mod ending;
mod window;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use self::ending::Ending;
use self::window::{Sent, Window};
use super::super::messages::Source;
use super::super::{Door, receipts};
use crate::envelopes::{self, Stored, Subscription};
use crate::failure::chain;
use crate::phones::{Device, Listener, Standing};
use crate::textsecure::Number;
use crate::textsecure::frames::{Form, Frame, Said};
use crate::textsecure::seal::seal;

/// Messages read in one piece.
const PAGE: i64 = 16;
/// Bytes of these, so that many connections together hold little.
const PAGE_BYTES: i64 = 256 << 10;
/// Frames that are looked at before anything else is done.
const TOGETHER: usize = 64;
/// How long a frame may take on its way out.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the database did not do is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// Largest frame, and largest message, of a client: acknowledgements are small.
const LONGEST_FRAME: usize = 64 << 10;
/// A connection waits most of its time, so its buffers are small.
const BUFFER: usize = 4 << 10;

type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Came = Option<Result<Message, tungstenite::Error>>;

/// Serves the device until either side ends it.
pub(super) async fn run(door: Door, connection: Upgraded, device: Device, form: Form, stop: CancellationToken) {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_frame_size(Some(LONGEST_FRAME))
        .max_message_size(Some(LONGEST_FRAME));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(config)).await;
    match begin(&door, device).await {
        Ok(listener) => Session::new(door, socket, listener, form, stop).serve().await,
        Err(ending) => ending::say(&mut socket, ending, |_| ()).await,
    }
}

/// From here on the device's other connections are not the one.
async fn begin(door: &Door, device: Device) -> Result<Listener, Ending> {
    match Listener::begin(&door.app, device).await {
        Ok(Some(listener)) => Ok(listener),
        Ok(None) => Err(Ending::Gone),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "a websocket could not begin");
            Err(Ending::Unavailable)
        }
    }
}

/// Between 30 and 55 seconds, and not for all at once.
fn ping_every(listener: &Listener) -> Duration {
    Duration::from_secs(30 + listener.id.as_u128() as u64 % 26)
}

struct Session {
    door: Door,
    socket: Socket,
    listener: Listener,
    form: Form,
    stop: CancellationToken,
    news: Subscription,
    window: Window,
    /// There may be something to read from the database, now or when there is room for it.
    unread: bool,
    /// When to go on with what failed.
    again: Option<Instant>,
    heard: Instant,
    ping: Instant,
}

impl Session {
    fn new(door: Door, socket: Socket, listener: Listener, form: Form, stop: CancellationToken) -> Self {
        let news = door.websockets.news.subscribe(listener.id, listener.device.clone());
        // Whoever else listens for the device finds out that it is replaced.
        door.bell.ring([(listener.device.number.clone(), listener.device.id)]);
        let (heard, ping) = (Instant::now(), Instant::now() + ping_every(&listener));
        let window = Window::default();
        Self { door, socket, listener, form, stop, news, window, unread: true, again: None, heard, ping }
    }

    async fn serve(mut self) {
        let ending = loop {
            if let Err(ending) = self.step().await {
                break ending;
            }
        };
        tracing::debug!(?ending, "a websocket ends");
        let (form, window) = (self.form, &mut self.window);
        // What it acknowledges while it goes need not be sent again.
        let heard = |message: Message| {
            if let Ok(Said::Taken(id)) = understand(form, &message) {
                window.taken(id);
            }
        };
        ending::say(&mut self.socket, ending, heard).await;
        self.take().await;
    }

    async fn step(&mut self) -> Result<(), Ending> {
        if self.again.is_none() {
            self.take().await;
            if self.unread && self.window.has_room() {
                self.look().await?;
            }
            self.news.knows(self.window.known());
        }
        let silent = self.heard + self.door.app.config.textsecure.websocket_idle.duration();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Ending::Stopping),
            came = self.socket.next() => self.hear_all(came).await,
            () = self.news.something() => self.find_out().await,
            () = sleep_until(self.again.unwrap_or(silent)), if self.again.is_some() => {
                self.again = None;
                Ok(())
            }
            () = sleep_until(silent) => Err(Ending::Idle),
            () = sleep_until(self.ping) => {
                self.ping = Instant::now() + ping_every(&self.listener);
                // Of what is known something may have expired: it counts, and others are not told of.
                self.unread |= self.window.known() > 0;
                self.send(Message::Ping(Bytes::new())).await
            }
        }
    }

    /// This frame, and those that have come with it: what they acknowledge is taken together.
    async fn hear_all(&mut self, first: Came) -> Result<(), Ending> {
        let mut came = first;
        for more in (0..TOGETHER).rev() {
            let message = came.ok_or(Ending::Left)?.map_err(|error| Ending::of(&error))?;
            self.heard = Instant::now();
            match understand(self.form, &message)? {
                Said::Taken(id) => self.window.taken(id),
                Said::NotTaken(id) => self.window.refused(id),
                Said::Asked(answer) => self.send(frame(answer)).await?,
                Said::Nothing => {}
            }
            if more == 0 {
                break;
            }
            match self.socket.next().now_or_never() {
                Some(next) => came = next,
                None => break,
            }
        }
        Ok(())
    }

    /// There is a reason to look: messages, or the end of this connection.
    async fn find_out(&mut self) -> Result<(), Ending> {
        self.unread = true;
        // Otherwise it is found out with the messages.
        if self.window.has_room() { Ok(()) } else { self.check().await.map(|_| ()) }
    }

    /// Sends what waits, as far as there is room.
    async fn look(&mut self) -> Result<(), Ending> {
        while self.window.has_room() {
            let Device { number, id, .. } = &self.listener.device;
            // From the oldest on, each time: what was stored late may have an early id.
            let known = self.window.known_ids();
            let page = match envelopes::next(&self.door.app, number, *id, &known, PAGE, PAGE_BYTES).await {
                Ok(page) => page,
                Err(error) => {
                    self.later(&error);
                    return Ok(());
                }
            };
            // After reading: it says for whom was read.
            if !self.check().await? {
                return Ok(());
            }
            if page.rows == 0 {
                self.unread = false;
                return Ok(());
            }
            self.window.skip(&page.unreadable);
            for stored in page.stored {
                if self.window.has_room() {
                    self.send_envelope(stored).await?;
                }
            }
        }
        Ok(())
    }

    async fn send_envelope(&mut self, stored: Stored) -> Result<(), Ending> {
        let sealed = seal(&self.listener.signaling_key, &stored.content);
        let id = self.window.sent(&stored);
        self.send(frame(self.form.envelope(id, sealed))).await
    }

    /// Forgets what was acknowledged, and has its senders told. What fails is done again.
    async fn take(&mut self) {
        let Device { number, id, .. } = &self.listener.device;
        let ids = self.window.to_take();
        if ids.is_empty() {
            return;
        }
        match envelopes::take(&self.door.app, number, *id, &ids).await {
            Ok(taken) => {
                let gone = self.window.forget();
                // Whoever took them all before has told the senders.
                if taken > 0 {
                    tokio::spawn(tell_senders(self.door.clone(), self.listener.device.clone(), gone));
                }
            }
            Err(error) => self.later(&error),
        }
    }

    /// Whether this connection is still the one; false: that could not be found out.
    async fn check(&mut self) -> Result<bool, Ending> {
        match self.listener.standing(&self.door.app).await {
            Ok(Standing::Holds) => Ok(true),
            Ok(Standing::Replaced) => Err(Ending::Replaced),
            Ok(Standing::Gone) => Err(Ending::Gone),
            Err(error) => {
                self.later(&error);
                Ok(false)
            }
        }
    }

    fn later(&mut self, error: &(dyn std::error::Error + 'static)) {
        tracing::debug!(error = %chain(error), "a websocket waits for the database");
        self.again = Some(Instant::now() + AGAIN);
        self.unread = true;
    }

    async fn send(&mut self, message: Message) -> Result<(), Ending> {
        let sending = timeout(PATIENCE, self.socket.send(message));
        match self.stop.run_until_cancelled(sending).await {
            None => Err(Ending::Stopping),
            Some(Err(_)) => Err(Ending::Unread),
            Some(Ok(sent)) => sent.map_err(|error| Ending::of(&error)),
        }
    }
}

/// Tells the senders that the device has it (specification §1.15). Nobody waits for it, and what cannot be told is not.
async fn tell_senders(door: Door, device: Device, taken: Vec<Sent>) {
    for envelope in taken.into_iter().filter_map(|sent| sent.envelope) {
        let source = Source { number: &device.number, device: device.id, relay: None };
        let sender = envelope.source.as_deref().and_then(|sender| sender.parse::<Number>().ok());
        let (Some(sender), Some(moment)) = (sender, envelope.timestamp) else { continue };
        if let Err(refusal) = receipts::send(&door, source, envelope.relay.as_deref(), &sender, moment).await {
            tracing::debug!(?refusal, "a sender was not told that a message arrived");
        }
    }
}

fn understand(form: Form, message: &Message) -> Result<Said, Ending> {
    match message {
        Message::Text(text) => Ok(form.hear_text(text)?),
        Message::Binary(bytes) => Ok(form.hear_binary(bytes)?),
        Message::Close(_) => Err(Ending::Left),
        _ => Ok(Said::Nothing),
    }
}

fn frame(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => Message::text(text),
        Frame::Binary(bytes) => Message::binary(bytes),
    }
}
