//! Web Push and UnifiedPush: the stand-in is the push service, the test is the device.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes128Gcm, Nonce};
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE;
use hkdf::Hkdf;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use rcgen::KeyPair;
use serde_json::json;
use sha2::Sha256;

use super::gateway::{Gateway, Seen, Speaks, pause, says};
use super::*;

const GATE: &str = "push.test";

struct Vapid {
    pair: KeyPair,
    dir: tempfile::TempDir,
}

impl Vapid {
    fn new() -> Self {
        let key = Self { pair: KeyPair::generate().unwrap(), dir: tempfile::tempdir().unwrap() };
        std::fs::write(key.dir.path().join("vapid.pem"), key.pair.serialize_pem()).unwrap();
        key
    }

    fn options(&self) -> Options {
        quick()
            .set("providers.push.web.key", self.dir.path().join("vapid.pem").to_str().unwrap())
            .set("providers.push.web.contact", "mailto:ops@home.test")
    }

    /// RFC 8292: who it is, and for whom.
    fn confirms(&self, seen: &Seen) {
        let parts = seen.header("authorization").strip_prefix("vapid t=").expect("vapid");
        let (token, public) = parts.split_once(", k=").expect("a key");
        assert_eq!(URL_SAFE.decode(public).unwrap(), self.pair.public_key_raw());
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&[format!("https://{GATE}")]);
        let key = DecodingKey::from_ec_der(self.pair.public_key_raw());
        let read = decode::<Value>(token, &key, &rules).expect("a token that holds");
        assert_eq!(read.claims["sub"], "mailto:ops@home.test");
    }
}

/// A browser's side of a subscription.
struct Subscriber {
    secret: SecretKey,
    auth: [u8; 16],
}

impl Subscriber {
    fn new() -> Self {
        let secret = std::iter::repeat_with(|| SecretKey::from_slice(&rand::random::<[u8; 32]>()));
        Self { secret: secret.flatten().next().unwrap(), auth: rand::random() }
    }

    fn public(&self) -> Vec<u8> {
        self.secret.public_key().to_sec1_point(false).as_bytes().to_vec()
    }

    fn subscription(&self, endpoint: &str) -> String {
        let keys = json!({"p256dh": URL_SAFE.encode(self.public()), "auth": URL_SAFE.encode(self.auth)});
        json!({"endpoint": endpoint, "expirationTime": null, "keys": keys}).to_string()
    }

    /// RFC 8291 and 8188, with another library than the node's.
    fn open(&self, body: &[u8]) -> Value {
        let (salt, rest) = body.split_at(16);
        assert_eq!((rest[..4].to_vec(), rest[4]), (4096_u32.to_be_bytes().to_vec(), 65));
        let (sender, sealed) = rest[5..].split_at(65);
        let theirs = PublicKey::from_sec1_bytes(sender).unwrap();
        let shared = p256::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), theirs.as_affine());
        let info = [b"WebPush: info\0".as_slice(), &self.public(), sender].concat();
        let mut input = [0; 32];
        Hkdf::<Sha256>::new(Some(&self.auth), shared.raw_secret_bytes()).expand(&info, &mut input).unwrap();
        let (mut key, mut nonce) = ([0; 16], [0; 12]);
        let derived = Hkdf::<Sha256>::new(Some(salt), &input);
        derived.expand(b"Content-Encoding: aes128gcm\0", &mut key).unwrap();
        derived.expand(b"Content-Encoding: nonce\0", &mut nonce).unwrap();
        let cipher = Aes128Gcm::new_from_slice(&key).unwrap();
        let mut text = cipher.decrypt(Nonce::from_slice(&nonce), sealed).expect("it opens");
        assert_eq!(text.pop(), Some(2), "the last record");
        serde_json::from_slice(&text).unwrap()
    }
}

#[tokio::test]
async fn a_subscription_is_sent_what_only_its_device_can_read() {
    let (net, vapid) = (Net::new(), Vapid::new());
    let gate = Gateway::start(&net, GATE, Speaks::Http1, |seen, n| match (n, seen.path.as_str()) {
        (0, _) => pause(429, 1),
        (1, _) => says(500, "sorry"),
        (_, "/small") if seen.body.len() > 300 => says(413, "too large"),
        (_, "/gone") => says(410, "gone"),
        _ => says(201, Value::Null),
    })
    .await;
    let scene = Scene::with(net, vapid.options()).await;
    let (phone, device) = (pushed(&scene, "+14155550101").await, Subscriber::new());
    waits(&scene.node, &phone, &[9; 200], false).await;
    set(&phone, "web", &device.subscription(&format!("https://{GATE}/whole"))).await;
    let seen = gate.got(3).await[2].clone();
    vapid.confirms(&seen);
    assert_eq!((seen.header("content-encoding"), seen.header("urgency")), ("aes128gcm", "high"));
    assert!(seen.header("ttl").parse::<u32>().unwrap() > 1_000_000);
    assert_eq!(open(&phone, &device.open(&seen.body)["message"]), [9; 200]);
    set(&phone, "web", &device.subscription(&format!("https://{GATE}/small"))).await;
    let alone = gate.got(5).await[4].clone();
    assert_eq!(device.open(&alone.body), json!({"type": "message", "notification": ""}));
    // UnifiedPush: a bare endpoint.
    set(&phone, "web", &format!("https://{GATE}/up?token=1")).await;
    let bare = gate.got(6).await[5].clone();
    assert_eq!(open(&phone, &bare.json()["message"]), [9; 200]);
    assert_eq!((bare.header("authorization"), bare.header("content-encoding")), ("", ""));
    set(&phone, "web", &device.subscription(&format!("https://{GATE}/gone"))).await;
    until_forgotten(&scene.node, &phone).await;
    assert_eq!(waiting(&scene.node).await, 1, "it stays until the device takes it");
}

#[tokio::test]
async fn an_endpoint_is_nowhere_inside() {
    let (net, vapid) = (Net::new(), Vapid::new());
    net.name("inside.test", "10.0.0.1:443".parse().unwrap());
    let scene = Scene::with(net, vapid.options()).await;
    let phone = pushed(&scene, "+14155550101").await;
    waits(&scene.node, &phone, b"an envelope", false).await;
    for address in ["https://10.0.0.1/", "http://push.test/", "https://localhost/", "{}", ""] {
        let body = json!({"webPushSubscription": address});
        assert_eq!(phone.put("/v1/accounts/web/", body).await.status, 415, "{address}");
    }
    set(&phone, "web", "https://inside.test/").await;
    until_tried(&scene.node, "refused_address").await;
}
