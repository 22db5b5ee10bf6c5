//! Who can be written to.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use handfast::crypto;
use handfast::phones;
use handfast::textsecure::Number;
use serde_json::{Value, json};

use super::scene::{HOME, Phone, Scene, options, shown};
use super::shown::all_shown;
use crate::node::{Net, Node};

const ADA: &str = "+14155550101";
const ADAS_TOKEN: &str = "cc8f/gXBOF1Vig";
const BOB: &str = "+14155550102";
/// Its token has both of what paths do not like.
const EVE: &str = "+14155550132";
const EVES_TOKEN: &str = "+6vAXozPwSO/nQ";

async fn list(node: &Node, number: &str, relay: Option<&str>, supports_sms: bool) {
    let token = number.parse::<Number>().unwrap().token();
    let sql = "insert into directory (token, relay, supports_sms) values ($1, $2, $3)";
    node.app.db.execute(sql, &[&token.0.as_slice(), &relay, &supports_sms]).await.unwrap();
}

async fn tokens(phone: &Phone, tokens: &[&str]) -> crate::peers::Reply {
    phone.put("/v1/directory/tokens", json!({"contacts": tokens})).await
}

#[tokio::test]
async fn contacts_are_found_by_list_and_one_by_one() {
    let scene = Scene::start().await;
    let ada = scene.phone(ADA).await;
    list(&scene.node, BOB, None, true).await;
    list(&scene.node, EVE, Some("cyanogen"), false).await;
    let bobs = BOB.parse::<Number>().unwrap().token().text();
    let asked = [&bobs, "AAAAAAAAAAAAAA", ADAS_TOKEN, EVES_TOKEN, "AAAA", "", &bobs, "cc8f/gXBOF1Vig=="];
    insta::assert_snapshot!(shown(&tokens(&ada, &asked).await), @r#"
    200
    content-type: application/json
    {"contacts":[{"token":"wsj6RD+c59Cc2w","supportsSms":true},{"token":"cc8f/gXBOF1Vig"},{"token":"+6vAXozPwSO/nQ","relay":"cyanogen"},{"token":"wsj6RD+c59Cc2w","supportsSms":true},{"token":"cc8f/gXBOF1Vig"}]}
    "#);
    let empty = ada.put("/v1/directory/tokens/", json!({"contacts": [], "more": 1})).await;
    insta::assert_snapshot!(shown(&empty), @r#"
    200
    content-type: application/json
    {"contacts":[]}
    "#);
    let escaped = EVES_TOKEN.replace('/', "%2F").replace('+', "%2B");
    let mut replies = Vec::new();
    for token in [EVES_TOKEN, &format!("{EVES_TOKEN}/"), &escaped, &format!("{EVES_TOKEN}==")] {
        replies.push(ada.get(&format!("/v1/directory/{token}")).await);
    }
    insta::assert_snapshot!(all_shown(&replies), @r#"
    200
    content-type: application/json
    {"token":"+6vAXozPwSO/nQ","relay":"cyanogen"}
    "#);
    insta::assert_snapshot!(shown(&ada.get(&format!("/v1/directory/{bobs}")).await), @r#"
    200
    content-type: application/json
    {"token":"wsj6RD+c59Cc2w","supportsSms":true}
    "#);
}

#[tokio::test]
async fn what_is_wrong_with_a_question_for_contacts_is_said_by_its_status() {
    let scene = Scene::start().await;
    let ada = scene.phone(ADA).await;
    let (mut undecodable, mut unknown) = (Vec::new(), Vec::new());
    for bad in ["cc8f_gXBOF1Vig", "cc8f/gXBOF1Vi", "not a token", "é"] {
        undecodable.push(tokens(&ada, &[ADAS_TOKEN, bad]).await);
        let path = format!("/v1/directory/{}", bad.replace(' ', "%20").replace('é', "%C3%A9"));
        unknown.push(ada.get(&path).await);
    }
    for nobody in ["AAAAAAAAAAAAAA", "AAAA", "tokens", "a/b/c/d"] {
        unknown.push(ada.get(&format!("/v1/directory/{nobody}")).await);
    }
    insta::assert_snapshot!(all_shown(&undecodable), @"400");
    insta::assert_snapshot!(all_shown(&unknown), @"404");
    let mut unreadable = Vec::new();
    for bad in [json!({}), json!({"contacts": null}), json!({"contacts": [1]}), json!([ADAS_TOKEN]), Value::Null] {
        unreadable.push(ada.put("/v1/directory/tokens", bad).await);
    }
    insta::assert_snapshot!(all_shown(&unreadable), @"415");
    let strangers = [
        scene.call("PUT", "/v1/directory/tokens", None).await,
        scene.call("GET", "/v1/directory/cc8f/gXBOF1Vig", None).await,
    ];
    insta::assert_snapshot!(all_shown(&strangers), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    insta::assert_snapshot!(shown(&ada.delete("/v1/directory/tokens").await), @r"
    405
    allow: GET, PUT
    ");
    insta::assert_snapshot!(shown(&ada.get("/v1/directory/").await), @"404");
}

#[tokio::test]
async fn each_token_counts_and_who_asks_too_often_is_told_when_to_come_again() {
    let limited =
        options(HOME).set("textsecure.limits.contacts.bucket", 3).set("textsecure.limits.contacts.per_minute", 0.1);
    let scene = Scene::with(Net::new(), limited).await;
    let ada = scene.phone(ADA).await;
    // Longer than will ever do.
    insta::assert_snapshot!(shown(&tokens(&ada, &[ADAS_TOKEN; 4]).await), @"413");
    assert_eq!(tokens(&ada, &[ADAS_TOKEN; 2]).await.status, 200);
    let refused = tokens(&ada, &[ADAS_TOKEN; 2]).await;
    insta::assert_snapshot!(all_shown(&[refused]), @r"
    413
    retry-after: ABOUT 10 MINUTES
    ");
    // What was refused has cost nothing.
    let one = format!("/v1/directory/{ADAS_TOKEN}");
    assert_eq!(ada.get(&one).await.status, 200);
    let refused = ada.get(&one).await;
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (413, true));
}

/// Complaint 1 of the specification: who has gone was still listed, and was written to in vain.
#[tokio::test]
async fn who_cannot_be_reached_any_more_is_gone_at_once() {
    let scene = Scene::start().await;
    let (ada, bob, app) = (scene.phone(ADA).await, scene.phone(BOB).await, &scene.node.app);
    let listed = async || match bob.get(&format!("/v1/directory/{ADAS_TOKEN}")).await.status {
        200 => true,
        404 => false,
        status => panic!("{status}"),
    };
    assert!(listed().await);
    let sql = "update devices set fetches_messages = false where number = $1";
    app.db.execute(sql, &[&ADA]).await.unwrap();
    let address = json!({"gcmRegistrationId": "abc"});
    assert_eq!(ada.put("/v1/accounts/gcm/", address.clone()).await.status, 204);
    assert!(listed().await);
    assert_eq!(ada.delete("/v1/accounts/gcm/").await.status, 204);
    assert!(!listed().await);
    assert_eq!(ada.put("/v1/accounts/gcm/", address).await.status, 204);
    assert!(listed().await);
    assert!(phones::set_disabled(app, &ada.number, true).await.unwrap());
    assert!(!listed().await);
    assert!(phones::set_disabled(app, &ada.number, false).await.unwrap());
    assert!(listed().await);
    assert!(phones::unregister(app, &ada.number).await.unwrap());
    assert!(!listed().await);
}

#[tokio::test]
async fn fifty_thousand_tokens_are_answered_while_other_requests_go_on() {
    const ASKED: usize = 50_000;
    let scene = Scene::start().await;
    let phones = [scene.phone(ADA).await, scene.phone(BOB).await, scene.phone(EVE).await];
    let asks: Vec<String> = (0..ASKED).map(|n| token_of(n * 2)).collect();
    // Every other number is known, a third of them are asked for.
    let sql =
        "insert into directory (token) select substr(sha256(n::text::bytea), 1, 10) from generate_series(0, 149999) n
               where n % 3 = 0";
    assert_eq!(scene.node.app.db.execute(sql, &[]).await.unwrap(), 50_000);
    for phone in &phones {
        assert_eq!(phone.get("/v1/keys/").await.status, 200);
    }
    let (lists, others) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let list = async |phone: &Phone| {
        let reply = phone.put("/v1/directory/tokens", json!({"contacts": asks})).await;
        lists.fetch_add(1, Ordering::Relaxed);
        assert_eq!(reply.status, 200);
        reply.json()
    };
    let other = async {
        while lists.load(Ordering::Relaxed) < phones.len() {
            assert_eq!(phones[0].get("/v1/keys/").await.status, 200);
            others.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (answers, ()) = tokio::join!(join_all(phones.iter().map(list)), other);
    let known: Vec<&String> =
        asks.iter().enumerate().filter(|(n, _)| n * 2 % 3 == 0 && n * 2 < 150_000).map(|a| a.1).collect();
    for answer in answers {
        let found: Vec<&str> =
            answer["contacts"].as_array().unwrap().iter().map(|c| c["token"].as_str().unwrap()).collect();
        assert!(found == known, "{} found, {} known", found.len(), known.len());
    }
    // Three lists are more than there are threads for requests: had one been held up by each, nothing else had got through.
    let others = others.load(Ordering::Relaxed);
    assert!(others >= 10, "{others} requests were answered meanwhile");
}

fn token_of(n: usize) -> String {
    let mut token = [0; 10];
    token.copy_from_slice(&crypto::sha256(&[n.to_string().as_bytes()])[..10]);
    handfast::textsecure::Token(token).text()
}
