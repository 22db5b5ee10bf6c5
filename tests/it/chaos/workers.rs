//! Workers die, freeze and are told to go, on both sides, while messages flow.

use super::application::{Row, Way};
use super::dice::Dice;
use super::ledger;
use super::stage::{Stage, WITH_PEER};
use crate::node::eventually;
use crate::peers::{Behaviour, Endpoint, Trick};

#[tokio::test]
async fn killed_workers_lose_nothing_and_double_nothing() {
    let mut dice = Dice::new();
    let mut stage = Stage::new(2, |options| options).await;
    let stream = stage.application.stream(&stage.routes, 4, 800);
    for _ in 0..5 {
        stage.arrive(dice.from(5..60)).await;
        let node = if dice.coin() { &mut stage.a } else { &mut stage.b };
        let victim = dice.from(0..node.work.len());
        node.work.remove(victim).kill().await;
        node.start_work();
    }
    stream.stop().await;
    stage.exactly_once().await;
}

#[tokio::test]
async fn a_frozen_worker_changes_nothing_when_it_thaws() {
    let mut dice = Dice::new();
    let stage = Stage::new(2, |options| options).await;
    let stream = stage.application.stream(&stage.routes, 4, 500);
    for _ in 0..3 {
        // Until a frozen one counts as dead, all there is may have arrived.
        stage.arrive_or_done(dice.from(5..40)).await;
        let node = if dice.coin() { &stage.a } else { &stage.b };
        let frozen = &node.work[dice.from(0..node.work.len())];
        frozen.signal("STOP").await;
        // The others take over what it held: that it was declared dead is what the wait is for.
        let gone = format!("select not exists (select from workers where pid = {})", frozen.pid().expect("a process"));
        eventually("a frozen worker counts as dead", async || node.value::<bool>(&gone).await).await;
        frozen.signal("CONT").await;
    }
    stream.stop().await;
    stage.exactly_once().await;
}

#[tokio::test]
async fn the_only_worker_may_freeze_too() {
    let mut dice = Dice::new();
    let stage = Stage::new(1, |options| options).await;
    let stream = stage.application.stream(&stage.routes, 4, 300);
    for side in [&stage.a, &stage.b] {
        stage.arrive_or_done(dice.from(5..40)).await;
        side.work[0].signal("STOP").await;
        // Nobody else can say that it is dead: time itself is the condition here.
        tokio::time::sleep(stage.longer_than_a_lease()).await;
        side.work[0].signal("CONT").await;
    }
    stream.stop().await;
    stage.exactly_once().await;
}

#[tokio::test]
async fn workers_that_are_told_to_go_finish_what_they_hold() {
    let mut dice = Dice::new();
    let mut stage = Stage::new(1, |options| options).await;
    let stream = stage.application.stream(&stage.routes, 4, 500);
    for _ in 0..3 {
        stage.arrive(dice.from(5..60)).await;
        let node = if dice.coin() { &mut stage.a } else { &mut stage.b };
        let going = node.work.remove(0);
        let pid = going.pid().expect("a process");
        going.stop().await;
        // With nobody else there, nothing may be held by anybody now.
        let held =
            "select (select count(*) from chunks where state = 1) + (select count(*) from exceptions where state = 2)";
        assert_eq!(node.value::<i64>(held).await, 0, "worker {pid} left something claimed");
        node.start_work();
    }
    stream.stop().await;
    stage.exactly_once().await;
}

#[tokio::test]
async fn a_worker_hands_on_what_it_holds_by_the_books_and_has_not_in_hand() {
    let stage = Stage::new(1, |options| options).await;
    stage.peer.behave(Behaviour::At(Endpoint::MessageReceive, Trick::Code("SM_E008")));
    let (from, to) = (stage.a.address(WITH_PEER), stage.peer.address(WITH_PEER));
    let rows: Vec<Row> =
        ["one", "two"].map(|text| Row { from: from.clone(), to: to.clone(), text: text.into() }).to_vec();
    stage.application.hand_over(&rows, Way::Batch).await;
    // As a task leaves it that ended without settling: held by a worker that lives.
    let take =
        "update exceptions set state = 2, due_at = null, claim = gen_random_uuid(), worker = (select id from workers)
                where state = 1";
    eventually("both wait and are taken", async || {
        stage.a.execute(take).await;
        stage.a.value::<i64>("select count(*) from exceptions where state = 2").await == 2
    })
    .await;
    stage.peer.behave(Behaviour::Honest);
    let balance = stage.balance().await;
    assert_eq!((balance.delivered, balance.doubles), (2, 0));
}

#[tokio::test]
async fn the_grace_time_ends_also_for_a_peer_that_hangs() {
    let mut stage = Stage::new(1, |options| options.set("delivery.grace", "1s")).await;
    stage.peer.behave(Behaviour::At(Endpoint::MessageReceive, Trick::Hang));
    let row = Row { from: stage.a.address(WITH_PEER), to: stage.peer.address(WITH_PEER), text: "patience".into() };
    stage.application.hand_over(&[row], Way::Single).await;
    eventually("it hangs", async || !stage.peer.log_of(Endpoint::MessageReceive).is_empty()).await;
    stage.a.work.remove(0).stop().await;
    let held =
        "select (select count(*) from chunks where state = 1) + (select count(*) from exceptions where state = 2)";
    assert_eq!(stage.a.value::<i64>(held).await, 0);
    stage.peer.behave(Behaviour::Honest);
    stage.a.start_work();
    let balance = stage.balance().await;
    assert_eq!((balance.delivered, balance.doubles), (1, 0));
}

#[tokio::test]
async fn a_job_that_was_handed_out_too_often_is_looked_at_again() {
    let mut stage = Stage::new(1, |options| options).await;
    stage.a.kill_work().await;
    stage.application.hand_over(&stage.rows("poison", 3), Way::Batch).await;
    ledger::hand_out_too_often(&stage.a, "jobs.bulk").await;
    stage.a.start_work();
    // It is not tried at once, but in a minute.
    let parked = "select count(*) from chunks where state in (0, 3) and due_at > now() + interval '30 s'";
    eventually("it is put aside", async || stage.a.value::<i64>(parked).await == 1).await;
    stage.a.execute("update chunks set due_at = now() where state in (0, 3)").await;
    stage.exactly_once().await;
}
