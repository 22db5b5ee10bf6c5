//! APNs over HTTP/2: the stand-in checks the token as Apple does.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use rcgen::KeyPair;
use serde_json::json;

use super::gateway::{Gateway, Seen, Speaks, pause, says};
use super::*;

const GATE: &str = "apns.test";
const ONE: &str = "aa11223344556677889900aabbccddeeff00112233445566778899aabbccddee";
const OTHER: &str = "bb11223344556677889900aabbccddeeff00112233445566778899aabbccddee";

struct Key {
    pair: KeyPair,
    dir: tempfile::TempDir,
}

impl Key {
    fn new() -> Self {
        let key = Self { pair: KeyPair::generate().unwrap(), dir: tempfile::tempdir().unwrap() };
        std::fs::write(key.dir.path().join("apns.p8"), key.pair.serialize_pem()).unwrap();
        key
    }

    fn options(&self) -> Options {
        quick()
            .set("providers.push.apns.url", format!("https://{GATE}"))
            .set("providers.push.apns.key", self.dir.path().join("apns.p8").to_str().unwrap())
            .set("providers.push.apns.key_id", "K1")
            .set("providers.push.apns.team", "T1")
            .set("providers.push.apns.topic", "org.example.app")
    }

    fn confirms(&self, seen: &Seen) {
        let mut rules = Validation::new(Algorithm::ES256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        let key = DecodingKey::from_ec_der(self.pair.public_key_raw());
        let token = seen.header("authorization").strip_prefix("bearer ").expect("a token");
        let read = decode::<Value>(token, &key, &rules).expect("a token that holds");
        assert_eq!((read.header.kid.as_deref(), &read.claims["iss"]), (Some("K1"), &json!("T1")));
        assert!(read.claims["iat"].is_i64());
    }
}

fn tokens(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.header("authorization")).collect()
}

#[tokio::test]
async fn a_device_is_alerted_with_the_envelope_where_it_fits_and_fetches_it_all_the_same() {
    let (net, key) = (Net::new(), Key::new());
    let gate = Gateway::start(&net, GATE, Speaks::Http2, |_, n| match n {
        2 => says(403, json!({"reason": "ExpiredProviderToken"})),
        _ => says(200, Value::Null),
    })
    .await;
    let scene = Scene::with(net, key.options()).await;
    let phone = pushed(&scene, "+14155550101").await;
    waits(&scene.node, &phone, b"an envelope", false).await;
    set(&phone, "apn", ONE).await;
    gate.got(1).await;
    // Of what waits the newest wakes it: it fetches the others.
    waits(&scene.node, &phone, &[7; 4000], false).await;
    set(&phone, "apn", OTHER).await;
    let seen = gate.got(2).await;
    let [small, large] = seen.as_slice() else { panic!("one of each: {seen:?}") };
    key.confirms(small);
    assert_eq!(small.path, format!("/3/device/{ONE}"));
    let of = |name: &str| small.header(name).to_owned();
    assert_eq!(
        (of("apns-topic"), of("apns-push-type"), of("apns-priority")),
        ("org.example.app".into(), "alert".into(), "10".into())
    );
    assert!(
        of("apns-id").parse::<uuid::Uuid>().is_ok() && of("apns-expiration").parse::<i64>().unwrap() > 1_700_000_000
    );
    assert_eq!(small.json()["aps"]["alert"], "You have a new message!");
    assert_eq!(open(&phone, &small.json()["m"]), b"an envelope");
    assert_eq!(large.json(), json!({"aps": {"alert": "You have a new message!"}}));
    // A token serves until Apple calls it old.
    set(&phone, "apn", ONE).await;
    let seen = gate.got(4).await;
    let tokens = tokens(&seen);
    assert!(tokens[0] == tokens[1] && tokens[1] == tokens[2] && tokens[2] != tokens[3], "{tokens:?}");
    // A receipt calls nobody to the screen, and so does not stand for what else waits.
    waits(&scene.node, &phone, b"a receipt", true).await;
    set(&phone, "apn", OTHER).await;
    assert_eq!(gate.got(5).await[4].header("apns-push-type"), "alert");
    let phone = pushed(&scene, "+14155550102").await;
    waits(&scene.node, &phone, b"a receipt", true).await;
    set(&phone, "apn", ONE).await;
    let seen = gate.got(6).await;
    let receipt = &seen[5];
    assert_eq!(receipt.header("apns-push-type"), "background");
    assert_eq!((receipt.header("apns-priority"), &receipt.json()["aps"]), ("5", &json!({"content-available": 1})));
    assert_eq!(open(&phone, &receipt.json()["m"]), b"a receipt");
    scene.node.drain().await;
    assert_eq!(gate.seen().len(), 6);
    assert_eq!(waiting(&scene.node).await, 4, "it stays until the device takes it");
}

#[tokio::test]
async fn an_address_that_is_newer_than_apple_s_word_on_it_stays() {
    let (net, key) = (Net::new(), Key::new());
    let gate = Gateway::start(&net, GATE, Speaks::Http2, |seen, n| match n {
        0 => says(410, json!({"reason": "Unregistered", "timestamp": 1_000_000})),
        1 => pause(429, 2),
        2 => says(500, json!({"reason": "InternalServerError"})),
        3 => None,
        4 => says(503, json!({"reason": "Shutdown"})),
        5 => says(403, json!({"reason": "InvalidProviderToken"})),
        _ if seen.path.ends_with(OTHER) => says(400, json!({"reason": "BadDeviceToken"})),
        _ => says(410, json!({"reason": "Unregistered", "timestamp": 9_000_000_000_000_u64})),
    })
    .await;
    let scene = Scene::with(net, key.options().set("destinations.failures_in_a_row", 100)).await;
    let phone = pushed(&scene, "+14155550101").await;
    waits(&scene.node, &phone, b"an envelope", false).await;
    set(&phone, "apn", ONE).await;
    until_forgotten(&scene.node, &phone).await;
    let seen = gate.got(7).await;
    assert!(seen[2].at - seen[1].at >= Duration::from_millis(1900), "the pause was not kept");
    for code in
        ["Unregistered", "http_429", "InternalServerError", "timeout_after_sending", "Shutdown", "InvalidProviderToken"]
    {
        until_tried(&scene.node, code).await;
    }
    // It may be of another environment than ours.
    set(&phone, "apn", OTHER).await;
    until_tried(&scene.node, "BadDeviceToken").await;
    let kept: i64 = scene.node.value("select count(*) from devices where push_address is not null").await;
    assert_eq!(kept, 1, "the address stays");
    set(&phone, "apn", "no/../token").await;
    until_forgotten(&scene.node, &phone).await;
    assert_eq!(gate.seen().iter().filter(|seen| !seen.path.ends_with("ee")).count(), 0);
    assert_eq!(waiting(&scene.node).await, 1);
}
