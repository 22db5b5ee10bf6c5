//! A node with the door open, and phones that speak to it.

// Parts use what they need of it.
#![allow(dead_code)]

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use handfast::envelopes::{self, Stored};
use handfast::phones::{self, Registration, SIGNALING_KEY_BYTES};
use handfast::textsecure::Number;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::node::{Net, Node, Options};
use crate::peers::{Attacker, Reply};
use crate::secrets;

/// The node's domain.
pub(crate) const HOME: &str = "home.test";

/// Bytes 00 to 33, as in the vectors of the specification (§1.12).
pub(crate) const SIGNALING_KEY: [u8; SIGNALING_KEY_BYTES] = {
    let mut key = [0; SIGNALING_KEY_BYTES];
    let mut at = 0;
    while at < SIGNALING_KEY_BYTES {
        key[at] = at as u8;
        at += 1;
    }
    key
};

/// A node with the door open.
pub(crate) struct Scene {
    pub(crate) net: Net,
    pub(crate) node: Node,
}

impl Scene {
    /// One node with one worker and the settings of [`options`].
    pub(crate) async fn start() -> Self {
        Self::with(Net::new(), options(HOME)).await
    }

    /// One node on this net.
    pub(crate) async fn with(net: Net, options: Options) -> Self {
        let node = Node::start(&net, options).await;
        Self { net, node }
    }

    /// A phone whose number is registered and that reads over the websocket.
    pub(crate) async fn phone(&self, number: &str) -> Phone {
        Phone::register(&self.node, number).await
    }

    /// A request without credentials.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        call(&self.node.attacker(), method, path, None, body).await
    }
}

/// The settings of a node with the door open: limits are high, their own tests lower them.
pub(crate) fn options(domain: &str) -> Options {
    let mut options =
        Options::of(domain).set("textsecure.enabled", true).set("textsecure.name", domain.replace('.', "-"));
    for limit in [
        "sms",
        "voice",
        "verify",
        "codes_per_ip",
        "prekeys",
        "messages",
        "allocate_device",
        "verify_device",
        "push_addresses",
    ] {
        options = options
            .set(&format!("textsecure.limits.{limit}.bucket"), 10_000)
            .set(&format!("textsecure.limits.{limit}.per_minute"), 10_000.0);
    }
    options
}

/// Somebody with a number, a password and a signaling key.
#[derive(Clone)]
pub(crate) struct Phone {
    pub(crate) number: Number,
    pub(crate) device: i16,
    pub(crate) password: String,
    pub(crate) signaling_key: [u8; SIGNALING_KEY_BYTES],
    node: Attacker,
}

impl Phone {
    /// Registers device 1 of a number in the node's database: what comes before it has its own tests.
    pub(crate) async fn register(node: &Node, number: &str) -> Self {
        let (number, password) = (number.parse::<Number>().expect("a number"), String::from("0123456789abcdef"));
        secrets::note(secrets::Kind::PhoneNumber, number.as_str());
        secrets::note(secrets::Kind::Password, &password);
        let registration = registration(&password);
        let mut client = node.app.db.client().await.expect("a connection");
        let tx = client.transaction().await.expect("a transaction");
        let registered = phones::register(&tx, &node.app, &number, &registration).await.expect("registered");
        assert_eq!(registered, phones::Registered::As(1));
        tx.commit().await.expect("committed");
        Self { number, device: 1, password, signaling_key: SIGNALING_KEY, node: node.attacker() }
    }

    /// A further device of the same number.
    pub(crate) async fn second_device(&self, node: &Node) -> Self {
        let mut client = node.app.db.client().await.expect("a connection");
        let tx = client.transaction().await.expect("a transaction");
        let added =
            phones::add_device(&tx, &node.app, &self.number, &registration(&self.password)).await.expect("added");
        tx.commit().await.expect("committed");
        let phones::Registered::As(device) = added else { panic!("no further device: {added:?}") };
        Self { device, ..self.clone() }
    }

    /// The header with its credentials.
    pub(crate) fn authorization(&self) -> String {
        let user = match self.device {
            1 => self.number.as_str().to_owned(),
            device => format!("{}.{device}", self.number.as_str()),
        };
        basic(&user, &self.password)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.call("PUT", path, Some(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, None).await
    }

    /// Whom it calls.
    pub(crate) fn attacker(&self) -> &Attacker {
        &self.node
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        call(&self.node, method, path, Some(&self.authorization()), body).await
    }
}

/// What a phone registers with: it reads over the websocket.
fn registration(password: &str) -> Registration {
    Registration {
        generation: uuid::Uuid::new_v4(),
        password: handfast::crypto::hash_password(password.as_bytes()).expect("hashed"),
        signaling_key: Zeroizing::new(SIGNALING_KEY),
        registration_id: 4242,
        fetches_messages: true,
        supports_sms: false,
    }
}

/// What waits for a device, oldest first.
pub(crate) async fn stored_for(node: &Node, number: &Number, device: i16) -> Vec<Stored> {
    let page = envelopes::next(&node.app, number, device, &[], 1000, i64::MAX).await.expect("read");
    page.stored
}

/// HTTP Basic.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// One request over TLS.
pub(crate) async fn call(
    node: &Attacker,
    method: &str,
    path: &str,
    authorization: Option<&str>,
    body: Option<Value>,
) -> Reply {
    let mut headers = Vec::new();
    headers.extend(authorization.map(|value| ("Authorization", value)));
    headers.extend(body.as_ref().map(|_| ("Content-Type", "application/json")));
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    node.request(method, path, &headers, body).await.expect("an answer")
}

/// A reply as text for a snapshot: status, the headers that this protocol has, body.
pub(crate) fn shown(reply: &Reply) -> String {
    let mut lines = vec![reply.status.to_string()];
    for name in ["www-authenticate", "content-type", "retry-after", "allow", "location"] {
        lines.extend(reply.header(name).map(|value| format!("{name}: {value}")));
    }
    if !reply.body.is_empty() {
        lines.push(String::from_utf8_lossy(&reply.body).into_owned());
    }
    lines.join("\n")
}

#[tokio::test]
async fn a_phone_signs_in_or_is_told_how() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550101").await;
    let body = json!({"gcmRegistrationId": "abc"});
    insta::assert_snapshot!(shown(&phone.put("/v1/accounts/gcm/", body.clone()).await), @"204");
    insta::assert_snapshot!(shown(&scene.call("PUT", "/v1/accounts/gcm/", Some(body.clone())).await), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    let other = Phone { password: "guess".into(), ..phone.clone() };
    assert_eq!(other.put("/v1/accounts/gcm/", body).await.status, 401);
}
