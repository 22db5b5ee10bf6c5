//! What the processes of a node must agree on about their broker.

use std::time::Duration;

use handfast::App;
use handfast::books::Lane;
use handfast::jobs::{Ask, ConfirmSender, Job, Reply};
use handfast::queue::{Asker, Consumer, Publisher, Replier, Source};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::fresh_app_with;

async fn app_with_broker() -> App {
    let url = std::env::var("HANDFAST_TEST_AMQP_URL").expect("HANDFAST_TEST_AMQP_URL names a RabbitMQ for tests");
    fresh_app_with(|config| {
        config.amqp.url = url.into();
        config.amqp.prefix = format!("it-{}", Uuid::new_v4().simple());
        config.database.pool = 20;
    })
    .await
}

/// What was done for an ask is committed by then: an answer that is thrown away leaves half a handshake.
#[tokio::test]
async fn an_answer_waits_for_the_connection_that_carries_it() {
    let app = app_with_broker().await;
    let stop = CancellationToken::new();
    let asker = Asker::start(&app, stop.clone());
    let (into, mut taken) = mpsc::channel(1);
    Consumer::start(app.config.amqp.clone(), Source::Asks, 1, into, stop.clone(), stop.clone());
    let (id, deadline) = (app.new_id(), app.clock.now() + Duration::from_secs(20));
    // Asked before there is a connection, too.
    let asking = asker.ask(id, deadline, Ask::ConfirmSender(anything()));
    let answering = async {
        let taken = taken.recv().await.unwrap();
        let replier = Replier::start(&app, stop.clone());
        assert_eq!(replier.open(&taken)[0].id, id);
        replier.reply(taken.reply_to(), id, Reply::Body("yes".into())).await;
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert!(matches!(answer, Ok(Reply::Body(body)) if body == "yes"));
    stop.cancel();
}

fn anything() -> ConfirmSender {
    ConfirmSender {
        account: Uuid::nil(),
        receiving: "1000*node.test".parse().unwrap(),
        receiving_name: "Ada".parse().unwrap(),
        sending: "2000*peer.test".parse().unwrap(),
        sending_verbatim: "2000*peer.test".into(),
        sending_name: "Bob".parse().unwrap(),
        allow_replies: true,
        pass_code: "000000".into(),
        remembers: false,
    }
}

#[tokio::test]
async fn processes_that_meet_a_new_broker_at_once_agree_on_its_epoch() {
    let app = app_with_broker().await;
    let stop = CancellationToken::new();
    let publishers: Vec<Publisher> = (0..6).map(|_| Publisher::start(&app, stop.clone())).collect();
    crate::node::eventually("all are connected", async || publishers.iter().all(Publisher::is_connected)).await;
    let epochs: Vec<Option<i32>> = publishers.iter().map(Publisher::epoch).collect();
    assert_eq!(epochs, [Some(1); 6]);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), async {
        crate::node::eventually("all have left", async || !publishers.iter().any(Publisher::is_connected)).await;
    })
    .await
    .expect("they leave when told");
}

async fn published(publisher: &Publisher, job: &Job) {
    while publisher.publish(Lane::Bulk, job).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Processes of a new node start at the same moment and declare the same queues: RabbitMQ must not end up without one of them.
#[tokio::test]
async fn a_job_published_while_many_declare_the_queues_arrives() {
    let app = app_with_broker().await;
    let stop = CancellationToken::new();
    let (into, mut taken) = mpsc::channel(10);
    let publishers: Vec<Publisher> = (0..4).map(|_| Publisher::start(&app, stop.clone())).collect();
    for source in [Source::Jobs(Lane::Bulk), Source::Jobs(Lane::Interactive), Source::Asks, Source::Dead] {
        Consumer::start(app.config.amqp.clone(), source, 10, into.clone(), stop.clone(), stop.clone());
    }
    let mut sent = Vec::new();
    for publisher in &publishers {
        let job = Job::StartHandshake(Uuid::new_v4());
        published(publisher, &job).await;
        sent.push(job);
    }
    let mut arrived = Vec::new();
    while arrived.len() < sent.len() {
        let message =
            tokio::time::timeout(Duration::from_secs(60), taken.recv()).await.expect("every job arrives").unwrap();
        arrived.push(serde_json::from_slice::<Job>(&message.body).unwrap());
        message.ack().await;
    }
    for job in sent {
        assert!(arrived.contains(&job));
    }
    stop.cancel();
}
