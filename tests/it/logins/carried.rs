//! Whole nodes: a login's code through carriers that fail, and the command line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use handfast::App;
use handfast::books::Acceptor;
use handfast::config::Period;
use handfast::logins::{Logins, Origin, Started, apps};
use handfast::queue::{Asker, Publisher};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::scene::{ANN, APP, BOB, an_address};
use crate::node::{Net, Node, Options, eventually};
use crate::webhooks::receiver::{Receiver, status};

const HOME: &str = "home.test";
const OWN: &str = "own.test";

fn options() -> Options {
    let carrier = json!([{"kind": "webhook", "name": "own", "url": format!("https://{OWN}/send"),
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}]);
    let schedule = vec!["200ms"];
    Options::of(HOME)
        .set("providers.sms", toml::Value::try_from(carrier).unwrap())
        .set("providers.schedule", schedule)
        .set("providers.rest", "1ms")
}

async fn application(node: &Node) {
    node.post("apps", json!({"appid": APP, "name": "Example", "text": "{app}: {code}"})).await;
}

#[tokio::test]
async fn a_provider_that_fails_twice_is_one_message_and_one_login() {
    let net = Net::new();
    let own = Receiver::start(&net, OWN, |_, n| status(if n < 2 { 500 } else { 201 })).await;
    let mut node = Node::start(&net, options()).await;
    application(&node).await;
    node.post("otp/start", json!({"app": APP, "phone": ANN})).await;
    eventually("it is carried", async || own.seen().len() == 3).await;
    assert_eq!(node.value::<i64>("select count(*) from messages").await, 1, "one message");
    let seen = own.seen();
    let ids: Vec<_> = seen.iter().map(|seen| seen.headers["webhook-id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one logical message has one id");
    let sent: Value = serde_json::from_slice(&seen[2].body).unwrap();
    let code = sent["code"].as_str().unwrap();
    assert_eq!(sent["text"], format!("Example: {code}"));
    assert_eq!((sent["to"].as_str(), sent["service"].as_str()), (Some("+18005551234"), Some(APP)));
    let signed_in = node.post("otp/verify", json!({"app": APP, "phone": ANN, "code": code})).await;
    let token = signed_in["token"].as_str().unwrap();
    assert_eq!(node.post("otp/introspect", json!({"token": token})).await["active"], true);
    let logs = node.logs();
    for secret in [ANN, code, token] {
        assert!(!logs.contains(secret), "it is in the log");
    }
    node.unharmed().await;
}

/// The engine of this test, in front of the node's database and broker, with codes that live for seconds only.
async fn short_lived(node: &Node, stop: &CancellationToken) -> (App, Logins) {
    let mut config = (*node.app.config).clone();
    config.mesibo.code_life = Period::seconds(2);
    let app = App { config: Arc::new(config), ..node.app.clone() };
    let acceptor = Acceptor::start(&app, &Publisher::start(&app, stop.clone()));
    let asker = Asker::start(&app, stop.clone());
    (app.clone(), Logins::new(&app, &acceptor, &asker))
}

#[tokio::test]
async fn what_no_provider_took_in_time_is_not_sent() {
    let net = Net::new();
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let script = move |_: &_, _| status(if is_well.load(Ordering::SeqCst) { 201 } else { 500 });
    let own = Receiver::start(&net, OWN, script).await;
    let node = Node::start(&net, options()).await;
    application(&node).await;
    let stop = CancellationToken::new();
    let (app, logins) = short_lived(&node, &stop).await;
    let application = apps::find(&app, APP).await.unwrap().unwrap();
    let begun = logins.start(&application, &an_address(ANN), &Origin::default()).await.unwrap();
    assert_eq!(begun, Started::Accepted);
    eventually("it is tried", async || !own.seen().is_empty()).await;
    let expires: jiff::Timestamp = node.value("select expires_at from codes").await;
    eventually("it has expired", async || node.get("deliveries?state=expired").await["items"][0].is_object()).await;
    well.store(true, Ordering::SeqCst);
    let tried = own.seen().len();
    // What is begun after it is carried, so whoever looks for what is due has been here since.
    node.post("otp/start", json!({"app": APP, "phone": BOB})).await;
    let to = |n: usize| serde_json::from_slice::<Value>(&own.seen()[n].body).unwrap()["to"].clone();
    eventually("the next one is carried", async || own.seen().len() > tried).await;
    assert_eq!(to(tried), format!("+{BOB}"), "nothing is sent after {expires}");
    assert_eq!(own.seen().len(), tried + 1);
    stop.cancel();
}

#[tokio::test]
async fn operators_have_a_command_line() {
    let net = Net::new();
    let own = Receiver::start(&net, OWN, |_, _| status(201)).await;
    let node = Node::start(&net, options()).await;
    let token = node.dir().join("token");
    std::fs::write(&token, "app-token\n").unwrap();
    let token = token.to_str().unwrap();
    let made = node
        .said(&["apps", "create", APP, "--name", "Example", "--backend", "mesibo", "--backend-token-file", token])
        .await;
    assert!(made.contains("https://api.mesibo.com/backend/") && !made.contains("app-token"), "{made}");
    let changed =
        node.said(&["apps", "update", APP, "--backend", "local", "--countries", "1,49", "--ways", "sms"]).await;
    assert!(changed.lines().any(|line| line.starts_with("backend") && line.ends_with("local")), "{changed}");
    let made =
        node.said(&["apps", "create", "intranet", "--ways", "verifier", "--verifier", "https://auth.test/login"]).await;
    assert!(made.contains("shown this once: whsec_"), "{made}");
    let listed = node.said(&["apps", "list", "--json"]).await;
    assert_eq!(listed.lines().count(), 2);
    assert_eq!(node.said(&["apps", "delete", "intranet"]).await, "intranet deleted\n");
    assert_eq!(node.handfast(&["apps", "show", "intranet"]).await.status.code(), Some(1));

    node.post("otp/start", json!({"app": APP, "phone": ANN})).await;
    eventually("it is carried", async || own.seen().len() == 1).await;
    let sent: Value = serde_json::from_slice(&own.seen()[0].body).unwrap();
    let verify = |code: &str| json!({"app": APP, "phone": ANN, "code": code});
    let wrong = super::scene::other_than(sent["code"].as_str().unwrap());
    assert_eq!(node.api("POST", "otp/verify", Some(verify(&wrong))).await.status, 403);
    assert_eq!(node.said(&["sessions", "unlock", APP, "+18005551234"]).await, "+18005551234 may sign in again\n");
    node.post("otp/verify", verify(sent["code"].as_str().unwrap())).await;
    let listed = node.said(&["sessions", "list", "--app", APP, "--address", ANN, "--json"]).await;
    let session: Value = serde_json::from_str(listed.trim()).unwrap();
    let id = session["id"].as_str().unwrap();
    assert_eq!(node.said(&["sessions", "revoke", id]).await, format!("{id} revoked\n"));
    let table = node.said(&["sessions", "list"]).await;
    assert!(table.contains(ANN), "{table}");
}
