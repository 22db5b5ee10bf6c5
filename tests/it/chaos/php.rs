//! A worker dies while its POSTs to a peer without a memory are under way (specification §6.10): what was never asked for is sent
//! anew, what was asked for is repeated byte for byte within its 60 s, and what is older is called unconfirmed and left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::application::{Row, Way};
use super::ledger::Balance;
use super::stage::{Stage, WITH_PEER};
use crate::node::eventually;
use crate::peers::{Behaviour, Endpoint, Trick};

/// As many as go at once to a peer that has not answered yet.
const MESSAGES: usize = 4;

/// Hands messages for the peer over, waits until `under_way`, and kills the worker.
async fn die_while(stage: &mut Stage, trick: Trick, under_way: impl Fn(&Stage) -> bool) {
    stage.peer.behave(Behaviour::At(Endpoint::MessageReceive, trick));
    let (from, to) = (stage.a.address(WITH_PEER), stage.peer.address(WITH_PEER));
    let row = |n| Row { from: from.clone(), to: to.clone(), text: format!("message-{n}") };
    stage.application.hand_over(&(0..MESSAGES).map(row).collect::<Vec<_>>(), Way::Batch).await;
    eventually("all are under way", async || under_way(stage)).await;
    stage.a.kill_work().await;
    stage.peer.behave(Behaviour::Honest);
}

async fn go_on(stage: &mut Stage) -> Balance {
    stage.a.start_work();
    let balance = stage.balance().await;
    eprintln!("{balance:?}");
    assert_eq!(balance.accepted, MESSAGES);
    balance
}

/// How often each body was posted to the peer.
fn posted(stage: &Stage) -> BTreeMap<Vec<u8>, usize> {
    let mut bodies = BTreeMap::new();
    for seen in stage.peer.log_of(Endpoint::MessageReceive) {
        *bodies.entry(seen.body.to_vec()).or_default() += 1;
    }
    bodies
}

#[tokio::test]
async fn what_was_never_asked_for_is_sent_anew() {
    let mut stage = Stage::new(1, |options| options).await;
    let taken = |stage: &Stage| stage.peer.log_of(Endpoint::MessageReceive).len() == MESSAGES;
    die_while(&mut stage, Trick::Hang, taken).await;
    let balance = go_on(&mut stage).await;
    assert_eq!((balance.delivered, balance.doubles), (MESSAGES, 0));
    let posted = posted(&stage);
    assert_eq!(posted.len(), 2 * MESSAGES, "each composed anew, with another nonce");
    assert!(posted.values().all(|times| *times == 1));
}

#[tokio::test]
async fn what_was_asked_for_is_repeated_byte_for_byte_and_doubled_at_the_most_once() {
    let mut stage = Stage::new(1, |options| options).await;
    let stored = |stage: &Stage| stage.peer.inbox(WITH_PEER).len() == MESSAGES;
    die_while(&mut stage, Trick::Late(Duration::from_secs(25)), stored).await;
    let balance = go_on(&mut stage).await;
    // The peer cannot tell a repeat: this is the double that cannot be avoided, and the only one.
    assert_eq!((balance.delivered, balance.doubles), (MESSAGES, MESSAGES));
    let posted = posted(&stage);
    assert_eq!(posted.len(), MESSAGES, "nothing was composed anew");
    assert!(posted.values().all(|times| *times == 2));
}

#[tokio::test]
async fn what_was_asked_for_too_long_ago_is_unconfirmed_and_left_alone() {
    let mut stage = Stage::new(1, |options| options).await;
    let stored = |stage: &Stage| stage.peer.inbox(WITH_PEER).len() == MESSAGES;
    die_while(&mut stage, Trick::Late(Duration::from_secs(25)), stored).await;
    stage.a.execute("update outbox set expires_at = expires_at - interval '1 minute'").await;
    let balance = go_on(&mut stage).await;
    assert_eq!((balance.delivered, balance.unconfirmed, balance.doubles), (0, MESSAGES, 0));
    assert_eq!(stage.peer.log_of(Endpoint::MessageReceive).len(), MESSAGES, "nothing was sent again");
}

#[tokio::test]
async fn a_worker_that_is_told_to_go_brings_every_post_it_has_begun_to_its_end() {
    let options = |options: crate::node::Options| {
        // Several chunks in one job, of which only some get a slot.
        options.set("delivery.chunk", 2).set("destinations.concurrency", 2)
    };
    let mut stage = Stage::new(1, options).await;
    stage.peer.behave(Behaviour::At(Endpoint::MessageReceive, Trick::Late(Duration::from_secs(3))));
    let (from, to) = (stage.a.address(WITH_PEER), stage.peer.address(WITH_PEER));
    let row = |n| Row { from: from.clone(), to: to.clone(), text: format!("message-{n}") };
    stage.application.hand_over(&(0..MESSAGES).map(row).collect::<Vec<_>>(), Way::Batch).await;
    eventually("some are under way", async || stage.peer.inbox(WITH_PEER).len() >= 2).await;
    stage.a.work.remove(0).stop().await;
    stage.peer.behave(Behaviour::Honest);
    let balance = go_on(&mut stage).await;
    assert_eq!((balance.delivered, balance.doubles), (MESSAGES, 0));
    assert!(posted(&stage).values().all(|times| *times == 1), "a POST was broken off and repeated");
}
