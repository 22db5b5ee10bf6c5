//! Two nodes that are federated, in both dialects and both ways.

use handfast::directory;
use handfast::textsecure::{Envelope, Number};
use serde_json::{Value, json};

use super::scene::{Phone, basic, call, options, shown, stored_for};
use crate::node::{Net, Node, Options, eventually};
use crate::support::fresh_app_with;

const EAST: &str = "east.test";
const WEST: &str = "west.test";
/// The secret of both directions.
const SECRET: &str = "shared secret of east and west";

/// Two nodes that know each other, by a pinned certificate.
struct Pair {
    east: Node,
    west: Node,
    _files: tempfile::TempDir,
}

impl Pair {
    async fn start() -> Self {
        let net = Net::new();
        let files = tempfile::tempdir().unwrap();
        let certificate = files.path().join("authority.pem");
        std::fs::write(&certificate, net.ca.pem()).unwrap();
        let certificate = certificate.to_str().unwrap();
        net.socket_of(EAST);
        net.socket_of(WEST);
        let east = Node::start(&net, federated(EAST, WEST, certificate)).await;
        let west = Node::start(&net, federated(WEST, EAST, certificate)).await;
        Self { east, west, _files: files }
    }
}

/// A peer as its domain, without the dot; no certificate is pinned where none is given.
fn peer_of(domain: &str, certificate: &str) -> toml::Table {
    let url = format!("https://{domain}");
    let name = name(domain);
    let all = [("name", name.as_str()), ("url", &url), ("token", SECRET), ("certificate", certificate)];
    all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key.to_owned(), value.into())).collect()
}

/// A node that knows the other one.
fn federated(domain: &str, peer: &str, certificate: &str) -> Options {
    options(domain)
        .set("textsecure.peers", vec![toml::Value::Table(peer_of(peer, certificate))])
        .set("textsecure.sync_every", "1s")
        .set("delivery.webhook_schedule", vec!["200ms", "300ms", "500ms", "1s", "1s", "1s", "1s", "1s", "1s", "1s"])
}

fn name(domain: &str) -> String {
    domain.replace('.', "-")
}

async fn mailbox(node: &Node, number: &Number) -> Vec<Envelope> {
    stored_for(node, number, 1).await.iter().map(|stored| Envelope::from_plaintext(&stored.content).unwrap()).collect()
}

fn one(body: &str) -> Value {
    json!({"type": 1, "destinationDeviceId": 1, "destinationRegistrationId": 4242, "body": body})
}

async fn upload_keys(phone: &Phone) {
    let key = |id: u32| json!({"keyId": id, "publicKey": format!("public {id}"), "identityKey": "identity"});
    let reply = phone.put("/v1/keys/", json!({"lastResortKey": key(0xFF_FFFF), "keys": [key(1), key(2)]})).await;
    assert_eq!(reply.status, 204);
}

#[tokio::test]
async fn messages_of_version_2_go_both_ways_and_the_peers_answers_come_back() {
    let pair = Pair::start().await;
    let ann = Phone::register(&pair.east, "+14155550101").await;
    let bob = Phone::register(&pair.west, "+4915112345678").await;
    let to_bob = format!("/v1/messages/{}", bob.number.as_str());
    let sent = ann.put(&to_bob, json!({"relay": name(WEST), "messages": [one("aGVsbG8=")]})).await;
    insta::assert_snapshot!(shown(&sent), @"204");
    let got = mailbox(&pair.west, &bob.number).await.remove(0);
    assert_eq!((got.source.as_deref(), got.source_device), (Some("+14155550101"), Some(1)));
    assert_eq!((got.relay.as_deref(), got.message.as_deref()), (Some("east-test"), Some(&b"hello"[..])));
    // The name it came under leads back.
    let back = json!({"relay": got.relay, "messages": [one("aGk=")]});
    assert_eq!(bob.put(&format!("/v1/messages/{}", ann.number.as_str()), back).await.status, 204);
    assert_eq!(mailbox(&pair.east, &ann.number).await[0].relay.as_deref(), Some("west-test"));

    let elsewhere = json!({"relay": name(WEST), "messages": [one("aGk=")]});
    insta::assert_snapshot!(shown(&ann.put("/v1/messages/+14155550199", elsewhere).await), @"404");
    let unknown = json!({"relay": "nobody", "messages": [one("aGk=")]});
    insta::assert_snapshot!(shown(&ann.put(&to_bob, unknown).await), @"404");
    bob.second_device(&pair.west).await;
    let missing = ann.put(&to_bob, json!({"relay": name(WEST), "messages": [one("aGk=")]})).await;
    insta::assert_snapshot!(shown(&missing), @r#"
    409
    content-type: application/json
    {"missingDevices":[2],"extraDevices":[]}
    "#);
    let mut stale = one("aGk=");
    stale["destinationRegistrationId"] = json!(7);
    let second = json!({"destinationDeviceId": 2, "body": "aGk="});
    let stale = ann.put(&to_bob, json!({"relay": name(WEST), "messages": [stale, second]})).await;
    insta::assert_snapshot!(shown(&stale), @r#"
    410
    content-type: application/json
    {"staleDevices":[1]}
    "#);
    assert_eq!(mailbox(&pair.west, &bob.number).await.len(), 1, "nothing is delivered on 409 and 410");
}

#[tokio::test]
async fn messages_of_version_1_say_who_was_reached() {
    let pair = Pair::start().await;
    let ann = Phone::register(&pair.east, "+14155550101").await;
    let cid = Phone::register(&pair.east, "+14155550102").await;
    let bob = Phone::register(&pair.west, "+4915112345678").await;
    let list = json!({"messages": [
        {"type": 1, "destination": bob.number.as_str(), "body": "aGVsbG8=", "relay": name(WEST)},
        {"type": 1, "destination": cid.number.as_str(), "body": "aGVsbG8="},
        {"type": 1, "destination": "+14155550199", "body": "aGVsbG8=", "relay": name(WEST)},
        {"type": 1, "destination": "+14155550198", "body": "aGVsbG8=", "relay": "nobody"},
    ]});
    insta::assert_snapshot!(shown(&ann.post("/v1/messages/", list).await), @r#"
    200
    content-type: application/json
    {"success":["+4915112345678","+14155550102"],"failure":["+14155550199","+14155550198"]}
    "#);
    let got = mailbox(&pair.west, &bob.number).await.remove(0);
    assert_eq!((got.relay.as_deref(), got.message.as_deref()), (Some("east-test"), Some(&b"hello"[..])));
    assert_eq!(got.destinations, ["+14155550102", "+14155550199", "+14155550198"]);
    assert_eq!(mailbox(&pair.east, &cid.number).await[0].relay, None);
}

#[tokio::test]
async fn keys_and_attachments_come_from_the_peer() {
    let pair = Pair::start().await;
    let ann = Phone::register(&pair.east, "+14155550101").await;
    let bob = Phone::register(&pair.west, "+4915112345678").await;
    upload_keys(&bob).await;
    let keys = format!("/v1/keys/{}", bob.number.as_str());
    insta::assert_snapshot!(shown(&ann.get(&format!("{keys}?relay=west-test")).await), @r#"
    200
    content-type: application/json
    {"deviceId":1,"keyId":1,"publicKey":"public 1","identityKey":"identity","registrationId":4242}
    "#);
    insta::assert_snapshot!(shown(&ann.get(&format!("{keys}/*?relay=west-test")).await), @r#"
    200
    content-type: application/json
    {"keys":[{"deviceId":1,"keyId":2,"publicKey":"public 2","identityKey":"identity","registrationId":4242}]}
    "#);
    insta::assert_snapshot!(shown(&ann.get(&format!("{keys}/1?relay=west-test")).await), @r#"
    200
    content-type: application/json
    {"keys":[{"deviceId":1,"keyId":16777215,"publicKey":"public 16777215","identityKey":"identity","registrationId":4242,"lastResort":true}]}
    "#);
    insta::assert_snapshot!(shown(&ann.get(&format!("{keys}/2?relay=west-test")).await), @"404");
    insta::assert_snapshot!(shown(&ann.get(&format!("{keys}?relay=nobody")).await), @"404");
    insta::assert_snapshot!(shown(&ann.get("/v1/keys/+14155550199?relay=west-test").await), @"404");
    let found = ann.get("/v1/attachments/12345?relay=west-test").await;
    let location = found.json()["location"].as_str().unwrap().to_owned();
    assert!(found.status == 200 && location.starts_with("https://west.test"), "{} {location}", found.status);
    insta::assert_snapshot!(shown(&ann.get("/v1/attachments/12345?relay=nobody").await), @"404");
}

#[tokio::test]
async fn what_a_peer_that_is_away_should_have_had_it_gets_when_it_is_back() {
    let mut pair = Pair::start().await;
    let ann = Phone::register(&pair.east, "+14155550101").await;
    let bob = Phone::register(&pair.west, "+4915112345678").await;
    pair.west.kill_serve().await;
    let to_bob = format!("/v1/messages/{}", bob.number.as_str());
    for n in 0..3 {
        let sent = ann.put(&to_bob, json!({"relay": name(WEST), "messages": [one("aGVsbG8=")]})).await;
        assert_eq!(sent.status, 204, "message {n}");
    }
    let list =
        json!({"messages": [{"type": 1, "destination": bob.number.as_str(), "body": "aGk=", "relay": name(WEST)}]});
    assert_eq!(ann.post("/v1/messages/", list).await.json()["failure"], json!([]));
    insta::assert_snapshot!(shown(&ann.get(&format!("/v1/keys/{}/*?relay=west-test", bob.number.as_str())).await), @"404");
    insta::assert_snapshot!(shown(&ann.get("/v1/attachments/12345?relay=west-test").await), @r"
    503
    retry-after: 5
    ");
    pair.west.start_serve();
    pair.west.ready().await;
    eventually("all have arrived", async || mailbox(&pair.west, &bob.number).await.len() >= 4).await;
    let mut texts: Vec<_> =
        mailbox(&pair.west, &bob.number).await.into_iter().filter_map(|envelope| envelope.message).collect();
    texts.sort_unstable();
    assert_eq!(texts, [&b"hello"[..], b"hello", b"hello", b"hi"]);
}

#[tokio::test]
async fn a_receipt_goes_to_where_the_message_came_from() {
    let pair = Pair::start().await;
    let ann = Phone::register(&pair.east, "+14155550101").await;
    let bob = Phone::register(&pair.west, "+4915112345678").await;
    let path = |number: &Number, peer: &str| format!("/v1/receipt/{}/1393500000000?relay={peer}", number.as_str());
    insta::assert_snapshot!(shown(&bob.put(&path(&ann.number, "east-test"), json!({})).await), @"204");
    let got = mailbox(&pair.east, &ann.number).await.remove(0);
    assert_eq!((got.kind, got.timestamp, got.message), (Some(5), Some(1_393_500_000_000), None));
    assert_eq!((got.source.as_deref(), got.relay.as_deref()), (Some("+4915112345678"), Some("west-test")));
    insta::assert_snapshot!(shown(&bob.put(&path(&ann.number, "nobody"), json!({})).await), @"404");
    insta::assert_snapshot!(shown(&bob.put("/v1/receipt/+14155550199/1?relay=east-test", json!({})).await), @"404");
}

#[tokio::test]
async fn each_lists_the_others_accounts_and_its_own_go_first() {
    let pair = Pair::start().await;
    let ann = Phone::register(&pair.east, "+14155550101").await;
    let bob = Phone::register(&pair.west, "+4915112345678").await;
    // Registered with both.
    let both = Phone::register(&pair.east, "+14155550102").await;
    Phone::register(&pair.west, "+14155550102").await;
    let relay = async |node: &Node, number: &Number| {
        let client = node.app.db.client().await.unwrap();
        directory::relay_of(&client, number).await.unwrap()
    };
    eventually("bob is known in the east", async || relay(&pair.east, &bob.number).await.is_some()).await;
    eventually("ann is known in the west", async || relay(&pair.west, &ann.number).await.is_some()).await;
    assert_eq!(relay(&pair.east, &bob.number).await.as_deref(), Some("west-test"));
    assert_eq!(relay(&pair.east, &both.number).await, None);
    assert_eq!(relay(&pair.west, &both.number).await, None);
    let contact = ann.get(&format!("/v1/directory/{}", bob.number.token().text())).await;
    assert_eq!(contact.json()["relay"], "west-test");
    // Gone there, gone here.
    assert!(handfast::phones::unregister(&pair.west.app, &bob.number).await.unwrap());
    eventually("bob is unknown in the east", async || relay(&pair.east, &bob.number).await.is_none()).await;
    insta::assert_snapshot!(shown(&ann.get(&format!("/v1/directory/{}", bob.number.token().text())).await), @"404");
}

#[tokio::test]
async fn only_peers_may_ask_what_peers_ask() {
    let pair = Pair::start().await;
    let ann = Phone::register(&pair.east, "+14155550101").await;
    let node = pair.east.attacker();
    let west = basic("west-test", SECRET);
    let get = async |path: &str| shown(&call(&node, "GET", path, Some(&west), None).await);
    let put = async |path: &str, body: Value| shown(&call(&node, "PUT", path, Some(&west), Some(body)).await);
    insta::assert_snapshot!(get("/v1/federation/user_count").await, @r#"
    200
    content-type: application/json
    {"count":1}
    "#);
    insta::assert_snapshot!(get("/v1/federation/user_tokens/0").await, @r#"
    200
    content-type: application/json
    {"contacts":[{"token":"cc8f/gXBOF1Vig"}]}
    "#);
    insta::assert_snapshot!(get("/v1/federation/user_tokens/1").await, @r#"
    200
    content-type: application/json
    {"contacts":[]}
    "#);
    insta::assert_snapshot!(get("/v1/federation/user_tokens/-1").await, @"404");
    insta::assert_snapshot!(get("/v1/federation/key/+14155550101").await, @"404");
    insta::assert_snapshot!(get("/v1/federation/key/+14155550101/x").await, @"415");
    insta::assert_snapshot!(get("/v1/federation/attachment/x").await, @"404");
    let messages = "/v1/federation/messages/+4915112345678/1/+14155550101";
    insta::assert_snapshot!(put(messages, json!({"messages": [one("aGk=")]})).await, @"204");
    insta::assert_snapshot!(put(messages, json!({"messages": []})).await, @r#"
    409
    content-type: application/json
    {"missingDevices":[1],"extraDevices":[]}
    "#);
    insta::assert_snapshot!(put(messages, json!({})).await, @"415");
    // One hop and no more: it is for here whatever it says.
    insta::assert_snapshot!(put(messages, json!({"relay": "west-test", "messages": [one("aGk=")]})).await, @"204");
    let message = "/v1/federation/message";
    let signal = |envelope: &str| json!({"destination": "+14155550101", "outgoingMessageSignal": envelope});
    insta::assert_snapshot!(put(message, signal("####")).await, @"400");
    insta::assert_snapshot!(put(message, signal("CAM")).await, @"400");
    insta::assert_snapshot!(put(message, json!({"destination": "+14155550101"})).await, @"415");
    insta::assert_snapshot!(put("/v1/receipt/x/1/+14155550101/1", json!({})).await, @"404");

    let own = ann.get("/v1/federation/user_count").await;
    insta::assert_snapshot!(shown(&own), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    let paths = ["user_count", "user_tokens/0", "key/+14155550101", "key/+14155550101/*", "attachment/1"];
    for path in paths.map(|path| format!("/v1/federation/{path}")) {
        for wrong in [None, Some(basic("west-test", "guess")), Some(basic("nobody", SECRET)), Some(ann.authorization())]
        {
            assert_eq!(call(&node, "GET", &path, wrong.as_deref(), None).await.status, 401, "{path}");
        }
    }
    for path in [messages, message, "/v1/receipt/+4915112345678/1/+14155550101/1"] {
        let reply = call(&node, "PUT", path, Some(&basic("west-test", "guess")), Some(json!({}))).await;
        assert_eq!(reply.status, 401, "{path}");
    }
    // What a peer has opens nothing that is for phones.
    for path in ["/v1/keys/+14155550101", "/v1/attachments/", "/v1/directory/cc8f/gXBOF1Vig"] {
        assert_eq!(call(&node, "GET", path, Some(&west), None).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_no_peer() {
    let net = Net::new();
    let files = tempfile::tempdir().unwrap();
    let certificate = files.path().join("other.pem");
    std::fs::write(&certificate, crate::peers::TestCa::new().pem()).unwrap();
    net.socket_of(EAST);
    let west = Node::start(&net, federated(WEST, EAST, certificate.to_str().unwrap())).await;
    let east = Node::start(&net, federated(EAST, WEST, certificate.to_str().unwrap())).await;
    let ann = Phone::register(&east, "+14155550101").await;
    let bob = Phone::register(&west, "+4915112345678").await;
    upload_keys(&bob).await;
    assert_eq!(ann.get(&format!("/v1/keys/{}?relay=west-test", bob.number.as_str())).await.status, 404);
    let states = async || directory::peers::states(&east.app).await.unwrap();
    eventually("the sync has failed", async || states().await.iter().any(|state| state.failures > 0)).await;
    let client = east.app.db.client().await.unwrap();
    assert_eq!(directory::relay_of(&client, &bob.number).await.unwrap(), None);
}

#[tokio::test]
async fn receipts_from_a_peer_cost_their_sender_no_messages_and_guesses_are_counted() {
    let net = Net::new();
    let limits = ("textsecure.limits.messages.bucket", "textsecure.limits.messages.per_minute");
    let east = Node::start(
        &net,
        federated(EAST, WEST, "").set(limits.0, 1).set(limits.1, 0.001).set("textsecure.wrong_passwords_per_ip", 3),
    )
    .await;
    Phone::register(&east, "+14155550101").await;
    let (node, west) = (east.attacker(), basic("west-test", SECRET));
    let receipt = "/v1/receipt/+4915112345678/1/+14155550101/1";
    for _ in 0..3 {
        assert_eq!(call(&node, "PUT", receipt, Some(&west), Some(json!({}))).await.status, 204);
    }
    let messages = "/v1/federation/messages/+4915112345678/1/+14155550101";
    let message = || Some(json!({"messages": [one("aGk=")]}));
    assert_eq!(call(&node, "PUT", messages, Some(&west), message()).await.status, 204);
    assert_eq!(call(&node, "PUT", messages, Some(&west), message()).await.status, 413);
    let guess = basic("west-test", "guess");
    for expected in [401, 401, 401, 413] {
        let reply = call(&node, "GET", "/v1/federation/user_count", Some(&guess), None).await;
        assert_eq!(reply.status, expected);
    }
    // Who knows the secret is not kept out by who does not.
    assert_eq!(call(&node, "GET", "/v1/federation/user_count", Some(&west), None).await.status, 200);
}

#[tokio::test]
async fn a_peer_that_says_nothing_keeps_nobody_from_the_others() {
    let net = Net::new();
    // It takes connections and never says a word.
    let deaf = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    net.name("deaf.test", deaf.local_addr().unwrap());
    net.socket_of(WEST);
    let peers = [WEST, "deaf.test"].map(|peer| toml::Value::Table(peer_of(peer, "")));
    let options = federated(EAST, WEST, "")
        .set("textsecure.peers", peers.to_vec())
        .set("textsecure.relay_deadline", "8s")
        .set("outbound.connect_timeout", "60s");
    let east = Node::start(&net, options).await;
    let west = Node::start(&net, federated(WEST, EAST, "")).await;
    let ann = Phone::register(&east, "+14155550101").await;
    let bob = Phone::register(&west, "+4915112345678").await;
    upload_keys(&bob).await;
    // More than a worker takes at once, so that without a limit nothing else would be answered before they have had their time.
    let waiting: Vec<_> = (0..150)
        .map(|id| {
            let ann = ann.clone();
            tokio::spawn(async move { ann.get(&format!("/v1/attachments/{id}?relay=deaf-test")).await.status })
        })
        .collect();
    let is_answered =
        |statuses: &[tokio::task::JoinHandle<u16>]| statuses.iter().filter(|one| one.is_finished()).count();
    eventually("those beyond the limit are refused", async || is_answered(&waiting) >= 150 - 16).await;
    let keys = ann.get(&format!("/v1/keys/{}?relay=west-test", bob.number.as_str())).await;
    assert_eq!(keys.status, 200);
    for one in waiting {
        assert_eq!(one.await.unwrap(), 503);
    }
}

#[tokio::test]
async fn a_peer_that_is_no_more_takes_its_entries_with_it() {
    let configured = |names: &[&str]| {
        let peers = names.iter().map(|name| handfast::config::textsecure::Peer {
            name: (*name).to_owned(),
            url: format!("https://{name}.test"),
            token: String::from(SECRET).into(),
            certificate: None,
        });
        peers.collect::<Vec<_>>()
    };
    let app = fresh_app_with(|config| config.textsecure.peers = configured(&["east", "west"])).await;
    directory::peers::follow_settings(&app).await.unwrap();
    let number = |n: u32| format!("+1415555{n:04}").parse::<Number>().unwrap();
    for n in 0..4 {
        let sql = "insert into directory (token, relay) values ($1, $2)";
        let (number, relay) = (number(n), if n < 3 { "west" } else { "east" });
        app.db.execute(sql, &[&number.token().0.as_slice(), &relay]).await.unwrap();
    }
    let mut config = (*app.config).clone();
    config.textsecure.peers = configured(&["east"]);
    let without = handfast::App { config: std::sync::Arc::new(config), ..app.clone() };
    directory::peers::follow_settings(&without).await.unwrap();
    let client = app.db.client().await.unwrap();
    for n in 0..4 {
        let relay = directory::relay_of(&client, &number(n)).await.unwrap();
        assert_eq!(relay.as_deref(), if n < 3 { None } else { Some("east") }, "{n}");
    }
    let names: Vec<_> = directory::peers::states(&app).await.unwrap().into_iter().map(|state| state.name).collect();
    assert_eq!(names, ["east"]);
}
