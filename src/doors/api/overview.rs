//! What the node is doing, for its operators.

pub(super) mod describe;

use super::call::{Answer, Call, ok};

/// `GET /overview`.
pub(super) async fn show(call: Call) -> Answer {
    call.unbound()?;
    call.no_query()?;
    let overview = call.shared.serve.overview.now().await?;
    ok(&*overview)
}
