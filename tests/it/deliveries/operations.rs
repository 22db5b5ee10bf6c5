//! Operations: carried on by another when a worker dies, each delivery once; held up and given up.

use handfast::books::{self, Carried, NewOperation, OperationKind, OperationState, State, Steer};

use super::cancels::all_results;
use super::*;

fn replay(filter: Filter, rate: Option<f32>) -> NewOperation {
    NewOperation { kind: OperationKind::Replay, sender: "shop".into(), filter, rate, matching: 0 }
}

#[tokio::test]
async fn what_a_worker_left_half_done_another_finishes_each_delivery_once() {
    let stage = Stage::new().await;
    let ids = stage.open(1300, "orders", "a").await;
    stage.end(&ids, NOT_FOUND).await;
    let id = books::begin_operation(&stage.app, &replay(going_to("orders"), None)).await.unwrap().id;
    let dying = stage.app.new_id();
    books::renew(&stage.app, dying, true, LEASE).await.unwrap();
    assert_eq!(books::take_operation(&stage.app, dying, true).await.unwrap(), Some(id));
    assert_eq!(books::take_operation(&stage.app, stage.worker, true).await.unwrap(), None, "it is carried");
    assert_eq!(books::carry(&stage.app, stage.worker, id).await.unwrap(), Carried::NotOurs);
    assert!(matches!(books::carry(&stage.app, dying, id).await.unwrap(), Carried::More(_)));
    let half = books::operation(&stage.app, id).await.unwrap().unwrap();
    assert!(half.done > 0 && half.done < 1300, "{half:?}");
    // Those that were replayed fail again meanwhile; a second replay of them would be seen below.
    assert_eq!(stage.end_again(&ids, NOT_FOUND).await as i64, half.done);
    books::die(&stage.app, dying).await.unwrap();
    assert_eq!(books::carry(&stage.app, dying, id).await.unwrap(), Carried::NotOurs, "the dead do nothing");
    stage.carry_all().await;
    let ended = books::operation(&stage.app, id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.seen, ended.done, ended.skipped), (OperationState::Finished, 1300, 1300, 0));
    assert_eq!(
        stage.states(&ids).await,
        BTreeMap::from([("failed", half.done as usize), ("pending", 1300 - half.done as usize)])
    );
    let results = all_results(&stage, id).await;
    assert_eq!((results.len(), results.values().all(|word| *word == "replayed")), (1300, true));
}

#[tokio::test]
async fn two_workers_at_once_do_each_part_once() {
    let stage = Stage::new().await;
    let ids = stage.open(900, "orders", "a").await;
    stage.end(&ids, NOT_FOUND).await;
    let id = books::begin_operation(&stage.app, &replay(going_to("orders"), Some(1000.0))).await.unwrap().id;
    books::take_operation(&stage.app, stage.worker, true).await.unwrap();
    let carry = async || {
        let mut parts = 0;
        while let Carried::More(_) = books::carry(&stage.app, stage.worker, id).await.unwrap() {
            parts += 1;
        }
        parts
    };
    let (a, b) = tokio::join!(carry(), carry());
    assert!(a > 0 && b > 0 && a + b >= 4, "{a} and {b} parts");
    let ended = books::operation(&stage.app, id).await.unwrap().unwrap();
    assert_eq!((ended.seen, ended.done), (900, 900));
}

#[tokio::test]
async fn a_replay_without_a_state_leaves_alone_what_was_cancelled_or_may_have_arrived() {
    let stage = Stage::new().await;
    let lost = stage.open(8, "orders", "a").await;
    stage.end(&lost, NOT_FOUND).await;
    let unsure = stage.open(8, "orders", "a").await;
    stage.end(&unsure, UNSURE).await;
    let gone = stage.open(8, "orders", "a").await;
    books::cancel_many(&stage.app, &gone).await.unwrap();
    let id = books::begin_operation(&stage.app, &replay(tagged("a"), None)).await.unwrap().id;
    let later = stage.open(8, "orders", "a").await;
    stage.end(&later, NOT_FOUND).await;
    stage.carry_all().await;
    let ended = books::operation(&stage.app, id).await.unwrap().unwrap();
    assert_eq!((ended.done, ended.skipped), (8, 0));
    assert_eq!(stage.states(&lost).await, BTreeMap::from([("pending", 8)]));
    assert_eq!(stage.states(&later).await, BTreeMap::from([("failed", 8)]), "accepted after it was asked for");
    let asked = Filter { states: vec![State::Unconfirmed, State::Cancelled], ..tagged("a") };
    books::begin_operation(&stage.app, &replay(asked, None)).await.unwrap();
    stage.carry_all().await;
    assert_eq!(stage.states(&unsure).await, BTreeMap::from([("pending", 8)]));
    assert_eq!(stage.states(&gone).await, BTreeMap::from([("pending", 8)]));
}

#[tokio::test]
async fn an_operation_is_held_up_goes_on_and_is_given_up() {
    let stage = Stage::new().await;
    let ids = stage.open(60, "orders", "a").await;
    stage.end(&ids, NOT_FOUND).await;
    let id = books::begin_operation(&stage.app, &replay(going_to("orders"), Some(40.0))).await.unwrap().id;
    books::take_operation(&stage.app, stage.worker, true).await.unwrap();
    let Carried::More(wait) = books::carry(&stage.app, stage.worker, id).await.unwrap() else { panic!("more") };
    assert_eq!(wait, Duration::from_millis(250), "ten of forty a second");
    let (paused, done) = books::steer(&stage.app, id, Steer::Pause).await.unwrap().unwrap();
    assert_eq!((paused.state, paused.done, done), (OperationState::Paused, 10, true));
    assert_eq!(books::carry(&stage.app, stage.worker, id).await.unwrap(), Carried::NotOurs);
    assert_eq!(books::take_operation(&stage.app, stage.worker, true).await.unwrap(), None);
    assert!(books::steer(&stage.app, id, Steer::Resume).await.unwrap().unwrap().1);
    books::take_operation(&stage.app, stage.worker, true).await.unwrap();
    books::carry(&stage.app, stage.worker, id).await.unwrap();
    let (ended, _) = books::steer(&stage.app, id, Steer::Cancel).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.done), (OperationState::Cancelled, 20));
    assert!(ended.finished_at.is_some());
    assert!(!books::steer(&stage.app, id, Steer::Resume).await.unwrap().unwrap().1, "over is over");
    assert_eq!(stage.states(&ids).await, BTreeMap::from([("failed", 40), ("pending", 20)]));
    stage.app.clock.advance(Duration::from_secs(8 * 86_400));
    assert_eq!(books::purge_operations(&stage.app).await.unwrap(), 1);
    assert_eq!(stage.count("select count(*) from operation_results").await, 0);
}
