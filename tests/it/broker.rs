//! What the processes of a node must agree on about their broker.

use std::time::Duration;

use handfast::queue::Publisher;
use tokio_util::sync::CancellationToken;

use crate::support::fresh_app_with;

#[tokio::test]
async fn processes_that_meet_a_new_broker_at_once_agree_on_its_epoch() {
    let url = std::env::var("HANDFAST_TEST_AMQP_URL").expect("HANDFAST_TEST_AMQP_URL names a RabbitMQ for tests");
    let app = fresh_app_with(|config| {
        config.amqp.url = url.into();
        config.amqp.prefix = format!("it-{}", uuid::Uuid::new_v4().simple());
        config.database.pool = 20;
    })
    .await;
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
