//! `handfast top` and `status`, on a terminal and without one.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdout, Command};

use crate::node::Net;

/// Reads until the words have come.
async fn until(screen: &mut ChildStdout, seen: &mut String, words: &str) {
    let mut piece = [0; 8192];
    while !seen.contains(words) {
        let read = tokio::time::timeout(Duration::from_secs(20), screen.read(&mut piece)).await;
        let n = read.unwrap_or_else(|_| panic!("{words} never came: {seen}")).expect("a screen");
        assert!(n > 0, "it ended before {words} came: {seen}");
        seen.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
}

#[tokio::test]
async fn the_live_view_answers_keys_and_gives_the_terminal_back() {
    let net = Net::new();
    let node = net.node("a.test").await;
    let (program, url) = (env!("CARGO_BIN_EXE_handfast"), format!("http://{}", node.private));
    let mut child = Command::new("script")
        .args(["-qefc", &format!("stty rows 40 cols 150; '{program}' top --api {url}"), "/dev/null"])
        .env("HANDFAST_API_KEY", node.key())
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("script runs");
    let (mut keys, mut screen) = (child.stdin.take().expect("keys"), child.stdout.take().expect("a screen"));
    let mut seen = String::new();
    until(&mut screen, &mut seen, "interactive").await;
    assert!(seen.contains("a.test") && seen.contains("\u{1b}[?1049h"), "{seen}");
    seen.clear();
    keys.write_all(b"4").await.expect("a key");
    until(&mut screen, &mut seen, "DELIVERIES").await;
    seen.clear();
    keys.write_all(b"q").await.expect("a key");
    until(&mut screen, &mut seen, "\u{1b}[?1049l").await;
    let ended = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.expect("it ends");
    assert!(ended.expect("waited for").success());
}

#[tokio::test]
async fn without_a_terminal_it_is_text() {
    let net = Net::new();
    let node = net.node("a.test").await;
    let once = node.said(&["top", "--once", "--view", "workers"]).await;
    for words in ["a.test, handfast", "a second", "broker", "workers      1 alive", "LAST SEEN"] {
        assert!(once.contains(words), "{words} is missing: {once}");
    }
    let json: Value = serde_json::from_str(&node.said(&["top", "--once", "--json"]).await).expect("JSON");
    assert_eq!(json["domain"], "a.test");
    for view in ["overview", "destinations", "campaigns"] {
        node.said(&["top", "--once", "--view", view]).await;
    }
    let status = node.said(&["status"]).await;
    assert!(status.contains("workers      1 alive"), "{status}");
    assert!(!node.said(&["status", "--tag", "x"]).await.contains("workers"));
}
