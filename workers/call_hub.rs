//! Has a Homing Space hub make a welcome, or a captcha service judge, while a browser waits.

use jiff::Timestamp;

use crate::jobs::{CallHub, Reply};
use crate::worker::Crew;

/// One call.
pub async fn run(_crew: &Crew, _deadline: Timestamp, _ask: CallHub) -> Reply {
    Reply::Temporarily
}
