//! What operators do: trials, sites that are taken back, keys; over the API and the command line.

use serde_json::{Value, json};

use super::scene::{Merchant, Scene, word};

async fn asked(merchant: &Merchant) -> String {
    word(&merchant.ask(&merchant.payload("annette", "|")).await)
}

#[tokio::test]
async fn a_trial_is_lifted_and_a_site_taken_back() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let path = format!("homing/sites/{}", merchant.site);
    let patch = |body: Value| scene.node.api("PATCH", &path, Some(body));
    assert_eq!(patch(json!({"trial_ends_at": "2020-01-01T00:00:00Z"})).await.status, 200);
    assert_eq!(asked(&merchant).await, "402 TRIAL_ENDED");
    let lifted = patch(json!({"trial_ends_at": null})).await;
    assert_eq!((lifted.status, &lifted.body["state"]), (200, &json!("active")));
    assert_eq!(asked(&merchant).await, "202 -");
    assert_eq!(patch(json!({"state": "revoked"})).await.body["state"], "revoked");
    assert_eq!(asked(&merchant).await, "403 SITE_REVOKED");
    // Its owner sees that.
    assert_eq!(merchant.owner.get("sites").await.json()["sites"][0]["state"], "revoked");
    assert_eq!(patch(json!({"state": "active"})).await.status, 200);
    assert_eq!(asked(&merchant).await, "202 -");
    assert_eq!(patch(json!({"state": "gone"})).await.status, 422);
    assert_eq!(scene.node.api("PATCH", "homing/sites/hst_x", Some(json!({}))).await.status, 404);
    let found = scene.node.api("GET", &path, None).await.body;
    assert_eq!((&found["name"], &found["days"][0]["requests"]), (&json!("Goods"), &json!(2)));
    // What its owner has given up does not come back.
    assert_eq!(merchant.owner.call("DELETE", &format!("sites/{}", merchant.site), None).await.status, 204);
    assert_eq!(patch(json!({"state": "active"})).await.status, 409);
    assert_eq!(scene.node.api("GET", "homing/sites", None).await.body["items"][0]["state"], "deleted");
}

#[tokio::test]
async fn the_command_line_does_the_same() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let node = &scene.node;
    let listed = node.said(&["hub", "sites"]).await;
    assert!(listed.contains(&merchant.site) && listed.contains("goods-shop") && listed.contains("active"), "{listed}");
    let shown = node.said(&["hub", "site", &merchant.site, "--trial-ends", "2020-01-01T00:00:00Z"]).await;
    assert!(shown.contains("trial-ended") && shown.contains("https://shop.test/homing/endpoint"), "{shown}");
    assert_eq!(asked(&merchant).await, "402 TRIAL_ENDED");
    node.said(&["hub", "site", &merchant.site, "--no-trial"]).await;
    assert_eq!(asked(&merchant).await, "202 -");
    node.said(&["hub", "site", &merchant.site, "--revoke"]).await;
    assert_eq!(asked(&merchant).await, "403 SITE_REVOKED");
    node.said(&["hub", "site", &merchant.site, "--restore"]).await;
    assert_eq!(asked(&merchant).await, "202 -");
    let keys: Value = serde_json::from_str(&node.said(&["hub", "keys", "--json"]).await).unwrap();
    assert_eq!(keys["items"].as_array().unwrap().len(), 2);
    let rotated = node.said(&["hub", "keys", "rotate", "--after", "7d"]).await;
    assert_eq!(rotated.matches("hsk_").count(), 4, "{rotated}");
    let secret = "select count(*) from hub_keys where not_before > now() + interval '6 days'";
    assert_eq!(node.value::<i64>(secret).await, 2);
}
