//! What becomes of a message whose answer was lost (row 6.10).

use std::time::Duration;

use bytes::Bytes;

use super::super::scene::{ADA, BOB, Scene};
use crate::node::Net;
use crate::peers::{Behaviour, Dialect, Endpoint, Trick};

fn sent(scene: &Scene) -> Vec<Bytes> {
    scene.peer.log_of(Endpoint::MessageReceive).into_iter().map(|seen| seen.body).collect()
}

#[tokio::test]
async fn row_6_10_what_was_never_asked_for_is_sent_anew() {
    let scene = Scene::connected().await;
    scene.peer.behave(Behaviour::Times(2, Endpoint::MessageReceive, Trick::CloseBefore));
    assert_eq!(scene.ada_writes("text").await, "delivered");
    let bodies = sent(&scene);
    assert_eq!(bodies.len(), 3);
    let hashes: std::collections::BTreeSet<String> = scene
        .peer
        .log_of(Endpoint::MessageReceive)
        .iter()
        .map(|seen| seen.json()["message_hash"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(hashes.len(), 3, "new stamp, new salt, new nonce each time");
    assert_eq!(scene.peer.inbox(BOB).len(), 1);
}

#[tokio::test]
async fn row_6_10_what_was_asked_for_is_repeated_once_byte_for_byte() {
    let scene = Scene::connected().await;
    scene.peer.behave(Behaviour::Times(1, Endpoint::MessageReceive, Trick::CloseAfter));
    let id = scene.node.send(ADA, &scene.bob(), "text").await;
    let message = scene.node.settled(&id).await;
    assert_eq!(message["state"], "delivered", "{message}");
    let bodies = sent(&scene);
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn row_6_10_what_stays_unknown_is_shown_and_never_sent_again() {
    let mut scene = Scene::with(Dialect::V1, |options| options.set("outbound.post_timeout", "2s")).await;
    scene.connect().await;
    scene.peer.behave(Behaviour::Times(2, Endpoint::MessageReceive, Trick::CloseAfter));
    let id = scene.node.send(ADA, &scene.bob(), "text").await;
    let message = scene.node.settled(&id).await;
    assert_eq!(message["state"], "unconfirmed", "{message}");
    assert_eq!(message["deliveries"][0]["next_attempt_at"], serde_json::Value::Null, "{message}");
    assert_eq!(scene.node.get("messages/summary").await["unconfirmed"], 1);
    scene.node.restart().await;
    scene.both_ways("something else").await;
    scene.node.drain().await;
    assert_eq!(scene.node.state(&id).await, "unconfirmed");
    let text = |texts: Vec<(String, String)>| texts.into_iter().filter(|(_, text)| text == "text").count();
    assert_eq!(sent(&scene).len(), 3, "twice this one, once the other");
    assert_eq!(text(scene.peer.inbox(BOB)), 2, "a peer that stores repeats has two; it was told so once");
}

#[tokio::test]
async fn row_6_10_a_worker_killed_before_the_peer_asked_is_followed_by_one_that_sends_anew() {
    let mut scene = Scene::connected().await;
    scene.peer.behave(Behaviour::Times(1, Endpoint::MessageReceive, Trick::Hang));
    let id = scene.node.send(ADA, &scene.bob(), "text").await;
    crate::node::eventually("our post is open", async || sent(&scene).len() == 1).await;
    scene.node.kill_work().await;
    scene.node.start_work();
    assert_eq!(scene.node.settled(&id).await["state"], "delivered");
    let bodies = sent(&scene);
    assert_eq!(bodies.len(), 2);
    assert_ne!(bodies[0], bodies[1]);
    assert_eq!(scene.peer.inbox(BOB).len(), 1);
}

#[tokio::test]
async fn row_6_10_a_worker_killed_after_the_peer_asked_is_followed_by_one_that_repeats() {
    let mut scene = Scene::connected().await;
    scene.peer.behave(Behaviour::Times(1, Endpoint::MessageReceive, Trick::Late(Duration::from_secs(60))));
    let id = scene.node.send(ADA, &scene.bob(), "text").await;
    crate::node::eventually("the peer has it", async || scene.peer.inbox(BOB).len() == 1).await;
    scene.node.kill_work().await;
    scene.node.start_work();
    let message = scene.node.settled(&id).await;
    assert_eq!(message["state"], "delivered", "{message}");
    let bodies = sent(&scene);
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1], "the peer may know it by its hash");
}

#[tokio::test]
async fn row_6_10_between_two_of_our_nodes_a_lost_answer_costs_nothing() {
    let net = Net::new();
    let _ = (net.socket_of("a.test"), net.socket_of("b.test"));
    let (mut a, b) = tokio::join!(net.node("a.test"), net.node("b.test"));
    let (_, bob) = (a.account("1000", "Ada").await, b.account("2000", "Bob").await);
    a.connected("1000", &bob, &b.code("2000").await).await;
    let rows: Vec<_> = (0..200)
        .map(|n| serde_json::json!({"from": a.address("1000"), "to": bob, "text": format!("text {n}"), "lane": "bulk"}))
        .collect();
    a.post("messages/batch", serde_json::json!({"messages": rows})).await;
    crate::node::eventually("some have arrived", async || b.inbox("2000").await.len() > 20).await;
    a.kill_work().await;
    a.start_work();
    a.drain().await;
    let mut texts = b.texts("2000").await;
    let all = texts.len();
    texts.sort();
    texts.dedup();
    assert_eq!((all, texts.len()), (200, 200), "all of them, each once");
    assert_eq!(a.get("messages/summary").await["delivered"], 200);
}
