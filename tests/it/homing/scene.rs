//! A hub on hub.test, a merchant's gateway on shop.test, and people with spaces at the hub, all made as people make them.

// Parts use what they need of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use handfast::cli::homing::{
    Agent, AgentError, Approval, Browser, ComesFrom, Gift, Hub, Landing, NewSite, Reach, Visit, Web, WebAnswer,
    WebRequest,
};
use handfast::config::Secret;
use handfast::crypto::SigningKey;
use handfast::homing::otp::{self, Parts, Sauce};
use handfast::homing::release::Arrived;
use handfast::homing::welcome::{Made, Payload, Request};
use handfast::homing::{decode, encode};
use http::{HeaderValue, Method};
use serde_json::Value;
use url::Url;

use crate::node::{Net, Node, Options};
use crate::secrets;

pub(crate) const HUB: &str = "hub.test";
pub(crate) const SHOP: &str = "shop.test";
pub(crate) const PLAIN: &str = "plain.test";
pub(crate) const LOGIN: &str = "https://shop.test/homing/login";
pub(crate) const ENDPOINT: &str = "https://shop.test/homing/endpoint";
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Everything of one test.
pub(crate) struct Scene {
    pub(crate) net: Net,
    pub(crate) hub: Node,
    pub(crate) shop: Node,
    /// Who keeps the shop: persona `shopkeeper`.
    pub(crate) keeper: Agent,
    /// The gateway's site.
    pub(crate) site: Site,
    pub(crate) web: Web,
    dir: tempfile::TempDir,
}

/// A site at the hub, with what a merchant's server knows of it.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) id: String,
    pub(crate) prefix: String,
    pub(crate) sauce: Secret,
    pub(crate) endpoint: String,
    pub(crate) key: SigningKey,
}

impl Scene {
    /// With the gateway's settings as they come, but for limits, which are high.
    pub(crate) async fn start() -> Self {
        Self::with(|hub| hub, |shop| shop).await
    }

    /// With other settings.
    pub(crate) async fn with(hub: impl Fn(Options) -> Options, shop: impl Fn(Options) -> Options) -> Self {
        let net = Net::new();
        let hub = Node::start(&net, hub(super::hub::scene::options())).await;
        net.socket_of(SHOP);
        let dir = tempfile::tempdir().expect("a folder");
        let web = web(&net, &dir);
        let keeper = agent(&web, &["shopkeeper"]).await;
        let site = Site::register(&keeper, "shopkeeper", "The Shop", ENDPOINT, "site").await;
        let shop = Node::start(&net, shop(shop_options(&site, &keys(&keeper).await, &dir))).await;
        Self { net, hub, shop, keeper, site, web, dir }
    }

    /// Somebody with a space and these personas.
    pub(crate) async fn user(&self, personas: &[&str]) -> Agent {
        agent(&self.web, personas).await
    }

    /// A browser without cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.web.clone())
    }

    /// Fills in the shop's form, and follows to the hub.
    pub(crate) async fn begin(&self, persona: &str) -> Visit {
        self.try_begin(persona).await.expect("the shop leads to the hub")
    }

    pub(crate) async fn try_begin(&self, persona: &str) -> Result<Visit, AgentError> {
        Visit::begin(self.browser(), &url(LOGIN), persona, self.keeper.hub().base()).await
    }

    /// The whole way.
    pub(crate) async fn sign_in(&self, user: &Agent, persona: &str) -> Landing {
        let mut visit = self.begin(persona).await;
        let approval = approve(user, &visit.challenge).await;
        visit.arrive(&approval).await.expect("the shop answers")
    }

    /// How many rows a table of the shop has.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let client = self.shop.app.db.client().await.expect("a connection");
        client.query_one(&format!("select count(*) from {table}"), &[]).await.expect("counted").get(0)
    }

    /// `handfast homing …` on a file of its own.
    pub(crate) async fn command(&self, space: &str, words: &[&str]) -> std::process::Output {
        let (ca, file) = (self.dir.path().join("ca.pem"), self.dir.path().join(space));
        secrets::note(secrets::Kind::Password, PASSWORD);
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_handfast"))
            .arg("homing")
            .args(words)
            .args(["--space".as_ref(), file.as_os_str(), "--ca-file".as_ref(), ca.as_os_str()])
            .args(["--resolve", &format!("{HUB}={}", self.hub.public)])
            .args(["--resolve", &format!("{SHOP}={}", self.shop.public)])
            .args(["--resolve", &format!("{PLAIN}={}", self.net.socket_of(PLAIN))])
            .env("HANDFAST_HOMING_PASSWORD", PASSWORD)
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .expect("the program runs");
        secrets::said("homing", &output.stderr);
        output
    }

    /// A place for files.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Site {
    /// Registers one, as its owner does.
    pub(crate) async fn register(keeper: &Agent, persona: &str, name: &str, endpoint: &str, sector: &str) -> Self {
        let made = keeper.add_site(&new_site(persona, name, endpoint, sector)).await.expect("a site");
        let text = |field: &str| made[field].as_str().expect("a text").to_owned();
        let key = keeper.keys(persona).await.expect("its own").sign;
        secrets::of_json(&made);
        let (id, prefix, sauce) = (text("site"), text("scope_prefix"), Secret::from(text("sauce")));
        Self { id, prefix, sauce, endpoint: endpoint.to_owned(), key }
    }

    /// What a merchant's server would send for a login of this persona, now.
    pub(crate) fn payload(&self, username: &str, scopes: &str, query: &str) -> Payload {
        let (ts, n) = (jiff::Timestamp::now().as_second(), encode(&handfast::crypto::random::<16>()));
        let sauce = Sauce::parse(self.sauce.reveal()).expect("a sauce");
        let parts = Parts { site: &self.id, username, ts, n: &n, endpoint: &self.endpoint, scopes };
        let otp = otp::hmac(&sauce, &parts);
        let query = query.replace("{own}", &format!("username={username}&ts={ts}&n={n}&otp={otp}"));
        let (username, scopes, endpoint) = (username.to_owned(), scopes.to_owned(), self.endpoint.clone());
        let (otp_alg, state_hash, lang) = (None, String::new(), String::new());
        Payload { username, scopes, endpoint, query, ts, n, otp, otp_alg, state_hash, lang }
    }

    /// Asks the hub for a welcome.
    pub(crate) async fn ask(&self, web: &Web, payload: &Payload) -> WebAnswer {
        ask(web, &Request::signed(&self.id, payload, &self.key)).await
    }

    /// The same, for a login that the hub takes.
    pub(crate) async fn welcome(&self, web: &Web, username: &str, scopes: &str, query: &str) -> Made {
        let answer = self.ask(web, &self.payload(username, scopes, query)).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("a welcome")
    }
}

/// Posts a request for a welcome as it is.
pub(crate) async fn ask(web: &Web, request: &Request) -> WebAnswer {
    let mut post = WebRequest::new(Method::POST, url("https://hub.test/homing/hub/api/v1/welcome"));
    post.headers.insert("content-type", HeaderValue::from_static("application/json"));
    post.body = serde_json::to_vec(request).expect("JSON").into();
    web.ask(post).await.expect("the hub answers")
}

/// The word of a refusal.
pub(crate) fn word(answer: &WebAnswer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    format!("{} {}", answer.status, body["error"].as_str().unwrap_or_default())
}

/// Gives what must be given, and nothing else.
pub(crate) async fn approve(user: &Agent, challenge: &str) -> Approval {
    let welcome = user.welcome(challenge).await.expect("a welcome that opens");
    user.approve(&welcome, &gift()).await.expect("approved")
}

/// Values for this once.
pub(crate) fn gift() -> Gift {
    let values = BTreeMap::from([("email".to_owned(), "alice@mail.example".to_owned())]);
    Gift { values, ..Gift::default() }
}

/// The same approval with another URL.
pub(crate) fn leading_to(approval: &Approval, action: &str) -> Approval {
    Approval { action: url(action), action_text: action.to_owned(), fields: approval.fields.clone() }
}

/// The fingerprint in a release.
pub(crate) fn fingerprint(approval: &Approval) -> String {
    let (_, query) = approval.action_text.split_once('?').expect("a query");
    Arrived::parse(query).expect("a release").f_in_g.to_owned()
}

/// The hub's public keys that sign.
pub(crate) async fn keys(agent: &Agent) -> Vec<String> {
    let answer = agent.hub().call(Method::GET, &["keys"], None).await.expect("keys");
    let keys = answer["keys"].as_array().expect("a list");
    let signing = keys.iter().filter(|key| key["use"] == "sign");
    signing.map(|key| key["public"].as_str().expect("a key").to_owned()).collect()
}

/// The hub's public sign keys as bytes.
pub(crate) async fn key_bytes(agent: &Agent) -> Vec<[u8; 32]> {
    let keys = keys(agent).await;
    keys.iter().map(|key| decode(key).expect("base64url").try_into().expect("32 bytes")).collect()
}

pub(crate) fn new_site(persona: &str, name: &str, endpoint: &str, sector: &str) -> NewSite {
    NewSite {
        persona: persona.into(),
        name: name.into(),
        endpoints: vec![endpoint.into()],
        fingerprint_mode: sector.into(),
        otp_alg: "hmac".into(),
    }
}

pub(crate) fn url(text: &str) -> Url {
    text.parse().expect("a URL")
}

/// Opens a page in a browser.
pub(crate) async fn open(browser: &mut Browser, address: &str) -> WebAnswer {
    browser.open(&url(address), ComesFrom::Nowhere).await.expect("an answer")
}

/// The way to both nodes.
fn web(net: &Net, dir: &tempfile::TempDir) -> Web {
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, net.ca.pem()).expect("written");
    let resolve = [HUB, SHOP, PLAIN].map(|name| (name.to_owned(), net.socket_of(name))).to_vec();
    Web::new(&Reach { ca_file: Some(ca), resolve }).expect("a client")
}

/// A hub as an agent knows it before it has a space there.
pub(crate) fn hub(web: &Web) -> Hub {
    Hub::new(web.clone(), url("https://hub.test/homing/hub"))
}

async fn agent(web: &Web, personas: &[&str]) -> Agent {
    let agent = Agent::create(hub(web), &Secret::from(PASSWORD.to_owned())).await.expect("a space");
    for persona in personas {
        agent.add_persona(persona).await.expect("a persona");
    }
    agent
}

fn shop_options(site: &Site, hub_keys: &[String], dir: &tempfile::TempDir) -> Options {
    let key = dir.path().join("homing-sign.key");
    write_key(&key, &encode(site.key.seed()));
    Options::of(SHOP)
        .set("homing.gateway.enabled", true)
        .set("homing.gateway.hub", "https://hub.test/homing/hub")
        .set("homing.gateway.hub_keys", hub_keys.to_vec())
        .set("homing.gateway.site", site.id.as_str())
        .set("homing.gateway.persona", "shopkeeper")
        .set("homing.gateway.name", "The Shop")
        .set("homing.gateway.sauce", site.sauce.reveal())
        .set("homing.gateway.sign_key", key.to_str().expect("UTF-8"))
        .set("homing.gateway.scopes", "email|phone1")
        .set("homing.gateway.entries_per_ip.bucket", 100_000)
        .set("homing.gateway.entries_per_ip.per_minute", 100_000.0)
}

/// A key file that only its owner reads.
pub(crate) fn write_key(path: &std::path::Path, line: &str) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    writeln!(file.expect("a new file"), "{line}").expect("written");
}
