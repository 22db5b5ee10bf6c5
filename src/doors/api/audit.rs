//! Who changed what, and the settings in effect.

pub(super) mod describe;

use http::StatusCode;
use serde_json::{Value, json};

use super::call::{Answer, Call, json as answer, ok};
use super::page::Wanted;
use super::problem::Problem;
use super::values;
use crate::audit::{self, Filter, Via};

/// `GET /audit`
pub(super) async fn list(call: Call) -> Answer {
    call.unbound()?;
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    let filter = Filter {
        since: query.optional("since", values::moment),
        until: query.optional("until", values::moment),
        actor: query.optional("actor", values::plain),
        action: query.optional("action", values::plain),
        via: query.optional("via", via),
        subject: query.optional("subject", values::plain),
    };
    let filter = query.finish(Some(filter))?;
    let page = audit::list(call.app(), &filter, wanted.after, wanted.limit()).await;
    let page = page.map_err(|error| Problem::failure(&error))?;
    ok(&json!({"items": page.entries, "next": page.next}))
}

fn via(value: Value) -> Result<Via, String> {
    let text = values::text(value)?;
    let found = Via::ALL.into_iter().find(|via| via.name() == text);
    found.ok_or_else(|| format!("is none of {}", Via::ALL.map(Via::name).join(", ")))
}

/// `GET /configuration`: secrets are of a type that prints dots.
pub(super) async fn configuration(call: Call) -> Answer {
    call.unbound()?;
    call.no_query()?;
    let settings = serde_json::to_value(&*call.app().config).map_err(|error| Problem::failure(&error))?;
    answer(StatusCode::OK, &json!({"version": env!("CARGO_PKG_VERSION"), "settings": settings}))
}
