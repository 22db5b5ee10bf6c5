//! The advice is followed to the letter: what it says is run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::node::{Net, Node, Process};
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

fn words_of(output: &Output) -> String {
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
    assert!(backed_up.status.success(), "{}", words_of(&backed_up));
    let certificate = format!("settings/files{}", shop.dir().join("cert.pem").display());
    for file in ["database.dump", "node.keys", "settings/handfast.toml", &certificate] {
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

    // What was written for the one is not run for the other; nor is a database dumped that is no node's.
    let elsewhere = shop.dir().join("elsewhere");
    let script = place.with_extension("sh");
    let other = Command::new("sh").arg(script).arg(&elsewhere).output().await.expect("a shell");
    assert!(!other.status.success() && words_of(&other).contains("write it anew"), "{}", words_of(&other));
    let empty = shop.dir().join("empty");
    let nothing = advice(&shop, &["backup"], &empty).await;
    assert!(!nothing.status.success() && words_of(&nothing).contains("no node's database"), "{}", words_of(&nothing));
    assert!(!elsewhere.join("database.dump").exists() && !empty.join("database.dump").exists());

    let restored = advice(&shop, &["backup", "--restore"], &place).await;
    assert!(restored.status.success(), "{}", words_of(&restored));
    assert!(words_of(&restored).contains("1 connection looked at"), "{}", words_of(&restored));
    let twice = advice(&shop, &["backup", "--restore"], &place).await;
    assert!(!twice.status.success() && words_of(&twice).contains("must be empty"), "{}", words_of(&twice));
    shop.start_serve();
    shop.start_work();
    shop.ready().await;
    assert_eq!(shop.settled(&waiting).await["state"], "delivered");
    assert_eq!(town.texts("2000").await, ["before", "waiting"]);

    // A key file of another node is not taken for this one's, neither by the check nor by the script.
    fs::rename(&keys, keys.with_extension("kept")).expect("renamed");
    let nobody = program(&shop, &["restore-check"]).await;
    assert_eq!(nobody.status.code(), Some(1), "{}", words_of(&nobody));
    handfast::crypto::NodeKeys::create(&keys).expect("another key file");
    let foreign = program(&shop, &["restore-check"]).await;
    assert_eq!(foreign.status.code(), Some(1));
    assert!(words_of(&foreign).contains("not this database's"), "{}", words_of(&foreign));
    let again = advice(&shop, &["backup", "--restore"], &place).await;
    assert!(!again.status.success() && words_of(&again).contains("another file"), "{}", words_of(&again));
}

/// Relative paths in the settings, and a shell that is somewhere else.
#[tokio::test]
async fn a_node_of_up_is_backed_up_and_restored_with_its_private_database() {
    let permissions = fs::Permissions::from_mode(0o711);
    let dir = tempfile::Builder::new().permissions(permissions).tempdir().expect("a directory");
    let settings = "mode = \"development\"\ndomain = \"shop.test\"\ndata_dir = \"data\"\n\
                    [public]\nlisten = \"127.0.0.1:0\"\n[private]\nlisten = \"127.0.0.1:0\"\n";
    fs::write(dir.path().join("handfast.toml"), settings).expect("written");
    let place = dir.path().join("backup");
    let advice = async |words: &[&str], place: &Path| {
        let printed = Command::new(env!("CARGO_BIN_EXE_handfast"))
            .args(words)
            .current_dir(dir.path())
            .output()
            .await
            .expect("the program runs");
        assert!(printed.status.success(), "{}", words_of(&printed));
        fs::write(dir.path().join("script"), printed.stdout).expect("written");
        Command::new("sh").arg(dir.path().join("script")).arg(place).current_dir("/").output().await.expect("a shell")
    };
    let up = Process::start("up", dir.path());
    first_key(dir.path()).await;
    let backed_up = advice(&["backup"], &place).await;
    assert!(backed_up.status.success(), "{}", words_of(&backed_up));
    up.stop().await;
    let off = advice(&["backup"], &dir.path().join("off")).await;
    assert!(!off.status.success() && words_of(&off).contains("start it first"), "{}", words_of(&off));

    fs::remove_dir_all(dir.path().join("data")).expect("another machine");
    let restored = advice(&["backup", "--restore"], &place).await;
    assert!(restored.status.success(), "{}", words_of(&restored));
    assert!(words_of(&restored).contains("opens what the database holds"), "{}", words_of(&restored));
    let again = advice(&["backup", "--restore"], &place).await;
    assert!(!again.status.success() && words_of(&again).contains("must be empty"), "{}", words_of(&again));
    let up = Process::start("up", dir.path());
    first_key(dir.path()).await;
    up.stop().await;
}

/// Two servers are started before it is made.
async fn first_key(dir: &Path) {
    let begun = Instant::now();
    while !dir.join("data/api.key").exists() {
        assert!(begun.elapsed() < Duration::from_secs(150), "in vain: the first key");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
