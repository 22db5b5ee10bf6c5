//! A stand-in hub, written from the description alone: Ed25519 and HMAC here are another library's than the node's.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::node::{Net, Node, Options};
use crate::peers::Reply;
use crate::webhooks::receiver::{Receiver, Seen};

pub(crate) const FING: &str = "ab31f0fe5add2f0770f847a70f187fd3af5760590693b7c0fc567990002fdf6a";
pub(crate) const SITE: &str = "hst_demo";
pub(crate) const SAUCE: [u8; 32] = [4; 32];
const MERCHANT_SEED: [u8; 32] = [1; 32];
const HUB_SEED: [u8; 32] = [7; 32];

/// A merchant's node, and its hub.
pub(crate) struct Scene {
    pub(crate) node: Node,
    pub(crate) hub: Receiver,
    _net: Net,
    _keys: tempfile::TempDir,
}

/// A login that has begun: what the hub was told, and the browser's cookie.
pub(crate) struct Entered {
    pub(crate) payload: Value,
    pub(crate) state: String,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(change: impl FnOnce(Options) -> Options) -> Self {
        Self::on(Net::new(), change).await
    }

    pub(crate) async fn on(net: Net, change: impl FnOnce(Options) -> Options) -> Self {
        let hub = Receiver::start(&net, "hub.test", welcome).await;
        Self::whole(net, hub, change).await
    }

    /// The test says what is at `hub.test`.
    pub(crate) async fn without_hub(net: Net, change: impl FnOnce(Options) -> Options) -> Self {
        let unused = Receiver::start(&net, "unused.test", welcome).await;
        Self::whole(net, unused, change).await
    }

    async fn whole(net: Net, hub: Receiver, change: impl FnOnce(Options) -> Options) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let node = Node::start(&net, change(options(&keys))).await;
        Self { node, hub, _net: net, _keys: keys }
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.node.attacker().request("GET", path, headers, "").await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        let headers = [&kind, headers].concat();
        self.node.attacker().request("POST", path, &headers, body).await.unwrap()
    }

    /// The form as it is posted by the page.
    pub(crate) async fn entry(&self, username: &str) -> Reply {
        let origin = [("Origin", "https://shop.test"), ("Sec-Fetch-Site", "same-origin")];
        self.post("/homing/entry", &origin, &format!("username={username}&scopes=email%7Cfullname")).await
    }

    /// Begins a login.
    pub(crate) async fn enter(&self, username: &str) -> Entered {
        let before = self.hub.seen().len();
        let reply = self.entry(username).await;
        assert_eq!(reply.status, 303, "{reply:?}");
        assert_eq!(reply.header("location"), Some("https://hub.test/w/hsc_0123456789012345678901"));
        let cookie = &cookies(&reply)["__Host-hs_state"];
        assert!(cookie.contains("HttpOnly; Secure; SameSite=None") && cookie.contains("Path=/;"), "{cookie}");
        self.hub.got(before + 1).await;
        self.last(cookie.split(';').next().unwrap().to_owned()).await
    }

    /// The login that the hub was told of last.
    pub(crate) async fn last(&self, state: String) -> Entered {
        let payload = self.hub.got(1).await.last().map(payload).unwrap();
        Entered { payload, state }
    }

    /// The browser comes back with everything in order.
    pub(crate) async fn arrive(&self, entered: &Entered, body: &str) -> Reply {
        let granted = if body.contains("sc_fullname") { "email;fullname" } else { "email" };
        self.submit(&entered.target(self, granted, now()), &entered.state, body).await
    }

    pub(crate) async fn submit(&self, target: &str, state: &str, body: &str) -> Reply {
        self.post(target, &[("Cookie", &format!("__Host-hs_state={state}")), ("Origin", "https://hub.test")], body)
            .await
    }

    /// Path and query with which the hub releases.
    pub(crate) fn released(&self, query: &str, f_in_g: &str, hs_ts: i64, granted: &str) -> String {
        format!("/homing/endpoint?{}", release(query, f_in_g, hs_ts, granted))
    }

    pub(crate) async fn introspect(&self, token: &str) -> Value {
        self.node.post("homing/introspect", json!({"token": token})).await
    }
}

impl Entered {
    pub(crate) fn query(&self) -> &str {
        self.payload["query"].as_str().unwrap()
    }

    pub(crate) fn target(&self, scene: &Scene, granted: &str, hs_ts: i64) -> String {
        scene.released(self.query(), FING, hs_ts, granted)
    }
}

/// The settings of a merchant's node; its key file is put into the folder.
pub(crate) fn options(keys: &tempfile::TempDir) -> Options {
    let file = keys.path().join("homing-sign.key");
    fs::write(&file, BASE64_STANDARD.encode(MERCHANT_SEED)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    Options::of("shop.test")
        .set("homing.gateway.enabled", true)
        .set("homing.gateway.hub", "https://hub.test")
        .set("homing.gateway.hub_keys", vec![hub_public()])
        .set("homing.gateway.site", SITE)
        .set("homing.gateway.persona", "shop-persona")
        .set("homing.gateway.name", "The Shop")
        .set("homing.gateway.sauce", sauce())
        .set("homing.gateway.sign_key", file.to_str().unwrap())
        .set("homing.gateway.scopes", "email|fullname")
        .set("homing.gateway.entries_per_ip.bucket", 1000)
}

pub(crate) fn sauce() -> String {
    format!("hss_{}", BASE64_URL_SAFE_NO_PAD.encode(SAUCE))
}

pub(crate) fn hub_public() -> String {
    BASE64_STANDARD.encode(hub_key().public_key())
}

pub(crate) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// `Set-Cookie` by name; the value with its attributes.
pub(crate) fn cookies(reply: &Reply) -> BTreeMap<String, String> {
    let all = reply.headers.iter().filter(|(name, _)| name == "set-cookie");
    all.filter_map(|(_, line)| line.split_once('=')).map(|(name, rest)| (name.into(), rest.into())).collect()
}

/// The query with which a hub releases.
pub(crate) fn release(query: &str, f_in_g: &str, hs_ts: i64, granted: &str) -> String {
    let signed = format!("{query}&f_in_g={f_in_g}&hs_ts={hs_ts}");
    let text = canonical("homing/release/v1", &[SITE, "https://shop.test/homing/endpoint", &signed, granted]);
    format!("{signed}&hs_sig={}", BASE64_URL_SAFE_NO_PAD.encode(hub_key().sign(&text)))
}

fn hub_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&HUB_SEED).unwrap()
}

/// Checks a request as a hub must, and makes a welcome.
fn welcome(seen: &Seen, _: usize) -> http::Response<String> {
    let payload = payload(seen);
    let (text, ts) = (|name: &str| payload[name].as_str().unwrap().to_owned(), payload["ts"].as_i64().unwrap());
    assert!((now() - ts).abs() <= 60);
    assert_eq!(seen.path, "/api/v1/welcome");
    let parts =
        [SITE, &text("username"), &ts.to_string(), &text("n"), &text("endpoint"), &text("scopes")].map(str::to_owned);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA512, &SAUCE);
    let mac = hmac::sign(&key, &canonical("homing/otp/v1", &parts));
    assert_eq!(text("otp"), hex::encode(&mac.as_ref()[..32]));
    let query = format!("username={}&ts={ts}&n={}&otp={}", text("username"), text("n"), text("otp"));
    assert_eq!(text("query"), query);
    let made = json!({
        "challenge": "hsc_0123456789012345678901", "welcome_url": "https://hub.test/w/hsc_0123456789012345678901",
        "expires_at": ts + 300,
    });
    http::Response::builder().status(202).body(made.to_string()).unwrap()
}

/// What a request says, if the merchant signed it.
fn payload(seen: &Seen) -> Value {
    let request = seen.json();
    assert_eq!((&request["v"], request["site"].as_str()), (&json!(1), Some(SITE)));
    let decoded = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(request[name].as_str().unwrap()).unwrap();
    let payload = decoded("payload");
    let signed = [b"homing/welcome/v1\0".as_slice(), &payload].concat();
    let merchant = Ed25519KeyPair::from_seed_unchecked(&MERCHANT_SEED).unwrap();
    let key = signature::UnparsedPublicKey::new(&signature::ED25519, merchant.public_key().as_ref());
    key.verify(&signed, &decoded("sig")).expect("the merchant's signature");
    serde_json::from_slice(&payload).unwrap()
}

fn canonical(tag: &str, parts: &[&str]) -> Vec<u8> {
    let mut bytes = [tag.as_bytes(), &[0]].concat();
    for part in parts {
        bytes.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    bytes
}
