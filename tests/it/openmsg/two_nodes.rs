//! Two handfast nodes with each other.

use serde_json::json;

use crate::node::{Net, Node, Options, eventually};
use crate::peers::{Behaviour, Dialect, Endpoint, Trick};

const ADA: &str = "1000";
const BOB: &str = "2000";

/// `a.test` with Ada and `b.test` with Bob, with settings for both.
async fn two(change: impl Fn(Options) -> Options) -> (Node, Node) {
    let net = Net::new();
    let _ = (net.socket_of("a.test"), net.socket_of("b.test"));
    let start = async |domain: &str| Node::start(&net, change(Options::of(domain))).await;
    let (a, b) = tokio::join!(start("a.test"), start("b.test"));
    a.account(ADA, "Ada").await;
    b.account(BOB, "Bob").await;
    (a, b)
}

async fn connected(change: impl Fn(Options) -> Options) -> (Node, Node) {
    let (a, b) = two(change).await;
    a.connected(ADA, &b.address(BOB), &b.code(BOB).await).await;
    (a, b)
}

#[tokio::test]
async fn two_nodes_shake_hands_and_write_to_each_other() {
    let (mut a, mut b) = connected(|options| options).await;
    let (ada, bob) = (a.address(ADA), b.address(BOB));
    assert_eq!(a.connections().await[0]["other_name"], "Bob");
    assert_eq!(b.connections().await[0]["other_name"], "Ada");
    let long = "ß".repeat(2_000);
    for text in ["Grüße 👋", "line\nline\ttab", &long] {
        assert_eq!(a.sent(ADA, &bob, text).await, "delivered");
        assert_eq!(b.inbox(BOB).await.last(), Some(&(ada.clone(), text.to_owned())));
    }
    assert_eq!(b.sent(BOB, &ada, "und zurück").await, "delivered");
    assert_eq!(a.inbox(ADA).await, [(bob, "und zurück".to_owned())]);
    tokio::join!(a.drain(), b.drain());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn one_way_is_one_way() {
    let (a, b) = two(|options| options).await;
    let (ada, bob) = (a.address(ADA), b.address(BOB));
    let handshake = a.connect_replying(ADA, &bob, &b.code(BOB).await, false).await;
    assert_eq!(handshake["state"], "connected", "{handshake}");
    assert_eq!(a.sent(ADA, &bob, "one way").await, "delivered");
    let back = b.api("POST", "messages", Some(json!({"from": bob, "to": ada, "text": "back"}))).await;
    assert!((400..500).contains(&back.status), "{back:?}");
    assert_eq!(a.texts(ADA).await, [""; 0]);
    // Bob's own handshake, with a code of Ada's, opens the other way.
    b.connected(BOB, &ada, &a.code(ADA).await).await;
    assert_eq!(b.sent(BOB, &ada, "now both").await, "delivered");
    assert_eq!(a.sent(ADA, &bob, "and still").await, "delivered");
}

#[tokio::test]
async fn a_node_may_live_behind_a_redirect_to_its_www_twin() {
    let net = Net::new();
    let front = net.peer(Dialect::V1, "b.test").await;
    let _ = (net.socket_of("a.test"), net.socket_of("www.b.test"));
    let endpoints = [Endpoint::Auth, Endpoint::AuthConfirm, Endpoint::MessageReceive, Endpoint::MessageConfirm];
    for (endpoint, status) in endpoints.into_iter().zip([301, 302, 307, 308]) {
        let location = format!("https://www.b.test/openmsg/{}/", endpoint.name());
        front.behave(Behaviour::At(endpoint, Trick::Redirect(status, location)));
    }
    let (a, b) = tokio::join!(net.node("a.test"), Node::start(&net, Options::of("b.test").at("www.b.test")));
    let (ada, bob) = (a.account(ADA, "Ada").await, b.account(BOB, "Bob").await);
    a.connected(ADA, &bob, &b.code(BOB).await).await;
    b.connected(BOB, &ada, &a.code(ADA).await).await;
    assert_eq!(a.sent(ADA, &bob, "there").await, "delivered");
    assert_eq!(b.sent(BOB, &ada, "back").await, "delivered");
    assert_eq!((a.texts(ADA).await, b.texts(BOB).await), (vec!["back".to_owned()], vec!["there".to_owned()]));
    for endpoint in endpoints {
        assert!(!front.log_of(endpoint).is_empty(), "{endpoint:?} went by the front");
    }
}

/// Time-outs of a second or two.
fn impatient(options: Options) -> Options {
    options
        .set("outbound.connect_timeout", "1s")
        .set("outbound.confirm_timeout", "1s")
        .set("outbound.post_timeout", "4s")
        .set("openmsg.ask_deadline", "2s")
}

#[tokio::test]
async fn a_node_that_stands_still_gets_its_messages_once_when_it_goes_on() {
    let (a, b) = connected(impatient).await;
    let bob = b.address(BOB);
    for part in [b.serve.as_ref().unwrap(), &b.work[0]] {
        let before = b.texts(BOB).await.len();
        part.signal("STOP").await;
        let id = a.send(ADA, &bob, "late").await;
        let attempts = a.tried(&id, 1).await;
        assert_ne!(attempts[0]["outcome"], "delivered", "{attempts:?}");
        part.signal("CONT").await;
        assert_eq!(a.settled(&id).await["state"], "delivered");
        assert_eq!(b.texts(BOB).await.len(), before + 1);
    }
    assert_eq!(a.get("messages/summary").await["doubles"], 0);
}

#[tokio::test]
async fn both_ingresses_killed_in_the_middle_of_a_batch_lose_and_double_nothing() {
    let (mut a, mut b) = connected(|options| options).await;
    let bob = b.address(BOB);
    let rows: Vec<_> =
        (0..300).map(|n| json!({"from": a.address(ADA), "to": bob, "text": format!("{n}"), "lane": "bulk"})).collect();
    assert_eq!(a.post("messages/batch", json!({"messages": rows})).await["accepted"], 300);
    eventually("some have arrived", async || b.texts(BOB).await.len() > 10).await;
    tokio::join!(a.kill_serve(), b.kill_serve());
    a.start_serve();
    b.start_serve();
    tokio::join!(a.ready(), b.ready());
    a.drain().await;
    let mut texts = b.texts(BOB).await;
    let all = texts.len();
    texts.sort();
    texts.dedup();
    assert_eq!((all, texts.len()), (300, 300));
}
