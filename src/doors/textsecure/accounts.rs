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

/// The one that the path is for; another kind of address would be a mistake.
#[derive(Deserialize)]
struct PushAddress {
    #[serde(rename = "gcmRegistrationId")]
    google: Option<String>,
    #[serde(rename = "apnRegistrationId")]
    apple: Option<String>,
    #[serde(rename = "webPushSubscription")]
    web: Option<String>,
}

impl PushAddress {
    fn of(self, push: Push) -> Result<String, Refusal> {
        let address = match push {
            Push::Google => self.google,
            Push::Apple => self.apple,
            Push::Web => self.web,
        };
        address.ok_or(Refusal::UNSUPPORTED)
    }
}

/// `PUT /v1/accounts/{gcm,apn,web}`: setting one clears the others. Each new one pushes what waits, so it may not be done at will.
pub(super) async fn set_push(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    let push = push_of(&request)?;
    let address = request.json::<PushAddress>(door).await?.of(push)?;
    if address.len() > LONGEST_ADDRESS || !pushes::is_address(&door.app, push, &address) {
        return Err(Refusal::UNSUPPORTED);
    }
    let (app, limit) = (&door.app, door.app.config.textsecure.limits.push_addresses);
    within(limits::spend(app, "push-addresses", device.number.as_str(), limit, 1).await?)?;
    // Where another device has registered since, this one is nobody.
    let is_set = pushes::set_address(&door.app, &door.acceptor, &device, push, &address).await?;
    if is_set { Ok(done()) } else { Err(Refusal::Unauthorized) }
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

/// For [`super::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    let _ = serde_json::from_slice::<PushAddress>(body);
}
