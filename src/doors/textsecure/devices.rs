//! Further devices of a number (specification §1.14): the first one is told a code, and the new one brings it.
//!
//! Promises: a code lets one device in; one that was made before the number was registered anew lets in none, so that who had the
//! number before has no way back. Leaves out listing and removing devices, which the clients of that time could not do.

use http::StatusCode;
use serde_json::json;

use super::Door;
use super::answer::{self, Answer, Refusal, within};
use super::newcomer::Newcomer;
use super::request::Request;
use crate::codes::Purpose;
use crate::codes::subject::{self, Made};
use crate::db::{GenericClient, Transaction};
use crate::limits;
use crate::phones::{self, Device, Registered};
use crate::textsecure::Number;

/// `GET /v1/devices/provisioning_code`, later `…/provisioning/code`: for the first device only.
pub(super) async fn provisioning_code(door: &Door, request: Request) -> Answer {
    let app = &door.app;
    let device = door.device(&request).await?;
    if device.id != 1 {
        return Err(Refusal::BareUnauthorized);
    }
    let (number, settings) = (&device.number, &app.config.textsecure);
    within(limits::spend(app, "allocate-device", number.as_str(), settings.limits.allocate_device, 1).await?)?;
    let made = make_code(door, &device).await?;
    let code = subject::to_send(app, made.id).await?;
    // Another request may have replaced it already: then this one's answer would be of no use.
    let (code, _) = code.ok_or(Refusal::Unavailable)?;
    subject::sent(app, made.id).await?;
    answer::json(&json!({ "verificationCode": code.as_str() }))
}

async fn make_code(door: &Door, device: &Device) -> Result<Made, Refusal> {
    let (app, settings) = (&door.app, &door.app.config.textsecure);
    let mut client = app.db.client().await?;
    let devices = phones::devices(&client, &device.number).await?.len();
    if devices >= usize::from(settings.devices) {
        return Err(full(door, devices));
    }
    let (purpose, life) = (Purpose::FurtherDevice, settings.code_life.duration());
    let tx = client.transaction().await?;
    let made = subject::make(&tx, app, purpose, &proof(&device.number, Some(device)), life).await?;
    tx.commit().await?;
    Ok(made)
}

/// `PUT /v1/devices/{code}`
pub(super) async fn join(door: &Door, request: Request) -> Answer {
    let app = &door.app;
    let code = request.segment(2).to_owned();
    let newcomer = Newcomer::read(door, request, &code).await?;
    let number = &newcomer.number;
    let limit = app.config.textsecure.limits.verify_device;
    within(limits::spend(app, "verify-device", number.as_str(), limit, 1).await?)?;
    // Connections are few: none is kept while another is asked for.
    let first = first(&app.db.client().await?, number).await?;
    let code = newcomer.proven(door, Purpose::FurtherDevice, &proof(number, first.as_ref())).await?;
    let registration = newcomer.registration(door).await?;
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    // Codes before numbers, here as in a registration: two that wait for each other would both fail.
    if !subject::take(&tx, app, code).await? || !is_still(&tx, first).await? {
        return Err(Refusal::FORBIDDEN);
    }
    match phones::add_device(&tx, app, number, &registration).await? {
        Registered::As(id) => {
            tx.commit().await?;
            newcomer.has_registered(door, &registration);
            answer::json(&json!({ "deviceId": id }))
        }
        // The code stays good, for when there is room again.
        Registered::Full => Err(full(door, phones::devices(&tx, number).await?.len())),
        Registered::Disabled | Registered::Unknown => Err(Refusal::FORBIDDEN),
    }
}

/// What a code proves: that the first device, as it is registered now, wants company. Of a number without one it proves nothing,
/// at the same cost.
fn proof(number: &Number, first: Option<&Device>) -> String {
    let generation = first.map(|device| device.generation).unwrap_or_default();
    format!("{} {generation}", number.as_str())
}

async fn first(client: &impl GenericClient, number: &Number) -> Result<Option<Device>, Refusal> {
    Ok(phones::devices(client, number).await?.into_iter().find(|device| device.id == 1))
}

/// Whether it was not registered anew meanwhile; it will not be before the end of the transaction.
async fn is_still(tx: &Transaction<'_>, before: Option<Device>) -> Result<bool, Refusal> {
    let Some(before) = before else { return Ok(false) };
    phones::lock(tx, &before.number).await?;
    let now = first(tx, &before.number).await?;
    Ok(now.is_some_and(|now| now.generation == before.generation))
}

/// 411, as the later server answered; clients know it by its body.
fn full(door: &Door, devices: usize) -> Refusal {
    let max = door.app.config.textsecure.devices;
    Refusal::Json(StatusCode::LENGTH_REQUIRED, json!({ "current": devices, "max": max }).to_string())
}
