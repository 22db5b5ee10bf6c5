//! The broker's side of the node, against a real RabbitMQ.

use std::time::Duration;

use handfast::App;
use handfast::books::Lane;
use handfast::jobs::Job;
use handfast::queue::{Consumer, Publisher, Source};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::fresh_app_with;

async fn app_with_broker() -> App {
    let url = std::env::var("HANDFAST_TEST_AMQP_URL").expect("HANDFAST_TEST_AMQP_URL: run the tests by ops/test");
    let prefix = format!("test-{}", Uuid::new_v4());
    fresh_app_with(|config| {
        config.amqp.url = url.into();
        config.amqp.prefix = prefix;
    })
    .await
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
