//! Cancels: what is said is true, and what is stopped is not sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use handfast::books::{self, Cancelled, NewOperation, OperationKind, OperationState, State};

use super::*;

fn cancel(filter: Filter) -> NewOperation {
    NewOperation { kind: OperationKind::Cancel, sender: "shop".into(), filter, rate: None, matching: 0 }
}

#[tokio::test]
async fn each_id_gets_its_word() {
    let stage = Stage::new().await;
    let good = stage.open(1, "orders", "a").await[0];
    stage.end(&[good], DELIVERED).await;
    let busy = stage.open(1, "orders", "b").await[0];
    stage.end(&[busy], BUSY).await;
    let open = stage.open(1, "orders", "c").await[0];
    let held = stage.open(1, "orders", "d").await[0];
    let _claimed = stage.claim(&[held]).await;
    let unknown = stage.app.new_id();
    let ids = [good, busy, open, held, unknown];
    let (gone, stopped, stopping) = (Some(Cancelled::Gone), Some(Cancelled::Stopped), Some(Cancelled::Stopping));
    for first in [true, false] {
        let words = books::cancel_many(&stage.app, &ids).await.unwrap();
        assert_eq!(words[..3], [gone, stopped, stopped]);
        assert_eq!((words[3], words[4]), (if first { stopping } else { stopped }, None));
    }
    assert_eq!(books::cancelled_among(&stage.app, &[place(held).chunk]).await.unwrap(), [place(held)]);
    assert!(stage.claim(&[open]).await.iter().all(|(_, claimed)| claimed.deliveries.is_empty()));
    assert_eq!(stage.end_again(&[busy], DELIVERED).await, 0);
    // Told once each, however often it was asked for.
    assert_eq!(stage.count("select sum(cardinality(seqs)) from events where kind = 5").await, 3);
}

/// What has ended names nothing that could be stopped; without this, no state that is open meant any state.
#[tokio::test]
async fn a_cancel_of_what_has_ended_stops_nothing() {
    let stage = Stage::new().await;
    let failed = stage.open(3, "orders", "a").await;
    stage.end(&failed, NOT_FOUND).await;
    let open = stage.open(20, "orders", "b").await;
    for state in [State::Delivered, State::Failed, State::Expired, State::Cancelled, State::Unconfirmed] {
        for destination in [None, Some("orders".to_owned())] {
            let filter = Filter { states: vec![state], destination, ..Filter::default() };
            let begun = books::begin_operation(&stage.app, &cancel(filter)).await.unwrap();
            stage.carry_all().await;
            let ended = books::operation(&stage.app, begun.id).await.unwrap().unwrap();
            assert_eq!((ended.state, ended.done, ended.stopping), (OperationState::Finished, 0, 0), "{state:?}");
        }
    }
    assert_eq!(stage.states(&open).await, BTreeMap::from([("pending", 20)]));
    assert_eq!(stage.states(&failed).await, BTreeMap::from([("failed", 3)]));
}

#[tokio::test]
async fn a_destination_is_stopped_at_once() {
    let stage = Stage::new().await;
    let ids = stage.open(2500, "orders", "a").await;
    let other = stage.open(20, "stock", "a").await;
    let single = stage.accept(vec![stage.message("orders", "x"), stage.message("stock", "x")]).await;
    let begun = books::begin_operation(&stage.app, &cancel(going_to("orders"))).await.unwrap();
    assert!(stage.claim(&ids).await.is_empty(), "no chunk can be had any more");
    stage.carry_all().await;
    let ended = books::operation(&stage.app, begun.id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.done, ended.stopping, ended.skipped), (OperationState::Finished, 2501, 0, 0));
    assert_eq!(stage.state(single[0]).await, State::Cancelled);
    assert_eq!(stage.state(single[1]).await, State::Pending);
    assert_eq!(stage.states(&other).await, BTreeMap::from([("pending", 20)]));
    let filter = Filter { states: vec![State::Cancelled], ..Filter::default() };
    assert_eq!(stage.found(&filter, 300).await.len(), 2501);
    let events = stage.count("select sum(cardinality(seqs)) from events where kind = 5").await;
    assert_eq!(events, 2501);
    // And back.
    assert!(
        books::replay(&stage.app, &ids[..1000]).await.unwrap().iter().all(|word| *word == books::Replayed::Replayed)
    );
    assert_eq!(stage.end_again(&ids[..1000], DELIVERED).await, 1000);
}

#[tokio::test]
async fn what_had_gone_from_a_chunk_is_not_called_stopped() {
    let stage = Stage::new().await;
    let ids = stage.open(20, "orders", "a").await;
    for (chunk, claimed) in stage.claim(&ids).await {
        let sent: Vec<DeliveryId> = ids[..5].iter().map(|id| place(*id)).collect();
        stage.settle(claimed.claim, Held::Chunk { id: chunk, then: Then::Wait }, &sent, DELIVERED).await;
    }
    let begun = books::begin_operation(&stage.app, &cancel(going_to("orders"))).await.unwrap();
    stage.carry_all().await;
    let ended = books::operation(&stage.app, begun.id).await.unwrap().unwrap();
    assert_eq!((ended.done, ended.skipped), (15, 0));
    assert_eq!(stage.states(&ids).await, BTreeMap::from([("cancelled", 15), ("delivered", 5)]));
    assert_eq!(stage.count("select sum(cardinality(seqs)) from events where kind = 5").await, 15);
}

/// A worker that asks before each delivery what was cancelled, as the real one does, and remembers what it sent.
async fn work(stage: &Stage, ids: &[Uuid], over: &AtomicBool) -> Vec<Uuid> {
    let chunks: BTreeSet<Uuid> = ids.iter().map(|id| place(*id).chunk).collect();
    let mut sent = Vec::new();
    for chunk in chunks {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let claim = stage.app.new_id();
        let mut claimed = books::claim_chunks(&stage.app, stage.worker, claim, &[chunk]).await.unwrap();
        let Some(claimed) = claimed.remove(&chunk) else { continue };
        let stops = books::stops(&stage.app).await.unwrap();
        let cancelled = books::cancelled_among(&stage.app, &[chunk]).await.unwrap();
        let (mut good, mut dropped) = (Vec::new(), Vec::new());
        for delivery in &claimed.deliveries {
            match (cancelled.contains(&delivery.id), stops.iter().any(|stop| stop.covers(delivery))) {
                (true, _) => {}
                (false, true) => dropped.push(delivery.id),
                (false, false) => good.push(delivery.id),
            }
        }
        sent.extend(good.iter().map(|id| id.uuid()));
        let withdrawn = End { next: || handfast::retry::Next::Withdrawn, code: Some("cancelled"), ..DELIVERED };
        stage.settle_untried(claim, Held::Chunk { id: chunk, then: Then::Stay }, &dropped, withdrawn).await;
        stage.settle(claim, Held::Chunk { id: chunk, then: Then::Done }, &good, DELIVERED).await;
    }
    sent
}

#[tokio::test]
async fn of_five_thousand_cancelled_by_tag_each_is_stopped_or_gone() {
    let stage = Arc::new(Stage::new().await);
    let ids = stage.open(5000, "orders", "sale").await;
    let over = Arc::new(AtomicBool::new(false));
    let working = {
        let (stage, ids, over) = (Arc::clone(&stage), ids.clone(), Arc::clone(&over));
        tokio::spawn(async move { work(&stage, &ids, &over).await })
    };
    while stage.count("select count(*) from tries").await == 0 {
        tokio::task::yield_now().await;
    }
    let begun = books::begin_operation(&stage.app, &cancel(tagged("sale"))).await.unwrap();
    stage.carry_all().await;
    over.store(true, Ordering::Relaxed);
    let sent: BTreeSet<Uuid> = working.await.unwrap().into_iter().collect();
    let ended = books::operation(&stage.app, begun.id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.stopping), (OperationState::Finished, 0));
    assert_eq!(ended.done + ended.skipped, 5000, "{ended:?}");
    assert!(ended.done > 0 && ended.skipped > 0, "both happened: {ended:?}");
    let results = all_results(&stage, begun.id).await;
    assert_eq!(results.len(), 5000, "each once");
    for id in &ids {
        let wanted = if sent.contains(id) { ("gone", State::Delivered) } else { ("stopped", State::Cancelled) };
        assert_eq!((results[id], stage.state(*id).await), wanted, "{id}");
    }
}

pub(super) async fn all_results(stage: &Stage, operation: Uuid) -> BTreeMap<Uuid, &'static str> {
    let (mut all, mut after) = (BTreeMap::new(), None);
    loop {
        let page = books::operation_results(&stage.app, operation, after, 700).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = Some(last.id);
        for result in page {
            assert!(all.insert(result.id, result.result).is_none(), "{} comes twice", result.id);
        }
    }
}

impl Stage {
    async fn settle_untried(&self, claim: Uuid, held: Held, ids: &[DeliveryId], end: End) {
        let settle = Settle {
            claim,
            held,
            results: ids.iter().map(|id| self.settled(*id, end, false)).collect(),
            worker: self.worker,
        };
        books::settle_many(&self.app, &[settle]).await.unwrap();
    }
}
