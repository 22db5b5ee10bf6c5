//! Prekeys: one caller, one key; and what the endpoints answer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use handfast::phones;
use serde_json::{Value, json};

use super::scene::{HOME, Phone, Scene, options, shown};
use super::shown::all_shown;
use crate::node::{Net, Node};
use crate::peers::Reply;

const ADA: &str = "+14155550101";
const BOB: &str = "+14155550102";
const LAST: i32 = 16_777_215;

fn key(set: &str, id: i32) -> Value {
    json!({"keyId": id, "publicKey": format!("{set}/{id}="), "identityKey": format!("{set}+me")})
}

/// Of the keys with these ids, all named after `set`.
fn upload(set: &str, ids: impl IntoIterator<Item = i32>) -> Value {
    let keys: Vec<Value> = ids.into_iter().map(|id| key(set, id)).collect();
    json!({"lastResortKey": key(set, LAST), "keys": keys})
}

fn later_upload(set: &str, ids: impl IntoIterator<Item = i32>) -> Value {
    let public = |id| json!({"keyId": id, "publicKey": format!("{set}/{id}=")});
    json!({
        "identityKey": format!("{set}+me"),
        "preKeys": ids.into_iter().map(public).collect::<Vec<_>>(),
        "lastResortKey": public(LAST),
        "signedPreKey": {"keyId": 5, "publicKey": format!("{set}/signed"), "signature": format!("{set}/by me")},
    })
}

async fn put(phone: &Phone, path: &str, body: Value) {
    let reply = phone.put(path, body).await;
    assert_eq!(reply.status, 204, "{}", shown(&reply));
}

/// What `key` says in the first key of an answer.
fn first(reply: &Reply, key: &str) -> Value {
    assert_eq!(reply.status, 200, "{}", shown(reply));
    reply.json()["keys"][0][key].clone()
}

async fn is_active(node: &Node, phone: &Phone, active: bool) {
    let sql = "update devices set fetches_messages = $3 where number = $1 and device = $2";
    let changed = node.app.db.execute(sql, &[&phone.number.as_str(), &phone.device, &active]).await.unwrap();
    assert_eq!(changed, 1);
}

#[tokio::test]
async fn keys_are_uploaded_counted_and_given_out_in_both_versions() {
    let scene = Scene::start().await;
    let (ada, bob) = (scene.phone(ADA).await, scene.phone(BOB).await);
    insta::assert_snapshot!(shown(&bob.get(&format!("/v1/keys/{ADA}")).await), @"404");
    insta::assert_snapshot!(shown(&bob.get(&format!("/v1/keys/{ADA}/1")).await), @"404");
    insta::assert_snapshot!(shown(&ada.get("/v1/keys/").await), @r#"
    200
    content-type: application/json
    {"count":0}
    "#);
    // As clients send them: an id as text, none where it is zero, one twice, and what only the node knows.
    let mut body = upload("a", [9, 3, 3]);
    body["keys"][1]["keyId"] = json!("3");
    body["keys"][2]["deviceId"] = json!(0);
    body["keys"].as_array_mut().unwrap().push(json!({"publicKey": "a/0=", "identityKey": "a+me", "lastResort": true}));
    insta::assert_snapshot!(shown(&ada.put("/v1/keys/", body).await), @"204");
    insta::assert_snapshot!(shown(&ada.get("/v1/keys").await), @r#"
    200
    content-type: application/json
    {"count":4}
    "#);
    insta::assert_snapshot!(shown(&bob.get(&format!("/v1/keys/{ADA}")).await), @r#"
    200
    content-type: application/json
    {"deviceId":1,"keyId":0,"publicKey":"a/0=","identityKey":"a+me","registrationId":4242}
    "#);
    insta::assert_snapshot!(shown(&bob.get(&format!("/v1/keys/{ADA}/1")).await), @r#"
    200
    content-type: application/json
    {"keys":[{"deviceId":1,"keyId":3,"publicKey":"a/3=","identityKey":"a+me","registrationId":4242}]}
    "#);
    let mut left = Vec::new();
    for path in [format!("/v1/keys/{ADA}/*"), format!("/v1/keys/%2B{}/%2A/", &ADA[1..]), format!("/v1/keys/{ADA}/1/")] {
        left.push(first(&bob.get(&path).await, "keyId"));
    }
    assert_eq!(left, [3, 9, LAST]);
    insta::assert_snapshot!(shown(&bob.get(&format!("/v1/keys/{ADA}/*")).await), @r#"
    200
    content-type: application/json
    {"keys":[{"deviceId":1,"keyId":16777215,"publicKey":"a/16777215=","identityKey":"a+me","registrationId":4242,"lastResort":true}]}
    "#);
    insta::assert_snapshot!(shown(&bob.get(&format!("/v1/keys/{ADA}")).await), @r#"
    200
    content-type: application/json
    {"deviceId":1,"keyId":16777215,"publicKey":"a/16777215=","identityKey":"a+me","registrationId":4242,"lastResort":true}
    "#);
    // The next upload takes the place of everything.
    put(&ada, "/v1/keys/", upload("b", [7])).await;
    assert_eq!(first(&bob.get(&format!("/v1/keys/{ADA}/1")).await, "publicKey"), "b/7=");
    assert_eq!(first(&bob.get(&format!("/v1/keys/{ADA}/1")).await, "publicKey"), "b/16777215=");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_for_keys_is_said_by_its_status() {
    let scene = Scene::start().await;
    let (ada, bob) = (scene.phone(ADA).await, scene.phone(BOB).await);
    put(&ada, "/v1/keys/", upload("a", [1])).await;
    let bad = [
        json!({"keys": [key("x", 1)]}),
        json!({"lastResortKey": key("x", LAST)}),
        json!({"lastResortKey": {"keyId": 1, "publicKey": "x"}, "keys": []}),
        json!({"lastResortKey": key("x", LAST), "keys": [{"keyId": 1, "publicKey": "x"}]}),
        json!({"lastResortKey": key("x", LAST), "keys": [{"keyId": -1, "publicKey": "x", "identityKey": "x"}]}),
        json!({"lastResortKey": key("x", LAST), "keys": [{"keyId": 1, "publicKey": "\0", "identityKey": "x"}]}),
        json!([]),
    ];
    let mut replies = Vec::new();
    for body in bad {
        replies.push(ada.put("/v1/keys/", body.clone()).await);
        replies.push(ada.put("/v2/keys", body).await);
    }
    replies.push(ada.put("/v2/keys/signed", json!({"keyId": 1, "publicKey": "x"})).await);
    insta::assert_snapshot!(all_shown(&replies), @"415");
    insta::assert_snapshot!(shown(&ada.get("/v2/keys/signed").await), @"404");
    let (mut nobodys, mut nothings) = (Vec::new(), Vec::new());
    for version in ["v1", "v2"] {
        for nobody in ["+14155559999", "x", "%2A"] {
            nobodys.push(bob.get(&format!("/{version}/keys/{nobody}/1")).await);
        }
        for none in ["2", "0", "-1", "99999", "1?relay=nobody"] {
            nobodys.push(bob.get(&format!("/{version}/keys/{ADA}/{none}")).await);
        }
        for none in ["x", "**", "1.1"] {
            nothings.push(bob.get(&format!("/{version}/keys/{ADA}/{none}")).await);
        }
    }
    nobodys.push(bob.get("/v1/keys/+14155559999").await);
    nobodys.push(bob.get(&format!("/v1/keys/{ADA}?relay=nobody")).await);
    insta::assert_snapshot!(all_shown(&nobodys), @"404");
    insta::assert_snapshot!(all_shown(&nothings), @"415");
    insta::assert_snapshot!(shown(&bob.delete("/v1/keys/").await), @r"
    405
    allow: GET, PUT
    ");
    let paths = [("PUT", "/v1/keys/"), ("GET", "/v1/keys/"), ("GET", "/v1/keys/+14155550101")];
    let more = [("GET", "/v1/keys/+14155550101/1"), ("PUT", "/v2/keys"), ("GET", "/v2/keys/+14155550101/*")];
    let mut replies = Vec::new();
    for (method, path) in paths.into_iter().chain(more).chain([("PUT", "/v2/keys/signed"), ("GET", "/v2/keys/signed")])
    {
        replies.push(scene.call(method, path, None).await);
    }
    insta::assert_snapshot!(all_shown(&replies), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    // Nothing of all that took the key, or another's place.
    assert_eq!(first(&bob.get(&format!("/v1/keys/{ADA}/1?relay=")).await, "publicKey"), "a/1=");
}

#[tokio::test]
async fn the_later_form_of_keys_shares_the_store_of_the_earlier_ones() {
    let scene = Scene::start().await;
    let (ada, bob) = (scene.phone(ADA).await, scene.phone(BOB).await);
    insta::assert_snapshot!(shown(&bob.get(&format!("/v2/keys/{ADA}/*")).await), @"404");
    insta::assert_snapshot!(shown(&ada.put("/v2/keys", later_upload("a", [4, 2])).await), @"204");
    insta::assert_snapshot!(shown(&ada.get("/v2/keys").await), @r#"
    200
    content-type: application/json
    {"count":2}
    "#);
    insta::assert_snapshot!(shown(&bob.get(&format!("/v2/keys/{ADA}/*")).await), @r#"
    200
    content-type: application/json
    {"identityKey":"a+me","devices":[{"deviceId":1,"registrationId":4242,"signedPreKey":{"keyId":5,"publicKey":"a/signed","signature":"a/by me"},"preKey":{"keyId":2,"publicKey":"a/2="}}]}
    "#);
    insta::assert_snapshot!(shown(&bob.get(&format!("/v1/keys/{ADA}/1")).await), @r#"
    200
    content-type: application/json
    {"keys":[{"deviceId":1,"keyId":4,"publicKey":"a/4=","identityKey":"a+me","registrationId":4242}]}
    "#);
    insta::assert_snapshot!(shown(&ada.get("/v2/keys/signed").await), @r#"
    200
    content-type: application/json
    {"keyId":5,"publicKey":"a/signed","signature":"a/by me"}
    "#);
    let renewed = json!({"keyId": 6, "publicKey": "a/renewed", "signature": "a/again"});
    insta::assert_snapshot!(shown(&ada.put("/v2/keys/signed", renewed).await), @"204");
    insta::assert_snapshot!(shown(&bob.get(&format!("/v2/keys/{ADA}/1")).await), @r#"
    200
    content-type: application/json
    {"identityKey":"a+me","devices":[{"deviceId":1,"registrationId":4242,"signedPreKey":{"keyId":6,"publicKey":"a/renewed","signature":"a/again"},"preKey":{"keyId":16777215,"publicKey":"a/16777215="}}]}
    "#);
    // And back: whoever uploads in the earlier form has no signed key any more.
    put(&ada, "/v1/keys/", upload("b", [1])).await;
    insta::assert_snapshot!(shown(&bob.get(&format!("/v2/keys/{ADA}/1")).await), @r#"
    200
    content-type: application/json
    {"identityKey":"b+me","devices":[{"deviceId":1,"registrationId":4242,"signedPreKey":null,"preKey":{"keyId":1,"publicKey":"b/1="}}]}
    "#);
}

#[tokio::test]
async fn keys_are_those_of_active_devices_and_others_cost_nothing() {
    let scene = Scene::start().await;
    let (ada, bob) = (scene.phone(ADA).await, scene.phone(BOB).await);
    let tablet = ada.second_device(&scene.node).await;
    put(&ada, "/v1/keys/", upload("phone", [1, 2, 3])).await;
    put(&tablet, "/v1/keys/", upload("tablet", [5, 6, 7])).await;
    let all = format!("/v1/keys/{ADA}/*");
    insta::assert_snapshot!(shown(&bob.get(&all).await), @r#"
    200
    content-type: application/json
    {"keys":[{"deviceId":1,"keyId":1,"publicKey":"phone/1=","identityKey":"phone+me","registrationId":4242},{"deviceId":2,"keyId":5,"publicKey":"tablet/5=","identityKey":"tablet+me","registrationId":4242}]}
    "#);
    is_active(&scene.node, &tablet, false).await;
    insta::assert_snapshot!(shown(&bob.get(&all).await), @r#"
    200
    content-type: application/json
    {"keys":[{"deviceId":1,"keyId":2,"publicKey":"phone/2=","identityKey":"phone+me","registrationId":4242}]}
    "#);
    insta::assert_snapshot!(shown(&bob.get(&format!("/v1/keys/{ADA}/2")).await), @"404");
    is_active(&scene.node, &tablet, true).await;
    is_active(&scene.node, &ada, false).await;
    let mut replies = Vec::new();
    for path in [all.clone(), format!("/v1/keys/{ADA}"), format!("/v1/keys/{ADA}/2"), format!("/v2/keys/{ADA}/*")] {
        replies.push(bob.get(&path).await);
    }
    insta::assert_snapshot!(all_shown(&replies), @"404");
    is_active(&scene.node, &ada, true).await;
    assert!(phones::set_disabled(&scene.node.app, &ada.number, true).await.unwrap());
    insta::assert_snapshot!(shown(&bob.get(&all).await), @"404");
    assert!(phones::set_disabled(&scene.node.app, &ada.number, false).await.unwrap());
    let left = bob.get(&all).await.json();
    assert_eq!((&left["keys"][0]["keyId"], &left["keys"][1]["keyId"]), (&json!(3), &json!(6)), "{left}");
}

#[tokio::test]
async fn fifty_callers_share_twenty_keys_and_none_gets_anothers() {
    let scene = Scene::start().await;
    let (ada, bob) = (scene.phone(ADA).await, scene.phone(BOB).await);
    put(&ada, "/v1/keys/", upload("a", 1..=20)).await;
    assert_eq!(bob.get("/v1/keys/").await.status, 200);
    let paths = [format!("/v1/keys/{ADA}/1"), format!("/v1/keys/{ADA}/*")];
    let answers = join_all((0..50).map(|n| bob.get(&paths[n % 2]))).await;
    let ids: Vec<i64> = answers.iter().map(|answer| first(answer, "keyId").as_i64().unwrap()).collect();
    let mut given: Vec<i64> = ids.iter().copied().filter(|id| *id != i64::from(LAST)).collect();
    given.sort_unstable();
    assert_eq!(given, (1..=20).collect::<Vec<i64>>());
    assert_eq!(ids.len() - given.len(), 30);
    assert_eq!(ada.get("/v1/keys/").await.json(), json!({"count": 0}));
}

#[tokio::test]
async fn keys_that_are_replaced_while_they_are_fetched_are_old_or_new_and_never_the_last_resort() {
    let scene = Scene::start().await;
    let (ada, bob) = (scene.phone(ADA).await, scene.phone(BOB).await);
    put(&ada, "/v1/keys/", upload("0", 1..=300)).await;
    assert_eq!(bob.get("/v1/keys/").await.status, 200);
    let (path, over) = (format!("/v1/keys/{ADA}/1"), AtomicBool::new(false));
    let uploads = async {
        for set in 1..=8 {
            put(&ada, "/v1/keys/", upload(&set.to_string(), 1..=300)).await;
            // What is fetched from now on is of this set.
            assert_eq!(first(&bob.get(&path).await, "identityKey"), format!("{set}+me"));
        }
        over.store(true, Ordering::Relaxed);
    };
    let fetch = async || {
        let mut given: Vec<String> = Vec::new();
        while !over.load(Ordering::Relaxed) && given.len() < 70 {
            let reply = bob.get(&path).await;
            assert_eq!(first(&reply, "lastResort"), Value::Null, "{}", shown(&reply));
            given.push(first(&reply, "publicKey").as_str().unwrap().to_owned());
        }
        given
    };
    let (_, given) = tokio::join!(uploads, join_all((0..4).map(|_| fetch())));
    for given in &given {
        let sets: Vec<&str> = given.iter().map(|key| key.split_once('/').unwrap().0).collect();
        assert!(sets.is_sorted(), "an old key after a new one: {sets:?}");
    }
    let given: Vec<&String> = given.iter().flatten().collect();
    assert!(given.len() > 8, "nothing was fetched meanwhile");
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len(), "a key was given twice");
}

#[tokio::test]
async fn keys_outlive_a_registration_and_the_device_before_cannot_replace_them() {
    let scene = Scene::start().await;
    let ada = scene.phone(ADA).await;
    put(&ada, "/v1/keys/", upload("a", [1, 2])).await;
    let again = scene.phone(ADA).await;
    assert_eq!(again.get("/v1/keys/").await.json(), json!({"count": 2}));
    let bob = scene.phone(BOB).await;
    assert_eq!(first(&bob.get(&format!("/v1/keys/{ADA}/1")).await, "publicKey"), "a/1=");
    let before = handfast::phones::devices(&scene.node.app.db.client().await.unwrap(), &ada.number).await.unwrap();
    scene.phone(ADA).await;
    let upload = handfast::prekeys::Upload {
        keys: Vec::new(),
        last_resort: handfast::prekeys::Key { id: 1, public: "x".into(), identity: "x".into() },
        signed: None,
    };
    let stored = handfast::prekeys::replace(&scene.node.app, &before[0], &upload).await.unwrap();
    assert_eq!(stored, handfast::prekeys::Stored::Gone);
    assert_eq!(first(&bob.get(&format!("/v1/keys/{ADA}/1")).await, "publicKey"), "a/2=");
}

#[tokio::test]
async fn too_many_fetches_are_told_when_to_come_again() {
    let limited =
        options(HOME).set("textsecure.limits.prekeys.bucket", 2).set("textsecure.limits.prekeys.per_minute", 0.1);
    let scene = Scene::with(Net::new(), limited).await;
    let (ada, bob) = (scene.phone(ADA).await, scene.phone(BOB).await);
    put(&ada, "/v1/keys/", upload("a", 1..=9)).await;
    let path = format!("/v1/keys/{ADA}");
    // The first form asks for device 1, as the others do by name.
    for path in [path.clone(), format!("{path}/1")] {
        assert_eq!(bob.get(&path).await.status, 200);
    }
    let mut refused = Vec::new();
    for path in [path.clone(), format!("{path}/1"), format!("{}/1", path.replace("v1", "v2"))] {
        refused.push(bob.get(&path).await);
    }
    insta::assert_snapshot!(all_shown(&refused), @r"
    413
    retry-after: ABOUT 10 MINUTES
    ");
    // Each pair and each device has its own.
    assert_eq!(bob.get(&format!("{path}/*")).await.status, 200);
    assert_eq!(ada.get(&path).await.status, 200);
    assert_eq!(ada.get("/v1/keys/").await.json(), json!({"count": 5}));
}
