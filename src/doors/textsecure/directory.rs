//! The directory: which of one's contacts can be written to (specification §1.7).
//!
//! A list has up to 50,000 tokens. It is read, sorted and answered on a thread where nobody waits behind it, and looked up in parts.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize};
use tokio::task::spawn_blocking;

use super::Door;
use super::answer::{self, Answer, Refusal, within};
use super::request::{Request, decoded};
use crate::directory::{self, Contact};
use crate::limits;
use crate::phones::Device;
use crate::textsecure::{Token, TokenText};

/// `PUT /v1/directory/tokens`.
#[derive(Deserialize)]
struct ContactsIn {
    contacts: Vec<ContactIn>,
}

struct ContactIn(TokenText);

#[derive(Serialize)]
struct ContactsOut<'a> {
    contacts: Vec<ContactOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContactOut<'a> {
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    supports_sms: bool,
}

/// What is to be looked up, in two orders.
struct Wanted {
    /// As they were sent.
    asked: Vec<Token>,
    /// Each once.
    sorted: Vec<Token>,
}

/// `PUT /v1/directory/tokens`: the known ones, in the order in which they were asked for.
pub(super) async fn find_all(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    let ContactsIn { contacts } = request.long_json(door).await?;
    limit(door, &device, u32::try_from(contacts.len()).unwrap_or(u32::MAX)).await?;
    let Wanted { asked, sorted } = aside(move || wanted(&contacts)).await?;
    let found = directory::find(&door.app, &sorted).await?;
    aside(move || answer::json(&ContactsOut { contacts: known(&asked, &found) })).await
}

/// `GET /v1/directory/{token}`. Clients put the token there as it is, slashes included.
pub(super) async fn find(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    limit(door, &device, 1).await?;
    // No token ends with a slash: its last character stands for two bits.
    let TokenText::Token(token) = TokenText::read(decoded(&request.tail).trim_end_matches('/')) else {
        return Err(Refusal::NOT_FOUND);
    };
    let found = directory::find(&door.app, &[token]).await?;
    answer::json(&known(&[token], &found).first().ok_or(Refusal::NOT_FOUND)?)
}

async fn limit(door: &Door, device: &Device, cost: u32) -> Result<(), Refusal> {
    let bucket = door.app.config.textsecure.limits.contacts;
    within(limits::spend(&door.app, "contacts", device.number.as_str(), bucket, cost).await?)
}

/// 400 for what is no base64; what has another length than a token is nobody's.
fn wanted(contacts: &[ContactIn]) -> Result<Wanted, Refusal> {
    let mut asked = Vec::with_capacity(contacts.len());
    for contact in contacts {
        match contact.0 {
            TokenText::Token(token) => asked.push(token),
            TokenText::OtherLength => {}
            TokenText::NotBase64 => return Err(Refusal::BAD_REQUEST),
        }
    }
    let mut sorted = asked.clone();
    sorted.sort_unstable();
    sorted.dedup();
    Ok(Wanted { asked, sorted })
}

fn known<'a>(asked: &[Token], found: &'a HashMap<Token, Contact>) -> Vec<ContactOut<'a>> {
    let known = asked.iter().filter_map(|token| Some((token, found.get(token)?)));
    let out = known.map(|(token, contact)| ContactOut {
        token: token.text(),
        relay: contact.relay.as_deref(),
        supports_sms: contact.supports_sms,
    });
    out.collect()
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    spawn_blocking(work).await.unwrap_or(Err(Refusal::Unavailable))
}

impl<'de> Deserialize<'de> for ContactIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl serde::de::Visitor<'_> for Text {
            type Value = ContactIn;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a token")
            }

            fn visit_str<E>(self, text: &str) -> Result<ContactIn, E> {
                Ok(ContactIn(TokenText::read(text)))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// For [`super::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    let _ = serde_json::from_slice::<ContactsIn>(body);
}
