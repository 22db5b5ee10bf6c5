//! `POST /v1/messages/`: lists (specification §1.10 and §1.11).
//!
//! Two clients use it. Those of version 1 name a number in each entry and are told who was reached; they know no devices, so each
//! message is for device 1. The early ones of version 2 name devices too, all of one number: that is `PUT` in another form, with its
//! 404, 409 and 410. Entries that name a device tell the two apart; without one, what both would do to a number with one device is
//! the same, and the lists say who was reached.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::super::Door;
use super::super::answer::{Answer, Refusal, json};
use super::super::relay;
use super::super::request::Request;
use super::{Letter, MOST, Source, ToDevice, ToNumber, decoded, first, kind, moment, post, send_to, spend};
use crate::phones::{self, Device};
use crate::textsecure::{Envelope, Number};

#[derive(Deserialize)]
struct List {
    messages: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    destination: String,
    relay: Option<String>,
    #[serde(flatten)]
    message: ToDevice,
}

#[derive(Serialize)]
struct Reached<'a> {
    success: Vec<&'a str>,
    failure: Vec<&'a str>,
}

#[derive(Serialize)]
struct Delivered {
    success: [&'static str; 0],
    failure: [&'static str; 0],
    #[serde(rename = "numbersMissingDevices")]
    missing: [&'static str; 0],
}

/// `POST /v1/messages/`: 200 with lists.
pub(in crate::doors::textsecure) async fn send_list(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    let List { messages } = request.json(door).await?;
    let bare = |entry: &Entry| entry.destination.is_empty() || entry.message.body.is_empty();
    if messages.len() > MOST || messages.iter().any(bare) {
        return Err(Refusal::UNSUPPORTED);
    }
    match messages.iter().any(|entry| entry.message.device.is_some()) {
        true => to_one(door, &device, messages).await,
        false => to_many(door, &device, &messages).await,
    }
}

/// Version 2: as `PUT`, with the relay of the first entry.
async fn to_one(door: &Door, device: &Device, mut entries: Vec<Entry>) -> Answer {
    let destination = entries.first().map(|entry| entry.destination.clone()).unwrap_or_default();
    if entries.iter().any(|entry| entry.destination != destination) {
        return Err(Refusal::UNSUPPORTED);
    }
    spend(door, device).await?;
    let destination: Number = destination.parse().map_err(|_| Refusal::NOT_FOUND)?;
    let relay = entries.first_mut().and_then(|entry| entry.relay.take());
    let messages = entries.into_iter().map(|entry| entry.message).collect();
    send_to(door, device, &destination, ToNumber { relay, messages }).await?;
    json(&Delivered { success: [], failure: [], missing: [] })
}

/// Version 1: each on its own, in their order. What is for peers goes first, because it may fail; what is for here is one transaction.
async fn to_many(door: &Door, device: &Device, entries: &[Entry]) -> Answer {
    spend(door, device).await?;
    let source = Source { number: &device.number, device: device.id, relay: None };
    let everybody = everybody(entries);
    let mut away = HashSet::new();
    let mut reached = vec![false; entries.len()];
    let mut here = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let Ok(number) = entry.destination.parse::<Number>() else { continue };
        let envelope = envelope(door, &source, entry, &everybody);
        match entry.relay.as_deref().filter(|relay| !relay.is_empty()) {
            Some(peer) => reached[place] = relay::message(door, peer, &number, &envelope, &mut away).await?,
            None => here.push((place, number, envelope)),
        }
    }
    for place in deliver_here(door, here).await? {
        reached[place] = true;
    }
    let of = |wanted: bool| {
        let those = entries.iter().zip(&reached).filter(|(_, reached)| **reached == wanted);
        those.map(|(entry, _)| entry.destination.as_str()).collect()
    };
    json(&Reached { success: of(true), failure: of(false) })
}

/// The numbers of the request, each once, in their order.
fn everybody(entries: &[Entry]) -> Vec<&str> {
    let mut seen = HashSet::new();
    entries.iter().map(|entry| entry.destination.as_str()).filter(|number| seen.insert(*number)).collect()
}

/// With the other numbers of the request.
fn envelope(door: &Door, source: &Source<'_>, entry: &Entry, everybody: &[&str]) -> Envelope {
    let others = everybody.iter().filter(|number| **number != entry.destination);
    let destinations: Vec<String> = others.map(|number| (*number).to_owned()).collect();
    let message = &entry.message;
    let plain = source.envelope(kind(message.kind), decoded(&message.body), moment(&door.app));
    Envelope { destinations, ..plain }
}

/// All in one transaction; answers the places of those that were reached. A device without room is not (specification §1.11).
async fn deliver_here(door: &Door, messages: Vec<(usize, Number, Envelope)>) -> Result<Vec<usize>, Refusal> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let mut client = door.app.db.client().await?;
    let tx = client.transaction().await?;
    let mut devices: BTreeMap<Number, Option<Device>> = BTreeMap::new();
    for (_, number, _) in &messages {
        if !devices.contains_key(number) {
            let held = phones::hold(&tx, number).await?;
            devices.insert(number.clone(), first(&held).cloned());
        }
    }
    let mut places = Vec::new();
    let mut letters = Vec::new();
    for (place, number, envelope) in messages {
        if let Some(device) = devices.get(&number).and_then(Option::as_ref) {
            places.push(place);
            letters.push(Letter { device, envelope, receipt: false });
        }
    }
    let posted = post(door, &tx, &letters).await?;
    tx.commit().await?;
    let places = places.into_iter().zip(&posted.stored);
    let reached = places.filter(|(_, stored)| **stored).map(|(place, _)| place).collect();
    posted.go(door);
    Ok(reached)
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    let _ = serde_json::from_slice::<List>(body);
}
