//! What people say to a welcome, and what the merchant gets.

use std::collections::HashSet;

use handfast::homing::release::Arrived;
use handfast::homing::welcome::Payload;
use handfast::homing::{decode_exact, encode};
use serde_json::{Value, json};

use super::scene::{ENDPOINT, Merchant, Person, Scene, options, shown, word};
use crate::node::Net;

/// The hub's public sign keys.
async fn keys(scene: &Scene) -> Vec<[u8; 32]> {
    let keys = scene.call("GET", "keys", None).await.json();
    let sign = keys["keys"].as_array().unwrap().iter().filter(|key| key["use"] == "sign");
    sign.map(|key| decode_exact(key["public"].as_str().unwrap()).unwrap()).collect()
}

/// The fingerprint that a merchant gets of somebody, by one of their personas.
async fn fingerprint(merchant: &Merchant, person: &Person, name: &str, index: u64) -> String {
    let id = merchant.welcome(name, "|").await;
    let released = person.approve(&id, name, index, "").await;
    assert_eq!(released.status, 200, "{}", shown(&released));
    let action = released.json()["action"].as_str().unwrap().to_owned();
    Arrived::parse(action.split_once('?').unwrap().1).unwrap().f_in_g.to_owned()
}

#[tokio::test]
async fn an_approval_is_released_with_the_hubs_signature() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    let query = "b=%20&a=+&b=2&username=annette&z=%2B&&=;";
    let payload = merchant.payload("annette", "email;phone1|birthday;address");
    let asked = merchant.ask(&Payload { query: query.into(), ..payload }).await;
    let id = asked.json()["challenge"].as_str().unwrap().to_owned();
    let released = ann.approve(&id, "annette", 1, "email;phone1;address").await.json();
    assert_eq!(released["method"], "POST");
    assert_eq!(released["fields"], json!(["sc_email", "sc_phone1", "sc_address"]));
    let action = released["action"].as_str().unwrap();
    let arrived = action.strip_prefix(ENDPOINT).and_then(|rest| rest.strip_prefix('?')).unwrap();
    let arrived = Arrived::parse(arrived).unwrap();
    assert_eq!(arrived.query, query);
    let keys = keys(&scene).await;
    assert!(arrived.is_signed_by(&keys, &merchant.site, ENDPOINT, "email;phone1;address"));
    assert!(!arrived.is_signed_by(&keys, &merchant.site, ENDPOINT, "email;phone1"));
    assert!(!arrived.is_signed_by(&keys, "hst_other", ENDPOINT, "email;phone1;address"));
    let age = jiff::Timestamp::now().as_second() - arrived.hs_ts;
    assert!((-1..=2).contains(&age), "{age}");
    assert_eq!(merchant.status(&id).await.json()["state"], "released");
    insta::assert_snapshot!(shown(&ann.approve(&id, "annette", 1, "email;phone1").await), @r#"
    409
    {"error":"ALREADY_DECIDED","message":"The welcome is decided.","request_id":"UUID"}
    "#);
    assert_eq!(word(&ann.deny(&id, "annette", 1).await), "409 ALREADY_DECIDED");
    assert_eq!(ann.get("inbox").await.json(), json!({"welcomes": []}));
    insta::assert_snapshot!(merchant.stats().await, @r#"{"approved":1,"denied":0,"expired":0,"failed":0,"requests":1,"unique_fing":1}"#);
}

#[tokio::test]
async fn only_the_persona_itself_decides_and_only_about_what_was_asked() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    assert_eq!(ann.take("annabel", 2).await.status, 201);
    let ben = scene.named("benny").await;
    let id = merchant.welcome("annette", "email;phone1|birthday").await;
    let mut words = Vec::new();
    for (what, reply) in [
        ("nothing", ann.approve(&id, "annette", 1, "").await),
        ("not all", ann.approve(&id, "annette", 1, "email").await),
        ("another order", ann.approve(&id, "annette", 1, "phone1;email").await),
        ("too much", ann.approve(&id, "annette", 1, "email;phone1;address").await),
        ("another persona's key", ann.approve(&id, "annette", 2, "email;phone1").await),
        ("another persona", ann.approve(&id, "annabel", 2, "email;phone1").await),
        ("no persona", ann.approve(&id, "x", 1, "email;phone1").await),
        ("another space", ben.approve(&id, "benny", 1, "email;phone1").await),
        ("another space, her name", ben.approve(&id, "annette", 1, "email;phone1").await),
        ("no by another key", ann.deny(&id, "annette", 2).await),
        ("another welcome", ann.approve("hsc_other", "annette", 1, "email;phone1").await),
        ("yes", ann.approve(&id, "annette", 1, "email;phone1").await),
    ] {
        words.push(format!("{what}: {}", word(&reply)));
    }
    insta::assert_snapshot!(words.join("\n"), @"
    nothing: 422 MISSING_SCOPE
    not all: 422 MISSING_SCOPE
    another order: 403 SCOPE_NOT_ALLOWED
    too much: 403 SCOPE_NOT_ALLOWED
    another persona's key: 401 BAD_SIGNATURE
    another persona: 404 NOT_FOUND
    no persona: 404 NOT_FOUND
    another space: 404 NOT_FOUND
    another space, her name: 404 NOT_FOUND
    no by another key: 401 BAD_SIGNATURE
    another welcome: 404 NOT_FOUND
    yes: 200 -
    ");
    // A yes is no no, and what was signed for one welcome is nothing for the next.
    let (one, two) = (merchant.welcome("annette", "|").await, merchant.welcome("annette", "|").await);
    let sig = ann.root.persona(1).sign.sign(&handfast::homing::signed::approval(&one, ""));
    let body = json!({"persona": "annette", "granted": "", "sig": encode(&sig)});
    assert_eq!(word(&ann.post(&format!("welcomes/{two}/approve"), body.clone()).await), "401 BAD_SIGNATURE");
    assert_eq!(word(&ann.post(&format!("welcomes/{one}/deny"), body).await), "401 BAD_SIGNATURE");
}

#[tokio::test]
async fn of_fifty_approvals_at_once_one_is_released() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    let id = merchant.welcome("annette", "|").await;
    let all = futures_util::future::join_all((0..50).map(|n| {
        let (ann, id) = (ann.clone(), id.clone());
        async move {
            match n % 5 {
                4 => ann.deny(&id, "annette", 1).await,
                _ => ann.approve(&id, "annette", 1, "").await,
            }
        }
    }));
    let words: Vec<String> = all.await.iter().map(word).collect();
    let done = words.iter().filter(|word| word.ends_with('-')).count();
    assert_eq!(done, 1, "{words:?}");
    let others: HashSet<&str> = words.iter().filter(|word| !word.ends_with('-')).map(String::as_str).collect();
    assert_eq!(others, HashSet::from(["409 ALREADY_DECIDED"]));
    let stats = merchant.stats().await;
    assert_eq!(stats["approved"].as_i64().unwrap() + stats["denied"].as_i64().unwrap(), 1);
}

#[tokio::test]
async fn a_fingerprint_is_one_for_all_personas_and_another_elsewhere() {
    let scene = Scene::start().await;
    let owner = scene.named("goods-shop").await;
    let of = |name: &'static str, mode: &'static str| {
        let owner = owner.clone();
        async move { Merchant::of(&owner, "goods-shop", name, json!({"fingerprint_mode": mode})).await }
    };
    let (one, two) = (of("One", "site").await, of("Two", "site").await);
    let (mine, mine_too) = (of("Mine", "merchant").await, of("Mine too", "merchant").await);
    let everybodys = of("Everybody", "global").await;
    let other = scene.named("other-shop").await;
    let others_global = Merchant::of(&other, "other-shop", "Others", json!({"fingerprint_mode": "global"})).await;
    let others = Merchant::of(&other, "other-shop", "Others two", json!({"fingerprint_mode": "merchant"})).await;
    let (ann, ben) = (scene.named("annette").await, scene.named("benny").await);
    assert_eq!(ann.take("annabel", 2).await.status, 201);

    let here = fingerprint(&one, &ann, "annette", 1).await;
    assert_eq!(fingerprint(&one, &ann, "annabel", 2).await, here);
    assert_ne!(fingerprint(&two, &ann, "annette", 1).await, here);
    assert_ne!(fingerprint(&one, &ben, "benny", 1).await, here);
    let merchants = fingerprint(&mine, &ann, "annette", 1).await;
    assert_eq!(fingerprint(&mine_too, &ann, "annabel", 2).await, merchants);
    assert_ne!(fingerprint(&others, &ann, "annette", 1).await, merchants);
    let global = fingerprint(&everybodys, &ann, "annette", 1).await;
    assert_eq!(fingerprint(&others_global, &ann, "annabel", 2).await, global);
    let all = [&here, &merchants, &global].into_iter().collect::<HashSet<_>>();
    assert_eq!(all.len(), 3);
    // Two people, three times.
    insta::assert_snapshot!(one.stats().await, @r#"{"approved":3,"denied":0,"expired":0,"failed":0,"requests":3,"unique_fing":2}"#);
    // The database has no fingerprint in the open.
    assert!(!scene.node.dump().await.contains(&here));
}

#[tokio::test]
async fn decisions_are_not_made_by_a_machine_gun() {
    let options = options().set("homing.hub.decisions.bucket", 2).set("homing.hub.decisions.per_minute", 0.001);
    let scene = Scene::with(Net::new(), options).await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    let id = merchant.welcome("annette", "email|").await;
    let mut words = Vec::new();
    for _ in 0..3 {
        words.push(word(&ann.approve(&id, "annette", 1, "").await));
    }
    assert_eq!(words, ["422 MISSING_SCOPE", "422 MISSING_SCOPE", "429 RATE_LIMITED"]);
}

#[tokio::test]
async fn a_denial_is_counted_and_a_release_of_nothing_is_one() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    let id = merchant.welcome("annette", "|").await;
    insta::assert_snapshot!(shown(&ann.deny(&id, "annette", 1).await), @"204");
    let id = merchant.welcome("annette", "|").await;
    let released: Value = ann.approve(&id, "annette", 1, "").await.json();
    assert_eq!(released["fields"], json!([]));
    insta::assert_snapshot!(merchant.stats().await, @r#"{"approved":1,"denied":1,"expired":0,"failed":0,"requests":2,"unique_fing":1}"#);
}
