//! Receiving over the websocket (specification §1.13), as the clients do it.

mod closing;
mod device;
mod processes;

use handfast::envelopes::{self, Bell};
use handfast::phones;
use handfast::textsecure::Envelope;
use serde_json::json;

use self::device::{Device, Way};
use super::scene::{Phone, Scene, options, shown, stored_for};
use crate::node::{Net, Node, Port, eventually};
use crate::peers::{Attacker, Reply};

/// What a sender gives to a device: stored in this process, not in the one that serves the websocket.
async fn send(node: &Node, phone: &Phone, texts: &[&str]) {
    let app = &node.app;
    let mut client = app.db.client().await.unwrap();
    for text in texts {
        let devices = phones::devices(&client, &phone.number).await.unwrap();
        let device = devices.iter().find(|device| device.id == phone.device).unwrap();
        let tx = client.transaction().await.unwrap();
        envelopes::store(&tx, app, device, envelope(text).plaintext(), false).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// The same, and whoever waits is told.
async fn send_and_tell(node: &Node, phone: &Phone, texts: &[&str]) {
    send(node, phone, texts).await;
    Bell::start(&node.app).ring([(phone.number.clone(), phone.device)]);
}

fn envelope(text: &str) -> Envelope {
    Envelope {
        kind: Some(3),
        source: Some("+14155550199".into()),
        timestamp: Some(1_393_500_000_000),
        message: Some(text.as_bytes().to_vec()),
        source_device: Some(1),
        ..Envelope::default()
    }
}

/// Texts that are stored for a device, oldest first.
async fn stored(node: &Node, phone: &Phone) -> Vec<String> {
    let waiting = stored_for(node, &phone.number, phone.device).await;
    let text =
        |stored: &envelopes::Stored| Envelope::from_plaintext(&stored.content).unwrap().message.unwrap_or_default();
    waiting.iter().map(|stored| String::from_utf8(text(stored)).unwrap()).collect()
}

async fn stored_becomes(node: &Node, phone: &Phone, expected: &[&str]) {
    eventually("what is stored is as expected", async || stored(node, phone).await == expected).await;
}

#[tokio::test]
async fn the_text_form_has_what_waited_then_what_comes() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550101").await;
    send(&scene.node, &phone, &["one", "two"]).await;
    let mut device = Device::open(&phone, Way::Text).await;
    let one = device.receive().await;
    assert_eq!(one.text(), "one");
    assert_eq!(one.envelope, envelope("one"), "nothing is lost or added on the way");
    let two = device.receive().await;
    assert_eq!(two.text(), "two");
    assert_ne!(one.number, two.number);
    send_and_tell(&scene.node, &phone, &["three"]).await;
    let three = device.receive().await;
    assert_eq!(three.text(), "three");
    assert_eq!(stored(&scene.node, &phone).await, ["one", "two", "three"], "until they are acknowledged");
    device.take(&two).await;
    stored_becomes(&scene.node, &phone, &["one", "three"]).await;
    device.take(&one).await;
    device.take(&three).await;
    stored_becomes(&scene.node, &phone, &[]).await;
    device.say_text(r#"{"type":2}"#).await;
    assert_eq!(device.hear_text().await, r#"{"type":3}"#);
}

#[tokio::test]
async fn the_binary_form_is_spoken_to_whoever_logs_in() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550102").await.second_device(&scene.node).await;
    send(&scene.node, &phone, &["one", "two"]).await;
    let mut device = Device::open(&phone, Way::Binary).await;
    let (one, two) = (device.receive().await, device.receive().await);
    assert_eq!((one.text(), two.text()), ("one", "two"));
    assert_eq!((one.verb.as_str(), one.path.as_str()), ("PUT", "/api/v1/message"));
    device.answer(&one, 500).await;
    device.answer(&two, 200).await;
    stored_becomes(&scene.node, &phone, &["one"]).await;
    assert_eq!(device.ask("GET", "/v1/keepalive", 77).await, (77, 200));
    assert_eq!(device.ask("GET", "/v1/keys", 78).await, (78, 404));
    // What was refused is not pressed upon it again, but is there the next time.
    send_and_tell(&scene.node, &phone, &["three"]).await;
    let three = device.receive().await;
    assert_eq!(three.text(), "three");
    device.answer(&three, 200).await;
    stored_becomes(&scene.node, &phone, &["one"]).await;
    drop(device);
    assert_eq!(Device::open(&phone, Way::Binary).await.receive().await.text(), "one");
}

/// Specification §1.15. Accepted in one process, received in another.
#[tokio::test]
async fn taking_a_message_tells_its_sender() {
    let scene = Scene::start().await;
    let (ada, ben) = (scene.phone("+14155550108").await, scene.phone("+14155550109").await);
    let (public, private) = (Port::free(), Port::free());
    let _second = scene.node.start_second_serve(&public, &private).await;
    let there = Attacker::new(&scene.net.ca, "home.test", public.socket());
    let mut to_ben = Device::open_on(&there, &ben, &Way::Binary.path(&ben), Way::Binary).await.unwrap();
    let mut to_ada = Device::open(&ada, Way::Text).await;
    let message = json!({"messages": [{"type": 1, "destinationDeviceId": 1, "body": "aGVsbG8="}]});
    assert_eq!(ada.put("/v1/messages/+14155550109", message).await.status, 204);
    let hello = to_ben.receive().await;
    assert_eq!((hello.text(), hello.envelope.source.as_deref()), ("hello", Some("+14155550108")));
    to_ben.take(&hello).await;
    let receipt = to_ada.receive().await;
    let expected = Envelope {
        kind: Some(5),
        source: Some("+14155550109".into()),
        timestamp: hello.envelope.timestamp,
        source_device: Some(1),
        ..Envelope::default()
    };
    assert_eq!(receipt.envelope, expected);
    to_ada.take(&receipt).await;
    stored_becomes(&scene.node, &ada, &[]).await;
    // Nobody is told that a receipt has arrived.
    to_ben.has_nothing().await;
}

#[tokio::test]
async fn who_may_connect_and_how_it_is_said() {
    let scene = Scene::with(Net::new(), options("home.test").set("textsecure.wrong_passwords_per_ip", 3)).await;
    let phone = scene.phone("+14155550103").await;
    // Forms of the same: with and without slash, `+` raw and escaped, with the device, the other form.
    for path in [
        "/v1/websocket/?user=%2B14155550103&password=0123456789abcdef",
        "/v1/websocket?user=+14155550103.1&password=0123456789abcdef",
        "/v1/websocket/?password=0123456789abcdef&login=+14155550103&format=text",
        "/v1/websocket/?user=+14155550103&password=0123456789abcdef&format=binary",
    ] {
        Device::open_at(&phone, path, Way::Text).await.unwrap_or_else(|reply| panic!("{path}: {reply}"));
    }
    let refused = async |query: &str| {
        let reply = device::handshake(&scene.node, &format!("/v1/websocket/{query}")).await;
        shown(&reply)
    };
    let unauthorized = refused("").await;
    insta::assert_snapshot!(unauthorized, @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    assert_eq!(refused("?user=+14155550103").await, unauthorized);
    assert_eq!(refused("?user=+14155550103.x&password=0123456789abcdef").await, unauthorized);
    insta::assert_snapshot!(refused("?user=+14155550103&password=0123456789abcdef&format=xml").await, @"400");
    let plain = async |method: &str, path: &str| -> Reply { scene.call(method, path, None).await };
    let reply = plain("GET", "/v1/websocket/?user=+14155550103&password=0123456789abcdef").await;
    insta::assert_snapshot!(shown(&reply), @"426");
    assert_eq!(reply.header("upgrade"), Some("websocket"));
    insta::assert_snapshot!(shown(&plain("PUT", "/v1/websocket/").await), @r"
    405
    allow: GET
    ");
    // Every wrong one counts, also that of a device that was here.
    let wrong =
        ["+14155550103&password=wronger", "+14155550103.2&password=0123456789abcdef", "+14155550104&password=wronger"];
    for wrong in wrong {
        assert_eq!(refused(&format!("?user={wrong}")).await, unauthorized);
    }
    let limited = device::handshake(&scene.node, "/v1/websocket/?user=+14155550110&password=wronger").await;
    assert_eq!((limited.status, limited.header("retry-after").is_some()), (413, true));
    // Who is known is not kept out by guesses.
    Device::open(&phone, Way::Text).await;
    let logs = scene.node.logs();
    for secret in ["0123456789abcdef", "wronger", "4155550103"] {
        assert!(!logs.contains(secret), "{secret} was logged");
    }
}

#[tokio::test]
async fn so_many_are_under_way_and_the_others_follow() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550105").await;
    let texts: Vec<String> = (0..150).map(|n| n.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    send(&scene.node, &phone, &texts).await;
    let mut device = Device::open(&phone, Way::Text).await;
    let mut received = Vec::new();
    for _ in 0..64 {
        received.push(device.receive().await);
    }
    device.has_nothing().await;
    let mut taken = 0;
    while received.len() < texts.len() {
        for received in &received[taken..] {
            device.take(received).await;
        }
        taken = received.len();
        received.push(device.receive().await);
    }
    let heard: Vec<&str> = received.iter().map(|received| received.text()).collect();
    assert_eq!(heard, texts, "each once, in their order");
    for received in &received[taken..] {
        device.take(received).await;
    }
    stored_becomes(&scene.node, &phone, &[]).await;
}

#[tokio::test]
async fn so_many_bytes_are_read_in_one_piece() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550120").await;
    let large = ["a", "b", "c"].map(|letter| letter.repeat(100_000));
    send(&scene.node, &phone, &large.each_ref().map(String::as_str)).await;
    let mut known = Vec::new();
    let mut read = async |bytes| {
        let page = envelopes::next(&scene.node.app, &phone.number, 1, &known, 2, bytes).await.unwrap();
        known.extend(page.stored.iter().map(|stored| stored.id));
        assert_eq!((page.rows, page.unreadable.len()), (page.stored.len(), 0));
        page.rows
    };
    assert_eq!(read(1).await, 1, "one whatever its size");
    assert_eq!(read(150_000).await, 1);
    assert_eq!(read(150_000).await, 1);
    assert_eq!(read(150_000).await, 0);
    known.clear();
    let page = envelopes::next(&scene.node.app, &phone.number, 1, &known, 2, 1 << 20).await.unwrap();
    assert_eq!(page.rows, 2, "the limit");
    let mut device = Device::open(&phone, Way::Binary).await;
    for text in &large {
        assert_eq!(device.receive().await.text(), text);
    }
}

/// Sealed with a key that is gone: more than are read in one piece, before one that opens.
#[tokio::test]
async fn what_cannot_be_read_is_not_in_the_way() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550121").await;
    send(&scene.node, &phone, &["lost"; 40]).await;
    // The number of the key stands in bytes 1 and 2.
    scene.node.execute("update envelopes set content = set_byte(set_byte(content, 1, 9), 2, 9)").await;
    send(&scene.node, &phone, &["one"]).await;
    let mut device = Device::open(&phone, Way::Text).await;
    let one = device.receive().await;
    assert_eq!(one.text(), "one");
    device.take(&one).await;
    stored_becomes(&scene.node, &phone, &[]).await;
    assert_eq!(scene.node.value::<i64>("select count(*) from envelopes").await, 40, "for the key may come back");
}

#[tokio::test]
async fn who_knows_what_waits_is_left_alone() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550122").await;
    let app = &scene.node.app;
    let client = app.db.client().await.unwrap();
    let device = phones::devices(&client, &phone.number).await.unwrap().remove(0);
    let listener = phones::Listener::begin(app, device.clone()).await.unwrap().expect("it is still the one");
    let concerned = async |known| {
        let listening = phones::Listening { id: listener.id, device: device.clone(), known };
        phones::concerned(app, &[listening]).await.unwrap() == [listener.id]
    };
    assert!(!concerned(0).await, "nothing waits");
    send(&scene.node, &phone, &["one", "two"]).await;
    assert!(concerned(0).await && concerned(1).await);
    assert!(!concerned(2).await, "it has both");
    let past = "update envelopes set expires_at = now() - interval '1 second'";
    scene.node.execute(&format!("{past} where id in (select id from envelopes limit 1)")).await;
    assert!(concerned(0).await && !concerned(1).await, "what has expired is nothing to look for");
    // A later connection is the one: the earlier has to find out.
    phones::Listener::begin(app, device.clone()).await.unwrap().expect("it is still the one");
    assert!(concerned(2).await);
}

#[tokio::test]
async fn a_process_has_room_for_so_many() {
    let scene = Scene::with(Net::new(), options("home.test").set("textsecure.websockets", 1)).await;
    let (one, other) = (scene.phone("+14155550106").await, scene.phone("+14155550107").await);
    let first = Device::open(&one, Way::Text).await;
    let full = device::handshake(&scene.node, &Way::Text.path(&other)).await;
    insta::assert_snapshot!(shown(&full), @r"
    503
    retry-after: 5
    ");
    drop(first);
    eventually("the place is free again", async || {
        Device::open_at(&other, &Way::Text.path(&other), Way::Text).await.is_ok()
    })
    .await;
}
