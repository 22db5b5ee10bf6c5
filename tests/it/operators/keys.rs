//! Node keys are changed while the node is used, and nothing is lost by it.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use handfast::App;
use handfast::audit::{self, Filter};
use handfast::crypto::NodeKeys;
use handfast::keyring::{self, Pass};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::node::{Net, Node, Options, eventually};
use crate::support::fresh_app;
use crate::webhooks::receiver::{Receiver, status};

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

/// The same node on another machine: a copy of the key file, as it is now.
async fn elsewhere(app: &App) -> App {
    let mut config = (*app.config).clone();
    let file = tempfile::tempdir().expect("a folder").keep().join("node.keys");
    std::fs::copy(app.config.keys_file(), &file).expect("copied");
    config.keys.file = Some(file.clone());
    App { config: config.into(), keys: Arc::new(NodeKeys::load(&file).expect("a key file")), ..app.clone() }
}

#[tokio::test]
async fn who_was_out_of_reach_while_a_key_came_to_seal_takes_no_work_before_it_has_it() {
    let here = fresh_app().await;
    keyring::check(&here).await.expect("a new node");
    let there = elsewhere(&here).await;
    let (process, pass, stop) = (Uuid::new_v4(), Pass::default(), CancellationToken::new());
    keyring::report(&there, process, "work", &pass).await.expect("a report");
    assert!(pass.is_good(&stop).await);

    let number = keyring::begin(&here).await.expect("a key");
    keyring::report(&there, process, "work", &pass).await.expect("what only opens may be missing");
    assert_eq!(pass.lacks(), None);
    keyring::check(&there).await.expect("it may even start");
    assert_eq!(keyring::lacking(&here, number).await.expect("a look").len(), 1);
    assert!(!keyring::finish(&here, number).await.expect("a look"), "somebody lacks it");
    assert_eq!(NodeKeys::load(&here.config.keys_file()).expect("a key file").current(), 1);
    assert!(keyring::begin(&there).await.is_err(), "nor is another one begun over it");

    // Not heard of any more.
    keyring::leave(&here, process).await.expect("gone");
    assert!(keyring::finish(&here, number).await.expect("promoted"));
    let late = keyring::report(&there, process, "work", &pass).await;
    assert!(matches!(late, Err(keyring::Error::Lacks { number: 2, .. })), "{late:?}");
    assert_eq!((pass.lacks(), pass.is_good(&stop).await), (Some(2), false));
    assert!(keyring::check(&there).await.is_err(), "nor does it start");
    std::fs::copy(here.config.keys_file(), there.config.keys_file()).expect("copied");
    keyring::report(&there, process, "work", &pass).await.expect("it is there");
    assert!(pass.is_good(&stop).await);
    assert!(keyring::behind(&here, number).await.expect("a look").is_empty(), "and seals with it");
}

#[tokio::test]
async fn of_two_machines_that_make_a_key_at_once_one_is_told_and_its_key_is_never_said_to_be_held() {
    let here = fresh_app().await;
    keyring::check(&here).await.expect("a new node");
    let there = elsewhere(&here).await;
    // Before the database knows of either.
    NodeKeys::add(&there.config.keys_file()).expect("a key");
    let number = keyring::begin(&here).await.expect("a key");
    let (process, pass) = (Uuid::new_v4(), Pass::default());
    for _ in 0..3 {
        let refused = keyring::report(&there, process, "work", &pass).await;
        assert!(matches!(refused, Err(keyring::Error::Other { number: 2, .. })), "{refused:?}");
        let holders = keyring::holders(&here).await.expect("a look");
        assert_eq!(holders.iter().map(|holder| holder.numbers.clone()).collect::<Vec<_>>(), [[1]]);
    }
    assert_eq!((there.keys.numbers(), pass.lacks()), (vec![1], None), "it goes on with what it has");
    let second = keyring::begin(&there).await;
    assert!(matches!(second, Err(keyring::Error::Other { number: 2, .. })), "{second:?}");
    std::fs::copy(here.config.keys_file(), there.config.keys_file()).expect("copied");
    keyring::report(&there, process, "work", &pass).await.expect("without a new start");
    assert!(keyring::finish(&here, number).await.expect("promoted"));
    keyring::report(&there, process, "work", &pass).await.expect("both hold it");
}

#[tokio::test]
async fn a_key_that_has_sealed_is_not_taken_for_a_new_one_wherever_it_stands() {
    let app = fresh_app().await;
    keyring::check(&app).await.expect("a new node");
    let number = keyring::begin(&app).await.expect("a key");
    assert_eq!((number, keyring::begin(&app).await.expect("the same")), (2, 2), "an interrupted change goes on");
    assert!(keyring::finish(&app, number).await.expect("promoted"));
    // Somebody puts the old one on top again: the newer one is known to others.
    NodeKeys::promote(&app.config.keys_file(), 1).expect("moved");
    assert_eq!(keyring::begin(&app).await.expect("a key"), 3);
}

async fn order(node: &Node) -> String {
    let accepted = node.post("messages", json!({"webhook": "orders", "payload": {}})).await;
    accepted["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_worker_that_lacks_a_key_ends_no_delivery_says_so_and_goes_on_when_it_has_it() {
    let net = Net::new();
    let receiver = Receiver::start(&net, "hooks.test", |_, _| status(204)).await;
    let mut node = net.node("a.test").await;
    node.kill_work().await;
    let (file, copy) = (node.app.config.keys_file(), node.dir().join("copy.keys"));
    std::fs::copy(&file, &copy).expect("copied");
    node.start_work_with_keys(&copy);
    node.post("webhooks", json!({"name": "orders", "url": "https://hooks.test/in"})).await;
    let first = order(&node).await;
    assert_eq!(node.settled(&first).await["state"], "delivered");

    // It is not heard of for longer than anybody waits, and the key comes to seal without it.
    node.work[0].signal("STOP").await;
    node.execute("delete from key_holders where kind = 'work'").await;
    let rotated = key(&node, &["rotate", "--wait", "30s"]).await;
    assert!(rotated.status.success(), "{}", errors(&rotated));
    let ids = [order(&node).await, order(&node).await];
    node.work[0].signal("CONT").await;
    eventually("it says so", async || node.logs().contains("a node key is missing here")).await;
    for id in &ids {
        let message = node.message(id).await;
        assert!(!["failed", "delivered"].contains(&message["state"].as_str().unwrap_or_default()), "{message}");
    }
    let doctor = super::doctor::doctor(&node).await;
    assert!(doctor.contains("lacks node key 2: copy the key file there"), "{doctor}");
    std::fs::copy(&file, &copy).expect("copied");
    for id in &ids {
        assert_eq!(node.settled(id).await["state"], "delivered");
    }
    assert_eq!(receiver.got(3).await.len(), 3);
    eventually("and that it is there", async || node.logs().contains("up to date again")).await;
}
