//! Connections: half-done handshakes, one-way ones, refused and deleted ones (rows 6.12, 6.13, 6.18, 6.20).

use std::time::Duration;

use serde_json::json;

use super::super::scene::{ADA, BOB, Scene, refused};
use crate::node::eventually;
use crate::peers::{Behaviour, Dialect, Endpoint, Trick};

/// A handshake of Bob's whose answer never reaches his node: we have new secrets, it has not.
async fn half_done(scene: &Scene) {
    scene.peer.behave(Behaviour::At(Endpoint::AuthConfirm, Trick::Body(r#"{"success":true}"#.into())));
    let answer = scene.auth(&scene.bob(), &scene.node.code(ADA).await).await.json();
    assert_eq!(answer["success"], json!(true), "{answer}");
    scene.peer.behave(Behaviour::Honest);
}

#[tokio::test]
async fn row_6_12_a_half_done_handshake_breaks_neither_direction() {
    let scene = Scene::connected().await;
    half_done(&scene).await;
    assert_eq!(scene.bob_writes("under the older secrets").await, Ok(()));
    assert_eq!(scene.ada_writes("found by trying").await, "delivered");
    half_done(&scene).await;
    scene.both_ways("and after another one").await;
    assert_eq!(scene.node.connections().await[0]["state"], "active");
    // A whole one mends it.
    scene.connect().await;
    scene.both_ways("as new").await;
    assert_eq!(scene.node.connections().await.len(), 1);
}

#[tokio::test]
async fn row_6_12_older_secrets_end_when_the_newer_ones_have_proven_good() {
    let scene = Scene::connected().await;
    let older = scene.composed("composed before the second handshake");
    scene.connect().await;
    scene.both_ways("under the new ones").await;
    scene.both_ways("and again").await;
    assert_eq!(scene.peer.post(&older).await, refused("SM_E004"));
}

#[tokio::test]
async fn row_6_12_a_connection_the_peer_no_longer_knows_is_marked_broken_and_mended_by_a_handshake() {
    let scene = Scene::connected().await;
    for code in ["SM_E001", "SM_E004", "SM_E006"] {
        scene.peer.behave(Behaviour::Times(2, Endpoint::MessageReceive, Trick::Code(code)));
        assert_eq!(scene.ada_writes(code).await, "failed", "{code}");
        assert_eq!(scene.node.connections().await[0]["state"], "broken", "{code}");
        let body = json!({"from": scene.ada(), "to": scene.bob(), "text": "text"});
        assert_eq!(scene.node.api("POST", "messages", Some(body)).await.status, 409, "{code}");
        scene.peer.behave(Behaviour::Honest);
        scene.node.connected(ADA, &scene.bob(), &scene.peer.issue_code(BOB)).await;
        scene.both_ways(&format!("mended after {code}")).await;
    }
}

#[tokio::test]
async fn row_6_12_a_message_sent_while_our_own_handshake_is_under_way_arrives() {
    let scene = Scene::connected().await;
    // The peer has stored the new secrets, and tells us a second later.
    scene.peer.behave(Behaviour::At(Endpoint::Auth, Trick::Late(Duration::from_secs(1))));
    let (bob, code) = (scene.bob(), scene.peer.issue_code(BOB));
    let writing = async {
        let confirmed = || scene.peer.calls().iter().filter(|call| call.url.ends_with("/auth-confirm/")).count() == 1;
        eventually("the peer has stored new secrets", async || confirmed()).await;
        scene.ada_writes("meanwhile").await
    };
    let (handshake, state) = tokio::join!(scene.node.connect(ADA, &bob, &code), writing);
    assert_eq!((handshake["state"].as_str(), state.as_str()), (Some("connected"), "delivered"));
    scene.both_ways("afterwards").await;
}

#[tokio::test]
async fn row_6_13_a_handshake_that_fails_leaves_the_old_connection_as_it_was() {
    let scene = Scene::connected().await;
    for trick in [Trick::No, Trick::CloseAfter, Trick::Status(500, "")] {
        scene.peer.behave(Behaviour::At(Endpoint::AuthConfirm, trick.clone()));
        let answer = scene.auth(&scene.bob(), &scene.node.code(ADA).await).await.json();
        assert_eq!(answer["error"], json!(true), "{trick:?}");
        scene.peer.behave(Behaviour::Honest);
        scene.both_ways(&format!("after {trick:?}")).await;
    }
    let failed = scene.node.connect(ADA, &scene.bob(), "000000").await;
    assert_eq!(failed["state"], "failed", "{failed}");
    scene.both_ways("after a wrong code of ours").await;
}

#[tokio::test]
async fn row_6_18_a_peer_that_takes_no_replies_is_not_written_to() {
    let scene = Scene::new(Dialect::V1).await;
    let code = scene.node.code(ADA).await;
    assert_eq!(scene.peer.handshake_replying(BOB, &scene.ada(), &code, "0").await, Ok(()));
    assert_eq!(scene.bob_writes("one way").await, Ok(()));
    assert_eq!(scene.node.connections().await[0]["accepts_messages"], json!(false));
    let body = json!({"from": scene.ada(), "to": scene.bob(), "text": "text"});
    let refused = scene.node.api("POST", "messages", Some(body)).await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert_eq!(scene.peer.log_of(Endpoint::MessageReceive).len(), 0);
}

#[tokio::test]
async fn row_6_18_our_user_can_forbid_messages_for_all_for_one_and_from_the_start() {
    let scene = Scene::connected().await;
    let account = format!("accounts/{}", scene.ada());
    scene.node.api("PATCH", &account, Some(json!({"accepts_messages": false}))).await.good();
    assert_eq!(scene.bob_writes("to none").await, refused("SM_E002"));
    scene.node.api("PATCH", &account, Some(json!({"accepts_messages": true}))).await.good();
    assert_eq!(scene.bob_writes("to all").await, Ok(()));

    let connection = scene.node.connections().await[0]["id"].as_str().unwrap().to_owned();
    scene.node.post(&format!("connections/{connection}/block"), json!({})).await;
    assert_eq!(scene.bob_writes("blocked").await, refused("SM_E002"));
    let body = json!({"from": scene.ada(), "to": scene.bob(), "text": "text"});
    assert_eq!(scene.node.api("POST", "messages", Some(body)).await.status, 409);
    scene.node.post(&format!("connections/{connection}/unblock"), json!({})).await;
    assert_eq!(scene.bob_writes("unblocked").await, Ok(()));

    let one_way = scene.node.connect_replying(ADA, &scene.bob(), &scene.peer.issue_code(BOB), false).await;
    assert_eq!(one_way["state"], "connected", "{one_way}");
    assert_eq!(scene.bob_writes("no replies, please").await, refused("SM_E002"));
    assert_eq!(scene.ada_writes("one way").await, "delivered");
    assert_eq!(scene.node.texts(ADA).await, ["to all", "unblocked"]);
    assert_eq!(scene.peer.log_of(Endpoint::MessageConfirm).len(), 2, "for what is refused nobody is asked");
}

#[tokio::test]
async fn row_6_20_a_deleted_connection_a_disabled_account_and_an_unknown_one_are_answered_alike() {
    let scene = Scene::connected().await;
    let account = format!("accounts/{}", scene.ada());
    scene.node.post(&format!("{account}/disable"), json!({})).await;
    assert_eq!(scene.bob_writes("text").await, refused("SM_E001"));
    scene.node.post(&format!("{account}/enable"), json!({})).await;
    assert_eq!(scene.bob_writes("text").await, Ok(()));
    let connection = scene.node.connections().await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(scene.node.api("DELETE", &format!("connections/{connection}"), None).await.status, 204);
    assert_eq!(scene.bob_writes("text").await, refused("SM_E001"));
    assert_eq!(scene.node.texts(ADA).await, ["text"]);
}
