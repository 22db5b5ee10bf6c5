//! Delivery receipts (specification §1.15): that a message has arrived, told to all devices of its sender.

use super::Door;
use super::answer::{Answer, Refusal, done, within};
use super::messages::{Letter, Source, first, post};
use super::relay;
use super::request::Request;
use crate::limits;
use crate::phones;
use crate::textsecure::Number;
use crate::textsecure::envelope::RECEIPT;

/// `PUT /v1/receipt/{number}/{time}?relay=`: 204, or 404 where nobody can be reached.
pub(super) async fn put(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    let limit = door.app.config.textsecure.limits.receipts;
    within(limits::spend(&door.app, "receipts", device.number.as_str(), limit, 1).await?)?;
    let (Some(destination), Some(message)) = (request.path.get(2), request.path.get(3)) else {
        return Err(Refusal::NOT_FOUND);
    };
    let destination: Number = destination.parse().map_err(|_| Refusal::NOT_FOUND)?;
    let message: u64 = message.parse().map_err(|_| Refusal::NOT_FOUND)?;
    let source = Source { number: &device.number, device: device.id, relay: None };
    send(door, source, request.parameter("relay").as_deref(), &destination, message).await?;
    Ok(done())
}

/// Tells `destination`, at this peer or here, that `source` has the message of that time. 404 where nobody can be reached. A
/// device whose mailbox is half full is not told: there is more to read for it than receipts.
pub(super) async fn send(
    door: &Door,
    source: Source<'_>,
    relay: Option<&str>,
    destination: &Number,
    message: u64,
) -> Result<(), Refusal> {
    if let Some(peer) = relay.filter(|relay| !relay.is_empty()) {
        return relay::receipt(door, peer, &source, destination, message).await;
    }
    let mut client = door.app.db.client().await?;
    let tx = client.transaction().await?;
    let devices = phones::hold(&tx, destination).await?;
    if first(&devices).is_none() {
        return Err(Refusal::NOT_FOUND);
    }
    let letter = |device| Letter { device, envelope: source.envelope(RECEIPT, None, message), receipt: true };
    let letters: Vec<Letter<'_>> = devices.iter().filter(|device| device.active).map(letter).collect();
    let posted = post(door, &tx, &letters).await?;
    tx.commit().await?;
    posted.go(door);
    Ok(())
}
