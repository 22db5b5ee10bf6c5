//! Everything a stranger might send instead of a request: it is answered in the protocol's own shape, with HTTP 200, stores
//! nothing, and harms nobody.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::scene::{ADA, Scene, auth, receive};
use crate::node::Node;
use crate::peers::{Dialect, Reply};

/// The texts that may be answered; anything else would tell something, or echo something.
const TEXTS: [&str; 13] = [
    "receiving_openmsg_address_id, pass_code, sending_openmsg_address and sending_openmsg_address_name cannot be blank",
    "sending_openmsg_address should be digits, a star and a domain",
    super::scene::NOT_VALID,
    super::scene::NOT_CONFIRMED,
    super::scene::UNKNOWN_PENDING,
    "Fields are missing or malformed",
    "There is no connection with this ident_code for the receiving address",
    "The message_hash is not the one calculated here",
    "The message_timestamp is more than 60 seconds from the time here",
    "The sending domain did not confirm the message",
    "The message_package could not be decrypted",
    "The message could not be processed",
    "The nonce was used before on this connection",
];

/// What each field is replaced with in turn: values no field takes.
fn wrong_values() -> Vec<Value> {
    let nested = (0..100).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!(null),
        json!(""),
        json!(" "),
        json!("\t\n"),
        json!(false),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(0.5),
        json!([]),
        json!(["1000"]),
        json!({}),
        json!({"$gt": ""}),
        nested,
        json!("\u{0}"),
        json!("1000\u{0}"),
        json!("\u{202e}1000"),
        json!("١٠٠٠"),
        json!("1000\r\nX-Injected: yes"),
        json!("' or 1=1 --"),
        json!("../../etc/passwd"),
        json!("${jndi:ldap://x}"),
        json!("%00"),
        json!("1".repeat(300)),
        json!("f".repeat(30_000)),
        json!("🦀".repeat(5_000)),
    ]
}

/// Bodies that are no request at all.
fn wrong_bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        "",
        " ",
        "{",
        "}",
        "null",
        "true",
        "42",
        "\"text\"",
        "[]",
        "[{}]",
        "{}x",
        "{\"a\":}",
        "{'a':1}",
        "a=b&c=d",
        "\u{feff}{}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    bodies.push(b"{\"pass_code\":\"\xff\xfe\"}".to_vec());
    bodies.push(b"{\"pass_code\":\"\\ud800\"}".to_vec());
    bodies.push(b"\x1f\x8b\x08\x00".to_vec());
    bodies.push(vec![0; 1000]);
    bodies.push("[".repeat(60_000).into_bytes());
    bodies.push("{\"a\":".repeat(12_000).into_bytes());
    bodies.push(format!("{{{}\"a\":1}}", "\"a\":1,".repeat(5_000)).into_bytes());
    bodies
}

/// Asserts that a reply is a refusal of the endpoint's shape.
#[track_caller]
fn assert_refusal(reply: &Reply, endpoint: &str, sent: &str) {
    let sent: String = sent.chars().take(200).collect();
    assert_eq!(reply.status, 200, "{endpoint}: {sent}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{endpoint}: {sent}");
    let body = reply.json();
    let fields: Vec<&str> = body
        .as_object()
        .unwrap_or_else(|| panic!("{endpoint}: {sent}: {reply:?}"))
        .keys()
        .map(String::as_str)
        .collect();
    let wanted: &[&str] = match endpoint {
        "auth" | "auth-confirm" => &["error", "error_message"],
        _ => &["error", "error_code", "error_message", "response_code"],
    };
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, wanted, "{endpoint}: {sent}: {body}");
    assert_eq!(body["error"], json!(true), "{endpoint}: {sent}");
    let text = body["error_message"].as_str().unwrap();
    assert!(TEXTS.contains(&text), "{endpoint}: {sent}: {text}");
}

/// A node with a connection and a live code, and what a good request to each endpoint holds.
struct Target {
    scene: Scene,
    good: [(&'static str, Value); 4],
    pids: Vec<Option<u32>>,
}

fn pids(node: &Node) -> Vec<Option<u32>> {
    node.serve.iter().chain(&node.work).map(|process| process.pid()).collect()
}

impl Target {
    async fn new() -> Self {
        let scene = Scene::with(Dialect::V1, |options| {
            options.set("public.read_timeout", "1s").set("openmsg.wrong_codes_per_account", 1_000_000)
        })
        .await;
        scene.connect().await;
        let message = scene.composed("text");
        let good = [
            ("auth", auth(ADA, &scene.bob(), "000000")),
            ("auth-confirm", json!({"receiving_openmsg_address": scene.bob(), "pass_code": "000000"})),
            ("message-receive", receive(&message)),
            ("message-confirm", json!({"message_hash": message.hash, "message_nonce": message.package[..32]})),
        ];
        let pids = pids(&scene.node);
        Self { scene, good, pids }
    }

    /// Nothing came of it, and all is well.
    async fn unharmed(mut self, before: crate::node::Counts) {
        assert_eq!(self.scene.node.counts().await, before);
        self.scene.node.unharmed().await;
        assert_eq!(pids(&self.scene.node), self.pids);
        assert!(!self.scene.node.logs().contains("panicked"));
        self.scene.both_ways("all is well").await;
    }
}

#[tokio::test]
async fn every_field_of_every_endpoint_may_hold_anything() {
    let target = Target::new().await;
    let code = target.scene.node.code(ADA).await;
    let before = target.scene.node.counts().await;
    for (endpoint, good) in &target.good {
        // What may be anything, because it is a flag, an extra, or a name that is mended.
        let free = ["sending_allow_replies", "openmsg_version", "sending_openmsg_address_name"];
        for name in good.as_object().unwrap().keys().filter(|name| !free.contains(&name.as_str())) {
            let mut missing = good.clone();
            missing.as_object_mut().unwrap().remove(name);
            assert_refusal(&target.scene.call(endpoint, missing).await, endpoint, name);
            for wrong in wrong_values() {
                let mut body = good.clone();
                body[name] = wrong;
                let reply = target.scene.call(endpoint, body.clone()).await;
                assert_refusal(&reply, endpoint, &format!("{name}: {body}"));
            }
        }
    }
    assert_eq!(target.scene.node.live_codes(ADA).await, 1);
    assert!(!target.scene.node.logs().contains(&code));
    target.unharmed(before).await;
}

#[tokio::test]
async fn a_body_may_be_anything() {
    let target = Target::new().await;
    let before = target.scene.node.counts().await;
    let by_hand = target.scene.node.attacker();
    for (endpoint, good) in &target.good {
        let path = format!("/openmsg/{endpoint}/");
        for body in wrong_bodies() {
            let reply = by_hand.post(&path, &body).await.unwrap();
            assert_refusal(&reply, endpoint, &String::from_utf8_lossy(&body));
        }
        // A field that comes twice: implementations disagree about which one counts.
        let twice = good.to_string().replacen('{', "{\"pass_code\":\"1\",\"message_hash\":\"1\",", 1);
        assert_refusal(&by_hand.post(&path, &twice).await.unwrap(), endpoint, "twice");
        // The content type says nothing to PHP.
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
            let reply = by_hand.request("POST", &path, &[("Content-Type", kind)], "{}").await.unwrap();
            assert_refusal(&reply, endpoint, kind);
        }
    }
    target.unharmed(before).await;
}

#[tokio::test]
async fn what_is_too_large_or_too_slow_is_cut_off_with_an_answer() {
    let target = Target::new().await;
    let before = target.scene.node.counts().await;
    let by_hand = target.scene.node.attacker();
    for (endpoint, _) in &target.good {
        let path = format!("/openmsg/{endpoint}/");
        for size in [64 * 1024 + 1, 10_000_000] {
            let reply = by_hand.post(&path, format!("{{\"a\":\"{}\"}}", "x".repeat(size))).await.unwrap();
            assert_refusal(&reply, endpoint, &format!("{size} bytes"));
        }
        let chunked = format!(
            "POST {path} HTTP/1.1\r\nHost: node.test\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n{}\r\n",
            "x".repeat(0x20000)
        );
        assert_refusal(&by_hand.raw(chunked).await.unwrap(), endpoint, "chunked");
    }
    // A head, and then nothing of the body.
    let begun = Instant::now();
    let waiting = target.good.iter().map(|(endpoint, _)| {
        let head = format!("POST /openmsg/{endpoint}/ HTTP/1.1\r\nHost: node.test\r\nContent-Length: 100\r\n\r\n{{");
        let by_hand = by_hand.clone();
        async move { assert_refusal(&by_hand.raw(head).await.unwrap(), endpoint, "half a body") }
    });
    futures_util::future::join_all(waiting).await;
    // A byte now and then is no progress either.
    let dripping = by_hand.clone().slowly(1, Duration::from_millis(300));
    let drip = dripping.raw(format!(
        "POST /openmsg/auth/ HTTP/1.1\r\nHost: node.test\r\nContent-Length: 100\r\n\r\n{}",
        "x".repeat(100)
    ));
    assert!(drip.await.is_err(), "the head alone takes longer than anybody may take");
    assert!(begun.elapsed() < Duration::from_secs(8), "took {:?}", begun.elapsed());
    target.unharmed(before).await;
}

#[tokio::test]
async fn what_is_no_http_is_cut_off() {
    let target = Target::new().await;
    let before = target.scene.node.counts().await;
    let by_hand = target.scene.node.attacker();
    let long = format!("GET /openmsg/auth/ HTTP/1.1\r\nHost: node.test\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
    let many = format!("GET /openmsg/auth/ HTTP/1.1\r\nHost: node.test\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let smuggled =
        "POST /openmsg/auth/ HTTP/1.1\r\nHost: node.test\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}GET ";
    let bodies: [&[u8]; 6] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
        smuggled.as_bytes(),
    ];
    for bytes in bodies {
        if let Ok(reply) = by_hand.raw(bytes).await {
            assert!((400..500).contains(&reply.status), "{reply:?}");
        }
    }
    // Plain HTTP where TLS is spoken.
    let plain = crate::peers::Attacker::plain("node.test", target.scene.node.public).post("/openmsg/auth/", "{}").await;
    assert!(plain.is_err(), "{plain:?}");
    target.unharmed(before).await;
}
