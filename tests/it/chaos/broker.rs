//! The broker goes, comes back, and comes back empty, while messages flow.

use handfast::embedded::Pair;

use super::application::Way;
use super::dice::Dice;
use super::ledger;
use super::stage::{self, Stage};
use crate::node::eventually;

/// How the broker goes, and how it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    Stopped,
    Killed,
    Wiped,
}

#[tokio::test]
async fn without_a_broker_messages_are_accepted_and_when_it_is_back_they_are_delivered() {
    live_through(&[Outage::Stopped, Outage::Killed]).await;
}

#[tokio::test]
async fn what_lay_in_a_broker_that_lost_its_disk_is_published_again() {
    live_through(&[Outage::Wiped]).await;
}

async fn live_through(outages: &[Outage]) {
    let mut dice = Dice::new();
    let dir = stage::servers();
    let pair = Pair::start(dir.path()).await.expect("a pair");
    let stage = Stage::on(&pair, 2, |options| options).await;
    for outage in outages {
        let name = format!("{outage:?}");
        let stream = stage.application.stream_named(&name, &stage.routes, 3, 150);
        stage.arrive(dice.from(5..40)).await;
        match outage {
            Outage::Stopped => pair.stop_broker().await.expect("stopped"),
            Outage::Killed | Outage::Wiped => pair.kill_broker().await.expect("killed"),
        }
        let away = stage.rows(&format!("without-{name}"), 20);
        stage.application.hand_over(&away, Way::Batch).await;
        stage.peers_are_told_to_try_later().await;
        eventually("its absence shows", async || !stage.a.is_ready().await).await;
        match outage {
            Outage::Stopped | Outage::Killed => pair.start_broker().await.expect("started"),
            Outage::Wiped => pair.wipe_broker().await.expect("wiped"),
        }
        stream.stop().await;
        // By itself: nobody asks for it.
        ledger::worked_off(&stage.a).await;
    }
    assert_eq!(stage.application.accepted.refused(), 0, "accepting needs no broker");
    stage.exactly_once().await;
}
