//! Every row of the specification's threat table (logins, B.5) that has an answer of ours. Replay, editing a release, the browser that
//! began and the keys' rotation are in `release`; the sauce's rotation in `flow`. What a hub that turned against its users could do
//! is inherent in the design and has no test.

use std::time::{Duration, Instant};

use handfast::cli::homing::{Agent, AgentError, Browser, ComesFrom, Visit, forms};
use handfast::homing::otp::{self, Parts, Sauce};
use handfast::homing::welcome::{Payload, Request};
use http::Method;
use serde_json::json;

use super::scene::{ENDPOINT, LOGIN, Scene, Site, approve, fingerprint, gift, new_site, open, url, word};
use crate::node::Options;

#[tokio::test]
async fn a_victims_browser_cannot_be_signed_in_as_somebody_else() {
    let scene = Scene::start().await;
    let mallory = scene.user(&["mallory"]).await;
    let _victim = scene.user(&["alice"]).await;
    let attack = scene.begin("mallory").await;
    let approval = approve(&mallory, &attack.challenge).await;
    // The victim's browser, with a login of its own under way or none, is made to post what the attacker was released.
    let mut busy = scene.begin("alice").await;
    let mut idle = Visit { browser: scene.browser(), ..attack.clone() };
    for visit in [&mut busy, &mut idle] {
        let landing = visit.arrive(&approval).await.expect("an answer");
        assert_eq!((landing.endpoint_status, landing.session), (400, None));
    }
    assert_eq!(scene.count("hs_sessions").await, 0);
}

#[tokio::test]
async fn who_begins_a_login_in_anothers_name_gets_nothing_of_an_approval() {
    let scene = Scene::start().await;
    let victim = scene.user(&["alice"]).await;
    let mut attack = scene.begin("alice").await;
    // Talked into it, the victim approves; the release goes to the victim's browser, which did not begin.
    let approval = approve(&victim, &attack.challenge).await;
    let mut victims = Visit { browser: scene.browser(), ..attack.clone() };
    assert_eq!(victims.arrive(&approval).await.expect("an answer").endpoint_status, 400);
    assert!(open(&mut attack.browser, "https://shop.test/homing/").await.text().contains("not signed in"));
    assert_eq!(scene.count("hs_sessions").await, 0);
    // And without the victim's keys nobody opens or decides it.
    let mallory = scene.user(&["mallory"]).await;
    let path = ["welcomes", &attack.challenge, "approve"];
    let body = json!({"persona": "alice", "granted": "email", "sig": handfast::homing::encode(&[7; 64])});
    assert_eq!(
        mallory.hub().call(Method::POST, &path, Some(body.clone())).await.unwrap_err().code(),
        Some("NOT_FOUND")
    );
    let again = scene.begin("alice").await;
    let path = ["welcomes", &again.challenge, "approve"];
    let forged = victim.hub().call(Method::POST, &path, Some(body)).await;
    assert_eq!(forged.unwrap_err().code(), Some("BAD_SIGNATURE"), "a session at the hub alone approves nothing");
}

#[tokio::test]
async fn who_keeps_saying_no_is_left_alone() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice"]).await;
    for _ in 0..2 {
        let visit = scene.begin("alice").await;
        user.deny(&user.welcome(&visit.challenge).await.expect("opened")).await.expect("denied");
    }
    // The merchant's side is answered as ever; nothing reaches the persona.
    let third = scene.begin("alice").await;
    assert!(user.inbox(Duration::ZERO, &[]).await.expect("an inbox").is_empty());
    assert_eq!(user.welcome(&third.challenge).await.unwrap_err().code(), Some("NOT_FOUND"));
    // Another site is heard.
    let other = Site::register(&scene.keeper, "shopkeeper", "The Shop", "https://other.test/e", "site").await;
    let made = other.welcome(&scene.web, "alice", "|", "{own}").await;
    assert!(user.welcome(&made.challenge).await.is_ok());
}

#[tokio::test]
async fn a_persona_is_not_drowned_in_welcomes() {
    let few = |options: Options| {
        options
            .set("homing.hub.pending_per_persona", 3)
            .set("homing.hub.decisions.bucket", 2)
            .set("homing.hub.decisions.per_minute", 0.1)
    };
    let scene = Scene::with(few, |shop| shop).await;
    let user = scene.user(&["alice", "bobby"]).await;
    for _ in 0..3 {
        scene.begin("alice").await;
    }
    let fourth = scene.site.ask(&scene.web, &scene.site.payload("alice", "|", "{own}")).await;
    assert_eq!(word(&fourth), "429 RATE_LIMITED");
    assert!(fourth.header("retry-after").is_some());
    let nobody = scene.site.payload("nobody-at-all", "|", "{own}");
    let mut words = Vec::new();
    for _ in 0..4 {
        let payload = Payload { n: handfast::homing::encode(&handfast::crypto::random::<16>()), ..nobody.clone() };
        words.push(word(&scene.site.ask(&scene.web, &resigned(&scene.site, payload)).await));
    }
    assert_eq!(words, ["202 ", "202 ", "202 ", "429 RATE_LIMITED"], "a name that nobody has is counted alike");
    let waiting = user.inbox(Duration::ZERO, &[]).await.expect("an inbox");
    assert_eq!(waiting.len(), 3);
    let mut refusals = Vec::new();
    for one in &waiting {
        let welcome = user.welcome(&one.challenge).await.expect("opened");
        refusals.push(user.approve(&welcome, &gift()).await.err().and_then(|e| e.code().map(str::to_owned)));
    }
    assert_eq!(refusals, [None, None, Some("RATE_LIMITED".to_owned())], "decisions are counted");
}

/// A payload with another `n` needs another password.
fn resigned(site: &Site, payload: Payload) -> Payload {
    let sauce = Sauce::parse(site.sauce.reveal()).expect("a sauce");
    let Payload { username, scopes, endpoint, ts, n, .. } = &payload;
    let otp = otp::hmac(&sauce, &Parts { site: &site.id, username, ts: *ts, n, endpoint, scopes });
    Payload { otp, ..payload }
}

#[tokio::test]
async fn only_registered_places_are_led_to() {
    let scene = Scene::start().await;
    for endpoint in [
        "https://evil.test/homing/endpoint",
        "https://shop.test/homing/endpoint/",
        "https://shop.test/homing/endpoint?next=https://evil.test",
        "https://shop.test/homing/endpoin",
        "https://shop.test:444/homing/endpoint",
        "http://shop.test/homing/endpoint",
        "https://SHOP.test/homing/endpoint",
        "https://shop.test@evil.test/homing/endpoint",
        "",
    ] {
        let payload = scene.site.payload("alice", "|", "{own}");
        let payload = resigned(&scene.site, Payload { endpoint: endpoint.into(), ..payload });
        let answer = scene.site.ask(&scene.web, &payload).await;
        assert_eq!(word(&answer), "403 ENDPOINT_NOT_REGISTERED", "{endpoint}");
    }
    for endpoint in [
        "http://shop.test/e",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://shop.test/e?a=b",
        "https://shop.test/e#a",
        "https://user@shop.test/e",
        "//shop.test/e",
        "",
    ] {
        let refused = scene.keeper.add_site(&new_site("shopkeeper", "The Shop", endpoint, "site")).await;
        assert_eq!(refused.unwrap_err().code(), Some("BAD_REQUEST"), "{endpoint}");
    }
    // The gateway's own last step takes no advice where to go.
    let user = scene.user(&["alice"]).await;
    let mut visit = scene.begin("alice").await;
    let mut approval = approve(&user, &visit.challenge).await;
    approval.fields.push(("landing".into(), "https://evil.test/".into()));
    assert_eq!(visit.arrive(&approval).await.expect("an answer").url.as_str(), "https://shop.test/homing/");
}

#[tokio::test]
async fn a_sauce_alone_welcomes_nobody() {
    let scene = Scene::start().await;
    let thief = scene.user(&["thief"]).await;
    let key = thief.keys("thief").await.expect("keys").sign;
    let payload = scene.site.payload("alice", "|", "{own}");
    let stolen = Site { key: key.clone(), ..scene.site.clone() };
    assert_eq!(word(&stolen.ask(&scene.web, &payload).await), "401 BAD_SIGNATURE");
    // A site of the thief's own with the stolen sauce: one-time passwords are the site's.
    let own = Site::register(&thief, "thief", "Thief", "https://thief.test/e", "site").await;
    let with_stolen = Site { sauce: scene.site.sauce.clone(), ..own.clone() };
    assert_eq!(word(&with_stolen.ask(&scene.web, &with_stolen.payload("alice", "|", "{own}")).await), "401 BAD_OTP");
    let others = Site { id: scene.site.id.clone(), ..own };
    assert_eq!(word(&others.ask(&scene.web, &payload).await), "401 BAD_SIGNATURE");
    // A request that was listened to is good for one welcome.
    let heard = Request::signed(&scene.site.id, &payload, &scene.site.key);
    assert_eq!(word(&super::scene::ask(&scene.web, &heard).await), "202 ");
    assert_eq!(word(&super::scene::ask(&scene.web, &heard).await), "409 REPLAYED");
}

#[tokio::test]
async fn merchants_cannot_look_like_one_another() {
    let scene = Scene::start().await;
    let mallory = scene.user(&["mallory"]).await;
    for name in ["sh0pkeeper", "shopkeeper_", "shop-keeper", "Sh0p-Keeper"] {
        let taken = mallory.add_persona(name).await;
        let site = match taken {
            Ok(_) => mallory.add_site(&new_site(name, "Harmless", "https://evil.test/e", "site")).await.err(),
            Err(error) => Some(error),
        };
        assert_eq!(site.and_then(|e| e.code().map(str::to_owned)).as_deref(), Some("TAKEN"), "{name}");
    }
    for name in ["The Shop", "the shop", "The Sh0p", "The-Shop."] {
        let site = mallory.add_site(&new_site("mallory", name, "https://evil.test/e", "site")).await;
        assert_eq!(site.unwrap_err().code(), Some("TAKEN"), "{name}");
    }
    for name in ["Тhe Shop", "The\u{200b}Shop", "", " "] {
        let site = mallory.add_site(&new_site("mallory", name, "https://evil.test/e", "site")).await;
        assert_eq!(site.unwrap_err().code(), Some("BAD_REQUEST"), "{name}");
    }
    assert_eq!(mallory.add_persona("ѕhopkeeper").await.unwrap_err().code(), Some("BAD_USERNAME"));
    // What is shown is the origin that the user will arrive at, whatever the site is called.
    let site = Site::register(&mallory, "mallory", "Best Bargains", "https://evil.test/e", "site").await;
    let victim = scene.user(&["alice"]).await;
    let made = site.welcome(&scene.web, "alice", "email|", "{own}").await;
    let welcome = victim.welcome(&made.challenge).await.expect("opened");
    assert_eq!(welcome.envelope.origin, "https://evil.test");
    assert_eq!(welcome.envelope.merchant, "mallory");
}

#[tokio::test]
async fn what_is_asked_for_is_not_the_browsers_to_change() {
    let scene = Scene::start().await;
    for scopes in ["|", "email;fullname|phone1", "email|phone1 ", "email|phone1;birthday"] {
        let fields = [("username", "alice"), ("scopes", scopes)].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let entry = url("https://shop.test/homing/entry");
        let answer = scene.browser().submit(&entry, &fields, ComesFrom::Page(&url(LOGIN))).await.expect("an answer");
        assert_eq!(answer.status, 422, "{scopes}");
    }
    let evil = url("https://evil.test/");
    for from in [ComesFrom::Page(&evil), ComesFrom::SilentPage(&evil)] {
        let fields = [("username", "alice"), ("scopes", "email|phone1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let entry = url("https://shop.test/homing/entry");
        let answer = scene.browser().submit(&entry, &fields, from).await.expect("an answer");
        assert_eq!(answer.status, 403, "another site's form begins nothing");
    }
    assert_eq!(scene.count("hs_attempts").await, 0);
    // A merchant may ask for standard scopes and those with its prefix.
    let own = format!("{}_size", scene.site.prefix);
    for (scopes, answer) in [
        (format!("email;{own}|"), "202 "),
        ("email;other_size|".to_owned(), "403 SCOPE_NOT_ALLOWED"),
        ("f_in_g|".to_owned(), "403 SCOPE_NOT_ALLOWED"),
        ("Email|".to_owned(), "403 SCOPE_NOT_ALLOWED"),
        ("email".to_owned(), "400 BAD_SCOPES"),
        ("email||".to_owned(), "400 BAD_SCOPES"),
        ("email|email".to_owned(), "400 BAD_SCOPES"),
        ("e-mail|".to_owned(), "400 BAD_SCOPES"),
    ] {
        let asked = scene.site.ask(&scene.web, &scene.site.payload("alice", &scopes, "{own}")).await;
        assert_eq!(word(&asked), answer, "{scopes}");
    }
}

#[tokio::test]
async fn nothing_of_a_login_is_left_behind() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice"]).await;
    let mut visit = scene.begin("alice").await;
    let approval = approve(&user, &visit.challenge).await;
    let landing = visit.arrive(&approval).await.expect("an answer");
    assert!(landing.is_in() && landing.url.query().is_none(), "{}", landing.url);
    let page = open(&mut scene.browser(), visit.welcome.as_str()).await;
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"), "the hub's page");
    assert_eq!(page.header("cache-control"), Some("no-store"));

    let logs = format!("{}{}", scene.hub.logs(), scene.shop.logs());
    assert!(logs.contains("signed in through Homing Space"), "{logs}");
    let query = approval.action.query().expect("a query");
    let secrets = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value.to_owned());
    let others = [
        fingerprint(&approval),
        landing.session.expect("a session").1,
        "alice@mail.example".to_owned(),
        scene.site.sauce.reveal().to_owned(),
        user.space().to_owned(),
        handfast::homing::encode(scene.site.key.seed()),
    ];
    for secret in secrets.chain(others).filter(|secret| secret != "1") {
        assert!(!logs.contains(&secret), "the logs hold {secret}");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute_and_no_more() {
    let scene = Scene::start().await;
    for (off, wanted) in [(0, "202 "), (-50, "202 "), (50, "202 "), (-62, "400 CLOCK_SKEW"), (70, "400 CLOCK_SKEW")] {
        let payload = scene.site.payload("alice", "|", "{own}");
        let payload = resigned(&scene.site, Payload { ts: payload.ts + off, ..payload });
        assert_eq!(word(&scene.site.ask(&scene.web, &payload).await), wanted, "{off} s");
    }
}

/// Begins at a desk, with the button for another device; the address that the desk watches.
async fn begun_at(scene: &Scene, desk: &mut Browser, persona: &str) -> String {
    let fields = [("username", persona), ("scopes", "email|phone1"), ("device", "other")];
    let fields = fields.map(|(k, v)| (k.to_owned(), v.to_owned()));
    let entry = url("https://shop.test/homing/entry");
    let answer = desk.submit(&entry, &fields, ComesFrom::Page(&url(LOGIN))).await.expect("an answer");
    assert_eq!(answer.status, 303, "{}", scene.shop.logs());
    entry.join(answer.header("location").expect("somewhere")).expect("a place").into()
}

/// Approves at the phone, and types digits into the shop's form there.
async fn approved_at_phone(scene: &Scene, user: &Agent, digits: &str) -> u16 {
    let waiting = user.inbox(Duration::from_secs(20), &[]).await.expect("an inbox");
    let approval = approve(user, &waiting[0].challenge).await;
    let welcome = url("https://hub.test/homing/hub/w/x");
    let mut phone = Visit { browser: scene.browser(), page: url(LOGIN), challenge: String::new(), welcome };
    let asked = phone.arrive(&approval).await.expect("an answer");
    assert_eq!((asked.endpoint_status, &asked.session), (200, &None), "{}", asked.body);
    let mut form = forms(&asked.body).remove(0);
    assert!(form.fill("digits", digits));
    let (to, page) = (url("https://shop.test/homing/match"), url(ENDPOINT));
    let compared = phone.browser.submit(&to, &form.fields, ComesFrom::Page(&page)).await.expect("an answer");
    // Typed again, they are one too many, right or not.
    let again = phone.browser.submit(&to, &form.fields, ComesFrom::Page(&page)).await.expect("an answer");
    assert_eq!(again.status, 400);
    assert!(phone.browser.cookie("shop.test", "__Host-hs_session").is_none(), "the phone is not signed in");
    compared.status
}

#[tokio::test]
async fn a_login_on_another_device_needs_the_digits_that_the_first_one_shows() {
    let scene = Scene::with(|hub| hub, |shop| shop.set("homing.gateway.cross_device", true)).await;
    let user = scene.user(&["alice"]).await;
    for right in [true, false] {
        let mut desk = scene.browser();
        let status = begun_at(&scene, &mut desk, "alice").await;
        let page = open(&mut desk, &status).await.text();
        let (_, shown) = page.split_once("role=\"status\"><strong>").expect("two digits");
        let shown: u32 = shown[..2].parse().expect("a number");
        assert_eq!(open(&mut scene.browser(), &status).await.status, 410, "another browser sees nothing");
        let typed = format!("{:02}", if right { shown } else { (shown + 1) % 100 });
        assert_eq!(approved_at_phone(&scene, &user, &typed).await, if right { 200 } else { 400 });
        let end = open(&mut desk, &status).await;
        assert_eq!(
            (end.status, desk.cookie("shop.test", "__Host-hs_session").is_some()),
            if right { (303, true) } else { (410, false) }
        );
    }
    assert_eq!(scene.count("hs_sessions").await, 1);
}

#[tokio::test]
async fn a_login_on_another_device_is_off_unless_it_is_switched_on() {
    let scene = Scene::start().await;
    let visit = scene.begin("alice").await;
    let mut browser = visit.browser.clone();
    let status = open(&mut browser, "https://shop.test/homing/status/AAECAwQFBgcICQoLDA0ODw").await;
    assert_eq!(status.status, 404);
    assert!(!open(&mut browser, LOGIN).await.text().contains("another device"));
}

/// What somebody at the shop's form sees of a name: status, what the answers look like, how long it took.
async fn seen(scene: &Scene, persona: &str) -> (Vec<String>, Duration) {
    let mut browser: Browser = scene.browser();
    let fields = [("username", persona), ("scopes", "email|phone1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let (entry, login) = (url("https://shop.test/homing/entry"), url(LOGIN));
    let begun = Instant::now();
    let answer = browser.submit(&entry, &fields, ComesFrom::Page(&login)).await.expect("an answer");
    let took = begun.elapsed();
    let location = answer.header("location").expect("the hub").to_owned();
    let page = open(&mut browser, &location).await;
    let shape = |answer: &handfast::cli::homing::WebAnswer| {
        let names: Vec<&str> = answer.headers.keys().map(http::HeaderName::as_str).collect();
        format!("{} {} {names:?}", answer.status, answer.body.len())
    };
    (vec![shape(&answer), location.len().to_string(), shape(&page)], took)
}

#[tokio::test]
async fn a_name_that_nobody_has_is_answered_like_one_that_somebody_has() {
    let scene = Scene::start().await;
    let _user = scene.user(&["alice"]).await;
    let deleted = scene.user(&["arthur"]).await;
    deleted.delete_persona("arthur").await.expect("given up");
    seen(&scene, "alice").await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let mut shapes = std::collections::BTreeSet::new();
    for turn in 0..15 {
        let (shape, took) = seen(&scene, "alice").await;
        known.push(took);
        shapes.insert(shape);
        let (shape, took) = seen(&scene, if turn % 2 == 0 { "oscar" } else { "arthur" }).await;
        unknown.push(took);
        shapes.insert(shape);
    }
    assert_eq!(shapes.len(), 1, "{shapes:#?}");
    known.sort_unstable();
    unknown.sort_unstable();
    let (known, unknown) = (known[7], unknown[7]);
    assert!(
        known < unknown * 2 && unknown < known * 2,
        "medians: {known:?} for one that is there, {unknown:?} for none"
    );
    // What is sealed for nobody is as long as what is sealed for somebody.
    let client = scene.hub.app.db.client().await.expect("a connection");
    let sql = "select count(distinct length(sealed)) from hub_challenges where username in ('alice', 'oscar')";
    assert_eq!(client.query_one(sql, &[]).await.expect("counted").get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_form_that_leads_to_another_hub_is_not_followed() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice"]).await;
    // Somebody whose space is elsewhere: the shop's hub is not theirs, and would ask for their password in vain.
    let elsewhere = url("https://elsewhere.test/homing/hub");
    let error = Visit::begin(scene.browser(), &url(LOGIN), "alice", &elsewhere).await.unwrap_err();
    assert!(matches!(error, AgentError::Suspicious(_)), "{error}");
    // A release whose place is not the one that was shown is not posted to.
    let made = scene.site.welcome(&scene.web, "alice", "email|", "{own}").await;
    let mut welcome = user.welcome(&made.challenge).await.expect("opened");
    "https://evil.test".clone_into(&mut welcome.envelope.origin);
    let error = user.approve(&welcome, &gift()).await.unwrap_err();
    assert!(matches!(error, AgentError::Suspicious(_)), "{error} {ENDPOINT}");
}
