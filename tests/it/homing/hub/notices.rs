//! People are told of welcomes: by a webhook of theirs, by Web Push, by mail; and who is told nothing.

use serde_json::{Value, json};

use super::scene::{Scene, options, shown, word};
use crate::node::{Net, eventually};
use crate::webhooks::receiver::{Receiver, status};

const OWN: &str = "own.test";

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_webhook_of_ones_own_is_told_signed_and_little() {
    let net = Net::new();
    let receiver = Receiver::start(&net, OWN, |_, _| status(204)).await;
    let scene = Scene::with(net, options()).await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    let url = format!("https://{OWN}/hook?key=s3cret");
    let added = ann.post("notices", json!({"kind": "webhook", "address": url})).await;
    insta::assert_snapshot!(shown(&added), @r#"
    201
    {"confirmed":true,"id":"UUID","kind":"webhook","secret":"whsec_…"}
    "#);
    let secret = text(&added.json()["secret"]);
    insta::assert_snapshot!(shown(&ann.get("notices").await), @r#"
    200
    {"notices":[{"address":"own.test","confirmed":true,"created_at":"TIME","failed_at":null,"id":"UUID","kind":"webhook"}]}
    "#);
    let id = merchant.welcome("annette", "email|").await;
    let seen = receiver.got(1).await.remove(0);
    assert!(seen.is_signed_with(&secret));
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/hook?key=s3cret"));
    let mut body = seen.json();
    assert!(body["timestamp"].take().as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let link = format!("https://hub.test/homing/hub/w/{id}");
    assert_eq!(
        body,
        json!({"type": "homing.welcome", "timestamp": null, "data": {"persona": "annette", "site": "Goods", "link": link}})
    );
    // It is a delivery like any other, and what is secret about it lies sealed.
    let delivered =
        "select count(*) from messages where sender = 'homing' and channel = 8 and destination = 'notice:own.test'";
    assert_eq!(scene.node.value::<i64>(delivered).await, 1);
    let dump = scene.node.dump().await;
    assert!(!dump.contains("s3cret") && !dump.contains(&secret[6..]));
    assert!(!scene.node.logs().contains("s3cret"));
    // Of a name that nobody has, nobody is told.
    merchant.welcome("bernard", "|").await;
    let notice = text(&ann.get("notices").await.json()["notices"][0]["id"]);
    assert_eq!(ann.call("DELETE", &format!("notices/{notice}"), None).await.status, 204);
    assert_eq!(word(&ann.call("DELETE", &format!("notices/{notice}"), None).await), "404 NOT_FOUND");
    merchant.welcome("annette", "|").await;
    assert_eq!(scene.node.value::<i64>(delivered).await, 1);
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn what_was_not_taken_is_told_again_and_what_is_gone_is_told_no_more() {
    let net = Net::new();
    let receiver = Receiver::start(&net, OWN, |_, n| status([503, 204, 410][n.min(2)])).await;
    let options = options().set("providers.schedule", vec!["200ms"]);
    let scene = Scene::with(net, options).await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    let added = ann.post("notices", json!({"kind": "webhook", "address": format!("https://{OWN}/")})).await;
    assert_eq!(added.status, 201);
    merchant.welcome("annette", "|").await;
    let seen = receiver.got(2).await;
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
    merchant.welcome("annette", "|").await;
    let gone = async || !ann.get("notices").await.json()["notices"][0]["failed_at"].is_null();
    eventually("the place is gone", gone).await;
    merchant.welcome("annette", "|").await;
    assert_eq!(scene.count("messages where channel = 8").await, 2);
}

#[tokio::test]
async fn a_mailbox_is_told_once_its_owner_has_shown_the_code() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mail.jsonl");
    let mut carrier = toml::Table::new();
    for (key, value) in [("kind", "recording"), ("name", "file"), ("file", file.to_str().unwrap())] {
        carrier.insert(key.into(), value.into());
    }
    let carriers = toml::Value::Array(vec![carrier.into()]);
    let scene = Scene::with(Net::new(), options().set("providers.email", carriers)).await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let (ann, ben) = (scene.named("annette").await, scene.named("benny").await);
    let mails = || -> Vec<Value> {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let added = ann.post("notices", json!({"kind": "email", "address": "ann@mail.test"})).await;
    insta::assert_snapshot!(shown(&added), @r#"
    201
    {"confirmed":false,"id":"UUID","kind":"email"}
    "#);
    let notice = text(&added.json()["id"]);
    eventually("the code comes", async || mails().len() == 1).await;
    let code = text(&mails()[0]["code"]);
    assert_eq!(mails()[0]["to"], "ann@mail.test");
    assert!(text(&mails()[0]["text"]).starts_with("Your Homing Space verification code: "));
    // Not before.
    merchant.welcome("annette", "|").await;
    let confirm = |who: &super::scene::Person, code: &str| {
        let (who, path, body) = (who.clone(), format!("notices/{notice}/confirm"), json!({"code": code}));
        async move { who.post(&path, body).await }
    };
    let wrong = if code == "100000" { "100001" } else { "100000" };
    insta::assert_snapshot!(shown(&confirm(&ann, wrong).await), @r#"
    422
    {"error":"WRONG_CODE","message":"The code is not the one that was sent.","request_id":"UUID"}
    "#);
    assert_eq!(word(&confirm(&ben, &code).await), "404 NOT_FOUND");
    assert_eq!(confirm(&ann, &code).await.status, 204);
    assert_eq!(word(&confirm(&ann, &code).await), "422 WRONG_CODE", "a code is good once");
    let id = merchant.welcome("annette", "email|").await;
    eventually("she is told", async || mails().len() == 2).await;
    let mail = &mails()[1];
    assert_eq!(
        (&mail["type"], &mail["to"], &mail["code"]),
        (&json!("notice.email"), &json!("ann@mail.test"), &json!(""))
    );
    let said = text(&mail["text"]);
    assert!(said.starts_with("Goods asks to sign in annette ("), "{said}");
    assert!(said.contains(&format!("https://hub.test/homing/hub/w/{id}")), "{said}");
    assert!(!scene.node.dump().await.contains("ann@mail.test"));
    assert!(!scene.node.logs().contains("ann@mail.test"));
}

#[tokio::test]
async fn five_wrong_codes_end_a_code() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mail.jsonl");
    let mut carrier = toml::Table::new();
    for (key, value) in [("kind", "recording"), ("name", "file"), ("file", file.to_str().unwrap())] {
        carrier.insert(key.into(), value.into());
    }
    let scene = Scene::with(Net::new(), options().set("providers.email", vec![carrier])).await;
    let ann = scene.person().await;
    let added = ann.post("notices", json!({"kind": "email", "address": "ann@mail.test"})).await.json();
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually("the code comes", async || !read().is_empty()).await;
    let code = text(&serde_json::from_str::<Value>(read().lines().next().unwrap()).unwrap()["code"]);
    let path = format!("notices/{}/confirm", text(&added["id"]));
    let wrong = if code == "100000" { "100001" } else { "100000" };
    for _ in 0..5 {
        assert_eq!(ann.post(&path, json!({"code": wrong})).await.status, 422);
    }
    assert_eq!(ann.post(&path, json!({"code": code})).await.status, 422);
    assert_eq!(ann.get("notices").await.json()["notices"][0]["confirmed"], false);
}

#[tokio::test]
async fn places_are_few_and_public_and_nobody_is_bombarded() {
    let options = options().set("homing.hub.notices.bucket", 6).set("homing.hub.notices.per_minute", 0.001);
    let scene = Scene::with(Net::new(), options).await;
    let ann = scene.person().await;
    let add = |kind: &'static str, address: String| ann.post("notices", json!({"kind": kind, "address": address}));
    for (kind, address) in [
        ("webhook", "http://own.test/"),
        ("webhook", "https://127.0.0.1/"),
        ("webhook", "https://localhost/"),
        ("webhook", "https://user@own.test/"),
        ("webhook", "not a place"),
        ("email", "ann@mail.test"),
        ("webpush", "https://push.test/x"),
    ] {
        assert_eq!(word(&add(kind, address.into()).await), "400 BAD_REQUEST", "{address}");
    }
    for n in 0..5 {
        assert_eq!(add("webhook", format!("https://own.test/{n}")).await.status, 201);
    }
    assert_eq!(word(&add("webhook", "https://own.test/6".into()).await), "409 FULL");
    assert_eq!(word(&add("webhook", "https://own.test/7".into()).await), "429 RATE_LIMITED");
    assert_eq!(ann.post("notices", json!({"kind": "fax", "address": "1"})).await.status, 400);
    assert_eq!(word(&ann.call("DELETE", "notices/1", None).await), "404 NOT_FOUND");
}

#[tokio::test]
async fn a_push_service_is_told_and_one_that_knows_nobody_ends_it() {
    const PUSH: &str = "push.test";
    let net = Net::new();
    let service = Receiver::start(&net, PUSH, |_, n| status([201, 410][n.min(1)])).await;
    let dir = tempfile::tempdir().unwrap();
    let vapid = dir.path().join("vapid.pem");
    std::fs::write(&vapid, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let options = options()
        .set("providers.push.web.key", vapid.to_str().unwrap())
        .set("providers.push.web.contact", "mailto:ops@hub.test");
    let scene = Scene::with(net, options).await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    let added = ann.post("notices", json!({"kind": "webpush", "address": format!("https://{PUSH}/UP?token=1")})).await;
    assert_eq!(added.status, 201, "{}", shown(&added));
    merchant.welcome("annette", "|").await;
    let seen = service.got(1).await.remove(0);
    // A bare endpoint, as UnifiedPush knows it, gets the words as they are.
    assert_eq!((seen.path.as_str(), &seen.json()["data"]["persona"]), ("/UP?token=1", &json!("annette")));
    assert!(seen.header("ttl").parse::<u32>().unwrap() <= 300);
    merchant.welcome("annette", "|").await;
    let gone = async || !ann.get("notices").await.json()["notices"][0]["failed_at"].is_null();
    eventually("the subscription is gone", gone).await;
    merchant.welcome("annette", "|").await;
    assert_eq!(scene.count("messages where channel = 8").await, 2);
}
