//! What is stored and logged, and what is shown of a stranger's words (rows 6.7, 6.7b, 6.17, 6.19).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::super::scene::{ADA, BOB, Scene, code_of, refused};
use crate::node::eventually;
use crate::peers::{Behaviour, Dialect, Endpoint, Trick};

const TEXT: &str = "the quick brown secret 4711";

/// How a secret could be spelled in a row or a log line.
fn spellings(secret: &str) -> Vec<String> {
    let raw = hex::decode(secret).unwrap_or_else(|_| secret.as_bytes().to_vec());
    vec![
        secret.to_owned(),
        secret.to_uppercase(),
        hex::encode(secret),
        STANDARD.encode(secret),
        STANDARD.encode(&raw),
        URL_SAFE_NO_PAD.encode(&raw),
    ]
}

#[tokio::test]
async fn row_6_7_no_secret_is_in_the_database_or_the_logs_in_the_clear() {
    let scene = Scene::with(Dialect::V1, |options| options.set("log.level", "trace")).await;
    // Codes of six digits are in every long row of digits by chance; these are looked for as texts of their own.
    let (burnt, live) = (scene.node.code(ADA).await, scene.node.code(ADA).await);
    let theirs = scene.peer.issue_code(BOB);
    assert_eq!(scene.peer.handshake(BOB, &scene.ada(), &burnt).await, Ok(()));
    let first = scene.secrets();
    scene.node.connected(ADA, &scene.bob(), &theirs).await;
    let second = scene.secrets();
    scene.both_ways(TEXT).await;
    // In flight while we look: the outbox is full of it.
    scene.peer.behave(Behaviour::Times(1, Endpoint::MessageReceive, Trick::Late(Duration::from_secs(2))));
    let id = scene.node.send(ADA, &scene.bob(), TEXT).await;
    eventually("our post is open", async || scene.node.dump().await.contains("\noutbox: ")).await;
    let dump = scene.node.dump().await;
    assert_eq!(scene.node.settled(&id).await["state"], "delivered");
    let dump = dump + &scene.node.dump().await;
    assert!(
        dump.contains("connections: ") && dump.contains("inbox: ") && dump.contains("messages: "),
        "there is something to see"
    );
    let logs = scene.node.logs();
    assert!(logs.contains("TRACE") || logs.contains("DEBUG"), "the logs are as talkative as they can be");
    let keys = [&first, &second].map(|c| [c.auth_code.as_str(), &c.ident_code, &c.key]).concat();
    for secret in keys.into_iter().chain([TEXT]) {
        for spelling in spellings(secret) {
            assert!(!dump.contains(&spelling), "{spelling} is in the database");
            assert!(!logs.contains(&spelling), "{spelling} is in the logs");
        }
    }
    let alone = |text: &str, code: &str| {
        text.match_indices(code).any(|(at, _)| {
            let (before, after) = (text[..at].chars().next_back(), text[at + code.len()..].chars().next());
            let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || ".:-+_".contains(c));
            !word(before) && !word(after)
        })
    };
    for code in [&burnt, &live, &theirs] {
        assert!(!alone(&dump, code) && !alone(&logs, code), "{code} is somewhere");
        assert!(
            !dump.contains(&hex::encode(code)) && !dump.contains(&STANDARD.encode(code)),
            "{code} is in the database"
        );
    }
}

#[tokio::test]
async fn row_6_7b_our_own_message_sent_back_to_us_is_none_of_the_others() {
    let scene = Scene::connected().await;
    scene.peer.behave(Behaviour::Times(1, Endpoint::MessageReceive, Trick::Late(Duration::from_secs(1))));
    let id = scene.node.send(ADA, &scene.bob(), "text").await;
    eventually("our post is open", async || scene.peer.log_of(Endpoint::MessageReceive).len() == 1).await;
    let mut reflected = scene.peer.log_of(Endpoint::MessageReceive)[0].json();
    reflected["receiving_openmsg_address_id"] = json!(ADA);
    // Bob's domain would confirm anything.
    scene.peer.behave(Behaviour::At(Endpoint::MessageConfirm, Trick::Body(r#"{"success":true}"#.into())));
    assert_eq!(code_of(&scene.call("message-receive", reflected).await), "SM_E004");
    assert_eq!(scene.node.settled(&id).await["state"], "delivered");
    assert_eq!(scene.node.texts(ADA).await, [""; 0]);
}

#[tokio::test]
async fn row_6_17_a_strangers_name_is_cut_and_stripped() {
    let scene = Scene::new(Dialect::V1).await;
    let names = [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("Bank\u{202e}txt.exe", "Banktxt.exe"),
        ("Bob\u{0}\u{7}\u{1b}[31m", "Bob[31m"),
        ("A\r\nB\tC", "A  B C"),
        ("\u{200b}\u{feff}Zero", "Zero"),
        ("  Bob  ", "Bob"),
    ];
    let long = "ä".repeat(60);
    let cut = "ä".repeat(40);
    for (sent, shown) in names.into_iter().chain([(long.as_str(), cut.as_str())]) {
        scene.peer.user(BOB, sent);
        scene.connect().await;
        let connection = &scene.node.connections().await[0];
        assert_eq!((&connection["other_name"], &connection["other"]), (&json!(shown), &json!(scene.bob())), "{sent:?}");
    }
    scene.peer.user(BOB, "\u{202e}\u{200b}");
    let code = scene.node.code(ADA).await;
    let nameless = scene.peer.handshake(BOB, &scene.ada(), &code).await;
    assert!(nameless.unwrap_err().contains("cannot be blank"), "nothing is left of the name");
    assert_eq!(scene.node.live_codes(ADA).await, 1);
}

#[tokio::test]
async fn row_6_17_a_new_name_counts_once_its_message_is_accepted() {
    let scene = Scene::connected().await;
    let named = |name: &str| {
        let mut body = super::super::scene::receive(&scene.composed("text"));
        body["sending_openmsg_address_name"] = json!(name);
        body["verified_account"] = json!({"verified_account_name": "The Bank", "verified_account_signature": "x"});
        body
    };
    let name = async || scene.node.connections().await[0]["other_name"].as_str().unwrap().to_owned();
    scene.peer.behave(Behaviour::At(Endpoint::MessageConfirm, Trick::No));
    assert_eq!(code_of(&scene.call("message-receive", named("Mallory")).await), "SM_E000");
    assert_eq!(name().await, "Bob");
    scene.peer.behave(Behaviour::Honest);
    assert_eq!(code_of(&scene.call("message-receive", named("Robert\u{202e}")).await), "SM_S888");
    eventually("the name is new", async || name().await == "Robert").await;
    assert_eq!(scene.bob_writes("without a name").await, Ok(()));
    assert_eq!(name().await, "Robert");
}

#[tokio::test]
async fn row_6_19_nothing_is_done_without_a_key() {
    let scene = Scene::connected().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["accounts", "connections", "messages", "inbox?account=1000*node.test", "keys", "messages/summary"] {
        let url = format!("http://{}/api/v1/{path}", scene.node.private);
        for key in ["", "Bearer ", "Bearer hf_wrong"] {
            let status = client.get(&url).header("Authorization", key).send().await.unwrap().status();
            assert_eq!(status, 401, "{path} with {key:?}");
        }
    }
    assert_eq!(scene.bob_writes("all is well").await, Ok(()));
    assert_ne!(scene.bob_writes(&"x".repeat(2_000)).await, refused("SM_E000"));
}
