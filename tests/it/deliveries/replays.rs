//! Replays: who may be replayed, what becomes of it, and who wins a race.

use handfast::books::{self, Cancelled, Replayed, State};

use super::*;

#[tokio::test]
async fn what_ended_undelivered_gets_its_schedule_and_its_life_again() {
    let stage = Stage::new().await;
    for end in [NOT_FOUND, TOO_OLD, UNSURE] {
        let ids = stage.open(8, "orders", "a").await;
        stage.end(&ids, end).await;
        stage.app.clock.advance(Duration::from_secs(7200));
        assert_eq!(books::replay(&stage.app, &ids).await.unwrap(), vec![Replayed::Replayed; 8]);
        let delivery = books::delivery(&stage.app, ids[0]).await.unwrap().unwrap();
        assert_eq!((delivery.state, delivery.reason.as_deref()), (State::Pending, None));
        let life = delivery.expires_at.duration_since(stage.app.clock.now()).as_secs();
        assert!((3590..=3600).contains(&life), "the life it had: {life}");
        let again: Vec<_> = ids.iter().map(|id| place(*id)).collect();
        let claimed = books::claim_again(&stage.app, stage.worker, stage.app.new_id(), &again).await.unwrap();
        assert!(
            claimed.deliveries.iter().all(|d| d.tries == 0 && d.expires_at == delivery.expires_at),
            "from the start"
        );
        stage.settle(claimed.claim, Held::Again, &again, DELIVERED).await;
        assert_eq!(stage.states(&ids).await, BTreeMap::from([("delivered", 8)]));
    }
}

#[tokio::test]
async fn what_was_delivered_or_is_under_way_is_refused() {
    let stage = Stage::new().await;
    let good = stage.open(1, "orders", "a").await[0];
    stage.end(&[good], DELIVERED).await;
    let open = stage.open(1, "orders", "b").await[0];
    let busy = stage.open(1, "orders", "c").await[0];
    stage.end(&[busy], BUSY).await;
    let unknown = stage.app.new_id();
    let words = books::replay(&stage.app, &[good, open, busy, unknown, Uuid::max()]).await.unwrap();
    assert_eq!(words, [Replayed::Delivered, Replayed::Open, Replayed::Open, Replayed::Unknown, Replayed::Unknown]);
    assert_eq!(
        stage.states(&[good, open, busy]).await,
        BTreeMap::from([("delivered", 1), ("pending", 1), ("retrying", 1)])
    );
}

#[tokio::test]
async fn what_was_cancelled_is_replayed_when_no_worker_can_be_sending_it() {
    let stage = Stage::new().await;
    let ids = stage.open(2, "orders", "a").await;
    let claimed = stage.claim(&ids).await;
    assert_eq!(books::cancel(&stage.app, ids[0]).await.unwrap(), Some(Cancelled::Stopping));
    assert_eq!(books::replay(&stage.app, &ids[..1]).await.unwrap(), [Replayed::Busy]);
    for (chunk, claimed) in claimed {
        stage.settle(claimed.claim, Held::Chunk { id: chunk, then: Then::Done }, &[place(ids[1])], DELIVERED).await;
    }
    assert_eq!(books::replay(&stage.app, &ids[..1]).await.unwrap(), [Replayed::Replayed]);
    // The same for one that was held as an exception: nobody tells that it was dropped, so it takes a minute.
    let again = books::claim_again(&stage.app, stage.worker, stage.app.new_id(), &[place(ids[0])]).await.unwrap();
    assert_eq!(again.deliveries.len(), 1);
    assert_eq!(books::cancel(&stage.app, ids[0]).await.unwrap(), Some(Cancelled::Stopping));
    assert_eq!(books::replay(&stage.app, &ids[..1]).await.unwrap(), [Replayed::Busy]);
    stage.app.clock.advance(Duration::from_secs(61));
    assert_eq!(books::replay(&stage.app, &ids[..1]).await.unwrap(), [Replayed::Replayed]);
}

#[tokio::test]
async fn of_many_replays_of_one_delivery_one_wins() {
    let stage = Stage::new().await;
    let ids = stage.open(50, "orders", "a").await;
    stage.end(&ids, NOT_FOUND).await;
    let racing = (0..8).map(|_| books::replay(&stage.app, &ids));
    let words = futures_util::future::try_join_all(racing).await.unwrap();
    for n in 0..ids.len() {
        let won = words.iter().filter(|words| words[n] == Replayed::Replayed).count();
        assert_eq!(won, 1, "delivery {n}");
    }
    assert_eq!(stage.end_again(&ids, DELIVERED).await, 50);
}

#[tokio::test]
async fn a_replay_and_a_cancel_come_one_after_the_other() {
    let stage = Stage::new().await;
    let ids = stage.open(40, "orders", "a").await;
    stage.end(&ids, NOT_FOUND).await;
    for id in &ids {
        let (replayed, cancelled) =
            tokio::join!(books::replay(&stage.app, std::slice::from_ref(id)), books::cancel(&stage.app, *id));
        let (replayed, cancelled) = (replayed.unwrap()[0], cancelled.unwrap().unwrap());
        assert_eq!(replayed, Replayed::Replayed);
        // Cancelled while it was failed: nothing to stop. After the replay: stopped.
        let wanted = if cancelled == Cancelled::Stopped { State::Cancelled } else { State::Pending };
        assert_eq!(stage.state(*id).await, wanted, "{cancelled:?}");
    }
}

#[tokio::test]
async fn one_that_holds_its_line_is_replayed_in_its_place() {
    let stage = Stage::new().await;
    let ids = stage.accept((0..2).map(|_| in_line(stage.message("orders", "line"), "k")).collect()).await;
    assert_eq!(stage.end_again(&ids, NOT_FOUND).await, 1, "only the first can be had");
    assert_eq!(books::replay(&stage.app, &ids).await.unwrap(), [Replayed::Replayed, Replayed::Open]);
    assert_eq!(stage.end_again(&ids, NOT_FOUND).await, 1);
    assert_eq!(books::cancel(&stage.app, ids[0]).await.unwrap(), Some(Cancelled::Gone), "it had failed");
    books::replay(&stage.app, &ids[..1]).await.unwrap();
    assert_eq!(books::cancel(&stage.app, ids[0]).await.unwrap(), Some(Cancelled::Stopped));
    let second = books::claim_again(&stage.app, stage.worker, stage.app.new_id(), &[place(ids[1])]).await.unwrap();
    assert_eq!(second.deliveries.len(), 1, "the line goes on");
}
