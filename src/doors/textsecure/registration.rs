//! Registering a number: asking for a code, and confirming it (specification §1.2 and §1.3).
//!
//! Promises: a code and the order to send it are one commit; the code itself is in neither the order nor a log; whoever confirms
//! it burns it in the transaction that replaces the number's devices, so it is good once. A number that an operator has disabled
//! is answered like any other, and nothing is sent. Leaves out sending: a worker does.

use super::Door;
use super::answer::{Answer, Refusal, done, status, within};
use super::newcomer::Newcomer;
use super::request::Request;
use crate::App;
use crate::books::{ChannelName, NewMessage};
use crate::codes::subject::{self, ToSend};
use crate::codes::{self};
use crate::config::Bucket;
use crate::directory;
use crate::guessing::network;
use crate::limits;
use crate::phones::{self, Registered};
use crate::textsecure::{Number, SERVICE};

const PER_NETWORK: &str = "codes-ip";

/// How a code gets to somebody.
#[derive(Debug, Clone, Copy)]
enum Transport {
    Sms,
    Voice,
}

impl Transport {
    fn named(name: &str) -> Option<Self> {
        match name {
            "sms" => Some(Self::Sms),
            "voice" => Some(Self::Voice),
            _ => None,
        }
    }

    /// Also the scope of its limit.
    fn name(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Voice => "voice",
        }
    }

    fn way(self) -> (ChannelName, &'static str) {
        match self {
            Self::Sms => (ChannelName::Sms, "sms:codes"),
            Self::Voice => (ChannelName::Voice, "voice:codes"),
        }
    }

    fn limit(self, app: &App) -> Bucket {
        let limits = &app.config.textsecure.limits;
        match self {
            Self::Sms => limits.sms,
            Self::Voice => limits.voice,
        }
    }

    fn has_carriers(self, app: &App) -> bool {
        let providers = &app.config.providers;
        match self {
            Self::Sms => !providers.sms.is_empty(),
            Self::Voice => !providers.voice.is_empty(),
        }
    }
}

/// `GET /v1/accounts/{transport}/code/{number}`: 200 says that a code is on its way, not that it has arrived.
pub(super) async fn request_code(door: &Door, request: Request) -> Answer {
    let number: Number = request.segment(4).parse().map_err(|_| Refusal::BAD_REQUEST)?;
    let transport = Transport::named(request.segment(2)).ok_or(Refusal::UNSUPPORTED)?;
    // Before anything is counted: what nobody can send is nobody's fault.
    if !transport.has_carriers(&door.app) {
        return Err(Refusal::Unavailable);
    }
    within_limits(&door.app, &request, transport, &number).await?;
    send_code(door, transport, &number).await?;
    Ok(status(http::StatusCode::OK))
}

/// A number's limit keeps it from being rung all night, a network's keeps one caller from ringing everybody.
async fn within_limits(app: &App, request: &Request, transport: Transport, number: &Number) -> Result<(), Refusal> {
    let place = network(request.ip);
    within(limits::spend(app, PER_NETWORK, &place, app.config.textsecure.limits.codes_per_ip, 1).await?)?;
    let spent = limits::spend(app, transport.name(), number.as_str(), transport.limit(app), 1).await?;
    if let limits::Spent::Over(_) = spent {
        // What is refused takes nothing.
        limits::give_back(app, PER_NETWORK, &place, 1).await?;
    }
    within(spent)
}

async fn send_code(door: &Door, transport: Transport, number: &Number) -> Result<(), Refusal> {
    let app = &door.app;
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let life = app.config.textsecure.code_life.duration();
    let made = subject::make(&tx, app, codes::Purpose::PhoneNumber, number.as_str(), life).await?;
    if phones::is_disabled(&tx, number).await? {
        return Ok(());
    }
    let to_send = ToSend { code: made.id, to: number.as_str().to_owned(), service: SERVICE.to_owned(), words: None };
    let content = serde_json::to_vec(&to_send).map_err(|_| Refusal::Unavailable)?;
    let (channel, destination) = transport.way();
    let message = NewMessage::own(SERVICE, channel, destination.to_owned(), content, made.expires_at);
    let (_, to_publish) = door.acceptor.accept_in(&tx, vec![message]).await?;
    tx.commit().await?;
    door.acceptor.publish(to_publish);
    Ok(())
}

/// `PUT /v1/accounts/code/{code}`, and the description's spelling of it: the number is its caller's from now on, and whatever
/// devices it had are not.
pub(super) async fn confirm(door: &Door, request: Request) -> Answer {
    let app = &door.app;
    let code = request.segment(3).to_owned();
    let newcomer = Newcomer::read(door, request, &code).await?;
    let number = &newcomer.number;
    within(limits::spend(app, "verify", number.as_str(), app.config.textsecure.limits.verify, 1).await?)?;
    let code = newcomer.proven(door, codes::Purpose::PhoneNumber, number.as_str()).await?;
    // Before the code is burnt: it is still good when its owner has left the other node.
    if is_elsewhere(app, number).await? {
        return Err(Refusal::TAKEN);
    }
    let registration = newcomer.registration(door).await?;
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    if !subject::take(&tx, app, code).await? {
        return Err(Refusal::FORBIDDEN);
    }
    match phones::register(&tx, app, number, &registration).await? {
        Registered::As(_) => tx.commit().await?,
        Registered::Disabled | Registered::Unknown | Registered::Full => return Err(Refusal::FORBIDDEN),
    }
    newcomer.has_registered(door, &registration);
    Ok(done())
}

/// Whether a peer has the number. What a former peer once claimed locks nobody out.
async fn is_elsewhere(app: &App, number: &Number) -> Result<bool, Refusal> {
    let client = app.db.client().await?;
    let relay = directory::relay_of(&client, number).await?;
    Ok(relay.is_some_and(|relay| app.config.textsecure.peers.iter().any(|peer| peer.name == relay)))
}
