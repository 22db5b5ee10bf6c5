//! The advice is followed to the letter: what it says is run.

use std::fs;
use std::path::Path;
use std::process::Output;

use tokio::process::Command;

use crate::node::{Net, Node};
use crate::support::fresh_database;

async fn program(node: &Node, words: &[&str]) -> Output {
    let settings = node.dir().join("handfast.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_handfast"));
    command.args(words).arg("--config").arg(settings).output().await.expect("the program runs")
}

/// What a command printed is run by a shell.
async fn advice(node: &Node, words: &[&str], place: &Path) -> Output {
    let printed = program(node, words).await;
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let script = place.with_extension("sh");
    fs::write(&script, &printed.stdout).expect("written");
    let text = String::from_utf8(printed.stdout).expect("UTF-8");
    let password = url::Url::parse(node.app.config.database.url.reveal()).expect("a URL").password().map(str::to_owned);
    assert!(password.is_none_or(|password| !text.contains(&password)), "the script holds the password");
    Command::new("sh").arg(script).arg(place).output().await.expect("a shell")
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_node_is_backed_up_restored_elsewhere_and_delivers_what_was_waiting() {
    let net = Net::new();
    // Known before it runs, so that the shop can call it.
    net.socket_of("town.test");
    let mut shop = net.node("shop.test").await;
    let town = net.node("town.test").await;
    shop.account("1000", "Shop").await;
    let to = town.account("2000", "Ada").await;
    shop.connected("1000", &to, &town.code("2000").await).await;
    assert_eq!(shop.sent("1000", &to, "before").await, "delivered");
    shop.kill_work().await;
    let waiting = shop.send("1000", &to, "waiting").await;

    let place = shop.dir().join("backup");
    let backed_up = advice(&shop, &["backup"], &place).await;
    assert!(backed_up.status.success(), "{}", words(&backed_up));
    for file in ["database.dump", "node.keys", "settings/handfast.toml", "settings/cert.pem"] {
        assert!(place.join(file).is_file(), "{file} is missing");
    }
    shop.kill_serve().await;

    // The other machine: another database, empty, and no key file.
    let keys = shop.app.config.keys_file();
    fs::remove_file(&keys).expect("the key file");
    let settings = shop.dir().join("handfast.toml");
    let text = fs::read_to_string(&settings).expect("settings");
    let database = fresh_database().await;
    fs::write(&settings, text.replace(shop.app.config.database.url.reveal(), database.reveal())).expect("written");

    let restored = advice(&shop, &["backup", "--restore"], &place).await;
    assert!(restored.status.success(), "{}", words(&restored));
    assert!(words(&restored).contains("1 connection looked at"), "{}", words(&restored));
    shop.start_serve();
    shop.start_work();
    shop.ready().await;
    assert_eq!(shop.settled(&waiting).await["state"], "delivered");
    assert_eq!(town.texts("2000").await, ["before", "waiting"]);

    // A key file of another node is not taken for this one's, neither by the check nor by the script.
    fs::rename(&keys, keys.with_extension("kept")).expect("renamed");
    let nobody = program(&shop, &["restore-check"]).await;
    assert_eq!(nobody.status.code(), Some(1), "{}", words(&nobody));
    handfast::crypto::NodeKeys::create(&keys).expect("another key file");
    let foreign = program(&shop, &["restore-check"]).await;
    assert_eq!(foreign.status.code(), Some(1));
    assert!(words(&foreign).contains("not this database's"), "{}", words(&foreign));
    let again = advice(&shop, &["backup", "--restore"], &place).await;
    assert!(!again.status.success() && words(&again).contains("another file"), "{}", words(&again));
}
