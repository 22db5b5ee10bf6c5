//! Sending: messages of both versions, lists, receipts, and what is stored of them until the devices have it.

use std::os::unix::process::ExitStatusExt;

use handfast::envelopes::{self, Stored};
use handfast::phones::{self, Registration};
use handfast::textsecure::envelope::RECEIPT;
use handfast::textsecure::{Envelope, seal};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::scene::{HOME, Phone, SIGNALING_KEY, Scene, options, shown};
use crate::node::{Net, Node, eventually};

const ALICE: &str = "+14155550101";
const BOB: &str = "+14155550102";
const CAROL: &str = "+14155550103";
/// With which scenes register their phones.
const REGISTRATION: i64 = 4242;

/// What waits for a phone, oldest first.
async fn waiting(node: &Node, phone: &Phone) -> Vec<Stored> {
    envelopes::waiting(&node.app, &phone.number, phone.device, None, 100).await.expect("read")
}

/// The same as envelopes.
async fn envelopes_of(node: &Node, phone: &Phone) -> Vec<Envelope> {
    let open = |stored: &Stored| Envelope::from_plaintext(&stored.content).expect("an envelope");
    waiting(node, phone).await.iter().map(open).collect()
}

/// Bodies of what waits, as text.
async fn texts(node: &Node, phone: &Phone) -> Vec<String> {
    let text = |envelope: Envelope| String::from_utf8(envelope.message.unwrap_or_default()).expect("text");
    envelopes_of(node, phone).await.into_iter().map(text).collect()
}

fn to(device: i64, registration: i64, body: &str) -> Value {
    json!({"type": 1, "destinationDeviceId": device, "destinationRegistrationId": registration, "body": body})
}

fn path(number: &str) -> String {
    format!("/v1/messages/{number}")
}

async fn put(phone: &Phone, number: &str, messages: Value) -> String {
    shown(&phone.put(&path(number), json!({"messages": messages})).await)
}

async fn post(phone: &Phone, messages: Value) -> String {
    shown(&phone.post("/v1/messages/", json!({"messages": messages})).await)
}

async fn register_anew(node: &Node, phone: &Phone, registration_id: i32) {
    let registration = Registration {
        generation: uuid::Uuid::new_v4(),
        password: handfast::crypto::hash_password(b"another").expect("hashed"),
        signaling_key: Zeroizing::new(SIGNALING_KEY),
        registration_id,
        fetches_messages: true,
        supports_sms: false,
    };
    let mut client = node.app.db.client().await.expect("a connection");
    let tx = client.transaction().await.expect("a transaction");
    phones::register(&tx, &node.app, &phone.number, &registration).await.expect("registered");
    tx.commit().await.expect("committed");
}

#[tokio::test]
async fn a_message_waits_for_each_device_of_its_number() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    let (bobs_second, node) = (bob.second_device(&scene.node).await, &scene.node);
    let alices_second = alice.second_device(node).await;

    let both = json!([to(1, REGISTRATION, "b25l"), to(2, 0, "dHdv")]);
    insta::assert_snapshot!(put(&alice, BOB, both).await, @"204");
    assert_eq!(texts(node, &bob).await, ["one"]);
    assert_eq!(texts(node, &bobs_second).await, ["two"]);
    let (first, second) = (&envelopes_of(node, &bob).await[0], &envelopes_of(node, &bobs_second).await[0]);
    assert_eq!((first.kind, first.source.as_deref(), first.source_device), (Some(1), Some(ALICE), Some(1)));
    assert_eq!((&first.relay, first.destinations.len()), (&None, 0));
    assert_eq!(first.timestamp, second.timestamp, "one message has one time");
    let now = node.app.clock.now().as_millisecond().unsigned_abs();
    let age = now.abs_diff(first.timestamp.expect("a time"));
    assert!(age < 60_000, "{age} ms");

    // Bodies are padded or not; what is none is left out; everything else in the request is let be.
    let request = json!({
        "destination": "+1", "relay": "", "timestamp": "x", "more": {},
        "messages": [
            {"type": 3, "destinationDeviceId": 1, "body": "dGhyZWUhIQ", "timestamp": 7},
            {"destinationDeviceId": "2", "body": "####"},
        ],
    });
    let sent = alices_second.put(&path("%2B14155550102"), request).await;
    insta::assert_snapshot!(shown(&sent), @"204");
    assert_eq!(texts(node, &bob).await, ["one", "three!!"]);
    let last = envelopes_of(node, &bobs_second).await.pop().expect("an envelope");
    assert_eq!((last.kind, last.message, last.source_device), (Some(0), None, Some(2)));

    // The same device twice is written to twice, as it ever was.
    let twice = json!([to(1, 0, "Zm91cg=="), to(1, 0, "Zml2ZQ=="), to(2, 0, "YQ==")]);
    insta::assert_snapshot!(put(&alice, BOB, twice).await, @"204");
    assert_eq!(texts(node, &bob).await, ["one", "three!!", "four", "five"]);

    // What is taken is gone, once; what is stored is sealed.
    let stored = waiting(node, &bob).await;
    let ids: Vec<_> = stored.iter().map(|stored| stored.id).collect();
    assert_eq!(envelopes::take(&node.app, &bobs_second.number, 2, &ids).await.expect("taken"), 0, "another's mailbox");
    assert_eq!(envelopes::take(&node.app, &bob.number, 1, &ids[..3]).await.expect("taken"), 3);
    assert_eq!(envelopes::take(&node.app, &bob.number, 1, &ids[..3]).await.expect("taken"), 0);
    assert!(envelopes::find(&node.app, ids[0]).await.expect("read").is_none());
    assert_eq!(texts(node, &bob).await, ["five"]);
    let dump: String = node.value("select string_agg(encode(content, 'escape'), ' ') from envelopes").await;
    assert!(!dump.contains("five") && !dump.contains(ALICE), "{dump}");
}

/// Specification §1.12: a client opens the stored envelope with the key that it registered with, by the description alone.
#[tokio::test]
async fn a_stored_envelope_opens_with_the_devices_key() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "aGVsbG8=")])).await, @"204");
    let stored = waiting(&scene.node, &bob).await.pop().expect("a message");
    let sealed = seal::seal(&bob.signaling_key, &stored.content);
    let (text, mac) = sealed.split_at(sealed.len() - 10);
    assert_eq!(text[0], 1, "the version");
    assert_eq!(&handfast::crypto::hmac_sha256(&SIGNALING_KEY[32..], &[text])[..10], mac);
    let plain = opened(&text[17..], text[1..17].try_into().expect("an IV"));
    assert_eq!(plain, *stored.content);
    let time = Envelope::from_plaintext(&plain).expect("an envelope").timestamp.expect("a time");
    let mut varint = Vec::new();
    let mut rest = time;
    while rest > 0x7f {
        varint.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    varint.push(rest as u8);
    let expected = [b"\x08\x01\x12\x0c+14155550101\x28", varint.as_slice(), b"\x32\x05hello\x38\x01"].concat();
    assert_eq!(plain, expected);
}

fn opened(text: &[u8], iv: [u8; 16]) -> Vec<u8> {
    use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
    let key = UnboundCipherKey::new(&AES_256, &SIGNALING_KEY[..32]).expect("a key");
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).expect("a key");
    let mut text = text.to_vec();
    key.decrypt(&mut text, DecryptionContext::Iv128(iv.into())).expect("it opens").to_vec()
}

#[tokio::test]
async fn nothing_is_delivered_unless_all_is_right_and_the_first_mistake_is_told() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    let node = &scene.node;
    let good = || json!({"messages": [to(1, 0, "YQ==")]});

    // 401 goes before everything.
    insta::assert_snapshot!(shown(&scene.call("PUT", &path(BOB), Some(json!([]))).await), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    // The body goes before the number.
    for bad in [
        json!({}),
        json!({"messages": null}),
        json!({"messages": {}}),
        json!({"messages": [{}]}),
        json!({"messages": [{"body": ""}]}),
        json!({"messages": [{"body": null}]}),
        json!({"messages": [{"body": "YQ==", "type": "one"}]}),
        json!({"messages": [{"body": "YQ==", "destinationDeviceId": [1]}]}),
        json!("messages"),
    ] {
        let answer = shown(&alice.put(&path("+19999999999"), bad).await);
        insta::allow_duplicates! { insta::assert_snapshot!(answer, @"415") }
    }
    // 404: nobody; no number at all; a peer that is none of ours.
    for nobody in ["+19999999999", "bob", "%00"] {
        let answer = shown(&alice.put(&path(nobody), good()).await);
        insta::allow_duplicates! { insta::assert_snapshot!(answer, @"404") }
    }
    let elsewhere = json!({"relay": "nowhere", "messages": [to(1, 0, "YQ==")]});
    insta::assert_snapshot!(shown(&alice.put(&path(BOB), elsewhere).await), @"404");
    insta::assert_snapshot!(shown(&alice.get(&path(BOB)).await), @"
    405
    allow: PUT
    ");

    // 409 with both lists, 410 only where these are right.
    let second = bob.second_device(node).await;
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, REGISTRATION, "YQ==")])).await, @r#"
    409
    content-type: application/json
    {"missingDevices":[2],"extraDevices":[]}
    "#);
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 1, "YQ=="), to(3, 1, "YQ==")])).await, @r#"
    409
    content-type: application/json
    {"missingDevices":[2],"extraDevices":[3]}
    "#);
    insta::assert_snapshot!(put(&alice, BOB, json!([])).await, @r#"
    409
    content-type: application/json
    {"missingDevices":[1,2],"extraDevices":[]}
    "#);
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, REGISTRATION, "YQ=="), to(2, 1, "YQ==")])).await, @r#"
    410
    content-type: application/json
    {"staleDevices":[2]}
    "#);
    assert_eq!(node.value::<i64>("select count(*) from envelopes").await, 0, "nothing was delivered");

    // A device that is not reached by anything is none.
    node.execute("update devices set fetches_messages = false where device = 2").await;
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "YQ=="), to(2, 0, "YQ==")])).await, @r#"
    409
    content-type: application/json
    {"missingDevices":[],"extraDevices":[2]}
    "#);
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "YQ==")])).await, @"204");
    assert_eq!((texts(node, &bob).await.len(), texts(node, &second).await.len()), (1, 0));

    let logs = node.logs();
    assert!(!logs.contains("4155550101") && !logs.contains("4155550102"), "a number was logged");
}

#[tokio::test]
async fn who_is_gone_is_never_said_to_have_been_reached() {
    let scene = Scene::start().await;
    let (alice, bob, carol) = (scene.phone(ALICE).await, scene.phone(BOB).await, scene.phone(CAROL).await);
    let node = &scene.node;
    let list =
        || json!([{"type": 1, "destination": BOB, "body": "YQ=="}, {"type": 1, "destination": CAROL, "body": "YQ=="}]);
    let message = || json!([to(1, 0, "YQ==")]);

    assert!(phones::set_disabled(&node.app, &bob.number, true).await.expect("disabled"));
    insta::assert_snapshot!(put(&alice, BOB, message()).await, @"404");
    insta::assert_snapshot!(post(&alice, list()).await, @r#"
    200
    content-type: application/json
    {"success":["+14155550103"],"failure":["+14155550102"]}
    "#);
    assert!(phones::set_disabled(&node.app, &bob.number, false).await.expect("enabled"));
    insta::assert_snapshot!(put(&alice, BOB, message()).await, @"204");

    assert!(phones::unregister(&node.app, &bob.number).await.expect("unregistered"));
    insta::assert_snapshot!(put(&alice, BOB, message()).await, @"404");
    insta::assert_snapshot!(shown(&alice.put("/v1/receipt/+14155550102/1", json!({})).await), @"404");
    assert!(waiting(node, &bob).await.is_empty(), "what waited for it has gone with it");

    // With its last push address gone, nothing reaches it.
    node.execute("update devices set fetches_messages = false").await;
    insta::assert_snapshot!(put(&alice, CAROL, message()).await, @"404");
    insta::assert_snapshot!(shown(&carol.put("/v1/accounts/gcm/", json!({"gcmRegistrationId": "abc"})).await), @"204");
    insta::assert_snapshot!(put(&alice, CAROL, message()).await, @"204");
    insta::assert_snapshot!(shown(&carol.delete("/v1/accounts/gcm/").await), @"204");
    insta::assert_snapshot!(put(&alice, CAROL, message()).await, @"404");
}

#[tokio::test]
async fn a_list_says_who_was_reached() {
    let scene = Scene::start().await;
    let (alice, bob, carol) = (scene.phone(ALICE).await, scene.phone(BOB).await, scene.phone(CAROL).await);
    let node = &scene.node;
    insta::assert_snapshot!(shown(&scene.call("POST", "/v1/messages/", Some(json!({}))).await), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    for bad in [
        json!(null),
        json!([{"destination": BOB}]),
        json!([{"body": "YQ=="}]),
        json!([{"destination": BOB, "body": "YQ=="}, {"destination": "", "body": "YQ=="}]),
    ] {
        let answer = post(&alice, bad).await;
        insta::allow_duplicates! { insta::assert_snapshot!(answer, @"415") }
    }
    insta::assert_snapshot!(post(&alice, json!([])).await, @r#"
    200
    content-type: application/json
    {"success":[],"failure":[]}
    "#);
    assert_eq!(node.value::<i64>("select count(*) from envelopes").await, 0);

    let entry =
        |number: &str, body: &str| json!({"type": 1, "destination": number, "body": body, "timestamp": 1, "x": 1});
    let too_many: Vec<Value> = (0..257).map(|_| entry(BOB, "YQ==")).collect();
    insta::assert_snapshot!(post(&alice, json!(too_many)).await, @"415");
    assert_eq!(node.value::<i64>("select count(*) from envelopes").await, 0);
    let mut elsewhere = entry("+19999999997", "YQ==");
    elsewhere["relay"] = json!("nowhere");
    let many = json!([
        entry(CAROL, "b25l"),
        entry("+19999999999", "YQ=="),
        entry(BOB, "dHdv"),
        entry("nobody", "YQ=="),
        elsewhere,
        entry(CAROL, "dGhyZWU="),
    ]);
    insta::assert_snapshot!(post(&alice, many).await, @r#"
    200
    content-type: application/json
    {"success":["+14155550103","+14155550102","+14155550103"],"failure":["+19999999999","nobody","+19999999997"]}
    "#);
    assert_eq!(
        (texts(node, &bob).await, texts(node, &carol).await),
        (vec!["two".into()], vec!["one".into(), "three".into()])
    );
    let envelope = &envelopes_of(node, &bob).await[0];
    assert_eq!(envelope.destinations, [CAROL, "+19999999999", "nobody", "+19999999997"]);
    assert_eq!((envelope.source.as_deref(), envelope.kind), (Some(ALICE), Some(1)));

    // The same without the slash, and alone: there are no others.
    let sent = alice.post("/v1/messages", json!({"messages": [entry(BOB, "Zm91cg==")]})).await;
    insta::assert_snapshot!(shown(&sent), @r#"
    200
    content-type: application/json
    {"success":["+14155550102"],"failure":[]}
    "#);
    assert!(envelopes_of(node, &bob).await[1].destinations.is_empty());

    // A sender of version 1 knows no devices.
    let second = bob.second_device(node).await;
    insta::assert_snapshot!(post(&alice, json!([entry(BOB, "Zml2ZQ==")])).await, @r#"
    200
    content-type: application/json
    {"success":["+14155550102"],"failure":[]}
    "#);
    assert_eq!((texts(node, &bob).await.len(), texts(node, &second).await.len()), (3, 0));
}

#[tokio::test]
async fn a_list_that_names_devices_is_of_version_2() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    let node = &scene.node;
    let entry = |number: &str, device: i64, registration: i64| {
        let mut entry = to(device, registration, "YQ==");
        entry["destination"] = json!(number);
        entry
    };
    insta::assert_snapshot!(post(&alice, json!([entry(BOB, 1, REGISTRATION)])).await, @r#"
    200
    content-type: application/json
    {"success":[],"failure":[],"numbersMissingDevices":[]}
    "#);
    insta::assert_snapshot!(post(&alice, json!([entry(BOB, 1, 0), entry(CAROL, 1, 0)])).await, @"415");
    insta::assert_snapshot!(post(&alice, json!([entry(CAROL, 1, 0)])).await, @"404");
    insta::assert_snapshot!(post(&alice, json!([entry(BOB, 1, 1), entry(BOB, 2, 0)])).await, @r#"
    409
    content-type: application/json
    {"missingDevices":[],"extraDevices":[2]}
    "#);
    insta::assert_snapshot!(post(&alice, json!([entry(BOB, 1, 1)])).await, @r#"
    410
    content-type: application/json
    {"staleDevices":[1]}
    "#);
    assert_eq!(texts(node, &bob).await, ["a"], "the others were not delivered");
}

#[tokio::test]
async fn a_receipt_goes_to_every_device_of_the_sender() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    let (second, node) = (alice.second_device(&scene.node).await, &scene.node);
    let send = async |path: &str| shown(&bob.put(path, json!({})).await);
    insta::assert_snapshot!(send("/v1/receipt/+14155550101/1393500000000").await, @"204");
    insta::assert_snapshot!(send("/v1/receipt/%2B14155550101/1393500000001?relay=").await, @"204");
    insta::assert_snapshot!(send("/v1/receipt/+14155550101/1393500000000?relay=nowhere").await, @"404");
    insta::assert_snapshot!(send("/v1/receipt/+19999999999/1393500000000").await, @"404");
    insta::assert_snapshot!(send("/v1/receipt/+14155550101/yesterday").await, @"404");
    insta::assert_snapshot!(shown(&scene.call("PUT", "/v1/receipt/+14155550101/1", None).await), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    for device in [&alice, &second] {
        let stored = waiting(node, device).await;
        assert!(stored.len() == 2 && stored.iter().all(|stored| stored.receipt));
        let envelope = Envelope::from_plaintext(&stored[0].content).expect("an envelope");
        let expected = Envelope {
            kind: Some(RECEIPT),
            source: Some(BOB.into()),
            source_device: Some(1),
            timestamp: Some(1_393_500_000_000),
            ..Envelope::default()
        };
        assert_eq!(envelope, expected);
        // Bare fields: a client tells the message by its sender and its time.
        assert_eq!(hex::encode(&*stored[0].content), "0805120c2b313431353535353031303228809eca98c7283801");
    }
}

#[tokio::test]
async fn what_is_too_much_is_refused_before_it_is_taken() {
    let options = options(HOME)
        .set("textsecure.messages_per_device", 2)
        .set("textsecure.limits.messages.bucket", 4)
        .set("textsecure.limits.messages.per_minute", 1.0)
        .set("textsecure.limits.receipts.bucket", 2)
        .set("textsecure.limits.receipts.per_minute", 60.0);
    let scene = Scene::with(Net::new(), options).await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    let second = bob.second_device(&scene.node).await;
    let both = || json!([to(1, 0, "YQ=="), to(2, 0, "YQ==")]);
    insta::assert_snapshot!(put(&alice, BOB, both()).await, @"204");
    // Device 2 has room for one, device 1 would need two: nobody is written to.
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "YQ=="), to(2, 0, "YQ=="), to(1, 0, "YQ==")])).await, @"
    413
    retry-after: 300
    ");
    assert_eq!((texts(&scene.node, &bob).await.len(), texts(&scene.node, &second).await.len()), (1, 1));
    insta::assert_snapshot!(put(&alice, BOB, both()).await, @"204");
    // A full device does not keep a receipt from the others, nor its sender waiting.
    let taken = waiting(&scene.node, &second).await.iter().map(|stored| stored.id).collect::<Vec<_>>();
    envelopes::take(&scene.node.app, &bob.number, 2, &taken).await.expect("taken");
    insta::assert_snapshot!(shown(&alice.put("/v1/receipt/+14155550102/5", json!({})).await), @"204");
    assert_eq!((waiting(&scene.node, &bob).await.len(), waiting(&scene.node, &second).await.len()), (2, 1));

    // The fourth request is the last one; what cannot be read is not counted, and who is nobody is found out afterwards.
    insta::assert_snapshot!(put(&alice, BOB, json!(null)).await, @"415");
    insta::assert_snapshot!(put(&alice, CAROL, both()).await, @"404");
    let refused = alice.put(&path(CAROL), json!({"messages": both()})).await;
    let after: u64 = refused.header("retry-after").expect("when there is room").parse().expect("seconds");
    assert!(refused.status == 413 && refused.body.is_empty() && (1..=60).contains(&after), "{refused:?}");
    assert_eq!(alice.post("/v1/messages/", json!({"messages": []})).await.status, 413, "lists count as well");
    assert_eq!(bob.put(&path(CAROL), json!({"messages": both()})).await.status, 404, "another sender is another one");
    let receipts = async || alice.put("/v1/receipt/+19999999999/5", json!({})).await.status;
    assert_eq!((receipts().await, receipts().await), (404, 413));
}

async fn take_all(node: &Node, phone: &Phone) {
    let ids: Vec<_> = waiting(node, phone).await.iter().map(|stored| stored.id).collect();
    envelopes::take(&node.app, &phone.number, phone.device, &ids).await.expect("taken");
}

#[tokio::test]
async fn a_full_mailbox_keeps_nobody_else_from_being_written_to() {
    let scene = Scene::with(Net::new(), options(HOME).set("textsecure.messages_per_device", 2)).await;
    let (alice, bob, carol) = (scene.phone(ALICE).await, scene.phone(BOB).await, scene.phone(CAROL).await);
    let (node, second) = (&scene.node, bob.second_device(&scene.node).await);
    let waits = async || (waiting(node, &bob).await.len(), waiting(node, &second).await.len());
    let both = || json!([to(2, 0, "YQ=="), to(1, 0, "YQ==")]);
    for _ in 0..2 {
        assert_eq!(put(&alice, BOB, both()).await, "204");
        assert_eq!(put(&alice, CAROL, json!([to(1, 0, "YQ==")])).await, "204");
    }
    // The first one is full, the other is not: nobody is written to.
    take_all(node, &second).await;
    insta::assert_snapshot!(put(&alice, BOB, both()).await, @"
    413
    retry-after: 300
    ");
    assert_eq!(waits().await, (2, 0));
    // The other way round it is left out.
    take_all(node, &bob).await;
    for expected in [(1, 1), (2, 2)] {
        assert_eq!(put(&alice, BOB, both()).await, "204");
        assert_eq!(waits().await, expected);
    }
    take_all(node, &bob).await;
    insta::assert_snapshot!(put(&alice, BOB, both()).await, @"204");
    assert_eq!(waits().await, (1, 2));
    // A list says who had no room.
    let entry = |number: &str| json!({"type": 1, "destination": number, "body": "YQ=="});
    insta::assert_snapshot!(post(&alice, json!([entry(CAROL), entry(BOB), entry(BOB)])).await, @r#"
    200
    content-type: application/json
    {"success":["+14155550102"],"failure":["+14155550103","+14155550102"]}
    "#);
    assert_eq!((waits().await, waiting(node, &carol).await.len()), ((2, 2), 2));
    // Receipts have half of the room, and nobody hears of it.
    take_all(node, &bob).await;
    for _ in 0..2 {
        assert_eq!(alice.put("/v1/receipt/+14155550102/5", json!({})).await.status, 204);
        assert_eq!(waits().await, (1, 2));
    }
}

/// Whoever registers anew gets nothing that was written for the one before, and nobody is told that they were reached after that.
#[tokio::test]
async fn a_registration_and_a_message_that_race_come_one_after_the_other() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    for registration in [1, 2, 3] {
        let before = if registration == 1 { REGISTRATION } else { i64::from(registration) - 1 };
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let alice = alice.clone();
                tokio::spawn(async move {
                    let mut statuses = Vec::new();
                    while statuses.last() != Some(&410) {
                        let body = json!({"messages": [to(1, before, "YQ==")]});
                        statuses.push(alice.put(&path(BOB), body).await.status);
                        assert!(statuses.len() < 5000, "the registration was never seen");
                    }
                    statuses
                })
            })
            .collect();
        let some = async || !waiting(&scene.node, &bob).await.is_empty();
        eventually("the first ones are there", some).await;
        register_anew(&scene.node, &bob, registration).await;
        for sender in senders {
            let statuses = sender.await.expect("no panic");
            assert!(statuses.iter().all(|status| [204, 410].contains(status)), "{statuses:?}");
        }
        assert!(waiting(&scene.node, &bob).await.is_empty(), "written for the one before");
    }
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 3, "YQ==")])).await, @"204");
    assert_eq!(texts(&scene.node, &bob).await, ["a"]);
}

#[tokio::test]
async fn what_nobody_takes_in_time_is_swept_away() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "YQ==")])).await, @"204");
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "Yg==")])).await, @"204");
    let first = waiting(&scene.node, &bob).await[0].id;
    scene
        .node
        .execute(&format!("update envelopes set expires_at = now() - interval '1 second' where id = '{first}'"))
        .await;
    assert_eq!(texts(&scene.node, &bob).await, ["b"]);
    assert!(envelopes::find(&scene.node.app, first).await.expect("read").is_none());
    let rows = async || scene.node.value::<i64>("select count(*) from envelopes").await;
    eventually("it is gone", async || rows().await == 1).await;
    assert_eq!(texts(&scene.node, &bob).await, ["b"]);
}

/// The ingress dies when the message is stored and the worker that is to wake its device does not know: it learns of it all the same.
#[tokio::test]
async fn a_device_is_woken_for_a_message_whose_ingress_died() {
    let (net, port) = (Net::new(), crate::node::Port::free());
    net.name("gcm.test", port.socket());
    let options = options(HOME)
        .set("providers.push.gcm.url", format!("https://gcm.test:{}/gcm/send", port.number))
        .set("providers.push.gcm.key", "key");
    let mut scene = Scene::with(net, options).await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    insta::assert_snapshot!(shown(&bob.put("/v1/accounts/gcm/", json!({"gcmRegistrationId": "abc"})).await), @"204");
    scene.node.kill_serve().await;
    scene.node.start_serve_to_die("after-commit");
    scene.node.ready().await;
    let sending = tokio::spawn(async move {
        let body = json!({"messages": [to(1, 0, "YQ==")]}).to_string();
        let attacker = alice.attacker();
        attacker
            .request(
                "PUT",
                &path(BOB),
                &[("Authorization", &alice.authorization()), ("Content-Type", "application/json")],
                body,
            )
            .await
    });
    let ended = scene.node.serve.take().expect("started").ended().await;
    assert_eq!(ended.signal(), Some(9), "it did not die: {ended}");
    assert!(sending.await.expect("no panic").is_err(), "nobody answered");
    scene.node.start_serve();
    scene.node.ready().await;
    assert_eq!(texts(&scene.node, &bob).await, ["a"]);
    let tried =
        "select count(*) from chunks c cross join lateral tries_of(c.id, 0::int2) where c.destination = 'push:gcm'";
    eventually("it was tried", async || scene.node.value::<i64>(tried).await > 0).await;
    drop(port);
}
