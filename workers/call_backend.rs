//! Has an application's own back end make a token, a code or a judgement, while somebody waits to be signed in.

use jiff::Timestamp;

use crate::jobs::{CallBackend, Reply};
use crate::worker::Crew;

/// One call.
pub async fn run(_crew: &Crew, _deadline: Timestamp, _ask: CallBackend) -> Reply {
    Reply::Temporarily
}
