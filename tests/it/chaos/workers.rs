//! Workers die, freeze and are told to go, on both sides, while messages flow.

use super::dice::Dice;
use super::stage::Stage;

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
        stage.arrive(dice.from(5..40)).await;
        let node = if dice.coin() { &stage.a } else { &stage.b };
        let frozen = &node.work[dice.from(0..node.work.len())];
        frozen.signal("STOP").await;
        // The others take over what it held: that it was declared dead is what the wait is for.
        let gone = format!("select not exists (select from workers where pid = {})", frozen.pid().expect("a process"));
        crate::node::eventually("a frozen worker counts as dead", async || node.value::<bool>(&gone).await).await;
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
        stage.arrive(dice.from(5..40)).await;
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
