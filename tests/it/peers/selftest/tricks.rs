//! Every trick, seen from an honest peer or from the [`Attacker`]. Waiting is bounded by the runner, not by luck.

use std::time::Duration;

use super::*;

async fn v1() -> Pair {
    Pair::connected(Dialect::V1, Dialect::V1).await
}

fn refusal(status: u16) -> Result<(), SendFailure> {
    Err(SendFailure { status, code: None })
}

#[tokio::test]
async fn answers_of_a_receiver() {
    let pair = v1().await;
    let receiver = |trick| pair.r.behave(Behaviour::At(Endpoint::MessageReceive, trick));
    for code in ["SM_E000", "SM_E002", "SM_E007", "SM_E008", "SM_E009"] {
        receiver(Trick::Code(code));
        assert_eq!(pair.send("x").await, failure(200, code));
    }
    receiver(Trick::No);
    assert_eq!(pair.send("x").await, refusal(200));
    receiver(Trick::Garbage);
    assert_eq!(pair.send("x").await, refusal(200));
    receiver(Trick::Status(404, "<html>"));
    assert_eq!(pair.send("x").await, refusal(404));
    receiver(Trick::CloseBefore);
    assert_eq!(pair.send("x").await, refusal(0));
    assert!(pair.r.inbox(R).is_empty());
    receiver(Trick::CloseAfter);
    assert_eq!(pair.send("stored all the same").await, refusal(0));
    assert_eq!(pair.r.inbox(R).len(), 1);
    receiver(Trick::Body("{\"success\":\"no\"}".into()));
    assert_eq!(pair.send("loosely").await, Ok(()));
}

#[tokio::test]
async fn a_trick_can_be_counted_and_taken_back() {
    let pair = v1().await;
    pair.r.behave(Behaviour::Times(2, Endpoint::MessageReceive, Trick::Status(500, "")));
    assert_eq!(pair.send("x").await, refusal(500));
    assert_eq!(pair.send("x").await, refusal(500));
    assert_eq!(pair.send("x").await, Ok(()));
    pair.r.behave(Behaviour::At(Endpoint::MessageReceive, Trick::No));
    assert_eq!(pair.send("x").await, refusal(200));
    pair.r.behave(Behaviour::Honest);
    assert_eq!(pair.send("x").await, Ok(()));
}

#[tokio::test]
async fn answers_of_a_confirming_sender() {
    let pair = v1().await;
    let sender = |trick| pair.i.behave(Behaviour::At(Endpoint::MessageConfirm, trick));
    sender(Trick::Status(404, ""));
    assert_eq!(pair.send("x").await, failure(200, "SM_E003"));
    sender(Trick::Status(500, ""));
    assert_eq!(pair.send("x").await, failure(200, "SM_E000"));
    sender(Trick::Code("SM_E008"));
    assert_eq!(pair.send("x").await, failure(200, "SM_E008"));
    sender(Trick::No);
    assert_eq!(pair.send("x").await, refusal(200), "a missing code is passed through as null");
    sender(Trick::CloseBefore);
    assert_eq!(pair.send("x").await, failure(200, "SM_E000"));
    sender(Trick::Body("\"text\"".into()));
    assert_eq!(pair.send("x").await, refusal(500));
    sender(Trick::Huge(2_000_000));
    assert_eq!(pair.send("x").await, Ok(()), "a PHP peer reads it all");
    sender(Trick::Late(Duration::from_millis(50)));
    assert_eq!(pair.send("x").await, Ok(()));
    sender(Trick::Drip(Duration::from_millis(1)));
    assert_eq!(pair.send("x").await, Ok(()));
}

#[tokio::test]
async fn redirects_are_followed_once() {
    let pair = v1().await;
    let sender = |trick| pair.i.behave(Behaviour::At(Endpoint::MessageConfirm, trick));
    sender(Trick::Redirect(302, "/openmsg/moved/message-confirm/".into()));
    assert_eq!(pair.send("x").await, Ok(()));
    assert_eq!(pair.i.log().last().map(|seen| seen.path.clone()), Some("/openmsg/moved/message-confirm/".into()));
    sender(Trick::Redirect(307, "/openmsg/moved/message-confirm/".into()));
    assert_eq!(pair.send("x").await, failure(200, "SM_E000"));
    let before = pair.i.log().len();
    sender(Trick::RedirectLoop(301));
    assert_eq!(pair.send("x").await, failure(200, "SM_E000"));
    assert_eq!(pair.i.log().len(), before + 2);
    let third = Peer::start(Dialect::V1, "c.example", &pair.ca, pair.names.clone()).await;
    sender(Trick::Redirect(301, format!("https://{}/openmsg/message-confirm/", third.domain())));
    assert_eq!(pair.send("x").await, failure(200, "SM_E003"), "the third knows nothing of it");
    assert_eq!(third.log_of(Endpoint::MessageConfirm).len(), 1);
    sender(Trick::Redirect(301, format!("http://{}/openmsg/message-confirm/", third.domain())));
    assert_eq!(pair.send("x").await, failure(200, "SM_E000"), "it speaks no plain HTTP");
}

#[tokio::test]
async fn confirmations_go_wrong_on_request() {
    let pair = v1().await;
    let confirms = || pair.i.log_of(Endpoint::MessageConfirm).len();
    pair.r.behave(Behaviour::Confirming(Confirming::Withheld));
    assert_eq!(pair.send("unconfirmed").await, Ok(()));
    assert_eq!(confirms(), 0);
    let (status, body) = pair.r.confirm_now().await;
    assert!(status == 200 && body.contains("SM_E003"), "the row is gone once the POST has ended: {body}");
    pair.r.behave(Behaviour::Confirming(Confirming::Twice));
    assert_eq!(pair.send("twice").await, Ok(()));
    assert_eq!(confirms(), 3);
    pair.r.behave(Behaviour::Confirming(Confirming::WrongProof));
    assert_eq!(pair.send("wrongly").await, failure(200, "SM_E003"));
    let refused = pair.shake().await.expect_err("a hash of nothing");
    assert!(refused.starts_with("Error: Error: unknown pending authorization"), "{refused}");
    pair.r.behave(Behaviour::Honest);
    assert_eq!(pair.r.inbox(R).len(), 2);
}

#[tokio::test]
async fn sandbox_callbacks_fail_where_there_is_no_sandbox() {
    let pair = Pair::start(Dialect::Jun, Dialect::Jun).await;
    pair.r.behave(Behaviour::SandboxCallbacks);
    assert_eq!(pair.shake().await, Ok(()));
    assert_eq!(pair.i.log()[0].path, "/openmsg/sandbox/auth-confirm/");
    let pair = Pair::start(Dialect::Seed, Dialect::Jun).await;
    pair.r.behave(Behaviour::SandboxCallbacks);
    assert_eq!(pair.shake().await, Err("Error: Error. Curl response status -- : 404".into()));
}

#[tokio::test]
async fn a_hanging_peer_hangs_and_a_dead_one_refuses() {
    let mut pair = v1().await;
    pair.r.behave(Behaviour::At(Endpoint::MessageReceive, Trick::Hang));
    let address = pair.r.address(R);
    let sending = pair.i.send(I, &address, "x");
    tokio::pin!(sending);
    tokio::select! {
        outcome = &mut sending => panic!("answered: {outcome:?}"),
        () = reached(&pair.r, Endpoint::MessageReceive) => {}
    }
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut sending).await.is_err());
    assert!(pair.i.log_of(Endpoint::MessageConfirm).is_empty());
    pair.r.go_down().await;
    assert_eq!(sending.await, refusal(0));
    pair.r.come_back().await;
    pair.r.behave(Behaviour::Honest);
    pair.r.go_down().await;
    assert_eq!(pair.send("x").await, refusal(0));
    pair.r.come_back().await;
    assert_eq!(pair.send("x").await, Ok(()));
}

/// Returns once a request has arrived.
async fn reached(peer: &Peer, endpoint: Endpoint) {
    while peer.log_of(endpoint).is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn certificates_of_strangers_are_refused() {
    let pair = v1().await;
    let stranger = Peer::start(Dialect::V1, "b.example", &TestCa::new(), pair.names.clone()).await;
    assert_eq!(pair.send("x").await, refusal(0));
    assert!(stranger.log().is_empty());
}

#[tokio::test]
async fn the_attacker_sends_bytes_at_its_own_speed() {
    let pair = v1().await;
    let slow = pair.attacker_of_r().slowly(7, Duration::from_millis(1));
    let reply = slow.post("/openmsg/message-confirm/", "{}").await.expect("an answer");
    assert_eq!((reply.status, reply.json()["response_code"].as_str()), (200, Some("SM_E000")));
    pair.r.behave(Behaviour::At(Endpoint::MessageConfirm, Trick::Drip(Duration::ZERO)));
    let dripped = slow.post("/openmsg/message-confirm/", "{}").await.expect("an answer in chunks");
    assert_eq!(dripped.header("transfer-encoding"), Some("chunked"));
    assert_eq!(dripped.json()["response_code"], "SM_E000");
    assert_eq!(slow.raw("nonsense\r\n\r\n").await.expect("an answer").status, 400);
    pair.r.behave(Behaviour::At(Endpoint::MessageConfirm, Trick::CloseBefore));
    assert!(slow.post("/openmsg/message-confirm/", "{}").await.is_err());
}
