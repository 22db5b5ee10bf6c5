//! The ingress dies while applications hand messages over.

use serde_json::json;

use super::application::Way;
use super::dice::Dice;
use super::stage::Stage;
use crate::node::Port;

#[tokio::test]
async fn whatever_was_accepted_before_a_kill_is_delivered_and_the_rest_can_be_handed_over_again() {
    let mut dice = Dice::new();
    let mut stage = Stage::new(1, |options| options).await;
    // More than can be handed over while an ingress is killed four times: at least once the one that accepts.
    let stream = stage.application.stream(&stage.routes, 4, 20_000);
    for round in 0..4 {
        let wanted = stream.accepted().len().await + dice.from(5..60);
        crate::node::eventually("messages are accepted", async || stream.accepted().len().await >= wanted).await;
        let node = if round == 0 || dice.coin() { &mut stage.a } else { &mut stage.b };
        node.kill_serve().await;
        node.start_serve();
        node.ready().await;
    }
    stream.stop().await;
    assert!(stage.application.accepted.lost() > 0, "no request was under way when the ingress died");
    stage.exactly_once().await;
}

#[tokio::test]
async fn a_batch_that_a_kill_cut_off_is_accepted_once_however_often_it_comes() {
    let mut stage = Stage::new(1, |options| options).await;
    let rows = stage.rows("cut-off", 400);
    for way in [Way::Batch, Way::Lines] {
        let (application, rows) = (stage.application.clone(), rows.clone());
        let handing = tokio::spawn(async move { application.hand_over(&rows, way).await });
        stage.a.kill_serve().await;
        stage.a.start_serve();
        stage.a.ready().await;
        handing.await.expect("handed over");
    }
    let before = stage.application.accepted.all().await;
    assert_eq!(before.len(), rows.len());
    // Once more in one piece: every row is told the id it has.
    let batch: Vec<_> =
        rows.iter().map(|r| json!({"from": r.from, "to": r.to, "text": r.text, "key": r.text})).collect();
    let again = stage.a.post("messages/batch", json!({"messages": batch})).await;
    for result in again["results"].as_array().expect("results") {
        let row = &rows[result["index"].as_u64().expect("an index") as usize];
        assert_eq!((&result["replayed"], &result["id"]), (&json!(true), &json!(before[&row.text])));
    }
    stage.exactly_once().await;
}

#[tokio::test]
async fn two_ingresses_and_four_workers_accept_and_deliver_each_key_once() {
    let mut dice = Dice::new();
    let mut stage = Stage::new(2, |options| options).await;
    let (public, private) = (Port::free(), Port::free());
    let mut second = stage.a.start_second_serve(&public, &private).await;
    let other = stage.application.over(private.socket());
    let rows = stage.rows("twice", 240);
    for (n, part) in rows.chunks(40).enumerate() {
        let way = [Way::Batch, Way::Lines][dice.from(0..2)];
        // The same rows by both at once.
        let (one, two) = (stage.application.hand_over(part, way), other.hand_over(part, way));
        match n {
            2 => {
                let kill = async {
                    second.kill().await;
                    stage.a.start_second_serve(&public, &private).await
                };
                ((), (), second) = tokio::join!(one, two, kill);
            }
            _ => {
                tokio::join!(one, two);
            }
        }
    }
    stage.a.kill_work().await;
    stage.a.start_work();
    assert_eq!(stage.application.accepted.all().await, other.accepted.all().await, "one key, two messages");
    second.stop().await;
    stage.exactly_once().await;
}
