//! A device at its websocket, with a protobuf decoder and a cryptography of its own.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};
use futures_util::{SinkExt, StreamExt};
use handfast::textsecure::Envelope;
use hmac::{Hmac, KeyInit, Mac};
use prost::Message as _;
use serde_json::Value;
use sha2::Sha256;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::super::scene::Phone;
use crate::node::{Node, PATIENCE};
use crate::peers::{Attacker, Reply, Wire};

/// Long enough for anything that is going to come.
const NOTHING_COMES: Duration = Duration::from_millis(700);

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Text,
    Binary,
}

impl Way {
    pub(super) fn path(self, phone: &Phone) -> String {
        let (number, device, password) = (phone.number.as_str().replace('+', "%2B"), phone.device, &phone.password);
        let name = match self {
            Self::Text => "user",
            Self::Binary => "login",
        };
        format!("/v1/websocket/?{name}={number}.{device}&password={password}")
    }
}

/// An open websocket.
pub(super) struct Device {
    pub(super) socket: WebSocketStream<Box<dyn Wire>>,
    way: Way,
    signaling_key: Vec<u8>,
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Received {
    /// Under which it came.
    pub(super) number: u64,
    pub(super) envelope: Envelope,
    /// Binary form.
    pub(super) verb: String,
    pub(super) path: String,
}

impl Received {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(self.envelope.message.as_deref().expect("a message")).expect("text")
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(message, optional, tag = "2")]
    request: Option<Request>,
    #[prost(message, optional, tag = "3")]
    response: Option<Response>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(string, tag = "1")]
    verb: String,
    #[prost(string, tag = "2")]
    path: String,
    #[prost(bytes = "vec", tag = "3")]
    body: Vec<u8>,
    #[prost(uint64, tag = "4")]
    id: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint32, tag = "2")]
    status: u32,
    #[prost(string, tag = "3")]
    message: String,
}

impl Device {
    /// Connects to the node where the phone is registered.
    pub(super) async fn open(phone: &Phone, way: Way) -> Self {
        Self::open_at(phone, &way.path(phone), way).await.expect("connected")
    }

    /// With this path and query.
    pub(super) async fn open_at(phone: &Phone, path: &str, way: Way) -> Result<Self, Error> {
        Self::open_on(phone.attacker(), phone, path, way).await
    }

    /// By another listener.
    pub(super) async fn open_on(node: &Attacker, phone: &Phone, path: &str, way: Way) -> Result<Self, Error> {
        let wire = node.connect().await.map_err(Error::Io)?;
        let url = format!("wss://home.test{path}");
        let (socket, _) = timeout(PATIENCE, tokio_tungstenite::client_async(url, wire)).await.expect("an answer")?;
        Ok(Self { socket, way, signaling_key: phone.signaling_key.to_vec() })
    }

    /// The next frame that is not a ping.
    pub(super) async fn next(&mut self) -> Option<Result<Message, Error>> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a frame") {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => return other,
            }
        }
    }

    /// The next message, opened.
    pub(super) async fn receive(&mut self) -> Received {
        let frame = self.next().await.expect("not the end").expect("a frame");
        let (number, sealed, verb, path) = match (self.way, frame) {
            (Way::Text, Message::Text(text)) => {
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                let sealed = BASE64_STANDARD.decode(frame["message"].as_str().expect("a message")).expect("padded");
                (frame["id"].as_u64().expect("a number"), sealed, String::new(), String::new())
            }
            (Way::Binary, Message::Binary(bytes)) => {
                let frame = Frame::decode(bytes).expect("a frame");
                assert_eq!((frame.kind, &frame.response), (1, &None));
                let request = frame.request.expect("a request");
                (request.id, request.body, request.verb, request.path)
            }
            (way, other) => panic!("{way:?}: {other:?}"),
        };
        let plaintext = open(&sealed, &self.signaling_key);
        Received { number, envelope: Envelope::from_plaintext(&plaintext).expect("an envelope"), verb, path }
    }

    /// Says that it has this.
    pub(super) async fn take(&mut self, received: &Received) {
        match self.way {
            Way::Text => self.say_text(&format!(r#"{{"type":1,"id":{}}}"#, received.number)).await,
            Way::Binary => self.answer(received, 200).await,
        }
    }

    /// Binary form: any status.
    pub(super) async fn answer(&mut self, received: &Received, status: u32) {
        let response = Response { id: received.number, status, message: "OK".into() };
        self.say_frame(Frame { kind: 2, request: None, response: Some(response) }).await;
    }

    /// Binary form: a request, and with what it is answered.
    pub(super) async fn ask(&mut self, verb: &str, path: &str, id: u64) -> (u64, u32) {
        let request = Request { verb: verb.into(), path: path.into(), body: Vec::new(), id };
        self.say_frame(Frame { kind: 1, request: Some(request), response: None }).await;
        let Some(Ok(Message::Binary(bytes))) = self.next().await else { panic!("no answer") };
        let frame = Frame::decode(bytes).expect("a frame");
        let response = frame.response.expect("a response");
        assert_eq!(frame.kind, 2);
        (response.id, response.status)
    }

    async fn say_frame(&mut self, frame: Frame) {
        self.say(Message::binary(frame.encode_to_vec())).await;
    }

    pub(super) async fn say_text(&mut self, text: &str) {
        self.say(Message::text(text)).await;
    }

    pub(super) async fn say(&mut self, message: Message) {
        self.socket.send(message).await.expect("sent");
    }

    pub(super) async fn hear_text(&mut self) -> String {
        match self.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Nothing comes.
    pub(super) async fn has_nothing(&mut self) {
        let came = timeout(NOTHING_COMES, self.socket.next()).await;
        assert!(matches!(came, Err(_) | Ok(Some(Ok(Message::Ping(_))))), "{came:?}");
    }

    /// With which code the server closes; what comes before that is passed over.
    pub(super) async fn closed_with(&mut self) -> u16 {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(Message::Text(_) | Message::Binary(_))) => {}
                other => panic!("not closed: {other:?}"),
            }
        }
    }
}

/// A handshake that is to be refused.
pub(super) async fn handshake(node: &Node, path: &str) -> Reply {
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    node.attacker().request("GET", path, &headers, "").await.expect("an answer")
}

/// Specification §1.12.
fn open(sealed: &[u8], key: &[u8]) -> Vec<u8> {
    let (body, tag) = sealed.split_at(sealed.len() - 10);
    let mut mac = Hmac::<Sha256>::new_from_slice(&key[32..]).expect("a key");
    mac.update(body);
    assert_eq!(mac.finalize().into_bytes()[..10], *tag, "the MAC");
    assert_eq!(body[0], 1, "the version");
    let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(&key[..32], &body[1..17]).expect("sizes");
    cipher.decrypt_padded_vec_mut::<Pkcs7>(&body[17..]).expect("the padding")
}
