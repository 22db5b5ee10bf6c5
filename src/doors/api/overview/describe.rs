//! What the overview says about itself.

use serde_json::json;

use crate::overview::Overview;

use super::super::describe::{Operation, Schemas};

pub(in super::super) fn show(schemas: &mut Schemas) -> Operation {
    let example = json!({
        "domain": "our.example", "version": env!("CARGO_PKG_VERSION"), "workers": [{"host": "node-1"}],
        "broker": {"reachable": true, "queues": [{"carries": "jobs.bulk", "name": "handfast.jobs.bulk"}]},
    });
    Operation::new("What the node is doing")
        .about("Rates and counts of bounded cost; looked at once for all who ask at the same time.")
        .answers(200, "As it was just now", schemas.of::<Overview>(example))
}
