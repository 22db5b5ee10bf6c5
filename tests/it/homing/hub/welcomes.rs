//! A merchant asks for a welcome: every check and its word, who hears of it, and who does not.

use std::time::{Duration, Instant};

use handfast::crypto::{SigningKey, random};
use handfast::homing::otp;
use handfast::homing::welcome::{Envelope, Payload, Request};
use handfast::homing::{decode, encode};
use jiff::Timestamp;
use serde_json::json;

use super::scene::{ENDPOINT, Merchant, Scene, call, options, shown, word};
use crate::node::{Net, eventually};
use crate::peers::Reply;

#[tokio::test]
async fn a_welcome_is_sealed_to_its_persona_and_waits_there() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let (ann, ben) = (scene.named("annette").await, scene.named("benny").await);
    let made = merchant.ask(&merchant.payload("Annette", "email;phone1|birthday")).await;
    insta::assert_snapshot!(shown(&made), @r#"
    202
    {"challenge":"hsc_…","expires_at":"SECONDS","welcome_url":"https://hub.test/homing/hub/w/hsc_…"}
    "#);
    let id = made.json()["challenge"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(shown(&ann.get("inbox").await), @r#"
    200
    {"welcomes":[{"challenge":"hsc_…","created_at":"TIME","expires_at":"TIME","persona":"annette"}]}
    "#);
    let Envelope { challenge, merchant: persona, site_name, origin, username, scopes, iat, exp, .. } =
        ann.welcome(&id, 1).await;
    assert_eq!((challenge, exp - iat), (id.clone(), 300));
    assert_eq!([persona, site_name, origin], ["goods-shop", "Goods", "https://shop.test"]);
    assert_eq!([username, scopes], ["annette", "email;phone1|birthday"]);
    // It is nobody else's: neither another space's nor, without the key, anybody's.
    assert_eq!(ben.get("inbox").await.json(), json!({"welcomes": []}));
    assert_eq!(word(&ben.get(&format!("welcomes/{id}")).await), "404 NOT_FOUND");
    let sealed = decode(ann.get(&format!("welcomes/{id}")).await.json()["sealed"].as_str().unwrap()).unwrap();
    assert!(Envelope::open(&sealed, &ben.root.persona(1).opening).is_none());
    insta::assert_snapshot!(shown(&merchant.status(&id).await), @r#"
    200
    {"expires_at":"SECONDS","state":"pending"}
    "#);
    // The one-time password stays at the hub, and not in the open.
    assert!(!scene.node.dump().await.contains("username=Annette"));
}

/// Requests that are wrong in one way each, in the order in which the checks are made.
#[tokio::test]
async fn every_check_has_its_word() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    scene.named("annette").await;
    let good = || merchant.payload("annette", "email|");
    let mut words = Vec::new();
    let mut say = |what: &str, reply: &Reply| words.push(format!("{what}: {}", word(reply)));

    let nobodys = Request { site: "hst_nobody".into(), ..merchant.request(&good()) };
    say("no such site", &merchant.send(&nobodys).await);
    let forged = Request::signed(&merchant.site, &good(), &SigningKey::generate());
    say("another key", &merchant.send(&forged).await);
    let version = Request { v: 2, ..merchant.request(&good()) };
    say("another version", &merchant.send(&version).await);
    let enc = Request { enc: Some("box".into()), ..merchant.request(&good()) };
    say("not boxed", &merchant.send(&enc).await);
    for (what, ts) in [("a minute late", -61), ("a minute early", 63), ("almost late", -55)] {
        let ts = Timestamp::now().as_second() + ts;
        let payload = merchant.with_otp(Payload { ts, ..good() });
        say(what, &merchant.ask(&payload).await);
    }
    say("no n", &merchant.ask(&merchant.with_otp(Payload { n: "AAAA".into(), ..good() })).await);
    let once = good();
    say("once", &merchant.ask(&once).await);
    say("twice", &merchant.ask(&once).await);
    let elsewhere = format!("{ENDPOINT}/");
    say("elsewhere", &merchant.ask(&merchant.with_otp(Payload { endpoint: elsewhere, ..good() })).await);
    for query in ["f_in_g=x", "a=1&hs_ts=2", "%68s_sig=1"] {
        say(query, &merchant.ask(&Payload { query: query.into(), ..good() }).await);
    }
    say("no query", &merchant.ask(&Payload { query: "a b".into(), ..good() }).await);
    for scopes in ["email", "email;email|", "height|", "f_in_g|"] {
        say(scopes, &merchant.ask(&merchant.payload("annette", scopes)).await);
    }
    let own = format!("{}_size|", merchant.prefix);
    say("its own scope", &merchant.ask(&merchant.payload("annette", &own)).await);
    say("another otp", &merchant.ask(&Payload { otp: "0".repeat(64), ..good() }).await);
    say("md5, not agreed", &merchant.ask(&Payload { otp_alg: Some("md5".into()), ..good() }).await);
    say("no name", &merchant.ask(&merchant.payload("a", "|")).await);
    insta::assert_snapshot!(words.join("\n"), @"
    no such site: 404 NOT_FOUND
    another key: 401 BAD_SIGNATURE
    another version: 400 BAD_REQUEST
    not boxed: 401 BAD_SIGNATURE
    a minute late: 400 CLOCK_SKEW
    a minute early: 400 CLOCK_SKEW
    almost late: 202 -
    no n: 400 BAD_REQUEST
    once: 202 -
    twice: 409 REPLAYED
    elsewhere: 403 ENDPOINT_NOT_REGISTERED
    f_in_g=x: 400 RESERVED_PARAM
    a=1&hs_ts=2: 400 RESERVED_PARAM
    %68s_sig=1: 400 RESERVED_PARAM
    no query: 400 BAD_REQUEST
    email: 400 BAD_SCOPES
    email;email|: 400 BAD_SCOPES
    height|: 403 SCOPE_NOT_ALLOWED
    f_in_g|: 403 SCOPE_NOT_ALLOWED
    its own scope: 202 -
    another otp: 401 BAD_OTP
    md5, not agreed: 401 BAD_OTP
    no name: 400 BAD_USERNAME
    ");
    // Only what the site itself signed is in its numbers.
    let failed = merchant.stats().await;
    assert_eq!((failed["requests"].as_i64(), failed["failed"].as_i64()), (Some(19), Some(16)));
}

#[tokio::test]
async fn a_form_a_box_and_the_originals_md5_are_taken_too() {
    let scene = Scene::start().await;
    let owner = scene.named("goods-shop").await;
    let merchant = Merchant::of(&owner, "goods-shop", "Goods", json!({"otp_alg": "md5"})).await;
    let ann = scene.named("annette").await;
    let request = merchant.request(&merchant.payload("annette", "|"));
    let form = format!("v=1&site={}&payload={}&sig={}", request.site, request.payload, request.sig);
    let kind = [("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")];
    let hub = scene.node.attacker();
    let path = "/homing/hub/api/v1/welcome";
    assert_eq!(hub.request("POST", path, &kind, &form).await.unwrap().status, 202);
    assert_eq!(word(&hub.request("POST", path, &kind, &format!("{form}&sig=x")).await.unwrap()), "400 BAD_REQUEST");

    let keys = scene.call("GET", "keys", None).await.json();
    let all = keys["keys"].as_array().unwrap();
    let public = all.iter().find(|key| key["use"] == "box").unwrap()["public"].as_str().unwrap();
    let public: [u8; 32] = decode(public).unwrap().try_into().unwrap();
    let payload = merchant.payload("annette", "|");
    let boxed = Request::boxed(&merchant.site, &payload, &merchant.keys.sign, &merchant.keys.opening, &public);
    assert_eq!(merchant.send(&boxed).await.status, 202);
    let for_another =
        Request::boxed(&merchant.site, &payload, &merchant.keys.sign, &merchant.keys.opening, &random::<32>());
    assert_eq!(word(&merchant.send(&for_another).await), "401 BAD_SIGNATURE");

    let plain = merchant.payload("annette", "|");
    let md5 = otp::md5("annette", plain.ts, &merchant.sauce);
    let md5 = Payload { otp: md5, otp_alg: Some("md5".into()), ..plain };
    assert_eq!(merchant.ask(&md5).await.status, 202);
    assert_eq!(word(&merchant.ask(&md5).await), "409 REPLAYED");
    assert_eq!(ann.get("inbox").await.json()["welcomes"].as_array().unwrap().len(), 3);
}

/// Status, size and row are the same for a name that nobody has, and so is how it goes on.
#[tokio::test]
async fn nobody_learns_who_is_here() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    scene.named("annette").await;
    let (known, unknown) = (merchant.payload("annette", "email|"), merchant.payload("bernard", "email|"));
    let (known, unknown) = (merchant.ask(&known).await, merchant.ask(&unknown).await);
    let names = |reply: &Reply| reply.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!((known.status, known.body.len(), names(&known)), (unknown.status, unknown.body.len(), names(&unknown)));
    let sizes = "select count(distinct (octet_length(sealed), octet_length(release))) from hub_challenges";
    assert_eq!(scene.node.value::<i64>(sizes).await, 1);
    let id = |reply: &Reply| reply.json()["challenge"].as_str().unwrap().to_owned();
    let (known, unknown) = (id(&known), id(&unknown));
    assert_eq!(shown(&merchant.status(&known).await), shown(&merchant.status(&unknown).await));
    scene.node.execute("update hub_challenges set created_at = created_at - interval '6 minutes', expires_at = expires_at - interval '6 minutes'").await;
    assert_eq!(merchant.status(&unknown).await.json()["state"], "expired");
    assert_eq!(merchant.status(&known).await.json()["state"], "expired");
    // Nobody can decide what is for nobody.
    let stranger = scene.person().await;
    assert_eq!(word(&stranger.approve(&unknown, "bernard", 1, "email").await), "404 NOT_FOUND");
}

/// Medians of what is asked for in turn: a difference that matters would show.
#[tokio::test]
async fn nobody_learns_who_is_here_by_waiting() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    scene.named("annette").await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        for (name, times) in [("annette", &mut known), ("bernard", &mut unknown)] {
            let payload = merchant.payload(name, "|");
            let begun = Instant::now();
            assert_eq!(merchant.ask(&payload).await.status, 202);
            times.push(begun.elapsed());
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (known, unknown) = (median(&mut known), median(&mut unknown));
    assert!(known >= Duration::from_millis(60) && unknown >= Duration::from_millis(60), "{known:?} {unknown:?}");
    let apart = known.abs_diff(unknown);
    assert!(apart < Duration::from_millis(30), "{known:?} {unknown:?}");
}

#[tokio::test]
async fn a_persona_has_three_welcomes_waiting_and_a_site_so_many_a_minute() {
    let options = options()
        .set("homing.hub.pending_per_persona", 3)
        .set("homing.hub.welcomes_per_site.bucket", 8)
        .set("homing.hub.welcomes_per_site.per_minute", 0.001)
        .set("homing.hub.welcomes_per_persona.bucket", 5)
        .set("homing.hub.welcomes_per_persona.per_minute", 0.001);
    let scene = Scene::with(Net::new(), options).await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    for name in ["annette", "bernard"] {
        let asked = futures_util::future::join_all((0..4).map(|_| merchant.payload(name, "|")).map(|payload| {
            let merchant = merchant.clone();
            async move { merchant.ask(&payload).await }
        }));
        let mut words: Vec<String> = asked.await.iter().map(word).collect();
        words.sort();
        assert_eq!(words, ["202 -", "202 -", "202 -", "429 RATE_LIMITED"], "{name}");
    }
    let over = merchant.ask(&merchant.payload("somebody", "|")).await;
    insta::assert_snapshot!(shown(&over), @r#"
    429
    retry-after: …
    {"error":"RATE_LIMITED","message":"Too often; try again later.","request_id":"UUID"}
    "#);
    // Another site is served, as far as the persona is concerned.
    let other = scene.merchant("other-shop", "Other").await;
    let first = ann.get("inbox").await.json()["welcomes"][0]["challenge"].as_str().unwrap().to_owned();
    assert_eq!(word(&other.ask(&other.payload("annette", "|")).await), "202 -");
    assert_eq!(ann.deny(&first, "annette", 1).await.status, 204);
    assert_eq!(word(&other.ask(&other.payload("annette", "|")).await), "429 RATE_LIMITED");
    scene.node.execute("delete from buckets").await;
    assert_eq!(other.ask(&other.payload("annette", "|")).await.status, 202);
}

#[tokio::test]
async fn whoever_keeps_saying_no_hears_nothing_for_an_hour_and_the_site_does_not_notice() {
    let scene = Scene::with(Net::new(), options().set("homing.hub.pending_per_persona", 3)).await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    for _ in 0..2 {
        let id = merchant.welcome("annette", "|").await;
        assert_eq!(ann.deny(&id, "annette", 1).await.status, 204);
        assert_eq!(merchant.status(&id).await.json()["state"], "denied");
    }
    // As many as it may; they take no room from others.
    for _ in 0..3 {
        let id = merchant.welcome("annette", "|").await;
        assert_eq!(merchant.status(&id).await.json()["state"], "pending");
    }
    assert_eq!(word(&merchant.ask(&merchant.payload("annette", "|")).await), "429 RATE_LIMITED");
    assert_eq!(ann.get("inbox").await.json(), json!({"welcomes": []}));
    let other = scene.merchant("other-shop", "Other").await;
    let id = other.welcome("annette", "|").await;
    assert_eq!(ann.get("inbox").await.json()["welcomes"][0]["challenge"], id.as_str());
    // The hour passes.
    scene.node.execute("update hub_blocks set until = until - interval '61 minutes', denied_at = denied_at - interval '61 minutes'").await;
    scene
        .node
        .execute("update hub_challenges set expires_at = now() - interval '1 second' where space_id is null")
        .await;
    let id = merchant.welcome("annette", "|").await;
    assert_eq!(ann.welcome(&id, 1).await.site_name, "Goods");
    // One more no after the hour is the first one again.
    assert_eq!(ann.deny(&id, "annette", 1).await.status, 204);
    let id = merchant.welcome("annette", "|").await;
    assert_eq!(ann.welcome(&id, 1).await.site_name, "Goods");
}

#[tokio::test]
async fn what_nobody_decides_expires_and_is_counted() {
    let scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    let id = merchant.welcome("annette", "|").await;
    scene.node.execute("update hub_challenges set expires_at = now() - interval '1 second'").await;
    assert_eq!(word(&ann.approve(&id, "annette", 1, "").await), "410 EXPIRED");
    assert_eq!(word(&ann.deny(&id, "annette", 1).await), "410 EXPIRED");
    assert_eq!(ann.get(&format!("welcomes/{id}")).await.json()["state"], "expired");
    let counted = "select coalesce(sum(expired), 0) from hub_stats";
    eventually("it is counted", async || scene.node.value::<i64>(counted).await == 1).await;
    assert_eq!(scene.count("hub_challenges where state = 3 and release is null").await, 1);
    assert_eq!(word(&ann.approve(&id, "annette", 1, "").await), "410 EXPIRED");
}

#[tokio::test]
async fn how_a_welcome_stands_is_told_to_its_site_only() {
    let scene = Scene::start().await;
    let (merchant, other) = (scene.merchant("goods-shop", "Goods").await, scene.merchant("other-shop", "Other").await);
    let id = merchant.welcome("annette", "|").await;
    assert_eq!(word(&other.status(&id).await), "404 NOT_FOUND");
    assert_eq!(word(&merchant.status("hsc_nothing").await), "404 NOT_FOUND");
    assert_eq!(word(&merchant.status_at(&id, Timestamp::now().as_second() - 61).await), "400 CLOCK_SKEW");
    let (hub, ts) = (scene.node.attacker(), Timestamp::now().as_second());
    let path = format!("welcome/{id}?site={}&ts={ts}&sig={}", merchant.site, encode(&[0; 64]));
    assert_eq!(word(&call(&hub, "GET", &path, None, None).await), "401 BAD_SIGNATURE");
    assert_eq!(word(&call(&hub, "GET", &format!("welcome/{id}"), None, None).await), "400 BAD_REQUEST");
}

#[tokio::test]
async fn an_inbox_answers_as_soon_as_there_is_something_new() {
    let mut scene = Scene::start().await;
    let merchant = scene.merchant("goods-shop", "Goods").await;
    let ann = scene.named("annette").await;
    let begun = Instant::now();
    let waiting = tokio::spawn({
        let ann = ann.clone();
        async move { ann.get("inbox?wait=25").await }
    });
    // Once it waits, the process listens.
    let listens = "select count(*) from pg_stat_activity where query like '%listen handfast_welcomes%'";
    eventually("it listens", async || scene.node.value::<i64>(listens).await > 0).await;
    let id = merchant.welcome("annette", "|").await;
    let told = waiting.await.unwrap().json();
    assert_eq!(told["welcomes"][0]["challenge"], id.as_str());
    assert!(begun.elapsed() < Duration::from_secs(20));
    // What is known is waited beyond.
    let known = format!("inbox?wait=1&known={id},hsc_other");
    let begun = Instant::now();
    assert_eq!(ann.get(&known).await.json()["welcomes"].as_array().unwrap().len(), 1);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(word(&ann.get("inbox?wait=long").await), "400 BAD_REQUEST");
    scene.node.unharmed().await;
}

#[tokio::test]
async fn one_site_takes_no_room_from_another() {
    let scene = Scene::with(Net::new(), options().set("homing.hub.pending_per_persona", 1)).await;
    scene.named("annette").await;
    let mut words = Vec::new();
    for (persona, name) in
        [("goods-shop", "Goods"), ("other-shop", "Other"), ("third-shop", "Third"), ("fourth-shop", "Fourth")]
    {
        let merchant = scene.merchant(persona, name).await;
        for _ in 0..2 {
            words.push(word(&merchant.ask(&merchant.payload("annette", "|")).await));
        }
    }
    let (made, full) = ("202 -", "429 RATE_LIMITED");
    assert_eq!(words, [made, full, made, full, made, full, full, full]);
}
