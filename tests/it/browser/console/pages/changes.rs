//! Changes beyond deliveries, and who may make them.

use serde_json::json;

use super::{NAME, Stage};
use crate::browser::console::Scene;
use crate::browser::driver::Wanted;

#[tokio::test]
async fn a_campaign_is_paused_spaced_and_cancelled() {
    let scene = Scene::busy(Wanted::javascript(false).phone(360)).await;
    let (browser, node) = (&scene.browser, &scene.node);
    scene.open("/console/campaigns").await;
    browser.click("tbody th a").await;
    browser.hears("h1", "Spring sale").await;
    browser.click("form[action$='/pause'] button").await;
    browser.hears(".said", "It is paused").await;
    let campaign = async || node.get("campaigns").await["items"][0].clone();
    assert_eq!(campaign().await["state"], "paused");
    browser.type_into("#pace-rate", "lots").await;
    browser.click("form[action$='/rate'] button").await;
    browser.hears(".wrong", "Deliveries a second is not a number").await;
    assert_eq!(browser.value("#pace-rate").await, "lots", "what was typed is lost");
    browser.type_into("#pace-rate", "12.5").await;
    browser.click("form[action$='/rate'] button").await;
    browser.hears(".said", "The rate holds").await;
    assert_eq!(campaign().await["rate"], 12.5);
    browser.click("form[action$='/resume'] button").await;
    browser.hears(".said", "It goes on").await;
    assert!(!browser.sees("form[action$='/cancel'] button").await, "what cannot be taken back is one click away");
    browser.click(".actions details:last-child summary").await;
    browser.click("form[action$='/cancel'] button").await;
    browser.hears(".said", "It is cancelled").await;
    assert_eq!(campaign().await["state"], "cancelled");
    scene.close().await;
}

#[tokio::test]
async fn a_destination_is_closed_paced_and_opened() {
    let scene = Scene::new(Wanted::javascript(false)).await;
    let (browser, node) = (&scene.browser, &scene.node);
    scene.open("/console/destinations?name=peer.test").await;
    browser.click(".confirm summary").await;
    browser.click("form[action$='/pause'] button").await;
    browser.hears(".said", "It is paused").await;
    assert_eq!(node.get("destinations/peer.test").await["state"], "paused");
    browser.click("#pace summary").await;
    browser.type_into("#pace-concurrency", "0").await;
    browser.type_into("#pace-schedule", "1, soon").await;
    browser.click("form[action$='/pace'] button").await;
    browser.hears("#pace", "at the most is not a number from 1 to 10000").await;
    browser.hears("#pace", "in seconds is not a list").await;
    browser.type_into("#pace-concurrency", "3").await;
    browser.type_into("#pace-rate", "0.5").await;
    browser.type_into("#pace-schedule", "1, 60").await;
    browser.click("form[action$='/pace'] button").await;
    browser.hears(".said", "Its limits are set").await;
    let set = node.get("destinations/peer.test").await;
    assert_eq!((&set["concurrency"], &set["rate"], &set["schedule"]), (&json!(3), &json!(0.5), &json!([1, 60])));
    browser.click("form[action$='/resume'] button").await;
    browser.hears(".said", "Everything goes again").await;
    assert_ne!(node.get("destinations/peer.test").await["state"], "paused");
    scene.close().await;
}

#[tokio::test]
async fn accounts_codes_handshakes_and_connections_from_beginning_to_end() {
    let scene = Scene::new(Wanted::javascript(false).phone(360)).await;
    let (browser, node) = (&scene.browser, &scene.node);
    let ann = node.account("2000", "Ann").await;
    scene.open("/console/accounts").await;
    browser.click("#new summary").await;
    browser.type_into("#new-address", "2000").await;
    browser.type_into("#new-name", NAME).await;
    browser.click("#new form button").await;
    browser.hears("#new", "Address is taken").await;
    browser.type_into("#new-address", "1000").await;
    browser.click("#new form button").await;
    browser.hears(".said", "The account is made").await;
    browser.hears("h1", NAME).await;

    scene.open(&format!("/console/accounts/{ann}")).await;
    browser.type_into("#codes-minutes", "61").await;
    browser.click("form[action$='/passcodes'] button").await;
    browser.hears(".wrong", "from 1 to 60").await;
    browser.type_into("#codes-minutes", "5").await;
    browser.click("form[action$='/passcodes'] button").await;
    browser.see("#pass-code").await;
    let code = browser.text("#pass-code").await;
    scene.open(&format!("/console/accounts/{ann}")).await;
    browser.hears("tbody", "Withdraw").await;
    assert!(!browser.text("main").await.contains(&code), "the code is shown again");

    scene.open("/console/connections").await;
    browser.click("#new summary").await;
    browser.type_into("#new-from", "1000").await;
    browser.type_into("#new-to", &ann).await;
    browser.type_into("#new-pass_code", "12").await;
    browser.click("#new form button").await;
    browser.hears(".wrong", "is not six digits").await;
    assert_eq!(browser.value("#new-pass_code").await, "", "a code is shown again");
    browser.type_into("#new-pass_code", &code).await;
    browser.click("#new form button").await;
    browser.hears("h1", "Handshake").await;
    while !browser.text("main").await.contains("connected") {
        browser.click("main a[href*='/handshakes/']").await;
        browser.hears("h1", "Handshake").await;
    }
    browser.click("main a[href*='/connections/']").await;
    browser.click(".confirm summary").await;
    browser.click("form[action$='/block'] button").await;
    browser.hears(".said", "It is blocked").await;
    browser.click("form[action$='/unblock'] button").await;
    browser.hears(".said", "It is open again").await;
    let audit = node.get("audit?action=handshake").await;
    assert_eq!(audit["items"][0]["action"], "console: start handshake");
    let record = node.get("audit").await;
    let told = |row: &serde_json::Value| {
        row["subject"].as_str().unwrap().split(' ').any(|word| word.contains(&code) && word.len() < 20)
    };
    assert!(!record["items"].as_array().unwrap().iter().any(told), "a code is in the record");
    scene.close().await;
}

#[tokio::test]
async fn keys_and_secrets_are_shown_once_and_nobody_makes_a_key_that_may_more() {
    let stage = Stage::new(Wanted::javascript(false)).await;
    let (scene, browser, node) = (&stage.scene, &stage.scene.browser, &stage.scene.node);
    let weak = node.post("keys", json!({"sender": "weak", "scopes": ["keys", "deliveries:read"]})).await;
    scene.sign_out().await;
    scene.sign_in(weak["key"].as_str().unwrap()).await;
    scene.open("/console/keys").await;
    browser.click("#new summary").await;
    browser.type_into("#new-sender", "more").await;
    browser.type_into("#new-scopes", "deliveries").await;
    browser.click("#new form button").await;
    browser.hears(".wrong", "which you may not do yourself").await;
    browser.type_into("#new-scopes", "deliveries:read").await;
    browser.click("#new form button").await;
    browser.see("#key").await;
    let made = browser.text("#key").await;
    assert!(made.starts_with("hf_"), "{made}");
    scene.open("/console/keys").await;
    assert!(!browser.text("main").await.contains(&made), "the key is shown again");
    scene.sign_out().await;
    scene.sign_in(&made).await;

    scene.sign_out().await;
    scene.sign_in(node.key()).await;
    scene.open("/console/webhooks").await;
    browser.click("#new summary").await;
    browser.type_into("#new-name", "good").await;
    browser.type_into("#new-url", "http://hooks.test/").await;
    browser.click("#new form button").await;
    browser.hears("#new", "URL is not valid").await;
    browser.type_into("#new-url", "https://hooks.test/good").await;
    browser.click("#new form button").await;
    browser.hears("#new", "Name is taken").await;
    browser.type_into("#new-name", "good2").await;
    browser.click("#new form button").await;
    browser.see("#secret").await;
    let secret = browser.text("#secret").await;
    scene.open("/console/webhooks/good2").await;
    assert!(!browser.text("main").await.contains(&secret), "the secret is shown again");
    browser.click("form[action$='/test'] button").await;
    browser.hears("h1", "Delivery").await;
    scene.open("/console/webhooks/good2").await;
    browser.click("details.confirm summary").await;
    browser.click("form[action$='/disable'] button").await;
    browser.hears(".said", "It is disabled").await;
    assert_eq!(node.get("webhooks/good2").await["disabled"], true);
    let record = node.get("audit").await.to_string();
    assert!(!record.contains(&made) && !record.contains(&secret), "a secret is in the record");
    stage.scene.close().await;
}

#[tokio::test]
async fn who_may_only_look_sees_everything_and_changes_nothing() {
    let (stage, pages) = Stage::full(Wanted::javascript(true)).await;
    let (scene, browser, node) = (&stage.scene, &stage.scene.browser, &stage.scene.node);
    let parts = [
        "accounts",
        "passcodes",
        "connections",
        "deliveries",
        "campaigns",
        "destinations",
        "phones",
        "apps",
        "webhooks",
        "keys",
        "node",
    ];
    let scopes: Vec<String> = parts.iter().map(|part| format!("{part}:read")).collect();
    let key = node.post("keys", json!({"sender": "looker", "scopes": scopes})).await;
    scene.sign_out().await;
    scene.sign_in(key["key"].as_str().unwrap()).await;
    for (page, path) in &pages {
        scene.open(path).await;
        browser.see("h1").await;
        let heading = browser.text("h1").await;
        assert!(!heading.contains("Not"), "{page}: {heading}");
        assert!(!browser.sees("main form[method=post]").await, "{page} offers a change");
    }
    let token = browser.value("input[name=token]").await;
    let forge = "return fetch(arguments[0], {method: 'POST', redirect: 'manual',
        body: new URLSearchParams({token: arguments[1]})}).then(answer => answer.status)";
    for path in [
        format!("deliveries/{}/replay", stage.failed),
        "replays".into(),
        "destinations/bad/pause".into(),
        "webhooks/bad/delete".into(),
        "keys".into(),
        "accounts/1000*shop.test/disable".into(),
    ] {
        let status = browser.run(forge, json!([format!("/console/{path}"), token])).await;
        assert_eq!(status, 403, "{path}");
    }
    assert_eq!(node.state(&stage.failed).await, "failed");
    stage.scene.close().await;
}
