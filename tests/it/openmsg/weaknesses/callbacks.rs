//! Callbacks: hanging ones, large ones, late ones, nested ones, guessed ones (rows 6.5, 6.9, 6.9b, 6.11, 6.16).

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::scene::{ADA, BOB, NOT_VALID, Scene, UNKNOWN_PENDING, code_of, refusal, refused};
use crate::node::{Net, eventually};
use crate::peers::{Behaviour, Confirming, Dialect, Endpoint, Trick};

#[tokio::test]
async fn row_6_5_a_domain_that_hangs_takes_nothing_from_the_others() {
    let net = Net::new();
    let slow = net.peer(Dialect::V1, "slow.test").await;
    slow.user("1", "Hank");
    let scene = Scene::on(net, Dialect::V1, |options| {
        options.set("openmsg.callbacks", 6).set("openmsg.callbacks_per_domain", 3).set("outbound.confirm_timeout", "3s")
    })
    .await;
    scene.connect().await;
    let (ada, code) = (scene.ada(), scene.node.code(ADA).await);
    assert_eq!(slow.handshake("1", &ada, &code).await, Ok(()));
    slow.behave(Behaviour::At(Endpoint::MessageConfirm, Trick::Hang));
    let flood = async { join_all((0..20).map(|_| slow.send("1", &ada, "flood"))).await };
    let others = async {
        eventually("three callbacks hang", async || slow.log_of(Endpoint::MessageConfirm).len() >= 3).await;
        let begun = Instant::now();
        for _ in 0..5 {
            assert_eq!(scene.bob_writes("calm").await, Ok(()));
        }
        assert_eq!(scene.ada_writes("out").await, "delivered");
        begun.elapsed()
    };
    let (flooded, took) = tokio::join!(flood, others);
    assert!(took < Duration::from_millis(2500), "the others waited {took:?}");
    assert!(flooded.iter().all(Result::is_err), "{flooded:?}");
    assert_eq!(scene.node.texts(ADA).await, ["calm"; 5]);
}

#[tokio::test]
async fn row_6_5_answers_that_never_end_and_answers_too_large_are_cut_off() {
    let scene = Scene::with(Dialect::V1, |options| {
        options.set("outbound.confirm_timeout", "1s").set("outbound.post_timeout", "2s")
    })
    .await;
    scene.connect().await;
    let tricks = [
        Trick::Hang,
        Trick::Drip(Duration::from_millis(200)),
        Trick::Huge(64 * 1024),
        Trick::Huge(20_000_000),
        Trick::Garbage,
    ];
    for trick in tricks {
        scene.peer.behave(Behaviour::At(Endpoint::MessageConfirm, trick.clone()));
        let begun = Instant::now();
        assert_eq!(scene.bob_writes("text").await, refused("SM_E000"), "{trick:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{trick:?} took {:?}", begun.elapsed());
    }
    assert_eq!(scene.node.texts(ADA).await, [""; 0]);
    scene.peer.behave(Behaviour::Honest);
    scene.peer.behave(Behaviour::Times(1, Endpoint::MessageReceive, Trick::Huge(20_000_000)));
    assert_eq!(scene.ada_writes("out").await, "delivered");
}

/// Hash and nonce of our latest message, as anybody who saw it could ask for it.
fn question(scene: &Scene) -> Value {
    let sent = scene.peer.log_of(Endpoint::MessageReceive).pop().expect("a message of ours").json();
    json!({"message_hash": sent["message_hash"], "message_nonce": sent["message_package"].as_str().unwrap()[..32]})
}

#[tokio::test]
async fn row_6_9_a_message_is_confirmed_only_while_its_post_is_open() {
    let scene = Scene::connected().await;
    scene.peer.behave(Behaviour::Times(1, Endpoint::MessageReceive, Trick::Late(Duration::from_millis(700))));
    let id = scene.node.send(ADA, &scene.bob(), "text").await;
    eventually("our post is open", async || scene.peer.log_of(Endpoint::MessageReceive).len() == 1).await;
    let question = question(&scene);
    let mut wrong = question.clone();
    wrong["message_nonce"] = json!("A".repeat(32));
    assert_eq!(code_of(&scene.call("message-confirm", wrong).await), "SM_E003");
    assert_eq!(scene.call("message-confirm", question.clone()).await.json(), json!({"success": true}));
    assert_eq!(scene.node.settled(&id).await["state"], "delivered");
    assert_eq!(code_of(&scene.call("message-confirm", question).await), "SM_E003", "delivered, and so forgotten");
}

#[tokio::test]
async fn row_6_9_what_was_refused_is_confirmed_no_more() {
    let scene = Scene::connected().await;
    scene.peer.behave(Behaviour::At(Endpoint::MessageReceive, Trick::Code("SM_E002")));
    assert_eq!(scene.ada_writes("text").await, "failed");
    assert_eq!(code_of(&scene.call("message-confirm", question(&scene)).await), "SM_E003");
    assert_eq!(scene.node.value::<i64>("select count(*) from outbox").await, 0);
}

#[tokio::test]
async fn row_6_9b_a_pending_handshake_takes_five_wrong_tries_and_ends_with_its_request() {
    let scene = Scene::new(Dialect::V1).await;
    scene.peer.behave(Behaviour::Confirming(Confirming::Withheld));
    scene.peer.behave(Behaviour::At(Endpoint::Auth, Trick::Late(Duration::from_secs(1))));
    for (wrong_tries, right_one) in [(4, json!({"success": true})), (5, refusal(UNKNOWN_PENDING))] {
        let (code, before) = (scene.peer.issue_code(BOB), scene.peer.log_of(Endpoint::Auth).len());
        let ask = |code: &str| json!({"receiving_openmsg_address": scene.bob(), "pass_code": code});
        let bob = scene.bob();
        let ours = scene.node.connect(ADA, &bob, &code);
        let attack = async {
            eventually("our request is open", async || scene.peer.log_of(Endpoint::Auth).len() > before).await;
            let wrong = if code == "000000" { "000001" } else { "000000" };
            for _ in 0..wrong_tries {
                assert_eq!(scene.call("auth-confirm", ask(wrong)).await.json(), refusal(UNKNOWN_PENDING));
            }
            assert_eq!(scene.call("auth-confirm", ask(&code)).await.json(), right_one, "after {wrong_tries}");
        };
        tokio::join!(ours, attack);
        assert_eq!(
            scene.call("auth-confirm", ask(&code)).await.json(),
            refusal(UNKNOWN_PENDING),
            "the request has ended"
        );
    }
}

#[tokio::test]
async fn row_6_16_asking_for_what_is_not_known_is_limited_and_answers_no_more_than_that() {
    let scene = Scene::with(Dialect::V1, |options| options.set("openmsg.unknown_confirms_per_ip", 5)).await;
    let hash = |n: u8| json!({"message_hash": format!("{n:064x}"), "message_nonce": "A".repeat(32)});
    let mut answers = Vec::new();
    for n in 0..20 {
        answers.push(scene.call("message-confirm", hash(n)).await.body);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let pending = json!({"receiving_openmsg_address": scene.bob(), "pass_code": "000000"});
    assert_eq!(scene.call("auth-confirm", pending).await.json(), refusal(UNKNOWN_PENDING));
}

#[tokio::test]
async fn row_6_11_two_nodes_that_flood_each_other_both_get_through() {
    let net = Net::new();
    let _ = (net.socket_of("a.test"), net.socket_of("b.test"));
    let (mut a, mut b) = tokio::join!(net.node("a.test"), net.node("b.test"));
    let (ada, bob) = (a.account("1000", "Ada").await, b.account("2000", "Bob").await);
    a.connected("1000", &bob, &b.code("2000").await).await;
    let rows = |from: &str, to: &str| -> Vec<Value> {
        (0..100).map(|n| json!({"from": from, "to": to, "text": format!("text {n}"), "lane": "bulk"})).collect()
    };
    let (there, back) = (json!({"messages": rows(&ada, &bob)}), json!({"messages": rows(&bob, &ada)}));
    let (first, second) = tokio::join!(a.post("messages/batch", there), b.post("messages/batch", back));
    assert_eq!((&first["accepted"], &second["accepted"]), (&json!(100), &json!(100)));
    tokio::join!(a.drain(), b.drain());
    for (node, id) in [(&a, "1000"), (&b, "2000")] {
        let mut texts = node.texts(id).await;
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 100, "each once");
        let summary = node.get("messages/summary").await;
        assert_eq!((&summary["delivered"], &summary["doubles"]), (&json!(100), &json!(0)), "{summary}");
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn row_6_11_accounts_of_one_node_need_no_http() {
    let scene = Scene::new(Dialect::V1).await;
    let (ada, ann) = (scene.ada(), scene.node.account("1001", "Ann").await);
    scene.node.connected(ADA, &ann, &scene.node.code("1001").await).await;
    assert_eq!(scene.node.sent(ADA, &ann, "here").await, "delivered");
    assert_eq!(scene.node.sent("1001", &ada, "and back").await, "delivered");
    assert_eq!(scene.node.inbox("1001").await, [(ada.clone(), "here".to_owned())]);
    assert_eq!(scene.node.inbox(ADA).await, [(ann, "and back".to_owned())]);
    assert_eq!(scene.node.value::<i64>("select count(*) from tries where status is not null").await, 0);
    // With itself an account has nothing to talk about.
    let code = scene.node.code(ADA).await;
    let alone = json!({"from": ada, "to": ada, "pass_code": code});
    assert_eq!(scene.node.api("POST", "connections", Some(alone)).await.status, 422);
    // A stranger who claims to be one of ours is none: nobody calls ourselves, and no code is burnt for it.
    assert_eq!(scene.auth("1001*node.test", &code).await.json(), refusal(NOT_VALID));
    assert_eq!(scene.node.live_codes(ADA).await, 1);
    scene.node.drain().await;
}
