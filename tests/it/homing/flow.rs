//! What the two sides promise together when nobody means harm (B.7 of the specification's acceptance tests).

use std::time::Duration;

use handfast::cli::homing::{Agent, AgentError, ComesFrom, Gift};
use handfast::config::Secret;
use handfast::homing::release::Arrived;
use handfast::homing::{encode, signed};
use http::Method;
use serde_json::json;

use super::scene::{
    ENDPOINT, PASSWORD, Scene, Site, approve, fingerprint, gift, hub, key_bytes, leading_to, open, url, word,
};

#[tokio::test]
async fn a_space_has_seven_personas_and_no_eighth() {
    let scene = Scene::start().await;
    let user = scene.user(&[]).await;
    for n in 1..=7 {
        let persona = user.add_persona(&format!("seven-{n}")).await.expect("room");
        assert_eq!((i64::from(persona.slot), persona.index), (n, n as u64));
    }
    assert_eq!(user.add_persona("seven-8").await.unwrap_err().code(), Some("FULL"));
    user.delete_persona("seven-3").await.expect("given up");
    let last = user.add_persona("seven-8").await.expect("room again");
    assert_eq!((last.slot, last.index), (3, 8), "the slot is free, keys are never used twice");
    user.delete_persona("seven-8").await.expect("given up");
    for name in ["seven-3", "SEVEN-3", "seven-1"] {
        assert_eq!(user.add_persona(name).await.unwrap_err().code(), Some("TAKEN"), "{name}");
    }
    for name in ["ab", "1abc", "a b c", "älice", "admin", &"a".repeat(33)] {
        assert_eq!(user.add_persona(name).await.unwrap_err().code(), Some("BAD_USERNAME"), "{name}");
    }
}

#[tokio::test]
async fn one_person_has_one_fingerprint_at_a_site_and_another_elsewhere() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.user(&["alice", "alice-at-work"]).await, scene.user(&["bob"]).await);
    let other = Site::register(&scene.keeper, "shopkeeper", "The Shop", "https://other.test/e", "site").await;
    let of = async |user: &Agent, site: &Site, persona: &str| {
        let made = site.welcome(&scene.web, persona, "email|", "{own}").await;
        fingerprint(&approve(user, &made.challenge).await)
    };
    let known = of(&alice, &scene.site, "alice").await;
    assert_eq!(of(&alice, &scene.site, "alice-at-work").await, known);
    assert_ne!(of(&alice, &other, "alice").await, known);
    assert_ne!(of(&bob, &scene.site, "bob").await, known);

    // The sites of one merchant, and all that ask for it, may share one.
    let (mut merchants, mut globals) = (Vec::new(), Vec::new());
    for n in 1..=2 {
        let (merchant, global) = (format!("https://m{n}.test/e"), format!("https://g{n}.test/e"));
        let site = Site::register(&scene.keeper, "shopkeeper", "The Shop", &merchant, "merchant").await;
        merchants.push(of(&alice, &site, "alice").await);
        let site = Site::register(&scene.keeper, "shopkeeper", "The Shop", &global, "global").await;
        globals.push(of(&alice, &site, "alice").await);
    }
    assert_eq!((&merchants[0], &globals[0]), (&merchants[1], &globals[1]));
    assert_ne!(merchants[0], globals[0]);
}

#[tokio::test]
async fn the_first_visit_registers_and_the_second_logs_in() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice", "alicia"]).await;
    let first = scene.sign_in(&user, "alice").await;
    assert!(first.is_in(), "{first:?}");
    assert_eq!((first.url.as_str(), first.status), ("https://shop.test/homing/", 200));
    assert!(first.body.contains("alice"), "{}", first.body);
    assert_eq!(first.session.as_ref().expect("a cookie").0, "__Host-hs_session");
    assert_eq!(scene.count("hs_accounts").await, 1);

    let second = scene.sign_in(&user, "alice").await;
    assert!(second.is_in());
    assert_ne!(second.session, first.session, "every login has a session of its own");
    assert_eq!(scene.count("hs_accounts").await, 1);
    let third = scene.sign_in(&user, "alicia").await;
    assert!(third.is_in() && third.body.contains("alicia"));
    assert_eq!(scene.count("hs_accounts").await, 1, "the same person under another name has the same account");
    assert_eq!(scene.count("hs_account_personas").await, 2);

    let other = scene.user(&["bob"]).await;
    assert!(scene.sign_in(&other, "bob").await.is_in());
    assert_eq!(scene.count("hs_accounts").await, 2);
    assert_eq!(scene.count("hs_sessions").await, 4);
}

#[tokio::test]
async fn a_merchant_may_refuse_a_second_account_or_allow_it() {
    for (policy, second, accounts) in [("reject", 403, 1), ("allow", 303, 2)] {
        let scene = Scene::with(|hub| hub, |shop| shop.set("homing.gateway.policy", policy)).await;
        let user = scene.user(&["alice", "alicia"]).await;
        assert!(scene.sign_in(&user, "alice").await.is_in());
        assert_eq!(scene.sign_in(&user, "alicia").await.endpoint_status, second, "{policy}");
        assert!(scene.sign_in(&user, "alice").await.is_in(), "{policy}: the first name is as good as before");
        assert_eq!(scene.count("hs_accounts").await, accounts, "{policy}");
    }
}

#[tokio::test]
async fn what_must_be_granted_is_granted_or_nothing_is() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice"]).await;
    let made = scene.site.welcome(&scene.web, "alice", "email;fullname|phone1", "{own}").await;
    let key = user.keys("alice").await.expect("keys").sign;
    let decide = async |granted: &str| {
        let sig = encode(&key.sign(&signed::approval(&made.challenge, granted)));
        let body = json!({"persona": "alice", "granted": granted, "sig": sig});
        user.hub().call(Method::POST, &["welcomes", &made.challenge, "approve"], Some(body)).await
    };
    for (granted, code) in [
        ("", "MISSING_SCOPE"),
        ("email", "MISSING_SCOPE"),
        ("phone1", "MISSING_SCOPE"),
        ("fullname;email", "SCOPE_NOT_ALLOWED"),
        ("email;fullname;birthday", "SCOPE_NOT_ALLOWED"),
        ("email;fullname;fullname", "SCOPE_NOT_ALLOWED"),
    ] {
        let error = decide(granted).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{granted}");
        let AgentError::Refused(refusal) = error else { panic!("{error}") };
        assert_eq!(refusal.status, if code == "MISSING_SCOPE" { 422 } else { 403 });
    }
    let release = decide("email;fullname;phone1").await.expect("released");
    assert_eq!(release["fields"], json!(["sc_email", "sc_fullname", "sc_phone1"]));
    assert_eq!(decide("email;fullname").await.unwrap_err().code(), Some("ALREADY_DECIDED"));

    // The agent says so before it asks.
    let made = scene.site.welcome(&scene.web, "alice", "email;fullname|", "{own}").await;
    let welcome = user.welcome(&made.challenge).await.expect("opened");
    let missing = user.approve(&welcome, &gift()).await.unwrap_err();
    assert!(matches!(&missing, AgentError::Missing(names) if *names == ["fullname"]), "{missing}");
}

#[tokio::test]
async fn a_bar_asks_for_nothing() {
    let scene = Scene::with(|hub| hub, |shop| shop.set("homing.gateway.scopes", "|")).await;
    let user = scene.user(&["alice"]).await;
    let mut visit = scene.begin("alice").await;
    let welcome = user.welcome(&visit.challenge).await.expect("opened");
    assert_eq!(welcome.scopes.names().count(), 0);
    let approval = user.approve(&welcome, &Gift::default()).await.expect("approved");
    assert!(approval.fields.is_empty());
    assert!(visit.arrive(&approval).await.expect("an answer").is_in());
    assert_eq!(scene.count("hs_claims").await, 0);
}

#[tokio::test]
async fn the_merchants_query_comes_back_byte_for_byte() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice"]).await;
    let keys = key_bytes(&scene.keeper).await;
    for query in [
        "{own}",
        "z=1&{own}&a=%20b&a=b+c&a=&a",
        "%7Euser=%7e&{own}&slash=a/b?c&semi=a;b&colon=:@!$()*,",
        "cart[0]=x&cart[1]=%5B&{own}&%C3%A4=%c3%a4",
    ] {
        let payload = scene.site.payload("alice", "|", query);
        let answer = scene.site.ask(&scene.web, &payload).await;
        assert_eq!(word(&answer), "202 ", "{query}");
        let made: handfast::homing::welcome::Made = serde_json::from_slice(&answer.body).expect("a welcome");
        let welcome = user.welcome(&made.challenge).await.expect("opened");
        let approval = user.approve(&welcome, &Gift::default()).await.expect("approved");
        let begins = format!("{ENDPOINT}?{}&f_in_g=", payload.query);
        assert!(approval.action_text.starts_with(&begins), "{}", approval.action_text);
        assert_eq!(approval.action.as_str(), approval.action_text, "a browser sends it as it is");
        let (_, query) = approval.action_text.split_once('?').expect("a query");
        let arrived = Arrived::parse(query).expect("a release");
        assert!(arrived.is_signed_by(&keys, &scene.site.id, ENDPOINT, ""), "and as it was signed");
    }
    for query in ["{own}&a='b'", "{own}&a=\"b\"", "{own}&a=<b>", "{own}&a=b c", "{own}&a=ä", "{own}#a"] {
        let answer = scene.site.ask(&scene.web, &scene.site.payload("alice", "|", query)).await;
        assert_eq!(word(&answer), "400 BAD_REQUEST", "{query}: browsers would send something else");
    }
    for query in ["{own}&f_in_g=x", "hs_ts=1&{own}", "{own}&hs%5Fsig=x"] {
        let answer = scene.site.ask(&scene.web, &scene.site.payload("alice", "|", query)).await;
        assert_eq!(word(&answer), "400 RESERVED_PARAM", "{query}");
    }
}

#[tokio::test]
async fn a_rotated_sauce_is_good_beside_the_new_one_for_a_while() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice"]).await;
    let answer = user_call(&scene.keeper, Method::POST, &["sites", &scene.site.id, "sauce"], None).await;
    let sauce = Secret::from(answer["sauce"].as_str().expect("a sauce").to_owned());
    assert_ne!(sauce.reveal(), scene.site.sauce.reveal());
    assert!(scene.sign_in(&user, "alice").await.is_in(), "the shop still has the old one");
    let renewed = Site { sauce, ..scene.site.clone() };
    assert_eq!(word(&renewed.ask(&scene.web, &renewed.payload("alice", "|", "{own}")).await), "202 ");

    let body = Some(json!({"at_once": true}));
    user_call(&scene.keeper, Method::POST, &["sites", &scene.site.id, "sauce"], body).await;
    for site in [&scene.site, &renewed] {
        assert_eq!(word(&site.ask(&scene.web, &site.payload("alice", "|", "{own}")).await), "401 BAD_OTP");
    }
    let error = scene.try_begin("alice").await.unwrap_err();
    assert!(error.to_string().contains("cannot reach its hub"), "{error}");
}

#[tokio::test]
async fn without_its_hub_a_merchant_says_so_and_nothing_has_begun() {
    let mut scene = Scene::with(|hub| hub, |shop| shop.set("homing.gateway.hub_timeout", "2s")).await;
    let user = scene.user(&["alice"]).await;
    scene.hub.kill_serve().await;
    let mut browser = scene.browser();
    let login = url(super::scene::LOGIN);
    let fields = [("username", "alice"), ("scopes", "email|phone1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let entry = url("https://shop.test/homing/entry");
    let answer = browser.submit(&entry, &fields, ComesFrom::Page(&login)).await.expect("the shop answers");
    assert_eq!(answer.status, 503);
    assert_eq!(scene.count("hs_attempts").await, 0);
    assert!(browser.cookie_names("shop.test").is_empty(), "{:?}", browser.cookie_names("shop.test"));

    scene.hub.start_serve();
    scene.hub.ready().await;
    assert!(scene.sign_in(&user, "alice").await.is_in(), "as soon as the hub is there, it goes on");
}

#[tokio::test]
async fn a_space_moves_with_its_code_and_its_password() {
    let scene = Scene::start().await;
    let mut user = scene.user(&["alice"]).await;
    let password = Secret::from(PASSWORD.to_owned());
    user.set("email", Some("alice@mail.example"), &password).await.expect("written down");
    let other = Agent::open(hub(&scene.web), user.space(), &password).await.expect("opened elsewhere");
    assert_eq!(other.properties()["email"], "alice@mail.example");
    assert_eq!(
        other.keys("alice").await.expect("keys").sign_public(),
        user.keys("alice").await.expect("keys").sign_public()
    );

    let wrong = Agent::open(hub(&scene.web), user.space(), &Secret::from("another".to_owned())).await;
    assert!(matches!(wrong, Err(AgentError::Locked)));
    let unknown = Agent::open(hub(&scene.web), "hsp_AAAAAAAAAAAAAAAAAAAAAA", &password).await;
    assert_eq!(unknown.unwrap_err().code(), Some("NOT_FOUND"));
    assert_eq!(
        user.set("email", Some("no address"), &password).await.unwrap_err().to_string(),
        "that is not a value for email"
    );

    let made = scene.site.welcome(&scene.web, "alice", "email|", "{own}").await;
    let welcome = other.welcome(&made.challenge).await.expect("the other device opens it, too");
    let approval = other.approve(&welcome, &Gift::default()).await.expect("approved");
    assert_eq!(approval.fields, [("sc_email".to_owned(), "alice@mail.example".to_owned())]);
}

#[tokio::test]
async fn a_welcome_comes_to_the_inbox_and_can_be_denied() {
    let scene = Scene::start().await;
    let (user, other) = (scene.user(&["alice"]).await, scene.user(&["bob"]).await);
    let waiting = user.inbox(Duration::ZERO, &[]).await.expect("an inbox");
    assert!(waiting.is_empty());
    let asked = tokio::spawn({
        let user = user.clone();
        async move { user.inbox(Duration::from_secs(25), &[]).await.expect("an inbox") }
    });
    let visit = scene.begin("alice").await;
    let came = asked.await.expect("no panic");
    assert_eq!((came[0].challenge.as_str(), came[0].persona.as_str()), (visit.challenge.as_str(), "alice"));
    let (begun, known) = (std::time::Instant::now(), [visit.challenge.clone()]);
    assert_eq!(user.inbox(Duration::from_secs(1), &known).await.expect("an inbox").len(), 1);
    assert!(begun.elapsed() >= Duration::from_secs(1), "for what is known already nobody is answered early");

    assert_eq!(other.welcome(&visit.challenge).await.unwrap_err().code(), Some("NOT_FOUND"));
    let welcome = user.welcome(&visit.challenge).await.expect("opened");
    let shown = &welcome.envelope;
    assert_eq!((shown.merchant.as_str(), shown.origin.as_str()), ("shopkeeper", "https://shop.test"));
    assert_eq!((shown.site_name.as_str(), shown.scopes.as_str()), ("The Shop", "email|phone1"));
    user.deny(&welcome).await.expect("denied");
    assert_eq!(user.approve(&welcome, &gift()).await.unwrap_err().code(), Some("ALREADY_DECIDED"));
    assert_eq!(user.welcome(&visit.challenge).await.expect("opened").state, "denied");
}

#[tokio::test]
async fn a_site_has_its_statistics() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice", "alicia"]).await;
    assert!(scene.sign_in(&user, "alice").await.is_in());
    assert!(scene.sign_in(&user, "alicia").await.is_in());
    let visit = scene.begin("alice").await;
    user.deny(&user.welcome(&visit.challenge).await.expect("opened")).await.expect("denied");
    let far = scene.site.payload("alice", "|", "{own}");
    let far = handfast::homing::welcome::Payload { endpoint: "https://evil.test/".into(), ..far };
    assert_eq!(word(&scene.site.ask(&scene.web, &far).await), "403 ENDPOINT_NOT_REGISTERED");

    let stats = user_call(&scene.keeper, Method::GET, &["sites", &scene.site.id, "stats"], None).await;
    let days = stats["days"].as_array().expect("days");
    let sum = |name: &str| days.iter().map(|day| day[name].as_i64().expect("a number")).sum::<i64>();
    let counted = ["requests", "approved", "denied", "failed"].map(sum);
    assert_eq!(counted, [4, 2, 1, 1], "{stats}");
    assert_eq!(days.last().expect("today")["unique_fing"], 1, "two names, one person");
    let other = user.hub().call(Method::GET, &["sites", &scene.site.id, "stats"], None).await;
    assert_eq!(other.unwrap_err().code(), Some("NOT_FOUND"), "nobody else sees them");
}

#[tokio::test]
async fn who_signs_out_is_signed_out() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice"]).await;
    let mut visit = scene.begin("alice").await;
    let approval = approve(&user, &visit.challenge).await;
    assert!(visit.arrive(&approval).await.expect("an answer").is_in());
    let page = url("https://shop.test/homing/");
    assert!(open(&mut visit.browser, page.as_str()).await.text().contains("signed in as"));
    let out = url("https://shop.test/homing/logout");
    let answer = visit.browser.submit(&out, &[], ComesFrom::Page(&page)).await.expect("an answer");
    assert_eq!(answer.status, 303);
    assert!(open(&mut visit.browser, page.as_str()).await.text().contains("not signed in"));
    assert_eq!(scene.count("hs_sessions").await, 0);
    let again = leading_to(&approval, &approval.action_text);
    assert_eq!(visit.arrive(&again).await.expect("an answer").endpoint_status, 400);
}

async fn user_call(agent: &Agent, method: Method, path: &[&str], body: Option<serde_json::Value>) -> serde_json::Value {
    agent.hub().call(method, path, body).await.expect("the hub does it")
}
