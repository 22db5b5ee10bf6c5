//! Races that a kill brings about now and then, here brought about on purpose.

use std::time::Duration;

use handfast::App;
use handfast::books::{
    self, Accepted, Acceptor, Attempt, Expiry, Held, Lane, NewMessage, Outcome, Settle, Settled, Then, Way,
};
use handfast::queue::Publisher;
use handfast::retry::Next;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{DOMAIN, fresh_app, fresh_app_with};

const LEASE: Duration = Duration::from_secs(8);

/// An app without a broker, and messages accepted in it: the chunk they are in, and their ids.
async fn accepted(n: usize) -> (App, Uuid, Vec<Uuid>) {
    let app = fresh_app_with(|config| config.amqp.url = "amqp://127.0.0.1:1/none".to_owned().into()).await;
    let publisher = Publisher::start(&app, CancellationToken::new());
    let message = |n| NewMessage {
        sender: "test".into(),
        key: None,
        way: Way::Openmsg {
            connection: Uuid::from_u128(7),
            from: format!("1*{DOMAIN}").parse().unwrap(),
            to: "2*other.test".parse().unwrap(),
        },
        content: format!("message {n}").into(),
        lane: Lane::Bulk,
        tag: None,
        expiry: Expiry::In(Duration::from_secs(3600)),
        deliver_at: None,
        order: None,
        campaign: None,
        held: false,
    };
    let answers = Acceptor::start(&app, &publisher).accept_many((0..n).map(message).collect()).await.unwrap();
    let id = |answer: &Accepted| match answer {
        Accepted::New(id) => *id,
        other => panic!("not new: {other:?}"),
    };
    let chunk = app.db.row("select id from chunks", &[]).await.unwrap().unwrap().get(0);
    // Its acceptor found no broker, and has said so.
    let unpublished = "select published_at is null from chunks";
    crate::node::eventually("the mark is taken back", async || {
        app.db.row(unpublished, &[]).await.unwrap().unwrap().get(0)
    })
    .await;
    app.clock.advance(Duration::from_secs(3));
    (app, chunk, answers.iter().map(id).collect())
}

async fn worker(app: &App) -> Uuid {
    let worker = app.new_id();
    assert!(books::renew(app, worker, true, LEASE).await.unwrap());
    worker
}

/// What a scheduler would publish now to the broker of epoch 1.
async fn due(app: &App) -> Vec<Uuid> {
    books::due_chunks(app, 1, 100).await.unwrap().into_iter().map(|due| due.what.id).collect()
}

/// A broker that comes back hands out again what it has no ack for, and meanwhile it was published anew.
#[tokio::test]
async fn two_jobs_that_name_one_chunk_are_claimed_together_and_run_it_once() {
    let (app, chunk, ids) = accepted(3).await;
    let worker = worker(&app).await;
    let claimed = books::claim_chunks(&app, worker, app.new_id(), &[chunk, chunk]).await.unwrap();
    let mut got: Vec<Uuid> = claimed[&chunk].deliveries.iter().map(|delivery| delivery.message_id()).collect();
    got.sort_unstable();
    assert_eq!(got, ids);
}

#[tokio::test]
async fn what_a_worker_may_not_claim_is_published_again() {
    let (app, chunk, _) = accepted(1).await;
    assert_eq!(due(&app).await, [chunk]);
    books::confirmed(&app, 1, &[chunk], &[]).await.unwrap();
    assert!(due(&app).await.is_empty(), "it is in the broker");
    // A worker that was declared dead takes it from the broker, which forgets it.
    let dead = app.new_id();
    assert!(books::claim_chunks(&app, dead, app.new_id(), &[chunk]).await.unwrap().is_empty());
    assert_eq!(due(&app).await, [chunk], "nobody would bring it before five minutes are over");
}

#[tokio::test]
async fn a_worker_whose_clock_is_a_little_behind_claims_all_the_same() {
    let (app, chunk, _) = accepted(1).await;
    let worker = worker(&app).await;
    app.db.execute("update chunks set due_at = $1", &[&(app.clock.now() + Duration::from_millis(100))]).await.unwrap();
    assert_eq!(books::claim_chunks(&app, worker, app.new_id(), &[chunk]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_publish_whose_scheduler_died_is_made_again() {
    let (app, chunk, _) = accepted(1).await;
    assert_eq!(due(&app).await, [chunk]);
    assert!(due(&app).await.is_empty(), "another scheduler leaves it to the first");
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(due(&app).await, [chunk], "the first one died before the broker had it");
    books::confirmed(&app, 1, &[chunk], &[]).await.unwrap();
    app.clock.advance(Duration::from_secs(10));
    assert!(due(&app).await.is_empty(), "this one came through");
}

#[tokio::test]
async fn an_acceptors_late_mark_does_not_hide_what_was_handed_back() {
    let (app, chunk, _) = accepted(1).await;
    let at = app.clock.now();
    books::park(&app, &[(chunk, app.clock.now() + Duration::from_secs(5))]).await.unwrap();
    books::published(&app, &[chunk], &[1], &[at]).await.unwrap();
    assert!(books::release_chunks(&app, Lane::Bulk, 100).await.unwrap().is_empty(), "not before its time");
    app.clock.advance(Duration::from_secs(6));
    let released = books::release_chunks(&app, Lane::Bulk, 100).await.unwrap();
    assert_eq!(released.into_iter().map(|due| due.what.id).collect::<Vec<_>>(), [chunk]);
    // Later still, and the scheduler that released it dies before the broker has it.
    books::published(&app, &[chunk], &[1], &[at]).await.unwrap();
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(due(&app).await, [chunk], "it was hidden for minutes");
}

#[tokio::test]
async fn a_claim_committed_just_after_its_worker_was_buried_is_handed_on() {
    let (app, chunk, _) = accepted(1).await;
    let worker = worker(&app).await;
    assert_eq!(books::claim_chunks(&app, worker, app.new_id(), &[chunk]).await.unwrap().len(), 1);
    // As if the burial had looked before the claim was there to be seen.
    app.db.execute("delete from workers", &[]).await.unwrap();
    books::hand_on_dead(&app).await.unwrap();
    assert_eq!(due(&app).await, [chunk]);
}

#[tokio::test]
async fn what_was_delivered_while_it_was_being_cancelled_is_delivered() {
    let (app, chunk, messages) = accepted(1).await;
    let (worker, claim) = (worker(&app).await, app.new_id());
    let claimed = books::claim_chunks(&app, worker, claim, &[chunk]).await.unwrap().remove(&chunk).unwrap();
    let delivery = &claimed.deliveries[0];
    let attempt =
        Attempt { at: app.clock.now(), ms: 1, outcome: Outcome::Delivered, status: None, code: None, answer: None };
    let result = Settled {
        id: delivery.id,
        lane: delivery.lane,
        destination: delivery.destination.clone(),
        tries: 1,
        attempt: Some(attempt),
        next: Next::Delivered,
        reason: None,
        hash: None,
        ordered: false,
    };
    let settle = Settle { claim, held: Held::Chunk { id: chunk, then: Then::Done }, results: vec![result], worker };
    // The cancel has the chunk's row when the settle begins, and commits while it waits.
    let mut cancelling = app.db.client().await.unwrap();
    let cancel = cancelling.transaction().await.unwrap();
    cancel.query("select from chunks for update", &[]).await.unwrap();
    let settling = {
        let app = app.clone();
        tokio::spawn(async move { books::settle_many(&app, &[settle]).await })
    };
    let waits =
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    while !app.db.row(waits, &[]).await.unwrap().unwrap().get::<_, bool>(0) {}
    let insert = "insert into exceptions (chunk, seq, lane, destination, state, reason, updated_at)
                  values ($1, $2, 1, 'other.test', 3, 'cancelled', now())";
    cancel.execute(insert, &[&delivery.id.chunk, &delivery.id.seq]).await.unwrap();
    cancel.commit().await.unwrap();
    assert_eq!(settling.await.unwrap().unwrap().held, [true]);
    let message = books::find(&app, messages[0]).await.unwrap().unwrap();
    assert_eq!(message.state, books::State::Delivered, "{:?}", message.deliveries);
}

#[tokio::test]
async fn what_was_forgotten_unasked_stays_forgotten_when_asked_again() {
    let app = fresh_app().await;
    let hash = [7; 32];
    let entry = books::OutboxEntry {
        hash,
        nonce: "n".repeat(32),
        delivery: books::DeliveryId { chunk: app.new_id(), seq: 0 },
        connection: Uuid::from_u128(7),
        recipient: "2*other.test".into(),
        body: b"{}".to_vec(),
        worker: Uuid::from_u128(8),
        expires_at: app.clock.now() + Duration::from_secs(60),
    };
    books::put_many(&app, std::slice::from_ref(&entry)).await.unwrap();
    assert!(books::forget_unasked(&app, &hash).await.unwrap());
    assert!(books::forget_unasked(&app, &hash).await.unwrap(), "the answer of the first call may have been lost");
    books::put_many(&app, &[entry]).await.unwrap();
    assert_eq!(books::confirm_many(&app, &[(hash, "n".repeat(32))]).await.unwrap(), [true]);
    assert!(!books::forget_unasked(&app, &hash).await.unwrap());
}

#[tokio::test]
async fn what_is_due_at_once_is_published_by_its_acceptor() {
    let (app, chunk, _) = accepted(1).await;
    let sql = "select due_at <= created_at from chunks c join messages m on m.id = c.id where c.id = $1";
    assert!(app.db.row(sql, &[&chunk]).await.unwrap().unwrap().get::<_, bool>(0), "not due yet: left to the scheduler");
}
