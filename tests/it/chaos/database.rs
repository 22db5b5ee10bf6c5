//! The database goes and comes back while messages flow: nothing acknowledged is missing, nobody alive is taken for dead.

use std::collections::BTreeSet;

use handfast::embedded::Pair;
use serde_json::json;

use super::dice::Dice;
use super::ledger;
use super::stage::{self, Stage};
use crate::node::{Node, eventually};

#[tokio::test]
async fn without_a_database_everybody_is_told_to_try_later_and_nothing_acknowledged_is_missing_afterwards() {
    let mut dice = Dice::new();
    let dir = stage::servers();
    let pair = Pair::start(dir.path()).await.expect("a pair");
    // The crash takes the last settles with it, too.
    let mut stage = Stage::on(&pair, 2, |options| options.set("delivery.asynchronous_settle", true)).await;
    let alive = [workers(&stage.a).await, workers(&stage.b).await];
    for (n, crash) in [false, true, true].into_iter().enumerate() {
        let stream = stage.application.stream_named(&format!("outage-{n}"), &stage.routes, 3, 300);
        stage.arrive(dice.from(5..40)).await;
        match crash {
            true => pair.kill_database().await.expect("killed"),
            false => pair.stop_database().await.expect("stopped"),
        }
        let message = json!({"from": stage.routes[0].0, "to": stage.routes[0].1, "text": "nobody can write this down"});
        let refused = stage.a.api("POST", "messages", Some(message)).await;
        assert_eq!((refused.status, &refused.body["type"]), (503, &json!("urn:handfast:problem:unavailable")));
        stage.peers_are_told_to_try_later().await;
        if n == 2 {
            // Everybody's lease runs out, and nobody is there to say so: time itself is the condition.
            tokio::time::sleep(stage.longer_than_a_lease()).await;
        }
        pair.start_database().await.expect("started");
        stream.stop().await;
        ledger::worked_off(&stage.a).await;
    }
    stage.a.unharmed().await;
    stage.b.unharmed().await;
    assert_eq!([workers(&stage.a).await, workers(&stage.b).await], alive, "somebody alive was declared dead");
    assert!(stage.application.accepted.refused() > 0, "nobody was refused");
    stage.exactly_once().await;
}

/// Who reports.
async fn workers(node: &Node) -> BTreeSet<String> {
    let ids = async || {
        let ids: String = node.value("select coalesce(string_agg(id::text, ' '), '') from workers").await;
        ids.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    eventually("both workers report", async || ids().await.len() == 2).await;
    ids().await
}
