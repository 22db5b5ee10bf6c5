//! With no worker alive nobody can call back: the answer is "later", within the deadline, and nothing is half done.

use std::time::{Duration, Instant};

use super::scene::{ADA, BOB, Scene, TEMPORARILY, refused};
use crate::peers::Dialect;

/// The deadline, and what a request costs on a busy machine.
const DEADLINE: Duration = Duration::from_secs(2);
const COST: Duration = Duration::from_secs(3);

async fn scene(workers: usize) -> Scene {
    Scene::with(Dialect::V1, |options| options.set("openmsg.ask_deadline", "2s").workers(workers)).await
}

#[tokio::test]
async fn a_handshake_is_put_off_and_its_code_stays_good() {
    let Scene { mut node, peer, .. } = scene(0).await;
    let (ada, code) = (node.address(ADA), node.code(ADA).await);
    for _ in 0..3 {
        let begun = Instant::now();
        assert_eq!(peer.handshake(BOB, &ada, &code).await, Err(format!("Error: {TEMPORARILY}")));
        assert!((DEADLINE..DEADLINE + COST).contains(&begun.elapsed()), "after {:?}", begun.elapsed());
        assert_eq!(node.live_codes(ADA).await, 1);
    }
    assert_eq!(peer.log().len(), 0, "nobody was called back");
    assert_eq!(node.connections().await.len(), 0);

    node.start_work();
    node.ready().await;
    assert_eq!(peer.handshake(BOB, &ada, &code).await, Ok(()));
    assert_eq!(node.connections().await.len(), 1, "one for the handshake that was taken, none for those put off");
    assert_eq!(node.live_codes(ADA).await, 0);
}

#[tokio::test]
async fn a_message_is_put_off_and_can_be_sent_again() {
    let mut scene = scene(1).await;
    scene.connect().await;
    scene.node.kill_work().await;
    let begun = Instant::now();
    let message = scene.composed("later, then");
    assert_eq!(scene.peer.post(&message).await, refused("SM_E008"));
    assert!(begun.elapsed() < DEADLINE + COST, "after {:?}", begun.elapsed());
    assert_eq!(scene.node.texts(ADA).await, [""; 0]);

    scene.node.start_work();
    scene.node.ready().await;
    assert_eq!(scene.peer.post(&message).await, Ok(()));
    assert_eq!(scene.node.texts(ADA).await, ["later, then"]);
}

#[tokio::test]
async fn what_our_own_accounts_hand_over_waits_for_a_worker() {
    let mut scene = scene(1).await;
    scene.connect().await;
    scene.node.kill_work().await;
    let id = scene.node.send(ADA, &scene.bob(), "in the books").await;
    assert_eq!(scene.node.state(&id).await, "pending");
    let wanted = serde_json::json!({"from": scene.ada(), "to": scene.bob(), "pass_code": scene.peer.issue_code(BOB)});
    let handshake = scene.node.post("connections", wanted).await;
    scene.node.start_work();
    scene.node.ready().await;
    assert_eq!(scene.node.settled(&id).await["state"], "delivered");
    let path = format!("handshakes/{}?wait=10", handshake["id"].as_str().unwrap());
    assert_eq!(scene.node.get(&path).await["state"], "connected");
}
