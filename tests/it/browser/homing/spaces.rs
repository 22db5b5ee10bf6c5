//! Somebody's space: made, kept, moved, and what the browser keeps of it.

use serde_json::json;

use crate::node::eventually;

use super::scene::{PASSWORD, Scene, hub, make_space};

#[tokio::test]
async fn a_space_is_made_locked_and_moved_to_another_browser() {
    let scene = Scene::start().await;
    let ann = scene.person().await;
    assert!(ann.code.starts_with("hsp_") && ann.code.len() == 26, "{}", ann.code);
    ann.take("ann").await;
    ann.browser.type_into("#property-email", "ann@mail.test").await;
    ann.browser.click("#properties-form button").await;
    ann.browser.hears("#status", "Kept").await;
    ann.browser.click("#lock").await;
    ann.browser.hears("#status", "You are signed out.").await;

    ann.browser.type_into("#unlock-password", "not the password").await;
    ann.browser.click("#unlock-form button").await;
    ann.browser.hears("#alert", "does not open the space").await;
    assert!(!ann.browser.sees("#open").await);
    ann.unlock().await;
    ann.browser.hears("#personas", "ann").await;

    let other = scene.browser().await;
    other.open(&hub("")).await;
    for (code, password, words) in [
        ("hsp_AAAAAAAAAAAAAAAAAAAAAA", PASSWORD, "no space with this code"),
        (ann.code.as_str(), "not the password", "does not open the space"),
    ] {
        other.type_into("#bring-space", code).await;
        other.type_into("#bring-password", password).await;
        other.click("#bring-form button").await;
        other.hears("#alert", words).await;
    }
    other.type_into("#bring-password", PASSWORD).await;
    other.click("#bring-form button").await;
    other.hears("#personas", "ann").await;
    assert_eq!(other.value("#property-email").await, "ann@mail.test");
    other.close().await;
    ann.browser.close().await;
}

/// Whoever reads the browser's storage finds a code, a sealed vault and a session; no key, no password, no property.
#[tokio::test]
async fn a_browser_keeps_nothing_that_is_open() {
    let scene = Scene::start().await;
    let ann = scene.person().await;
    ann.browser.type_into("#property-fullname", "Ann Archer").await;
    ann.browser.click("#properties-form button").await;
    ann.browser.hears("#status", "Kept").await;
    let script = "const opened = await new Promise((resolve) => { const r = indexedDB.open('homing'); r.onsuccess = () => resolve(r.result); });
        const all = await new Promise((resolve) => { const r = opened.transaction('spaces').objectStore('spaces').getAll(); r.onsuccess = () => resolve(r.result); });
        opened.close();
        return [all, {...sessionStorage}, {...localStorage}, document.cookie, (await indexedDB.databases()).map((one) => one.name)];";
    let kept = ann.browser.run(&format!("return (async () => {{ {script} }})();"), json!([])).await;
    let record = &kept[0][0];
    let mut names: Vec<&String> = record.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["space", "vault", "version"]);
    let mut vault: Vec<String> = serde_json::from_str::<serde_json::Value>(record["vault"].as_str().unwrap())
        .unwrap()
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    vault.sort();
    assert_eq!(vault, ["alg", "box", "mem", "nonce", "ops", "salt", "v"]);
    assert_eq!(kept[1].as_object().unwrap().keys().collect::<Vec<_>>(), ["homing-session"]);
    assert_eq!((&kept[2], &kept[3], &kept[4]), (&json!({}), &json!(""), &json!(["homing"])));
    for secret in [PASSWORD, "Ann Archer"] {
        assert!(!kept.to_string().contains(secret), "{secret} is kept in the open");
    }
    ann.browser.close().await;
}

#[tokio::test]
async fn an_eighth_name_is_refused_in_words_and_a_deleted_one_is_nobodys() {
    let scene = Scene::start().await;
    let ann = scene.person().await;
    for n in 1..=7 {
        ann.take(&format!("ann-{n}")).await;
    }
    ann.browser.hears("#personas-left", "All 7 are taken.").await;
    ann.browser.type_into("#persona-name", "ann-8").await;
    ann.browser.click("#persona-form button").await;
    ann.browser.hears("#alert", "seven personas at most").await;

    ann.browser.click("[aria-label='Delete the persona ann-3']").await;
    // By keyboard: the dialog has the focus, on the answer that changes nothing.
    ann.browser.see("#sure").await;
    ann.browser.press("\u{e007}").await;
    assert!(ann.browser.text("#personas").await.contains("ann-3"));
    ann.browser.click("[aria-label='Delete the persona ann-3']").await;
    ann.browser.click("#sure-yes").await;
    ann.browser.hears("#status", "ann-3 is deleted.").await;
    ann.browser.type_into("#persona-name", "ann-3").await;
    ann.browser.click("#persona-form button").await;
    ann.browser.hears("#alert", "Somebody has, or had, this name").await;
    ann.take("ann-9").await;
    ann.browser.close().await;
}

#[tokio::test]
async fn a_password_that_is_changed_counts_in_every_browser() {
    let scene = Scene::start().await;
    let ann = scene.person().await;
    let other = scene.browser().await;
    other.open(&hub("")).await;
    other.type_into("#bring-space", &ann.code).await;
    other.type_into("#bring-password", PASSWORD).await;
    other.click("#bring-form button").await;
    other.hears("#status", "Your space is open.").await;

    let new = "eight geese under the moon";
    ann.browser.click("#password-form-part summary").await;
    ann.browser.type_into("#password-old", "not the password").await;
    ann.browser.type_into("#password-new", new).await;
    ann.browser.type_into("#password-again", new).await;
    ann.browser.click("#password-form button").await;
    ann.browser.hears("#alert", "does not open the space").await;
    ann.browser.type_into("#password-old", PASSWORD).await;
    ann.browser.click("#password-form button").await;
    ann.browser.hears("#status", "The password is changed.").await;

    other.open(&hub("")).await;
    other.type_into("#unlock-password", new).await;
    other.click("#unlock-form button").await;
    other.hears("#status", "Your space is open.").await;
    other.close().await;
    ann.browser.close().await;
}

/// A call of one's own web address is signed with a secret that is shown once; a mail address waits for its code.
#[tokio::test]
async fn notices_are_added_and_deleted() {
    let scene = Scene::start().await;
    let ann = scene.person().await;
    let browser = &ann.browser;
    browser.click("#notice-kind option[value=webhook]").await;
    browser.type_into("#notice-address", "https://ann.test/told").await;
    browser.click("#notice-form button").await;
    browser.hears("#notices", "A call of ann.test").await;
    assert!(browser.value("#notice-secret").await.starts_with("whsec_"));
    browser.click("#notice-kind option[value=email]").await;
    browser.type_into("#notice-address", "ann@mail.test").await;
    browser.click("#notice-form button").await;
    browser.hears("#notices", "Code from the mail").await;
    assert!(!browser.sees("#notice-secret").await, "the other notice's secret is still shown");
    browser.type_into("#notices input[name=code]", "000000").await;
    browser.click("#notices form button").await;
    browser.hears("#alert", "not the code that was sent").await;
    let sent =
        || async { std::fs::read_to_string(scene.hub.dir().join("codes.jsonl")).is_ok_and(|text| !text.is_empty()) };
    eventually("the code is sent", sent).await;
    let sent = std::fs::read_to_string(scene.hub.dir().join("codes.jsonl")).unwrap();
    let sent: serde_json::Value = serde_json::from_str(sent.lines().next().unwrap()).unwrap();
    browser.type_into("#notices input[name=code]", sent["code"].as_str().unwrap()).await;
    browser.click("#notices form button").await;
    browser.hears("#status", "The address is confirmed.").await;
    browser.click("#notices li:first-child > button").await;
    browser.hears("#status", "The notice is deleted.").await;
    assert!(!browser.text("#notices").await.contains("ann.test"));
    ann.browser.close().await;
}

/// What the session of one space may do, another one of the same tab must not: its vault would be written over.
#[tokio::test]
async fn the_next_space_of_a_tab_leaves_the_one_before_alone() {
    let scene = Scene::start().await;
    let ann = scene.person().await;
    let write = async |name: &str| {
        ann.browser.type_into("#property-fullname", name).await;
        ann.browser.click("#properties-form button").await;
        ann.browser.hears("#status", "Kept").await;
    };
    write("Ann Archer").await;
    // As if another tab had removed it: this one still has its session.
    let removed =
        "return new Promise((resolve) => { indexedDB.deleteDatabase('homing').onsuccess = () => resolve(true); });";
    ann.browser.run(removed, json!([])).await;
    let held = "return JSON.parse(sessionStorage.getItem('homing-session'))?.space ?? null;";
    assert_eq!(ann.browser.run(held, json!([])).await, json!(ann.code));
    let bob = make_space(&ann.browser).await;
    assert_ne!(bob, ann.code);
    assert_eq!(ann.browser.run(held, json!([])).await, json!(bob));
    write("Bob Baker").await;

    let other = scene.browser().await;
    for (code, name) in [(&ann.code, "Ann Archer"), (&bob, "Bob Baker")] {
        other.open(&hub("")).await;
        other.type_into("#bring-space", code).await;
        other.type_into("#bring-password", PASSWORD).await;
        other.click("#bring-form button").await;
        other.hears("#status", "Your space is open.").await;
        assert_eq!(other.value("#property-fullname").await, name);
        other.open(&hub("")).await;
        other.click("#forget").await;
        other.click("#sure-yes").await;
        other.see("#bring-space").await;
        assert_eq!(other.run(held, json!([])).await, json!(null), "the session is over");
    }
    other.close().await;
    ann.browser.close().await;
}
