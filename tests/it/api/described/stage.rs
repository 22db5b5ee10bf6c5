//! A node on which everything is there that the examples name, and their ids put in place of the examples' own.

use std::collections::BTreeMap;
use std::sync::Mutex;

use handfast::codes::subject;
use handfast::config::{Bucket, Config};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{Node, read};

pub(super) const ACCOUNT: &str = "1000*our.example";
const PEER: &str = "0012345*other.example";
const PHONE: &str = "+18005551234";
const APP: &str = "com.example.app";

/// The ids of the examples end in these.
const MESSAGE: &str = "0192f0c1-5a3e-7b11-8f00-000000000001";
const CONNECTION: &str = "0192f0c1-5a3e-7b11-8f00-000000000002";
const HANDSHAKE: &str = "0192f0c1-5a3e-7b11-8f00-000000000003";
const CAMPAIGN: &str = "0192f0c1-5a3e-7b11-8f00-000000000004";
const OPERATION: &str = "0192f0c1-5a3e-7b11-8f00-000000000005";
const ENTRY: &str = "0192f0c1-5a3e-7b11-8f00-000000000006";
const PASS_CODE: &str = "0192f0c1-5a3e-7b11-8f00-000000000007";
const SESSION: &str = "0192f0c1-5a3e-7b11-8f00-000000000008";
const KEY: &str = "0192f0c1-5a3e-7b11-8f00-000000000009";
const TOKEN: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// The code of the examples.
const CODE: &str = "123456";

/// A node and what its things are called.
pub(super) struct Stage {
    pub(super) node: Node,
    names: Mutex<BTreeMap<&'static str, String>>,
}

fn settings(config: &mut Config) {
    config.domain = "our.example".into();
    config.mailbox.enabled = true;
    let carrier = || toml::from_str("kind = 'recording'\nname = 'test'\nfile = 'codes.jsonl'").unwrap();
    config.providers.sms = vec![carrier()];
    config.providers.email = vec![carrier()];
    config.providers.push.gcm.url = "https://push.example/gcm/send".into();
    config.providers.push.gcm.key = String::from("the key of the test").into();
    config.textsecure.peers =
        vec![toml::from_str("name = 'partner'\nurl = 'https://partner.example'\ntoken = 'of the test'").unwrap()];
    let roomy = Bucket { bucket: 1_000_000, per_minute: 1_000_000.0 };
    let limits = &mut config.mesibo.limits;
    for limit in [
        &mut limits.starts_per_ip,
        &mut limits.starts_per_network,
        &mut limits.tries_per_ip,
        &mut limits.tries_per_network,
        &mut limits.starts_per_app,
        &mut limits.tries_per_app,
        &mut limits.sends_per_country,
    ] {
        *limit = roomy;
    }
}

impl Stage {
    pub(super) async fn build() -> Self {
        let stage = Self { node: Node::start_with(settings).await, names: Mutex::default() };
        stage.site().await;
        stage.set_for("").await;
        stage
    }

    /// A text of the examples, with the names that things have here.
    pub(super) fn real(&self, text: &str) -> String {
        let names = self.names.lock().unwrap();
        names.iter().fold(text.to_owned(), |text, (example, real)| text.replace(example, real))
    }

    /// Makes what an operation's example needs, again if an earlier one took it away.
    pub(super) async fn set_for(&self, operation: &str) {
        self.people().await;
        self.traffic().await;
        self.campaign(operation).await;
        self.logins(operation).await;
        self.phone().await;
    }

    fn call(&self, example: &'static str, real: impl Into<String>) {
        self.names.lock().unwrap().insert(example, real.into());
    }

    async fn make(&self, path: &str, body: Value) -> Value {
        let (status, made) = self.node.post(path, &body).await;
        assert!(status.is_success(), "{path}: {status} {made}");
        made
    }

    /// Makes it unless it is there.
    async fn ensure(&self, path: &str, body: Value) {
        let (status, answer) = self.node.post(path, &body).await;
        assert!(status.is_success() || status == StatusCode::CONFLICT, "{path}: {status} {answer}");
    }

    async fn forget(&self, path: &str) {
        let _ = read(self.node.ask(Method::DELETE, path)).await;
    }

    async fn people(&self) {
        self.ensure("/accounts", json!({"address": ACCOUNT, "name": "Shop"})).await;
        self.make(&format!("/accounts/{ACCOUNT}/enable"), json!({})).await;
        let account = handfast::accounts::find(&self.node.app, &ACCOUNT.parse().unwrap()).await.unwrap().unwrap();
        let connection = self.node.connection(&account, PEER).await;
        self.make(&format!("/connections/{connection}/unblock"), json!({})).await;
        self.call(CONNECTION, connection);
        self.node.arrives(&account, "When does it open?").await;
        let (_, inbox) = self.node.get(&format!("/inbox?account={ACCOUNT}&unacknowledged=true&limit=1000")).await;
        let entries = inbox["items"].as_array().unwrap();
        self.call(ENTRY, entries.last().unwrap()["id"].as_str().unwrap());
        self.forget(&format!("/accounts/{ACCOUNT}/passcodes")).await;
        self.called(PASS_CODE, self.make(&format!("/accounts/{ACCOUNT}/passcodes"), json!({})).await);
        let wanted = json!({"from": ACCOUNT, "to": PEER, "pass_code": "042137"});
        self.called(HANDSHAKE, self.make("/connections", wanted).await);
        self.called(KEY, self.make("/keys", json!({"sender": "shop", "scopes": ["messages"]})).await);
    }

    fn called(&self, example: &'static str, made: Value) {
        self.call(example, made["id"].as_str().unwrap());
    }

    async fn traffic(&self) {
        self.forget("/webhooks/invoices").await;
        self.ensure(
            "/webhooks",
            json!({"name": "orders", "url": "https://hooks.example/in", "headers": {"x-shop": "eu"}}),
        )
        .await;
        self.make("/webhooks/orders/enable", json!({})).await;
        let pace = self.node.ask(Method::PATCH, "/destinations/orders").json(&json!({"concurrency": 50}));
        assert!(read(pace).await.0.is_success());
        self.make("/messages", json!({"webhook": "orders", "payload": {"order": 7}, "tag": "spring"})).await;
        let message = json!({"from": ACCOUNT, "to": PEER, "text": "Your order is on its way.", "tag": "spring"});
        self.called(MESSAGE, self.make("/messages", message).await);
        let replay = self.make("/replays", json!({"filter": {"destination": "orders"}})).await;
        self.called(OPERATION, replay);
    }

    async fn campaign(&self, operation: &str) {
        let template = json!({"from": ACCOUNT, "to": "{to}", "text": "Dear {name}, the sale begins."});
        let made = self.make("/campaigns", json!({"name": "Spring", "template": template, "tag": "spring"})).await;
        let id = made["id"].as_str().unwrap();
        self.call(CAMPAIGN, id);
        if operation != "campaigns_take" {
            let rows = format!("{{\"key\":\"k1\",\"to\":\"{PEER}\",\"name\":\"Ada\"}}\n{{}}\n");
            let upload = self.node.ask(Method::POST, &format!("/campaigns/{id}/rows"));
            let upload = upload.header("content-type", "application/x-ndjson").body(rows);
            let text = upload.send().await.unwrap().text().await.unwrap();
            assert!(text.contains("\"done\":true"), "{text}");
        }
        if operation == "campaigns_resume" {
            self.make(&format!("/campaigns/{id}/pause"), json!({})).await;
        }
    }

    async fn logins(&self, operation: &str) {
        self.forget("/apps/com.example.other").await;
        self.ensure("/apps", json!({"appid": APP, "name": "Example", "ways": ["sms"]})).await;
        let open = json!({"enabled": true, "countries": [], "ways": ["sms"], "backend": "local"});
        assert!(read(self.node.ask(Method::PATCH, &format!("/apps/{APP}")).json(&open)).await.0.is_success());
        // Everybody has their own number: one is not sent codes without end.
        let phone = format!("1800{:07}", rand::random_range(2_000_000..10_000_000));
        let code = self.code(&phone).await;
        let signed_in = self.make("/otp/verify", json!({"app": APP, "phone": phone, "code": code})).await;
        self.call(TOKEN, signed_in["token"].as_str().unwrap());
        self.call(SESSION, signed_in["session"].as_str().unwrap());
        if operation == "otp_verify" {
            self.call(CODE, self.code("18005551234").await);
        }
    }

    /// What somebody is sent who wants to sign in.
    async fn code(&self, phone: &str) -> String {
        self.make("/otp/start", json!({"app": APP, "phone": phone})).await;
        let sql = "select id from codes where state = 0 and purpose <> 1 order by created_at desc limit 1";
        let id: Uuid = self.node.app.db.row(sql, &[]).await.unwrap().unwrap().get(0);
        subject::to_send(&self.node.app, id).await.unwrap().unwrap().0.as_str().to_owned()
    }

    async fn phone(&self) {
        if self.node.get(&format!("/phones/{PHONE}")).await.0 == StatusCode::NOT_FOUND {
            self.node.number(PHONE).await;
        }
        self.make(&format!("/phones/{PHONE}/enable"), json!({})).await;
        let sql = "update devices set push = 1, push_address = 'sealed', push_set_at = now()";
        self.node.app.db.execute(sql, &[]).await.unwrap();
    }

    /// A site of a hub, as its owner would make it in many steps.
    async fn site(&self) {
        let (space, now) = (Uuid::new_v4(), self.node.app.clock.now());
        let db = &self.node.app.db;
        let sql = "insert into hub_spaces (id, handle, root_id, sign_pk, created_at) values ($1, 'handle', 'root', sha256('a'), $2)";
        db.execute(sql, &[&space, &now]).await.unwrap();
        let sql = "insert into hub_personas (name, space_id, slot, index, box_pk, sign_pk, created_at)
            values ('ada', $1, 1, 1, sha256('b'), sha256('s'), $2)";
        db.execute(sql, &[&space, &now]).await.unwrap();
        let sql =
            "insert into hub_sites (id, space_id, persona, name, scope_prefix, fingerprint_mode, otp_alg, created_at)
            values ('hst_demo', $1, 'ada', 'Shop', 'abcdef', 1, 1, $2)";
        db.execute(sql, &[&space, &now]).await.unwrap();
        db.execute("insert into hub_endpoints (site_id, url) values ('hst_demo', 'https://shop.example/hs')", &[])
            .await
            .unwrap();
        let sql = "insert into hub_stats (site_id, day, requests, approved, denied, failed) values ('hst_demo', current_date, 3, 2, 1, 0)";
        db.execute(sql, &[]).await.unwrap();
    }
}
