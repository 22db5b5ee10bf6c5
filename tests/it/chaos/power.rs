//! The power fails: everything dies in the same moment.

use handfast::embedded::Pair;

use super::dice::Dice;
use super::stage::{self, Stage};

#[tokio::test]
async fn after_a_power_cut_everything_goes_on_where_it_was() {
    let mut dice = Dice::new();
    let dir = stage::servers();
    let pair = Pair::start(dir.path()).await.expect("a pair");
    let mut stage = Stage::on(&pair, 1, |options| options).await;
    let stream = stage.application.stream(&stage.routes, 4, 400);
    stage.arrive(dice.from(20..80)).await;
    for node in [&mut stage.a, &mut stage.b] {
        node.kill_serve().await;
        node.kill_work().await;
    }
    let (database, broker) = tokio::join!(pair.kill_database(), pair.kill_broker());
    database.and(broker).expect("killed");
    let (database, broker) = tokio::join!(pair.start_database(), pair.start_broker());
    database.and(broker).expect("started");
    for node in [&mut stage.a, &mut stage.b] {
        node.start_serve();
        node.start_work();
        node.ready().await;
    }
    stream.stop().await;
    stage.exactly_once().await;
}
