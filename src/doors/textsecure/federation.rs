//! What federated nodes ask of this one (specification §1.F). They sign in with their name and the secret that both sides have;
//! a phone's password opens nothing here, nor the secret anything elsewhere.

use base64::Engine;
use serde::Serialize;

use super::answer::{self, Answer, Refusal, done, within};
use super::credentials::{Credentials, LENIENT};
use super::keys::{self, wanted};
use super::messages::{Letter, Source, ToNumber, deliver, first, post};
use super::receipts;
use super::request::Request;
use super::{Door, attachments};
use crate::config::textsecure::Peer;
use crate::directory::listing;
use crate::envelopes;
use crate::federation::{self, Signal, UserCount, UserToken, UserTokens};
use crate::limits;
use crate::phones;
use crate::prekeys::{self, DeviceWanted};
use crate::textsecure::{Envelope, Number};

/// Where a file can be fetched.
#[derive(Serialize)]
struct Location {
    location: String,
}

/// `GET /v1/federation/user_count`.
pub(super) async fn user_count(door: &Door, request: Request) -> Answer {
    peer(door, &request).await?;
    answer::json(&UserCount { count: listing::count(&door.app).await? })
}

/// `GET /v1/federation/user_tokens/{offset}`: a page of all accounts, those that cannot be written to among them.
pub(super) async fn user_tokens(door: &Door, request: Request) -> Answer {
    peer(door, &request).await?;
    let offset: Option<i64> = segment(&request, 3).parse().ok().filter(|offset| *offset >= 0);
    let page = listing::page(&door.app, offset.ok_or(Refusal::NOT_FOUND)?, federation::PAGE).await?;
    let contact = |listed: listing::Listed| UserToken {
        token: listed.number.token().text(),
        supports_sms: listed.supports_sms,
        inactive: !listed.active,
    };
    answer::json(&UserTokens { contacts: page.into_iter().map(contact).collect() })
}

/// `GET /v1/federation/key/{number}`: a key of the first device.
pub(super) async fn key(door: &Door, request: Request) -> Answer {
    peer(door, &request).await?;
    let number = number(&request, 3)?;
    keys::one(&prekeys::fetch(&door.app, &number, DeviceWanted::One(1)).await?)
}

/// `GET /v1/federation/key/{number}/{device or *}`. Peers are not limited in how many keys they fetch.
pub(super) async fn keys(door: &Door, request: Request) -> Answer {
    peer(door, &request).await?;
    let (number, wanted) = (number(&request, 3)?, wanted(segment(&request, 4))?);
    keys::list(&prekeys::fetch(&door.app, &number, wanted).await?)
}

/// `GET /v1/federation/attachment/{id}`: where to fetch it, whether it is there or not.
pub(super) async fn attachment(door: &Door, request: Request) -> Answer {
    peer(door, &request).await?;
    let id = attachments::id(segment(&request, 3)).ok_or(Refusal::NOT_FOUND)?;
    answer::json(&Location { location: door.files.download_url(id).await? })
}

/// `PUT /v1/federation/messages/{source}/{device}/{number}` (version 2): 204, 404, 409 and 410 as for our own devices.
pub(super) async fn messages(door: &Door, request: Request) -> Answer {
    let peer = peer(door, &request).await?;
    let (source, destination) = (number(&request, 3)?, number(&request, 5)?);
    let device = device(segment(&request, 4))?;
    let body: ToNumber = request.json(door).await?;
    // Whatever relay it names, it is for here: one hop and no more.
    let messages = body.outgoing()?;
    spend(door, peer, &source).await?;
    let source = Source { number: &source, device, relay: Some(&peer.name) };
    deliver(door, source, &destination, messages).await?;
    Ok(done())
}

/// `PUT /v1/federation/message` (version 1): 204; 404 where nobody can be reached; 400 where it is no envelope.
pub(super) async fn message(door: &Door, request: Request) -> Answer {
    let peer = peer(door, &request).await?;
    let Signal { destination, envelope } = request.json(door).await?;
    let envelope = LENIENT.decode(envelope.trim()).ok().and_then(|bytes| Envelope::from_plaintext(&bytes));
    let envelope = envelope.ok_or(Refusal::BAD_REQUEST)?;
    let source: Number = envelope.source.as_deref().unwrap_or_default().parse().map_err(|_| Refusal::BAD_REQUEST)?;
    spend(door, peer, &source).await?;
    let destination: Number = destination.parse().map_err(|_| Refusal::NOT_FOUND)?;
    // The receiver answers to the name under which this node knows the peer, whatever the peer calls itself.
    let envelope = Envelope { relay: Some(peer.name.clone()), ..envelope };
    let mut client = door.app.db.client().await?;
    let tx = client.transaction().await?;
    let devices = phones::hold(&tx, &destination).await?;
    let device = first(&devices).ok_or(Refusal::NOT_FOUND)?;
    let posted = post(door, &tx, &[Letter { device, envelope, receipt: false }]).await?;
    if posted.stored != [true] {
        return Err(envelopes::Error::Full.into());
    }
    tx.commit().await?;
    posted.go(door);
    Ok(done())
}

/// `PUT /v1/receipt/{source}/{device}/{number}/{time}`: what was sent from here has arrived there.
pub(super) async fn receipt(door: &Door, request: Request) -> Answer {
    let peer = peer(door, &request).await?;
    let (source, destination) = (number(&request, 2)?, number(&request, 4)?);
    let device = device(segment(&request, 3))?;
    let message: u64 = segment(&request, 5).parse().map_err(|_| Refusal::NOT_FOUND)?;
    let limit = door.app.config.textsecure.limits.receipts;
    within(limits::spend(&door.app, "receipts", &theirs(peer, &source), limit, 1).await?)?;
    let source = Source { number: &source, device, relay: Some(&peer.name) };
    receipts::send(door, source, None, &destination, message).await?;
    Ok(done())
}

/// Who calls; 401 for whatever is wrong with it, 413 after too many guesses.
async fn peer<'a>(door: &'a Door, request: &Request) -> Result<&'a Peer, Refusal> {
    let credentials = Credentials::of(&request.headers).ok_or(Refusal::Unauthorized)?;
    let peer = federation::authenticate(&door.app.config, &credentials.user, &credentials.password);
    if peer.is_none() {
        door.may_guess(request.ip).await?;
    }
    peer.ok_or(Refusal::Unauthorized)
}

/// As often as a sender of our own (specification §1.1), but by themselves: nobody there may use up the room of one of ours.
async fn spend(door: &Door, peer: &Peer, source: &Number) -> Result<(), Refusal> {
    let limit = door.app.config.textsecure.limits.messages;
    within(limits::spend(&door.app, "messages", &theirs(peer, source), limit, 1).await?)
}

/// What a peer's sender is called among those who are limited.
fn theirs(peer: &Peer, source: &Number) -> String {
    format!("{}:{}", peer.name, source.as_str())
}

fn number(request: &Request, place: usize) -> Result<Number, Refusal> {
    segment(request, place).parse().map_err(|_| Refusal::NOT_FOUND)
}

fn device(text: &str) -> Result<i16, Refusal> {
    text.parse().ok().filter(|device| *device > 0).ok_or(Refusal::NOT_FOUND)
}

fn segment(request: &Request, place: usize) -> &str {
    request.path.get(place).map_or("", String::as_str)
}
