//! Cancelling under load: whatever word is answered, it is true.

use std::collections::BTreeMap;

use serde_json::json;

use super::application::Way;
use super::dice::Dice;
use super::ledger;
use super::stage::Stage;

#[tokio::test]
async fn what_is_said_of_a_cancelled_message_is_true() {
    let mut dice = Dice::new();
    let stage = Stage::new(2, |options| options.set("destinations.concurrency", 4)).await;
    let mut words: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..12 {
        let rows = stage.rows(&format!("round-{round}"), 24);
        stage.application.hand_over(&rows, if dice.coin() { Way::Batch } else { Way::Lines }).await;
        stage.arrive_or_done(dice.from(0..20)).await;
        let ids = stage.application.accepted.all().await;
        for row in rows.iter().filter(|_| dice.coin()) {
            let id = &ids[&row.text];
            let word = stage.a.post(&format!("messages/{id}/cancel"), json!({})).await["result"].clone();
            words.insert(row.text.clone(), word.as_str().expect("a word").to_owned());
        }
    }
    ledger::worked_off(&stage.a).await;
    let (states, ids) = (ledger::states(&stage.a).await, stage.application.accepted.all().await);
    let arrived = stage.received().await;
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (text, id) in &ids {
        let word = words.get(text).map_or("none", String::as_str);
        let (state, copies) = (states[id].as_str(), arrived.iter().filter(|found| *found == text).count());
        let wanted = match (word, state) {
            ("stopped" | "stopping", "cancelled") => 0,
            ("stopping" | "gone" | "none", "delivered") => 1,
            _ => panic!("{text} was said to be {word} and is {state}: {}", stage.a.message(id).await),
        };
        assert_eq!(copies, wanted, "{text} was said to be {word}, is {state}: {}", stage.a.message(id).await);
        *seen.entry((word, state)).or_default() += 1;
    }
    eprintln!("{seen:?}");
}
