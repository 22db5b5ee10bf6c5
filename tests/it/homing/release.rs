//! The last hop: what the endpoint lets in. Releases are signed here with the hub's own key where a hub would not make them so.

use handfast::crypto::SigningKey;
use handfast::homing::release::{Arrived, Release};
use handfast::hub::keys;
use jiff::Timestamp;

use super::scene::{ENDPOINT, LOGIN, Scene, approve, fingerprint, gift, key_bytes, leading_to, open};
use crate::node::eventually;

/// The key that signs the hub's releases now.
async fn hub_key(scene: &Scene) -> SigningKey {
    let ring = keys::ring(&scene.hub.app).await.expect("keys");
    ring.signing(Timestamp::now()).expect("one signs").signing()
}

/// The same release, made at another time or with another key.
fn remade(scene: &Scene, action: &str, key: &SigningKey, hs_ts: i64) -> String {
    let (_, query) = action.split_once('?').expect("a query");
    let arrived = Arrived::parse(query).expect("a release");
    let (query, f_in_g) = (arrived.query, arrived.f_in_g);
    Release { site: &scene.site.id, endpoint: ENDPOINT, query, f_in_g, hs_ts, granted: "email" }.action(key)
}

/// What the endpoint answers to a release that is `age` seconds old, whole seconds compared as it does; tried until sending and
/// answer fall into the same second.
async fn aged(scene: &Scene, age: i64) -> u16 {
    let (user, key) = (scene.user(&[]).await, hub_key(scene).await);
    let persona = format!("aged-{}", if age < 0 { format!("m{}", -age) } else { age.to_string() });
    user.add_persona(&persona).await.expect("a persona");
    for _ in 0..20 {
        let mut visit = scene.begin(&persona).await;
        let approval = approve(&user, &visit.challenge).await;
        let now = Timestamp::now().as_second();
        let action = remade(scene, &approval.action_text, &key, now - age);
        let landing = visit.arrive(&leading_to(&approval, &action)).await.expect("an answer");
        if Timestamp::now().as_second() == now {
            return landing.endpoint_status;
        }
    }
    panic!("no answer within one second");
}

/// Changes a URL.
type EditText = fn(&str) -> String;
/// Changes what a form holds.
type EditFields = fn(&mut Vec<(String, String)>);

#[tokio::test]
async fn ten_seconds_pass_and_eleven_do_not() {
    let scene = Scene::start().await;
    for (age, status) in [(10, 303), (11, 400), (3_600, 400), (-2, 303), (-3, 400)] {
        assert_eq!(aged(&scene, age).await, status, "{age} s");
    }
}

#[tokio::test]
async fn nothing_in_a_release_can_be_edited() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice", "alicia"]).await;
    let edits: [(&str, EditText); 9] = [
        ("username", |action| action.replacen("username=alice", "username=alicia", 1)),
        ("ts", |action| changed(action, "ts")),
        ("n", |action| changed(action, "n")),
        ("otp", |action| changed(action, "otp")),
        ("f_in_g", |action| changed(action, "f_in_g")),
        ("hs_ts", |action| changed(action, "hs_ts")),
        ("hs_sig", |action| changed(action, "hs_sig")),
        ("a key twice", |action| format!("{action}&username=alice")),
        ("something more", |action| action.replacen('?', "?more=1&", 1)),
    ];
    for (what, edit) in edits {
        let mut visit = scene.begin("alice").await;
        let approval = approve(&user, &visit.challenge).await;
        let action = edit(&approval.action_text);
        assert_ne!(action, approval.action_text, "{what}");
        let landing = visit.arrive(&leading_to(&approval, &action)).await.expect("an answer");
        assert_eq!((landing.endpoint_status, landing.session), (400, None), "{what}");
    }
    assert_eq!(scene.count("hs_sessions").await, 0);
}

/// Another last character but one: the last one of base64url holds bits that do not count.
fn changed(action: &str, name: &str) -> String {
    let start = [format!("?{name}="), format!("&{name}=")].iter().find_map(|key| Some(action.find(key)? + key.len()));
    let start = start.expect("such a parameter");
    let end = action[start..].find('&').map_or(action.len(), |length| start + length);
    let at = end - 2;
    let other = if &action[at..=at] == "1" { "2" } else { "1" };
    format!("{}{other}{}", &action[..at], &action[at + 1..])
}

#[tokio::test]
async fn a_url_opens_the_shop_once() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice"]).await;
    let mut visit = scene.begin("alice").await;
    let approval = approve(&user, &visit.challenge).await;
    let mut again = visit.clone();
    assert!(visit.arrive(&approval).await.expect("an answer").is_in());
    let second = again.arrive(&approval).await.expect("an answer");
    assert_eq!((second.endpoint_status, second.session), (400, None));
    assert_eq!(scene.count("hs_sessions").await, 1);
}

#[tokio::test]
async fn fifty_at_once_get_one_session() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice"]).await;
    let visit = scene.begin("alice").await;
    let approval = approve(&user, &visit.challenge).await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (mut visit, approval) = (visit.clone(), approval.clone());
        all.spawn(async move { visit.arrive(&approval).await.expect("an answer").endpoint_status });
    }
    let mut answers = all.join_all().await;
    answers.sort_unstable();
    assert_eq!((answers[0], &answers[1..]), (303, [400; 49].as_slice()));
    assert_eq!(scene.count("hs_sessions").await, 1);
    assert_eq!(scene.count("hs_accounts").await, 1);
}

#[tokio::test]
async fn a_release_is_good_in_the_browser_that_began_only() {
    let scene = Scene::start().await;
    let (user, other) = (scene.user(&["alice"]).await, scene.user(&["mallory"]).await);
    let mut visit = scene.begin("alice").await;
    let approval = approve(&user, &visit.challenge).await;

    let mut without = visit.clone();
    without.browser = scene.browser();
    assert_eq!(without.arrive(&approval).await.expect("an answer").endpoint_status, 400);
    let mut invented = visit.clone();
    assert!(invented.browser.replace_cookie("shop.test", "__Host-hs_state", "invented"));
    assert_eq!(invented.arrive(&approval).await.expect("an answer").endpoint_status, 400);
    let mut theirs = scene.begin("mallory").await;
    assert_eq!(theirs.arrive(&approval).await.expect("an answer").endpoint_status, 400);
    drop(other);

    assert!(visit.arrive(&approval).await.expect("an answer").is_in(), "the right browser is still let in");
}

#[tokio::test]
async fn a_merchant_keeps_up_with_the_hubs_keys() {
    let scene = Scene::with(|hub| hub, |shop| shop).await;
    let user = scene.user(&["alice"]).await;
    assert!(scene.sign_in(&user, "alice").await.is_in());
    let before = hub_key(&scene).await.public().to_owned();

    // Shown at once, used later: until then the shop, which knows the old key, goes on.
    keys::rotate(&scene.hub.app, std::time::Duration::from_secs(6)).await.expect("rotated");
    assert_eq!(keys::ring(&scene.hub.app).await.expect("keys").shown().len(), 4);
    eventually("both keys are shown", || async { key_bytes(&scene.keeper).await.len() == 2 }).await;
    assert!(scene.sign_in(&user, "alice").await.is_in(), "the old key still signs");

    eventually("the new key signs", || async { *hub_key(&scene).await.public() != before }).await;
    // The hub's process looks at the clock, not at what it knew: from now on it is the new one.
    assert_eq!(scene.sign_in(&user, "alice").await.endpoint_status, 400, "nobody told the shop of the new key");
    let (mut visit, all) = (scene.begin("alice").await, key_bytes(&scene.keeper).await);
    let approval = approve(&user, &visit.challenge).await;
    let (_, query) = approval.action_text.split_once('?').expect("a query");
    let arrived = Arrived::parse(query).expect("a release");
    assert!(arrived.is_signed_by(&all, &scene.site.id, ENDPOINT, "email"), "who has both keys lets them in");
    assert_eq!(visit.arrive(&approval).await.expect("an answer").endpoint_status, 400);
}

#[tokio::test]
async fn what_must_be_given_arrives_or_nobody_is_let_in() {
    let scene = Scene::start().await;
    let user = scene.user(&["alice"]).await;
    let edits: [EditFields; 4] = [
        Vec::clear,
        |fields| fields[0].1.clear(),
        |fields| "no address".clone_into(&mut fields[0].1),
        |fields| fields.push(("sc_email".into(), "second@mail.example".into())),
    ];
    for edit in edits {
        let mut visit = scene.begin("alice").await;
        let mut approval = approve(&user, &visit.challenge).await;
        edit(&mut approval.fields);
        let landing = visit.arrive(&approval).await.expect("an answer");
        assert_eq!((landing.endpoint_status, landing.session), (400, None), "{:?}", approval.fields.len());
    }
    assert_eq!(scene.count("hs_accounts").await, 0);
    // Something that was not granted, and something that nobody asked for: the first breaks the signature, the second is nothing.
    let mut visit = scene.begin("alice").await;
    let mut approval = approve(&user, &visit.challenge).await;
    approval.fields.push(("sc_phone1".into(), "+4930123456".into()));
    assert_eq!(visit.arrive(&approval).await.expect("an answer").endpoint_status, 400);
    approval.fields.pop();
    approval.fields.push(("sc_birthday".into(), "2000-01-01".into()));
    assert!(visit.arrive(&approval).await.expect("an answer").is_in());
    assert_eq!(scene.count("hs_claims").await, 1);
}

#[tokio::test]
async fn the_endpoint_is_for_posts_and_says_nothing_of_its_reasons() {
    let scene = Scene::start().await;
    let mut browser = scene.browser();
    let page = open(&mut browser, LOGIN).await;
    assert_eq!(page.header("referrer-policy"), Some("same-origin"), "the form's own page may be named to its own site");
    let looked = open(&mut browser, ENDPOINT).await;
    assert_eq!((looked.status, looked.header("allow")), (405, Some("POST")));
    assert_eq!(looked.header("referrer-policy"), Some("no-referrer"));

    let user = scene.user(&["alice"]).await;
    let mut said = Vec::new();
    for name in ["otp", "hs_sig", "f_in_g"] {
        let mut visit = scene.begin("alice").await;
        let welcome = user.welcome(&visit.challenge).await.expect("opened");
        let approval = user.approve(&welcome, &gift()).await.expect("approved");
        let broken = leading_to(&approval, &changed(&approval.action_text, name));
        let body = visit.arrive(&broken).await.expect("an answer").body;
        assert!(!body.contains(&fingerprint(&approval)) && !body.contains("otp"), "{body}");
        let (before, rest) = body.split_once("Reference: ").expect("a reference");
        said.push(format!("{before}{}", &rest[12..]));
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:#?}");
}
