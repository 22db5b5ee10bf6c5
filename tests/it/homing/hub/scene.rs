//! A node with the hub open, somebody with a space, and a merchant.

// Parts use what they need of it.
#![allow(dead_code)]

use handfast::crypto::{SigningKey, random};
use handfast::homing::keys::{PersonaKeys, Root};
use handfast::homing::otp::{self, Parts, Sauce};
use handfast::homing::welcome::{Envelope, Payload, Request};
use handfast::homing::{decode, encode, signed};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::node::{Net, Node, Options};
use crate::peers::{Attacker, Reply};

/// The node's domain.
pub(crate) const HOME: &str = "hub.test";
/// Where merchants' users arrive.
pub(crate) const ENDPOINT: &str = "https://shop.test/homing/endpoint";
/// A text that is no vault to anybody who knows the password, and all the same to the hub.
pub(crate) const VAULT: &str = r#"{"v":1,"alg":"argon2id13","box":"…"}"#;

/// A node with the hub open.
pub(crate) struct Scene {
    pub(crate) net: Net,
    pub(crate) node: Node,
}

/// Somebody with a space, who is signed in.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) root: Root,
    pub(crate) space: String,
    pub(crate) token: String,
    pub(super) hub: Attacker,
}

/// Somebody whose site is registered.
#[derive(Clone)]
pub(crate) struct Merchant {
    pub(crate) owner: Person,
    pub(crate) keys: PersonaKeys,
    pub(crate) site: String,
    pub(crate) sauce: String,
    pub(crate) prefix: String,
    pub(super) hub: Attacker,
}

/// The settings of a node with the hub open: limits are high, their own tests lower them.
pub(crate) fn options() -> Options {
    let mut options = Options::of(HOME).set("homing.hub.enabled", true).set("homing.hub.pending_per_persona", 1000);
    for limit in [
        "welcomes_per_site",
        "welcomes_per_persona",
        "decisions",
        "spaces_per_ip",
        "sign_ins_per_ip",
        "notices",
        "personas_per_space",
        "personas_per_ip",
        "sites_per_space",
    ] {
        options = options
            .set(&format!("homing.hub.{limit}.bucket"), 10_000)
            .set(&format!("homing.hub.{limit}.per_minute"), 10_000.0);
    }
    options
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::with(Net::new(), options()).await
    }

    pub(crate) async fn with(net: Net, options: Options) -> Self {
        let node = Node::start(&net, options).await;
        Self { net, node }
    }

    /// A request of somebody who is not signed in.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        call(&self.node.attacker(), method, path, None, body).await
    }

    /// Somebody new.
    pub(crate) async fn person(&self) -> Person {
        Person::new(&self.node.attacker()).await
    }

    /// Somebody new with one persona, of index 1.
    pub(crate) async fn named(&self, name: &str) -> Person {
        let person = self.person().await;
        assert_eq!(person.take(name, 1).await.status, 201);
        person
    }

    /// Somebody new with a site.
    pub(crate) async fn merchant(&self, persona: &str, name: &str) -> Merchant {
        let owner = self.named(persona).await;
        Merchant::of(&owner, persona, name, json!({})).await
    }

    /// Rows of a table.
    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.node.value(&format!("select count(*) from {what}")).await
    }
}

impl Person {
    async fn new(hub: &Attacker) -> Self {
        let root = Root::generate();
        let made = create(hub, &root).await;
        assert_eq!(made.status, 201, "{}", shown(&made));
        let space = made.json()["space"].as_str().expect("an id").to_owned();
        let mut person = Self { root, space, token: String::new(), hub: hub.clone() };
        person.token = person.sign_in().await.json()["token"].as_str().expect("a token").to_owned();
        person
    }

    /// Signs in, properly.
    pub(crate) async fn sign_in(&self) -> Reply {
        let nonce = self.nonce().await;
        self.sign_in_with(&nonce, &self.root.space()).await
    }

    pub(crate) async fn nonce(&self) -> String {
        let asked = call(&self.hub, "POST", "spaces/challenge", None, Some(json!({"space": self.space}))).await;
        assert_eq!(asked.status, 200);
        asked.json()["nonce"].as_str().expect("a nonce").to_owned()
    }

    pub(crate) async fn sign_in_with(&self, nonce: &str, key: &SigningKey) -> Reply {
        let sig = encode(&key.sign(&signed::space_login(&self.space, nonce)));
        let body = json!({"space": self.space, "nonce": nonce, "sig": sig});
        call(&self.hub, "POST", "spaces/login", None, Some(body)).await
    }

    /// A request of its own.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        call(&self.hub, method, path, Some(&self.token), body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, Some(body)).await
    }

    /// Wants a persona.
    pub(crate) async fn take(&self, name: &str, index: u64) -> Reply {
        let keys = self.root.persona(index);
        let (box_pk, sign_pk) = (keys.box_public(), keys.sign_public());
        self.post("personas", json!({"name": name, "index": index, "box_pk": box_pk, "sign_pk": sign_pk})).await
    }

    /// The welcome that waits, opened with the keys of that index.
    pub(crate) async fn welcome(&self, challenge: &str, index: u64) -> Envelope {
        let found = self.get(&format!("welcomes/{challenge}")).await;
        assert_eq!(found.status, 200, "{}", shown(&found));
        let sealed = decode(found.json()["sealed"].as_str().expect("sealed")).expect("base64url");
        Envelope::open(&sealed, &self.root.persona(index).opening).expect("a welcome for this persona")
    }

    pub(crate) async fn approve(&self, challenge: &str, name: &str, index: u64, granted: &str) -> Reply {
        let sig = self.root.persona(index).sign.sign(&signed::approval(challenge, granted));
        let body = json!({"persona": name, "granted": granted, "sig": encode(&sig)});
        self.post(&format!("welcomes/{challenge}/approve"), body).await
    }

    pub(crate) async fn deny(&self, challenge: &str, name: &str, index: u64) -> Reply {
        let sig = self.root.persona(index).sign.sign(&signed::denial(challenge));
        self.post(&format!("welcomes/{challenge}/deny"), json!({"persona": name, "sig": encode(&sig)})).await
    }
}

impl Merchant {
    /// A site of somebody's persona of index 1.
    pub(crate) async fn of(owner: &Person, persona: &str, name: &str, more: Value) -> Self {
        let made = site(owner, persona, name, more).await;
        assert_eq!(made.status, 201, "{}", shown(&made));
        let made = made.json();
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        Self {
            owner: owner.clone(),
            keys: owner.root.persona(1),
            site: text("site"),
            sauce: text("sauce"),
            prefix: text("scope_prefix"),
            hub: owner.hub.clone(),
        }
    }

    /// What it asks of a persona.
    pub(crate) fn payload(&self, username: &str, scopes: &str) -> Payload {
        let payload = Payload {
            username: username.to_owned(),
            scopes: scopes.to_owned(),
            endpoint: ENDPOINT.to_owned(),
            query: format!("username={username}&x=1"),
            ts: Timestamp::now().as_second(),
            n: encode(&random::<16>()),
            otp: String::new(),
            otp_alg: None,
            state_hash: String::new(),
            lang: "en".to_owned(),
        };
        self.with_otp(payload)
    }

    /// With the one-time password that fits.
    pub(crate) fn with_otp(&self, payload: Payload) -> Payload {
        let sauce = Sauce::parse(&self.sauce).expect("a sauce");
        let parts = Parts {
            site: &self.site,
            username: &payload.username,
            ts: payload.ts,
            n: &payload.n,
            endpoint: &payload.endpoint,
            scopes: &payload.scopes,
        };
        let otp = otp::hmac(&sauce, &parts);
        Payload { otp, ..payload }
    }

    pub(crate) fn request(&self, payload: &Payload) -> Request {
        Request::signed(&self.site, payload, &self.keys.sign)
    }

    pub(crate) async fn send(&self, request: &Request) -> Reply {
        call(&self.hub, "POST", "welcome", None, Some(serde_json::to_value(request).expect("JSON"))).await
    }

    pub(crate) async fn ask(&self, payload: &Payload) -> Reply {
        self.send(&self.request(payload)).await
    }

    /// Asks properly, and is answered.
    pub(crate) async fn welcome(&self, username: &str, scopes: &str) -> String {
        let made = self.ask(&self.payload(username, scopes)).await;
        assert_eq!(made.status, 202, "{}", shown(&made));
        made.json()["challenge"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn status(&self, challenge: &str) -> Reply {
        self.status_at(challenge, Timestamp::now().as_second()).await
    }

    pub(crate) async fn status_at(&self, challenge: &str, ts: i64) -> Reply {
        let sig = encode(&self.keys.sign.sign(&signed::status(&self.site, challenge, ts)));
        let path = format!("welcome/{challenge}?site={}&ts={ts}&sig={sig}", self.site);
        call(&self.hub, "GET", &path, None, None).await
    }

    pub(crate) async fn stats(&self) -> Value {
        let mut day = self.owner.get(&format!("sites/{}/stats", self.site)).await.json()["days"][0].take();
        if let Some(day) = day.as_object_mut() {
            day.remove("day");
        }
        day
    }
}

/// Wants a site.
pub(crate) async fn site(owner: &Person, persona: &str, name: &str, more: Value) -> Reply {
    let mut body = json!({"persona": persona, "name": name, "endpoints": [ENDPOINT]});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    owner.post("sites", body).await
}

/// Wants a space.
pub(crate) async fn create(hub: &Attacker, root: &Root) -> Reply {
    let (key, public) = (root.space(), encode(root.space().public()));
    let sig = encode(&key.sign(&signed::space(&public, VAULT)));
    call(hub, "POST", "spaces", None, Some(json!({"sign_pk": public, "vault": VAULT, "sig": sig}))).await
}

/// One request to the hub's API.
pub(crate) async fn call(hub: &Attacker, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Reply {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = Vec::new();
    headers.extend(bearer.as_deref().map(|value| ("Authorization", value)));
    headers.extend(body.as_ref().map(|_| ("Content-Type", "application/json")));
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let path = format!("/homing/hub/api/v1/{path}");
    hub.request(method, &path, &headers, body).await.expect("an answer")
}

/// Its status and its word.
pub(crate) fn word(reply: &Reply) -> String {
    format!("{} {}", reply.status, reply.json()["error"].as_str().unwrap_or("-"))
}

/// A reply as text for a snapshot: status, some headers, and the body with what is random taken out.
pub(crate) fn shown(reply: &Reply) -> String {
    let mut lines = vec![reply.status.to_string()];
    for name in ["www-authenticate", "allow"] {
        lines.extend(reply.header(name).map(|value| format!("{name}: {value}")));
    }
    lines.extend(reply.header("retry-after").map(|_| "retry-after: …".to_owned()));
    if !reply.body.is_empty() {
        lines.push(tamed(reply.json()).to_string());
    }
    lines.join("\n")
}

fn tamed(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, value)| (key, tamed(value))).collect::<Map<_, _>>())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(tamed).collect()),
        Value::String(text) => Value::String(tamed_text(text)),
        Value::Number(number) if number.as_u64().is_some_and(|number| number > 1_000_000_000) => "SECONDS".into(),
        other => other,
    }
}

fn tamed_text(text: String) -> String {
    let prefix = ["hsp_", "hst_", "hsc_", "hss_", "hsk_", "whsec_"].into_iter().find(|prefix| text.starts_with(prefix));
    match prefix {
        Some(prefix) => format!("{prefix}…"),
        None if text.contains("/w/hsc_") => format!("{}/w/hsc_…", text.split("/w/hsc_").next().unwrap_or_default()),
        None if text.parse::<uuid::Uuid>().is_ok() => "UUID".into(),
        None if text.parse::<Timestamp>().is_ok() => "TIME".into(),
        None if text.len() == 43 && !text.contains(' ') => "32 BYTES".into(),
        None => text,
    }
}
