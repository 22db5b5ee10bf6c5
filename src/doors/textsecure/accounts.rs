//! Push addresses of devices (specification §1.4).

use serde::Deserialize;

use super::Door;
use super::answer::{Answer, Refusal, done, within};
use super::request::Request;
use crate::limits;
use crate::phones::{self, Push};
use crate::pushes;

/// Longest push address: a Web Push subscription has a few hundred characters.
const LONGEST_ADDRESS: usize = 4096;

/// One of the three, by the path.
#[derive(Deserialize)]
struct PushAddress {
    #[serde(rename = "gcmRegistrationId", alias = "apnRegistrationId", alias = "webPushSubscription")]
    address: String,
}

/// `PUT /v1/accounts/{gcm,apn,web}`: setting one clears the others. Each new one pushes what waits, so it may not be done at will.
pub(super) async fn set_push(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    let push = push_of(&request)?;
    let PushAddress { address } = request.json(door).await?;
    if address.len() > LONGEST_ADDRESS || !pushes::is_address(&door.app, push, &address) {
        return Err(Refusal::UNSUPPORTED);
    }
    let (app, limit) = (&door.app, door.app.config.textsecure.limits.push_addresses);
    within(limits::spend(app, "push-addresses", device.number.as_str(), limit, 1).await?)?;
    pushes::set_address(&door.app, &door.acceptor, &device, push, &address).await?;
    Ok(done())
}

/// `DELETE` of the same.
pub(super) async fn clear_push(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    phones::clear_push(&door.app, &device, push_of(&request)?).await?;
    Ok(done())
}

fn push_of(request: &Request) -> Result<Push, Refusal> {
    match request.path.get(2).map(String::as_str) {
        Some("gcm") => Ok(Push::Google),
        Some("apn") => Ok(Push::Apple),
        Some("web") => Ok(Push::Web),
        _ => Err(Refusal::NOT_FOUND),
    }
}
