//! Places for encrypted files (specification §1.8). The files themselves go by the URLs that are answered here.

use serde::Serialize;

use super::Door;
use super::answer::{self, Answer, Refusal, within};
use super::relay;
use super::request::Request;
use crate::attachments::{self, Allocated};
use crate::limits;

#[derive(Serialize)]
struct Place {
    id: u64,
    /// Numbers above 2^53 lose digits in JavaScript.
    #[serde(rename = "idString")]
    id_string: String,
    location: String,
}

#[derive(Serialize)]
struct Location {
    location: String,
}

/// `GET /v1/attachments`: a new place, and the URL to put a file there.
pub(super) async fn allocate(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    let bucket = door.app.config.textsecure.limits.attachments;
    within(limits::spend(&door.app, "attachments", device.number.as_str(), bucket, 1).await?)?;
    let Allocated { id, location } = door.files.allocate().await?;
    answer::json(&Place { id, id_string: id.to_string(), location })
}

/// `GET /v1/attachments/{id}?relay=`: the URL to fetch it from, whether it is there or not.
pub(super) async fn find(door: &Door, request: Request) -> Answer {
    door.device(&request).await?;
    let id = request.path.get(2).and_then(|text| id(text)).ok_or(Refusal::NOT_FOUND)?;
    if let Some(peer) = request.parameter("relay") {
        return relay::attachment(door, &peer, id).await;
    }
    answer::json(&Location { location: door.files.download_url(id).await? })
}

/// 0 to 2^63-1, as clients keep it in a signed number.
pub(super) fn id(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id <= i64::MAX.cast_unsigned())
}

impl From<attachments::Error> for Refusal {
    fn from(error: attachments::Error) -> Self {
        match error {
            attachments::Error::Db(error) => error.into(),
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a device got no place for a file");
                Self::Unavailable
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn an_id_is_a_number_that_clients_can_keep() {
        assert_eq!(id("0"), Some(0));
        assert_eq!(id("9223372036854775807"), Some(i64::MAX.cast_unsigned()));
        for bad in ["", "-1", "+1", "9223372036854775808", "1e3", "1.0", "x"] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }
}
