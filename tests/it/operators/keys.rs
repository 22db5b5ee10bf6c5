//! Node keys are changed while the node is used, and nothing is lost by it.

use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use handfast::audit::{self, Filter};
use handfast::crypto::NodeKeys;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::node::{Net, Node, Options};

async fn key(node: &Node, words: &[&str]) -> Output {
    let settings = node.dir().join("handfast.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_handfast"));
    command.arg("key").args(words).arg("--config").arg(settings).output().await.expect("the program runs")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn under_load_a_new_key_seals_and_everything_still_opens() {
    let net = Net::new();
    // Known before it runs, so that the shop can call it.
    net.socket_of("town.test");
    let mut shop = Node::start(&net, Options::of("shop.test").workers(2)).await;
    let town = net.node("town.test").await;
    let (from, to) = (shop.account("1000", "Shop").await, town.account("2000", "Ada").await);
    let code = town.code("2000").await;
    shop.connected("1000", &to, &code).await;
    let once = json!({"messages": [{"from": from, "to": to, "text": "once", "key": "the-only-one"}]});
    let first = shop.post("messages/batch", once.clone()).await["results"][0]["id"].clone();

    let (done, shop_ref) = (AtomicBool::new(false), &shop);
    let load = async {
        let mut sent = Vec::new();
        // Some before, some while it happens, some after it.
        while !done.load(Ordering::Relaxed) || sent.len() < 60 {
            match sent.len() {
                ..800 => sent.push(shop_ref.send("1000", &to, &format!("order {}", sent.len())).await),
                _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
        sent
    };
    let change = async {
        let output = key(shop_ref, &["rotate", "--wait", "30s"]).await;
        assert!(output.status.success(), "{}", errors(&output));
        done.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = tokio::join!(load, change);
    let first_id = first.as_str().expect("an id").to_owned();
    for id in sent.iter().chain([&first_id]) {
        assert_eq!(shop.settled(id).await["state"], "delivered");
    }
    assert_eq!(town.inbox("2000").await.len(), sent.len() + 1, "each once");

    let file = shop.app.config.keys_file();
    assert_eq!(NodeKeys::load(&file).expect("a key file").numbers(), [2, 1]);
    let listed = key(&shop, &["list", "--json"]).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(listed["keys"][0]["number"], 2);
    assert_eq!(listed["processes"].as_array().map(Vec::len), Some(3), "{listed}");
    // What was accepted under the old key is known under the new one.
    let again = shop.post("messages/batch", once).await;
    assert_eq!((&again["results"][0]["id"], &again["results"][0]["replayed"]), (&first, &json!(true)));
    // And the same after a start from the file alone.
    shop.restart().await;
    assert_eq!(shop.sent("1000", &to, "after").await, "delivered");
    let filter = Filter { action: Some("key rotate".into()), ..Filter::default() };
    let rows = audit::list(&shop.app, &filter, None, 10).await.expect("a list").entries;
    assert_eq!(rows.iter().map(|row| row.outcome).collect::<Vec<_>>(), [Some(200)]);
}

#[tokio::test]
async fn a_key_does_not_seal_while_a_process_lacks_it_and_asking_again_goes_on() {
    let net = Net::new();
    let node = net.node("a.test").await;
    let other = "insert into key_holders (process, kind, host, pid, numbers, seen_at)
                 values (gen_random_uuid(), 'work', 'elsewhere', 7, '{1}', clock_timestamp() + interval '1 hour')";
    node.execute(other).await;
    let refused = key(&node, &["rotate", "--wait", "1s"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains("work 7 on elsewhere"), "{}", errors(&refused));
    let file = node.app.config.keys_file();
    assert_eq!(NodeKeys::load(&file).expect("a key file").numbers(), [1, 2], "it opens, and does not seal");
    node.execute("delete from key_holders where host = 'elsewhere'").await;
    let done = key(&node, &["rotate", "--wait", "30s"]).await;
    assert!(done.status.success(), "{}", errors(&done));
    assert_eq!(NodeKeys::load(&file).expect("a key file").numbers(), [2, 1], "no third one was made");
}

#[tokio::test]
async fn a_process_whose_file_lacks_a_key_does_not_start_and_says_which() {
    let net = Net::new();
    let mut node = net.node("a.test").await;
    let file = node.app.config.keys_file();
    let before = std::fs::read(&file).expect("a key file");
    assert!(key(&node, &["rotate", "--wait", "30s"]).await.status.success());
    let rotated = std::fs::read(&file).expect("a key file");
    node.stop().await;
    // An old copy of the file, as on a machine that was forgotten.
    std::fs::write(&file, &before).expect("written");
    let refused = key(&node, &["list"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains("lacks node key 2"), "{}", errors(&refused));
    std::fs::write(&file, &rotated).expect("written");
    node.start_serve();
    node.start_work();
    node.ready().await;
}
