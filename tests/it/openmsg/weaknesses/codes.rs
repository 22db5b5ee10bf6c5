//! Pass codes: guessing, burning, restoring (rows 6.1, 6.2, 6.2b, 6.6, 6.14, 6.15).

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::scene::{ADA, BOB, NOT_CONFIRMED, NOT_VALID, Scene, THEIRS, auth, refusal, sha256};
use crate::node::{Net, Port};
use crate::peers::{Behaviour, Dialect, Endpoint, Peer, TestCa, Trick};

/// Codes that are not this one.
fn wrong_codes(right: &str) -> impl Iterator<Item = String> {
    (0..).map(|n| format!("{n:06}")).filter(move |code| *code != right)
}

async fn notices(scene: &Scene) -> Vec<String> {
    let entries = scene.node.inbox(ADA).await.into_iter();
    entries.filter(|(from, _)| *from == scene.node.address("0")).map(|(_, text)| text).collect()
}

#[tokio::test]
async fn row_6_1_ten_wrong_guesses_withdraw_the_codes_and_tell_the_user_not_the_caller() {
    let scene = Scene::new(Dialect::V1).await;
    let code = scene.node.code(ADA).await;
    let mut wrong = wrong_codes(&code);
    for _ in 0..10 {
        assert_eq!(scene.auth(&scene.bob(), &wrong.next().unwrap()).await.json(), refusal(NOT_VALID));
    }
    assert_eq!((scene.node.live_codes(ADA).await, notices(&scene).await.len()), (1, 0));
    // The eleventh guess is right, and is not looked at.
    assert_eq!(scene.auth(&scene.bob(), &code).await.json(), refusal(NOT_VALID));
    assert_eq!(scene.node.live_codes(ADA).await, 0);
    let notices = notices(&scene).await;
    assert_eq!(notices.len(), 1);
    assert!(notices[0].contains("withdrawn"), "{notices:?}");
    assert_eq!(scene.peer.log_of(Endpoint::AuthConfirm).len(), 0);
    // A new code works: the attacker has not locked the user out.
    scene.connect().await;
}

#[tokio::test]
async fn row_6_1_many_guesses_at_once_are_counted_before_they_are_compared() {
    let scene = Scene::with(Dialect::V1, |options| {
        options.set("openmsg.wrong_codes_per_ip", 1_000).set("openmsg.wrong_codes_per_domain", 1_000)
    })
    .await;
    let code = scene.node.code(ADA).await;
    // The right one is among the last: with the first ten the codes are gone.
    let guesses: Vec<String> = wrong_codes(&code).take(60).chain([code.clone()]).collect();
    let first =
        join_all(guesses[..30].iter().map(|guess| async { scene.auth(&scene.bob(), guess).await.json() })).await;
    let then = join_all(guesses[30..].iter().map(|guess| async { scene.auth(&scene.bob(), guess).await.json() })).await;
    assert!(first.iter().chain(&then).all(|answer| *answer == refusal(NOT_VALID)));
    assert_eq!(scene.node.live_codes(ADA).await, 0);
    assert_eq!(notices(&scene).await.len(), 1, "the user is told once");
    assert_eq!(scene.peer.log().len(), 0);
}

#[tokio::test]
async fn row_6_1_a_source_that_guesses_at_many_accounts_is_refused_and_learns_nothing() {
    let scene = Scene::with(Dialect::V1, |options| options.set("openmsg.wrong_codes_per_ip", 5)).await;
    let code = scene.node.code(ADA).await;
    for n in 0..5 {
        let body = auth(&format!("77{n}"), &scene.bob(), "000000");
        assert_eq!(
            scene.call("auth", body).await.json(),
            refusal(NOT_VALID),
            "no account is answered like a wrong code"
        );
    }
    assert_eq!(scene.auth(&scene.bob(), &code).await.json(), refusal(NOT_VALID));
    assert_eq!((scene.node.live_codes(ADA).await, notices(&scene).await.len()), (1, 0), "the account is untouched");
}

#[tokio::test]
async fn row_6_1_a_domain_that_guesses_is_refused_and_others_are_not() {
    let scene = Scene::with(Dialect::V1, |options| options.set("openmsg.wrong_codes_per_domain", 5)).await;
    for n in 0..5 {
        scene.call("auth", auth(&format!("77{n}"), "1*mallory.test", "000000")).await;
    }
    let code = scene.node.code(ADA).await;
    assert_eq!(scene.auth("1*mallory.test", &code).await.json(), refusal(NOT_VALID));
    assert_eq!(scene.peer.handshake(BOB, &scene.ada(), &code).await, Ok(()));
}

/// A scene that knows three more domains: one that refuses connections, one that speaks no TLS we trust, one that is silent.
async fn with_unreachable() -> (Scene, Peer) {
    let net = Net::new();
    let closed = Port::free();
    net.name("closed.test", closed.socket());
    let stranger = Peer::start(Dialect::V1, "untrusted.test", &TestCa::new(), net.names.clone()).await;
    net.name("untrusted.test", stranger.socket());
    let scene = Scene::on(net, Dialect::V1, |options| options.set("outbound.confirm_timeout", "1s")).await;
    (scene, stranger)
}

async fn expiry(scene: &Scene) -> Vec<Value> {
    let list = scene.node.get(&format!("accounts/{}/passcodes", scene.ada())).await;
    list["items"].as_array().unwrap().iter().map(|item| item["expires_at"].clone()).collect()
}

#[tokio::test]
async fn row_6_2_a_code_comes_back_when_nobody_was_reached_three_times_with_its_own_expiry() {
    let (scene, _stranger) = with_unreachable().await;
    for domain in ["closed.test", "untrusted.test"] {
        let code = scene.node.code(ADA).await;
        let expires = expiry(&scene).await;
        for _ in 0..3 {
            assert_eq!(scene.auth(&format!("1*{domain}"), &code).await.json(), refusal(NOT_CONFIRMED), "{domain}");
            assert_eq!(expiry(&scene).await, expires, "{domain}");
        }
        assert_eq!(scene.auth(&format!("1*{domain}"), &code).await.json(), refusal(NOT_CONFIRMED));
        assert_eq!(scene.node.live_codes(ADA).await, 0, "{domain}: the fourth time it is gone");
    }
    // After a typo in the domain the user's own attempt works.
    let code = scene.node.code(ADA).await;
    scene.auth("1*closed.test", &code).await;
    assert_eq!(scene.peer.handshake(BOB, &scene.ada(), &code).await, Ok(()));
}

#[tokio::test]
async fn row_6_2_a_code_never_comes_back_once_bytes_were_sent() {
    let (scene, _stranger) = with_unreachable().await;
    let tricks = [
        Trick::CloseBefore,
        Trick::CloseAfter,
        Trick::Hang,
        Trick::Status(500, ""),
        Trick::Status(404, ""),
        Trick::Garbage,
        Trick::No,
    ];
    for trick in tricks {
        scene.peer.behave(Behaviour::At(Endpoint::AuthConfirm, trick.clone()));
        let code = scene.node.code(ADA).await;
        assert_eq!(scene.auth(&scene.bob(), &code).await.json(), refusal(NOT_CONFIRMED), "{trick:?}");
        assert_eq!(scene.node.live_codes(ADA).await, 0, "{trick:?}");
        scene.peer.behave(Behaviour::Honest);
        assert!(scene.peer.handshake(BOB, &scene.ada(), &code).await.is_err(), "{trick:?}");
    }
    assert_eq!(scene.node.connections().await.len(), 0);
}

#[tokio::test]
async fn row_6_2b_a_code_presented_twenty_times_at_once_connects_one() {
    let scene = Scene::with(Dialect::V1, |options| options.set("openmsg.wrong_codes_per_account", 1_000)).await;
    let (ada, code) = (scene.ada(), scene.node.code(ADA).await);
    let bobs: Vec<String> = (0..20).map(|n| format!("30{n:02}")).collect();
    bobs.iter().for_each(|id| scene.peer.user(id, "Bob"));
    let handshakes = join_all(bobs.iter().map(|id| scene.peer.handshake(id, &ada, &code))).await;
    let (good, bad): (Vec<_>, Vec<_>) = handshakes.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (1, 19));
    assert!(bad.iter().all(|error| *error == Err(format!("Error: {NOT_VALID}"))), "{bad:?}");
    assert_eq!((scene.node.connections().await.len(), scene.peer.connections().len()), (1, 1));
    assert_eq!(scene.peer.log_of(Endpoint::AuthConfirm).len(), 1);
}

#[tokio::test]
async fn row_6_6_and_6_15_what_is_nearly_a_code_is_none() {
    let scene = Scene::new(Dialect::V1).await;
    let code = scene.node.code(ADA).await;
    let (head, tail) = code.split_at(5);
    let near = [
        json!(head),
        json!(format!("{code}0")),
        json!(format!("0{code}")),
        json!(format!("{head}x{tail}")),
        json!(format!("+{tail}{head}")),
        json!(format!("{code}e0")),
        json!(true),
        json!([code]),
        json!({"$ne": ""}),
    ];
    for wrong in near {
        let mut body = auth(ADA, &scene.bob(), "");
        body["pass_code"] = wrong.clone();
        let answer = scene.call("auth", body).await.json();
        assert_eq!(answer, refusal(NOT_VALID), "{wrong}");
    }
    assert_eq!(scene.node.live_codes(ADA).await, 1, "none of them was taken for it, nor burnt it");
}

#[tokio::test]
async fn row_6_14_another_user_of_the_peers_domain_is_not_confirmed_in_bobs_place() {
    let scene = Scene::new(Dialect::V1).await;
    let code = scene.node.code(ADA).await;
    // Bob's own request does not reach us, so his domain still waits to be asked; Eve, of the same domain, comes with his code.
    let (closed, ours) = (Port::free(), scene.node.public);
    scene.net.names.add("node.test", closed.socket());
    assert!(scene.peer.handshake(BOB, &scene.ada(), &code).await.is_err());
    scene.net.names.add("node.test", ours);
    let hash = sha256(&[&code, &scene.bob(), &scene.ada()]);
    assert_eq!(scene.auth(&scene.peer.address("2001"), &code).await.json(), refusal(NOT_CONFIRMED));
    let asked = scene.peer.log_of(Endpoint::AuthConfirm)[0].json();
    assert_ne!(asked["passcode_hash"], json!(hash), "the hash we ask with names who asked us");
    assert_eq!(scene.node.connections().await.len(), 0);
}

#[tokio::test]
async fn row_6_14_our_own_confirm_is_bound_to_the_account_that_asked() {
    let scene = Scene::new(Dialect::V1).await;
    scene.node.account("1001", "Ann").await;
    let code = scene.peer.issue_code(BOB);
    scene.peer.behave(Behaviour::At(Endpoint::AuthConfirm, Trick::No));
    scene.peer.behave(Behaviour::At(Endpoint::Auth, Trick::Late(Duration::from_secs(1))));
    scene.peer.behave(Behaviour::Confirming(crate::peers::Confirming::Withheld));
    let ours = async { scene.node.connect(ADA, &scene.bob(), &code).await };
    let attack = async {
        crate::node::eventually("our request is open", async || scene.peer.log_of(Endpoint::Auth).len() == 1).await;
        let ask = |hash: String| json!({"receiving_openmsg_address": scene.bob(), "passcode_hash": hash});
        let ann = sha256(&[&code, &scene.node.address("1001"), &scene.bob()]);
        let others = scene.call("auth-confirm", ask(ann)).await.json();
        let adas = scene.call("auth-confirm", ask(sha256(&[&code, &scene.ada(), &scene.bob()]))).await.json();
        (others, adas)
    };
    let (handshake, (others, adas)) = tokio::join!(ours, attack);
    assert_eq!(others, refusal(super::super::scene::UNKNOWN_PENDING));
    assert_eq!(adas, json!({"success": true}));
    assert_eq!(handshake["state"], "connected", "{handshake} with {THEIRS}");
}
