//! The processes of a node read the database's clock over a round trip, so they are never quite together.

use std::time::Duration;

use handfast::{books, clock::Clock, handshakes};
use serde_json::json;

use crate::node::Net;
use crate::peers::Dialect;

#[tokio::test]
async fn a_worker_whose_clock_is_a_little_behind_takes_what_has_just_been_published() {
    let net = Net::new();
    let peer = net.peer(Dialect::V1, "peer.test").await;
    peer.user("2000", "Bob");
    let mut node = net.node("node.test").await;
    node.account("1000", "Ada").await;
    let (bob, code) = (peer.address("2000"), peer.issue_code("2000"));
    node.connected("1000", &bob, &code).await;
    node.kill_work().await;
    node.send("1000", &bob, "text").await;
    let wanted = json!({"from": node.address("1000"), "to": bob, "pass_code": code});
    node.post("connections", wanted).await;
    let chunk: uuid::Uuid = node.value("select id from chunks where state = 0").await;
    let handshake: uuid::Uuid = node.value("select id from handshakes where state = 0").await;

    let mut behind = node.app.clone();
    behind.clock = Clock::system();
    let due: jiff::Timestamp =
        node.value("select least(min(due_at), (select min(due_at) from handshakes where state = 0)) from chunks").await;
    behind.clock.follow(due - Duration::from_millis(400));
    let (worker, claim) = (behind.new_id(), behind.new_id());
    books::renew(&node.app, worker, true, Duration::from_secs(10)).await.unwrap();
    let claimed = books::claim_chunks(&behind, worker, claim, &[chunk]).await.unwrap();
    assert_eq!(claimed.len(), 1, "acknowledged and not claimed, it would lie for minutes");
    assert!(handshakes::claim(&behind, handshake, worker, claim).await.unwrap().is_some());
}
