//! Sites: who may be called what, where people may be sent, sauces.

use serde_json::json;

use super::scene::{Merchant, Scene, options, shown, site, word};
use crate::node::Net;

#[tokio::test]
async fn a_site_is_made_listed_and_given_up() {
    let scene = Scene::start().await;
    let owner = scene.named("goods-shop").await;
    let mut made = site(&owner, "goods-shop", "Goods", json!({})).await;
    let prefix = made.json()["scope_prefix"].as_str().unwrap().to_owned();
    made.body = String::from_utf8(made.body.to_vec()).unwrap().replace(&prefix, "PREFIX").into();
    insta::assert_snapshot!(shown(&made), @r#"
    201
    {"sauce":"hss_…","scope_prefix":"PREFIX","site":"hst_…","trial_ends_at":"TIME"}
    "#);
    let merchant = Merchant::of(&owner, "goods-shop", "Goods & more", json!({})).await;
    assert!(merchant.sauce.starts_with("hss_") && merchant.sauce.len() == 47 && merchant.site.len() == 20);
    let all = owner.get("sites").await.json();
    let second = &all["sites"][1];
    assert_eq!(second["site"], merchant.site.as_str());
    assert_eq!((&second["state"], &second["persona"]), (&json!("active"), &json!("goods-shop")));
    assert!(!all.to_string().contains("hss_"), "a sauce is shown once");
    let stranger = scene.person().await;
    for (method, path) in [
        ("GET", format!("sites/{}/stats", merchant.site)),
        ("POST", format!("sites/{}/sauce", merchant.site)),
        ("DELETE", format!("sites/{}", merchant.site)),
    ] {
        assert_eq!(word(&stranger.call(method, &path, None).await), "404 NOT_FOUND", "{method} {path}");
    }
    assert_eq!(owner.call("DELETE", &format!("sites/{}", merchant.site), None).await.status, 204);
    assert_eq!(word(&owner.call("DELETE", &format!("sites/{}", merchant.site), None).await), "404 NOT_FOUND");
    let living = format!("hub_sauces where site_id = '{}' and (not_after is null or not_after > now())", merchant.site);
    assert_eq!(scene.count(&living).await, 0, "its sauces go with it");
    insta::assert_snapshot!(shown(&merchant.ask(&merchant.payload("annette", "|")).await), @r#"
    403
    {"error":"SITE_REVOKED","message":"The site was taken back.","request_id":"UUID"}
    "#);
    assert_eq!(owner.get("sites").await.json()["sites"].as_array().unwrap().len(), 1);
    assert!(!scene.node.dump().await.contains(&merchant.sauce[4..]), "sauces lie sealed");
}

#[tokio::test]
async fn nobody_is_called_nearly_like_a_merchant() {
    let scene = Scene::start().await;
    scene.merchant("goods-shop", "Modern Goods").await;
    let thief = scene.named("honest-man").await;
    for name in ["Modern Goods", "modem goods", "M0dern-Goods", "MODERN G00D5", "Goods Shop", "g00ds_shop"] {
        assert_eq!(word(&site(&thief, "honest-man", name, json!({})).await), "409 TAKEN", "{name}");
    }
    for persona in ["g00ds-shop", "goodsshop", "modern-goods", "modem_goods"] {
        assert_eq!(word(&thief.take(persona, 2).await), "409 TAKEN", "{persona}");
    }
    for name in ["", "Sh\u{f6}p", "a  b", "x\ny", "---"] {
        assert_eq!(word(&site(&thief, "honest-man", name, json!({})).await), "400 BAD_REQUEST", "{name:?}");
    }
    assert_eq!(site(&thief, "honest-man", "Bread", json!({})).await.status, 201);
    // One's own may look alike.
    assert_eq!(site(&thief, "honest-man", "8read", json!({})).await.status, 201);
    assert_eq!(site(&thief, "honest-man", "Br-ead", json!({})).await.status, 201);
    assert_eq!(word(&site(&thief, "goods-shop", "Mine", json!({})).await), "404 NOT_FOUND");
}

#[tokio::test]
async fn endpoints_are_https_and_few() {
    let scene = Scene::start().await;
    let owner = scene.named("goods-shop").await;
    let many: Vec<String> = (0..11).map(|n| format!("https://shop.test/{n}")).collect();
    for endpoints in [
        json!([]),
        json!(many),
        json!(["http://shop.test/x"]),
        json!(["https://shop.test/x?y=1"]),
        json!(["https://shop.test/x#y"]),
        json!(["https://ann@shop.test/x"]),
        json!(["javascript:alert(1)"]),
        json!(["https://shop.test/good", "data:text/html,x"]),
    ] {
        let made = site(&owner, "goods-shop", "Goods", json!({"endpoints": endpoints.clone()})).await;
        assert_eq!(word(&made), "400 BAD_REQUEST", "{endpoints}");
    }
    // A development hub also sends people to their own machine.
    let endpoints = json!(["https://shop.test:8443/x", "http://127.0.0.1:8080/endpoint"]);
    assert_eq!(site(&owner, "goods-shop", "Goods", json!({"endpoints": endpoints})).await.status, 201);
}

#[tokio::test]
async fn a_rotated_sauce_is_good_beside_the_new_one_for_a_while() {
    let scene = Scene::start().await;
    let old = scene.merchant("goods-shop", "Goods").await;
    let rotate = |body: Option<serde_json::Value>| {
        let (owner, path) = (old.owner.clone(), format!("sites/{}/sauce", old.site));
        async move { owner.call("POST", &path, body).await }
    };
    let made = rotate(None).await;
    let new = Merchant { sauce: made.json()["sauce"].as_str().unwrap().to_owned(), ..old.clone() };
    assert_ne!(new.sauce, old.sauce);
    for merchant in [&old, &new] {
        assert_eq!(merchant.ask(&merchant.payload("annette", "|")).await.status, 202);
    }
    let ends = "select extract(epoch from not_after - now())::int8 from hub_sauces where not_after is not null";
    let left = scene.node.value::<i64>(ends).await;
    assert!((86_000..=86_400).contains(&left), "{left}");
    scene
        .node
        .execute("update hub_sauces set not_after = now() - interval '1 second' where not_after is not null")
        .await;
    assert_eq!(word(&old.ask(&old.payload("annette", "|")).await), "401 BAD_OTP");
    assert_eq!(new.ask(&new.payload("annette", "|")).await.status, 202);
    // One that somebody else has goes at once.
    let made = rotate(Some(json!({"at_once": true}))).await;
    let newest = Merchant { sauce: made.json()["sauce"].as_str().unwrap().to_owned(), ..old.clone() };
    assert_eq!(word(&new.ask(&new.payload("annette", "|")).await), "401 BAD_OTP");
    assert_eq!(newest.ask(&newest.payload("annette", "|")).await.status, 202);
    // So many at a time.
    let mut words = Vec::new();
    for _ in 0..4 {
        words.push(word(&rotate(None).await));
    }
    assert_eq!(words, ["200 -", "200 -", "200 -", "409 FULL"]);
}

#[tokio::test]
async fn a_trial_ends() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    let waiting = merchant.welcome("annette", "|").await;
    let ends = "select floor(extract(epoch from trial_ends_at - now()) / 86400)::int8 from hub_sites";
    assert_eq!(scene.node.value::<i64>(ends).await, 29);
    scene.node.execute("update hub_sites set trial_ends_at = now() - interval '1 second'").await;
    insta::assert_snapshot!(shown(&merchant.ask(&merchant.payload("annette", "|")).await), @r#"
    402
    {"error":"TRIAL_ENDED","message":"The site's trial is over.","request_id":"UUID"}
    "#);
    assert_eq!(word(&ann.approve(&waiting, "annette", 1, "").await), "402 TRIAL_ENDED");
    let stats = merchant.owner.get(&format!("sites/{}/stats", merchant.site)).await.json();
    assert_eq!(stats["state"], "trial-ended");
}

#[tokio::test]
async fn a_hub_without_trials_has_none() {
    let scene = Scene::with(Net::new(), options().set("homing.hub.trial_days", 0)).await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    assert_eq!(merchant.owner.get("sites").await.json()["sites"][0]["trial_ends_at"], json!(null));
}
