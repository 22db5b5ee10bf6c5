//! What both versions and federated nodes have in common: messages become envelopes, and the devices are woken.
//!
//! Envelopes and the deliveries that wake devices are committed together, while the number's devices are held: whoever is told
//! that a message was taken has written to devices that are there, and what a crash keeps from the broker is found in the books.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use super::super::Door;
use super::super::answer::Refusal;
use crate::App;
use crate::books::ToPublish;
use crate::db::Transaction;
use crate::envelopes::{self, New};
use crate::failpoint;
use crate::phones::{self, Device};
use crate::pushes::{self, ToPush};
use crate::textsecure::{Envelope, Number};

/// When a full mailbox may have room again: nobody can know.
const FULL_FOR: Duration = Duration::from_secs(300);

/// Who sends.
#[derive(Clone, Copy)]
pub(in crate::doors::textsecure) struct Source<'a> {
    /// Their number.
    pub(in crate::doors::textsecure) number: &'a Number,
    /// Which of their devices.
    pub(in crate::doors::textsecure) device: i16,
    /// The federated node they belong to; none: this one.
    pub(in crate::doors::textsecure) relay: Option<&'a str>,
}

/// A message for one device, as its sender addressed it.
pub(in crate::doors::textsecure) struct Outgoing {
    /// Copied to the envelope.
    pub(in crate::doors::textsecure) kind: u32,
    /// For which device.
    pub(in crate::doors::textsecure) device: i64,
    /// Of which registration; 0 or less: of any.
    pub(in crate::doors::textsecure) registration_id: i64,
    /// Decoded; none where it could not be.
    pub(in crate::doors::textsecure) body: Option<Vec<u8>>,
}

/// An envelope and the device it is for.
pub(in crate::doors::textsecure) struct Letter<'a> {
    /// For which device.
    pub(in crate::doors::textsecure) device: &'a Device,
    /// What it is given.
    pub(in crate::doors::textsecure) envelope: Envelope,
    /// It is a delivery receipt.
    pub(in crate::doors::textsecure) receipt: bool,
}

/// What was stored, and what is left to do when the transaction is committed.
#[must_use]
pub(in crate::doors::textsecure) struct Posted {
    /// Whether there was room, for each letter.
    pub(in crate::doors::textsecure) stored: Vec<bool>,
    mailboxes: Vec<(Number, i16)>,
    pushes: Option<ToPublish>,
}

#[derive(Serialize)]
struct Mismatched {
    #[serde(rename = "missingDevices")]
    missing: Vec<i64>,
    #[serde(rename = "extraDevices")]
    extra: Vec<i64>,
}

#[derive(Serialize)]
struct Stale {
    #[serde(rename = "staleDevices")]
    stale: BTreeSet<i64>,
}

impl Source<'_> {
    /// Their envelope, of now.
    pub(in crate::doors::textsecure) fn envelope(
        &self,
        kind: u32,
        message: Option<Vec<u8>>,
        timestamp: u64,
    ) -> Envelope {
        Envelope {
            kind: Some(kind),
            source: Some(self.number.as_str().to_owned()),
            relay: self.relay.map(str::to_owned),
            destinations: Vec::new(),
            timestamp: Some(timestamp),
            message,
            source_device: u32::try_from(self.device).ok(),
        }
    }
}

impl<'a> Letter<'a> {
    fn to_store(&self) -> New<'a> {
        New { device: self.device, content: self.envelope.plaintext(), receipt: self.receipt }
    }
}

/// Messages for all devices of one number of this node. 404 where nobody can be reached there, 409 where they are not for exactly its
/// devices, 410 where one is for a registration that is over, 413 where the first device has no room: then none is taken. Another
/// device that has none is left out (specification §1.9), for one that nobody reads must not keep the number from being written to.
pub(in crate::doors::textsecure) async fn deliver(
    door: &Door,
    source: Source<'_>,
    destination: &Number,
    messages: Vec<Outgoing>,
) -> Result<(), Refusal> {
    let mut client = door.app.db.client().await?;
    let tx = client.transaction().await?;
    let devices = phones::hold(&tx, destination).await?;
    let addressed = addressed(&devices, &messages)?;
    let timestamp = moment(&door.app);
    let letters: Vec<Letter<'_>> = addressed
        .into_iter()
        .zip(messages)
        .map(|(device, message)| {
            let envelope = source.envelope(message.kind, message.body, timestamp);
            Letter { device, envelope, receipt: false }
        })
        .collect();
    let posted = post(door, &tx, &letters).await?;
    if letters.iter().zip(&posted.stored).any(|(letter, stored)| letter.device.id == 1 && !stored) {
        return Err(envelopes::Error::Full.into());
    }
    tx.commit().await?;
    posted.go(door);
    Ok(())
}

/// Stores the envelopes that have room ([`Posted::stored`]), and opens a delivery for each device that is to be woken. The devices are
/// held by the transaction; after its commit: [`Posted::go`].
pub(in crate::doors::textsecure) async fn post(
    door: &Door,
    tx: &Transaction<'_>,
    letters: &[Letter<'_>],
) -> Result<Posted, Refusal> {
    let app = &door.app;
    let new: Vec<New<'_>> = letters.iter().map(Letter::to_store).collect();
    let ids = envelopes::store_many(tx, app, &new).await?;
    let stored = ids.iter().map(Option::is_some).collect();
    let expires_at = app.clock.now() + app.config.textsecure.message_life.duration();
    let (mut mailboxes, mut pushes) = (BTreeSet::new(), Vec::new());
    for (letter, id) in letters.iter().zip(ids) {
        let Some(id) = id else { continue };
        mailboxes.insert((letter.device.number.clone(), letter.device.id));
        if let Some(destination) = pushes::destination_for(tx, app, letter.device).await? {
            pushes.push(ToPush::new(letter.device, id).message(destination, expires_at));
        }
    }
    let pushes = match pushes.is_empty() {
        true => None,
        false => Some(door.acceptor.accept_in(tx, pushes).await?.1),
    };
    Ok(Posted { stored, mailboxes: mailboxes.into_iter().collect(), pushes })
}

impl Posted {
    /// In the background: tells the websockets, and the workers that wake devices.
    pub(in crate::doors::textsecure) fn go(self, door: &Door) {
        failpoint::hit(failpoint::Place::AfterCommit);
        door.bell.ring(self.mailboxes);
        if let Some(pushes) = self.pushes {
            door.acceptor.publish(pushes);
        }
    }
}

/// The device of each message, or why not: 404 goes before 409, and 409 before 410.
fn addressed<'a>(devices: &'a [Device], messages: &[Outgoing]) -> Result<Vec<&'a Device>, Refusal> {
    let active: BTreeMap<i64, &Device> =
        devices.iter().filter(|device| device.active).map(|device| (i64::from(device.id), device)).collect();
    if !active.contains_key(&1) {
        return Err(Refusal::NOT_FOUND);
    }
    let named: BTreeSet<i64> = messages.iter().map(|message| message.device).collect();
    let missing: Vec<i64> = active.keys().copied().filter(|id| !named.contains(id)).collect();
    let extra: Vec<i64> = named.into_iter().filter(|id| !active.contains_key(id)).collect();
    if !missing.is_empty() || !extra.is_empty() {
        return Err(refusal(StatusCode::CONFLICT, &Mismatched { missing, extra }));
    }
    let addressed: Vec<&Device> = messages.iter().filter_map(|message| active.get(&message.device).copied()).collect();
    let is_stale = |device: &Device, message: &Outgoing| {
        message.registration_id > 0 && message.registration_id != i64::from(device.registration_id)
    };
    let pairs = addressed.iter().zip(messages);
    let stale: BTreeSet<i64> =
        pairs.filter(|(device, message)| is_stale(device, message)).map(|(_, message)| message.device).collect();
    if !stale.is_empty() {
        return Err(refusal(StatusCode::GONE, &Stale { stale }));
    }
    Ok(addressed)
}

/// Device 1, if it can be reached: a sender of version 1 knows no other.
pub(in crate::doors::textsecure) fn first(devices: &[Device]) -> Option<&Device> {
    devices.iter().find(|device| device.id == 1 && device.active)
}

/// Now, in milliseconds since 1970; never twice the same in one process, for receipts name messages by it, unless the clock was set
/// back.
pub(in crate::doors::textsecure) fn moment(app: &App) -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now: Timestamp = app.clock.now();
    let now = now.as_millisecond().unsigned_abs();
    let next = |last: u64| Some(following(last, now));
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).map_or(now, |last| following(last, now))
}

/// The moment after the last one. After a clock has jumped back they begin anew from there, instead of staying in the future.
fn following(last: u64, now: u64) -> u64 {
    /// More than that no process gets ahead by counting.
    const JUMP: u64 = 1000;
    if last > now + JUMP { now } else { now.max(last + 1) }
}

fn refusal(status: StatusCode, what: &impl Serialize) -> Refusal {
    serde_json::to_string(what).map_or(Refusal::Unavailable, |text| Refusal::Json(status, text))
}

impl From<envelopes::Error> for Refusal {
    fn from(error: envelopes::Error) -> Self {
        match error {
            envelopes::Error::Db(error) => error.into(),
            envelopes::Error::Full => Self::LimitExceeded(Some(FULL_FOR)),
            envelopes::Error::Sealed(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a message for a device cannot be read");
                Self::Unavailable
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::Push;

    fn device(id: i16, registration_id: i32, push: Option<Push>) -> Device {
        Device {
            number: "+14155550101".parse().unwrap(),
            id,
            generation: uuid::Uuid::nil(),
            registration_id,
            active: push.is_some(),
            push,
        }
    }

    fn to(device: i64, registration_id: i64) -> Outgoing {
        Outgoing { kind: 1, device, registration_id, body: None }
    }

    fn judged(devices: &[Device], messages: &[Outgoing]) -> String {
        match addressed(devices, messages) {
            Ok(devices) => format!("{:?}", devices.iter().map(|device| device.id).collect::<Vec<_>>()),
            Err(Refusal::Json(status, text)) => format!("{} {text}", status.as_u16()),
            Err(refusal) => format!("{}", refusal.response().status().as_u16()),
        }
    }

    /// Specification §1.9, with its fixtures.
    #[test]
    fn messages_are_for_exactly_the_active_devices() {
        let push = Some(Push::Google);
        let two = [device(1, 222, push), device(2, 333, push), device(3, 444, None)];
        let table = [
            (vec![to(1, 222), to(2, 333)], "[1, 2]"),
            (vec![to(2, 0), to(1, -1)], "[2, 1]"),
            (vec![to(1, 222), to(2, 333), to(1, 222)], "[1, 2, 1]"),
            (vec![to(1, 222)], r#"409 {"missingDevices":[2],"extraDevices":[]}"#),
            (vec![to(1, 222), to(3, 444)], r#"409 {"missingDevices":[2],"extraDevices":[3]}"#),
            (vec![], r#"409 {"missingDevices":[1,2],"extraDevices":[]}"#),
            (vec![to(1, 222), to(2, 1)], r#"410 {"staleDevices":[2]}"#),
            // 409 goes before 410.
            (vec![to(1, 1)], r#"409 {"missingDevices":[2],"extraDevices":[]}"#),
            (vec![to(1, 222), to(2, 333), to(70_000, 1)], r#"409 {"missingDevices":[],"extraDevices":[70000]}"#),
        ];
        for (messages, expected) in table {
            assert_eq!(judged(&two, &messages), expected);
        }
    }

    #[test]
    fn without_an_active_first_device_there_is_nobody() {
        let second_only = [device(1, 0, None), device(2, 0, Some(Push::Apple))];
        assert_eq!(judged(&second_only, &[to(2, 0)]), "404");
        assert_eq!(judged(&[], &[]), "404");
        assert!(first(&second_only).is_none());
    }

    #[tokio::test]
    async fn no_two_messages_have_the_same_time() {
        let app = App::for_tests("a.example");
        let times: Vec<u64> = (0..1000).map(|_| moment(&app)).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn moments_follow_a_clock_that_is_set_back() {
        for (last, now, expected) in [(0, 5000, 5000), (5000, 5000, 5001), (6000, 5000, 6001), (6001, 5000, 5000)] {
            assert_eq!(following(last, now), expected, "{last}, {now}");
        }
    }
}
