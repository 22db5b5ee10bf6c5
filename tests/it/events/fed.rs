//! What webhooks are sent: everything that happened since they asked for it, in order, once, however long they were away.

use std::time::Duration;

use handfast::App;
use handfast::books::{Acceptor, tell};
use handfast::crypto::Purpose;
use handfast::queue::Publisher;
use handfast::webhooks::{self, Content, Definition, Ports, Signing, Target};
use handfast::workers::tell_webhooks::{Fed, feed};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{chunk, ended, of_chunk};
use crate::support::{events_can_be_read, fresh_app};

/// Something that subscribes by the name `orders`, and nobody who delivers.
struct Stage {
    app: App,
    acceptor: Acceptor,
    stop: CancellationToken,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Stage {
    async fn set() -> Self {
        let app = fresh_app().await;
        let stop = CancellationToken::new();
        let acceptor = Acceptor::start(&app, &Publisher::start(&app, stop.clone()));
        Self { app, acceptor, stop }
    }

    async fn subscribe(&self, kinds: &[&str]) {
        let target = Target::with_ports("https://hooks.example/", &Ports::of(&self.app.config)).unwrap();
        let definition = Definition::new(target, Signing::Hmac, None);
        let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        let name = "orders".parse().unwrap();
        webhooks::create(&self.app, "tests", &name, &definition, &kinds).await.unwrap().unwrap();
    }

    async fn feed(&self) -> Fed {
        feed(&self.app, &self.acceptor, "orders").await.unwrap()
    }

    /// A chunk of which so many were delivered.
    async fn deliver(&self, n: i16) -> Vec<Uuid> {
        let chunk = chunk(&self.app);
        let client = self.app.db.client().await.unwrap();
        ended(&client, self.app.clock.now(), tell::Kind::Delivered, of_chunk(chunk, 0..n)).await;
        of_chunk(chunk, 0..n).map(|id| id.uuid()).collect()
    }

    /// The webhook takes what is first in its line.
    async fn take(&self) -> Option<Value> {
        let sql = "select m.id, m.content, m.channel, t.place from turns t join messages m on m.id = delivery_id(t.chunk, t.seq)
            where t.destination = 'orders' and t.key = 'events' order by t.place limit 1";
        let row = self.app.db.row(sql, &[]).await.unwrap()?;
        let id: Uuid = row.get(0);
        assert_eq!(row.get::<_, i16>(2), 2);
        let content = self.app.keys.open(Purpose::Message, id.as_bytes(), row.get(1)).unwrap();
        let taken = "delete from turns where destination = 'orders' and key = 'events' and place = $1";
        self.app.db.execute(taken, &[&row.get::<_, i64>(3)]).await.unwrap();
        Some(serde_json::from_slice(Content::decode(&content).unwrap().body).unwrap())
    }
}

fn deliveries(batch: &Value) -> Vec<Uuid> {
    let events = batch["events"].as_array().unwrap();
    assert_eq!((&batch["type"], &batch["cursor"]), (&Value::from("events"), &events.last().unwrap()["id"]));
    events.iter().map(|event| event["delivery"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn a_webhook_that_was_away_for_an_hour_gets_everything_once_and_in_order() {
    let stage = Stage::set().await;
    stage.deliver(3).await;
    events_can_be_read(&stage.app).await;
    stage.subscribe(&["delivery.*"]).await;
    let mut happened = Vec::new();
    for _ in 0..26 {
        happened.extend(stage.deliver(55).await);
    }
    events_can_be_read(&stage.app).await;
    for batch in 0..10 {
        assert_eq!(stage.feed().await, Fed::Batch, "{batch}");
    }
    assert_eq!(stage.feed().await, Fed::Later, "ten wait, the rest stays where it is");
    stage.app.clock.advance(Duration::from_secs(3600));
    happened.extend(stage.deliver(5).await);
    events_can_be_read(&stage.app).await;
    assert_eq!(stage.feed().await, Fed::Later);
    let (mut told, mut batches) = (Vec::new(), 0);
    while let Some(batch) = stage.take().await {
        told.extend(deliveries(&batch));
        batches += 1;
        stage.feed().await;
    }
    assert_eq!(told, happened, "what came before it asked is not among it");
    assert_eq!(batches, happened.len().div_ceil(100));
    assert_eq!(stage.feed().await, Fed::Nothing);
}

#[tokio::test]
async fn an_idle_webhook_is_told_at_once_and_a_busy_one_in_batches() {
    let stage = Stage::set().await;
    stage.subscribe(&["delivery.delivered"]).await;
    let first = stage.deliver(1).await;
    events_can_be_read(&stage.app).await;
    assert_eq!(stage.feed().await, Fed::Batch);
    let mut next = stage.deliver(1).await;
    events_can_be_read(&stage.app).await;
    assert_eq!(stage.feed().await, Fed::Later, "one is on its way: others may join");
    next.extend(stage.deliver(1).await);
    stage.app.clock.advance(Duration::from_secs(1));
    events_can_be_read(&stage.app).await;
    assert_eq!(stage.feed().await, Fed::Batch);
    assert_eq!(deliveries(&stage.take().await.unwrap()), first);
    assert_eq!(deliveries(&stage.take().await.unwrap()), next);
    assert_eq!(stage.take().await, None);
}

#[tokio::test]
async fn processes_that_feed_at_the_same_time_tell_nothing_twice() {
    let stage = Stage::set().await;
    stage.subscribe(&["*"]).await;
    let happened = stage.deliver(850).await;
    events_can_be_read(&stage.app).await;
    let feeding = (0..4).map(|_| {
        let (app, acceptor) = (stage.app.clone(), stage.acceptor.clone());
        tokio::spawn(async move {
            loop {
                match feed(&app, &acceptor, "orders").await.unwrap() {
                    Fed::Nothing => return,
                    Fed::Batch | Fed::Later => tokio::task::yield_now().await,
                }
            }
        })
    });
    for done in futures_util::future::join_all(feeding.collect::<Vec<_>>()).await {
        done.unwrap();
    }
    let mut told = Vec::new();
    while let Some(batch) = stage.take().await {
        told.extend(deliveries(&batch));
    }
    assert_eq!(told, happened);
}
