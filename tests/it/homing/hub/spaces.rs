//! Spaces, signing in, vaults and personas.

use handfast::crypto::SigningKey;
use handfast::homing::keys::Root;
use handfast::homing::{encode, signed};
use serde_json::json;

use super::scene::{Merchant, Scene, VAULT, call, create, options, shown, site, word};
use crate::node::Net;

#[tokio::test]
async fn a_space_is_made_signed_in_to_and_left() {
    let scene = Scene::start().await;
    let person = scene.person().await;
    let hub = scene.node.attacker();
    insta::assert_snapshot!(shown(&create(&hub, &Root::generate()).await), @r#"
    201
    {"space":"hsp_…"}
    "#);
    insta::assert_snapshot!(shown(&person.sign_in().await), @r#"
    200
    {"expires_at":"TIME","token":"32 BYTES"}
    "#);
    // A nonce is good once, for its own space, and for its key.
    let nonce = person.nonce().await;
    assert_eq!(person.sign_in_with(&nonce, &SigningKey::generate()).await.status, 401);
    insta::assert_snapshot!(shown(&person.sign_in_with(&nonce, &person.root.space()).await), @r#"
    401
    {"error":"BAD_SIGNATURE","message":"The signature does not fit.","request_id":"UUID"}
    "#);
    let other = scene.person().await;
    let nonce = other.nonce().await;
    assert_eq!(person.sign_in_with(&nonce, &person.root.space()).await.status, 401);
    // Nor after its time.
    let nonce = person.nonce().await;
    scene.node.execute("update hub_nonces set expires_at = now() - interval '1 second'").await;
    assert_eq!(person.sign_in_with(&nonce, &person.root.space()).await.status, 401);
    // A space that nobody has is asked to sign alike.
    let nobody = scene.call("POST", "spaces/challenge", Some(json!({"space": "hsp_AAAAAAAAAAAAAAAAAAAAAA"}))).await;
    insta::assert_snapshot!(shown(&nobody), @r#"
    200
    {"nonce":"32 BYTES"}
    "#);
    insta::assert_snapshot!(shown(&scene.call("GET", "personas", None).await), @r#"
    401
    www-authenticate: Bearer
    {"error":"SIGNED_OUT","message":"Sign in to the space first.","request_id":"UUID"}
    "#);
    assert_eq!(call(&hub, "GET", "personas", Some("guess"), None).await.status, 401);
    assert_eq!(person.get("personas").await.status, 200);
    insta::assert_snapshot!(shown(&person.post("spaces/logout", json!({})).await), @"204");
    assert_eq!(person.get("personas").await.status, 401);
}

#[tokio::test]
async fn nobody_makes_a_space_for_somebody_elses_key_or_out_of_nothing() {
    let scene = Scene::start().await;
    let (root, other) = (Root::generate(), Root::generate());
    let public = encode(root.space().public());
    let sig = |text: &str| encode(&other.space().sign(&signed::space(&public, text)));
    let wrong = json!({"sign_pk": public, "vault": VAULT, "sig": sig(VAULT)});
    assert_eq!(word(&scene.call("POST", "spaces", Some(wrong)).await), "401 BAD_SIGNATURE");
    let long = "x".repeat(65 * 1024);
    for (sign_pk, vault) in [("AAAA", VAULT), (public.as_str(), ""), (public.as_str(), &long)] {
        let body = json!({"sign_pk": sign_pk, "vault": vault, "sig": sig(vault)});
        assert_eq!(word(&scene.call("POST", "spaces", Some(body)).await), "400 BAD_REQUEST");
    }
    insta::assert_snapshot!(shown(&scene.call("POST", "spaces", Some(json!({"vault": "x"}))).await), @r#"
    400
    {"error":"BAD_REQUEST","message":"The body is not JSON of this form.","request_id":"UUID"}
    "#);
    insta::assert_snapshot!(shown(&scene.call("POST", "spaces", Some(json!("x".repeat(200_000)))).await), @r#"
    413
    {"error":"BAD_REQUEST","message":"The body is too large.","request_id":"UUID"}
    "#);
    let form = [("Content-Type", "text/plain")];
    let plain = scene.node.attacker().request("POST", "/homing/hub/api/v1/spaces", &form, "{}").await.unwrap();
    insta::assert_snapshot!(shown(&plain), @r#"
    415
    {"error":"BAD_REQUEST","message":"The body must be application/json.","request_id":"UUID"}
    "#);
    insta::assert_snapshot!(shown(&scene.call("PATCH", "spaces", None).await), @r#"
    405
    allow: POST
    {"error":"METHOD_NOT_ALLOWED","message":"This path does not know that method.","request_id":"UUID"}
    "#);
    assert_eq!(word(&scene.call("GET", "nothing/here", None).await), "404 NOT_FOUND");
    assert_eq!(scene.count("hub_spaces").await, 0);
    // No other origin may read anything.
    assert_eq!(plain.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn spaces_and_sign_ins_are_not_made_at_will() {
    let options = options()
        .set("homing.hub.spaces_per_ip.bucket", 1)
        .set("homing.hub.spaces_per_ip.per_minute", 0.001)
        .set("homing.hub.sign_ins_per_ip.bucket", 2)
        .set("homing.hub.sign_ins_per_ip.per_minute", 0.001);
    let scene = Scene::with(Net::new(), options).await;
    let person = scene.person().await;
    insta::assert_snapshot!(shown(&create(&scene.node.attacker(), &Root::generate()).await), @r#"
    429
    retry-after: …
    {"error":"RATE_LIMITED","message":"Too often; try again later.","request_id":"UUID"}
    "#);
    let fetch = || scene.call("POST", "vault/fetch", Some(json!({"space": person.space})));
    assert_eq!([fetch().await.status, fetch().await.status, fetch().await.status], [200, 200, 429]);
    let ask = || scene.call("POST", "spaces/challenge", Some(json!({"space": person.space})));
    assert_eq!([ask().await.status, ask().await.status], [200, 429]);
}

#[tokio::test]
async fn a_vault_moves_on_one_version_at_a_time() {
    let scene = Scene::start().await;
    let person = scene.person().await;
    let fetched = scene.call("POST", "vault/fetch", Some(json!({"space": person.space}))).await;
    assert_eq!(fetched.json(), json!({"vault": VAULT, "version": 1}));
    let put = |text: &'static str, version: i64| {
        person.call("PUT", "vault", Some(json!({"vault": text, "version": version})))
    };
    assert_eq!(put("second", 2).await.status, 200);
    insta::assert_snapshot!(shown(&put("again", 2).await), @r#"
    409
    {"error":"CONFLICT","message":"It was changed meanwhile.","request_id":"UUID"}
    "#);
    assert_eq!(put("too far", 4).await.status, 409);
    assert_eq!(put("", 3).await.status, 400);
    let fetched = scene.call("POST", "vault/fetch", Some(json!({"space": person.space}))).await;
    assert_eq!(fetched.json(), json!({"vault": "second", "version": 2}));
    insta::assert_snapshot!(shown(&scene.call("POST", "vault/fetch", Some(json!({"space": "hsp_"}))).await), @r#"
    404
    {"error":"NOT_FOUND","message":"There is no such thing.","request_id":"UUID"}
    "#);
    // The id is as secret as the vault: it is not in the database.
    assert!(!scene.node.dump().await.contains(&person.space[4..]));
    assert!(!scene.node.dump().await.contains(&person.token));
    assert!(!scene.node.logs().contains(&person.space[4..]));
}

#[tokio::test]
async fn a_space_has_seven_personas_and_a_name_one_owner_for_good() {
    let scene = Scene::start().await;
    let (ann, ben) = (scene.person().await, scene.person().await);
    insta::assert_snapshot!(shown(&ann.take("Ann", 1).await), @r#"
    201
    {"created_at":"TIME","index":1,"name":"ann","slot":1}
    "#);
    for (word_, taken) in [
        ("409 TAKEN", ben.take("ann", 1).await),
        ("400 BAD_USERNAME", ben.take("a", 1).await),
        ("400 BAD_USERNAME", ben.take("b.n", 1).await),
        ("400 BAD_USERNAME", ben.take("Admin", 1).await),
        ("400 BAD_USERNAME", ben.take("adm1n", 1).await),
        ("409 BAD_INDEX", ben.take("ben", 2).await),
    ] {
        assert_eq!(word(&taken), word_);
    }
    for n in 2..=7 {
        assert_eq!(ann.take(&format!("ann-{n}"), n).await.status, 201);
    }
    insta::assert_snapshot!(shown(&ann.take("ann-8", 8).await), @r#"
    409
    {"error":"FULL","message":"There is no room for more.","request_id":"UUID"}
    "#);
    let gone = ann.call("DELETE", "personas/ann-3", None).await;
    assert_eq!(gone.status, 204);
    assert_eq!(word(&ann.call("DELETE", "personas/ann-3", None).await), "404 NOT_FOUND");
    assert_eq!(word(&ben.call("DELETE", "personas/ann-4", None).await), "404 NOT_FOUND");
    // Nobody has its name again, and nothing has its keys again.
    assert_eq!(word(&ben.take("ann-3", 1).await), "409 TAKEN");
    assert_eq!(word(&ann.take("ann-8", 3).await), "409 BAD_INDEX");
    let again = ann.take("ann-8", 8).await.json();
    assert_eq!((&again["slot"], &again["index"]), (&json!(3), &json!(8)));
    let all = ann.get("personas").await.json();
    let names: Vec<&str> =
        all["personas"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ann", "ann-2", "ann-8", "ann-4", "ann-5", "ann-6", "ann-7"]);
    assert_eq!(all["next_index"], 9);
}

#[tokio::test]
async fn of_many_who_want_a_name_or_a_place_at_once_one_has_it() {
    let scene = Scene::start().await;
    let (ann, ben) = (scene.person().await, scene.person().await);
    let same = futures_util::future::join_all((0..6).map(|n| {
        let person = if n % 2 == 0 { &ann } else { &ben };
        person.take("wanted", 1)
    }));
    let made = same.await.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 1);
    let places = futures_util::future::join_all((0..20).map(|n| {
        let ann = ann.clone();
        async move {
            let index = ann.get("personas").await.json()["next_index"].as_u64().unwrap();
            ann.take(&format!("name-{n}"), index).await
        }
    }));
    places.await;
    let used = "select count(distinct slot) = count(*) and count(*) <= 7 from hub_personas where deleted_at is null \
                group by space_id order by count(*) desc limit 1";
    assert!(scene.node.value::<bool>(used).await);
}

#[tokio::test]
async fn a_persona_that_goes_takes_its_sites_along() {
    let scene = Scene::start().await;
    let owner = scene.named("goods-shop").await;
    let merchant = Merchant::of(&owner, "goods-shop", "Goods", json!({})).await;
    let ann = scene.named("annette").await;
    let waiting = merchant.welcome("annette", "|").await;
    assert_eq!(owner.call("DELETE", "personas/goods-shop", None).await.status, 204);
    assert_eq!(word(&merchant.ask(&merchant.payload("annette", "|")).await), "403 SITE_REVOKED");
    assert_eq!(word(&ann.approve(&waiting, "annette", 1, "").await), "403 SITE_REVOKED");
    assert_eq!(word(&site(&owner, "goods-shop", "Goods two", json!({})).await), "404 NOT_FOUND");
    // What waited for a persona that goes is over.
    let other = scene.merchant("other-shop", "Other").await;
    let waiting = other.welcome("annette", "|").await;
    assert_eq!(ann.call("DELETE", "personas/annette", None).await.status, 204);
    assert_eq!(ann.get("inbox").await.json(), json!({"welcomes": []}));
    assert_eq!(other.status(&waiting).await.json()["state"], "denied");
}

#[tokio::test]
async fn names_are_not_used_up_by_one_space_or_one_address() {
    let options = options()
        .set("homing.hub.personas_per_space.bucket", 2)
        .set("homing.hub.personas_per_space.per_minute", 0.001)
        .set("homing.hub.personas_per_ip.bucket", 4)
        .set("homing.hub.personas_per_ip.per_minute", 0.001);
    let scene = Scene::with(Net::new(), options).await;
    let (ann, ben, eve) = (scene.named("annette").await, scene.person().await, scene.person().await);
    assert_eq!(word(&ann.take("annette", 2).await), "409 TAKEN");
    assert_eq!(word(&ann.take("another", 2).await), "429 RATE_LIMITED");
    assert_eq!(ben.take("bernard", 1).await.status, 201);
    assert_eq!(ben.take("benedict", 2).await.status, 201);
    assert_eq!(word(&eve.take("evelyn", 1).await), "429 RATE_LIMITED");
    // Fifty names are all that a space ever has, whatever it gives up.
    scene.node.execute("update hub_spaces set next_index = 51").await;
    scene.node.execute("delete from buckets").await;
    assert_eq!(word(&eve.take("evelyn", 51).await), "409 FULL");
}

#[tokio::test]
async fn a_space_that_nobody_ever_used_is_forgotten() {
    let scene = Scene::start().await;
    let person = scene.person().await;
    assert_eq!(create(&scene.node.attacker(), &Root::generate()).await.status, 201);
    handfast::hub::purge(&scene.node.app).await.unwrap();
    assert_eq!(scene.count("hub_spaces").await, 2);
    scene.node.execute("update hub_spaces set created_at = now() - interval '31 days'").await;
    handfast::hub::purge(&scene.node.app).await.unwrap();
    assert_eq!(scene.count("hub_spaces").await, 1);
    assert_eq!(person.get("personas").await.status, 200);
}

#[tokio::test]
async fn what_can_be_no_id_is_not_looked_for() {
    let scene = Scene::start().await;
    let ann = scene.named("annette").await;
    for site in ["\0", "hst_\0", &"x".repeat(100_000)] {
        let body = json!({"v": 1, "site": site, "payload": "{}", "sig": ""});
        assert_eq!(word(&scene.call("POST", "welcome", Some(body)).await), "404 NOT_FOUND");
    }
    let status = scene.call("GET", "welcome/hsc_AAAAAAAAAAAAAAAAAAAAAA?site=%00&ts=1&sig=", None).await;
    assert_eq!(word(&status), "404 NOT_FOUND");
    assert_eq!(word(&ann.get("welcomes/nothing").await), "404 NOT_FOUND");
    assert!(!scene.node.logs().contains("could not be answered"));
}
