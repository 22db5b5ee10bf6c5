//! The bad day: what failed is found, read, counted, replayed, and seen to arrive. On a phone, without JavaScript.

use std::sync::atomic::Ordering;

use super::{ATTACK, Stage};
use crate::browser::driver::Wanted;
use crate::node::eventually;

#[tokio::test]
async fn a_dead_letter_is_found_read_replayed_and_seen_delivered() {
    let stage = Stage::new(Wanted::javascript(false).phone(360)).await;
    let (scene, browser, node) = (&stage.scene, &stage.scene.browser, &stage.scene.node);
    scene.open("/console/deliveries").await;
    browser.type_into("#find-q", &format!("{ATTACK} failed")).await;
    browser.click("form.filter button").await;
    browser.hears(".chips", "failed").await;
    browser.hears("tbody", "bad").await;
    assert!(!browser.sees("tbody tr:nth-child(2)").await, "more than the one that failed");

    browser.click("tbody th a").await;
    browser.hears("[data-live=standing]", "refused for good").await;
    browser.hears("[data-live=attempts] tbody", "400").await;
    browser.hears("pre", ATTACK).await;

    scene.open("/console/dead").await;
    browser.hears("tbody", "bad").await;
    browser.click("tbody a[href*='/replays/new']").await;
    browser.hears("main [role=status]", "1 delivery").await;
    browser.hears("main [role=status]", "Nothing has been done yet").await;
    assert_eq!(node.state(&stage.failed).await, "failed", "looking changed something");

    stage.healed.store(true, Ordering::SeqCst);
    browser.type_into("#begin-rate", "fast").await;
    browser.click(".card button").await;
    browser.hears(".wrong", "is not a number").await;
    assert_eq!(node.state(&stage.failed).await, "failed", "a form with a mistake was carried out");
    browser.type_into("#begin-rate", "50").await;
    browser.click(".card button").await;
    browser.hears("h1", "Operation").await;
    browser.hears(".said", "It has begun").await;
    eventually("it is delivered", async || node.state(&stage.failed).await == "delivered").await;

    scene.open(&format!("/console/deliveries/{}", stage.failed)).await;
    browser.hears("[data-live=standing] .badge", "delivered").await;
    browser.hears("[data-live=attempts] tbody", "204").await;
    let record = node.get("audit?action=replay").await;
    assert_eq!(record["items"][0]["action"], "console: replay deliveries", "{record}");
    assert_eq!(record["items"][0]["outcome"], 200, "{record}");
    let subject = record["items"][0]["subject"].as_str().unwrap();
    assert!(subject.contains("destination=bad") && subject.contains("rate=50"), "{subject}");
    stage.scene.close().await;
}

#[tokio::test]
async fn the_box_understands_what_people_paste() {
    let stage = Stage::new(Wanted::javascript(false)).await;
    let (scene, browser) = (&stage.scene, &stage.scene.browser);
    for (text, found, not) in [
        (stage.failed.as_str(), "bad", "busy"),
        ("400", "bad", "busy"),
        ("5xx", "busy", "bad"),
        ("busy", "busy", "bad"),
        ("retrying", "busy", "good"),
        ("delivered", "good", "bad"),
        ("state:failed tag:nobody", "Nothing was found", "bad"),
        ("sender:test good", "good", "bad"),
    ] {
        scene.open("/console/deliveries").await;
        browser.type_into("#find-q", text).await;
        browser.click("form.filter button").await;
        browser.hears("main", found).await;
        let cells = if browser.sees("tbody").await { browser.text("tbody").await } else { String::new() };
        assert!(!cells.contains(not), "{text}: {cells}");
    }
    scene.open("/console/deliveries?state=lost&since=monday").await;
    browser.hears("#find-more", "State holds \"lost\", which is no state").await;
    browser.hears("#find-more", "Accepted since is not a time").await;
    stage.scene.close().await;
}

#[tokio::test]
async fn one_that_waits_is_cancelled_and_sent_again() {
    let stage = Stage::new(Wanted::javascript(false)).await;
    let (scene, browser, node) = (&stage.scene, &stage.scene.browser, &stage.scene.node);
    scene.open(&format!("/console/deliveries/{}", stage.retrying)).await;
    browser.hears("[data-live=standing]", "Its next try is at").await;
    browser.click(".confirm summary").await;
    browser.click(".confirm button").await;
    browser.hears(".said", "It will not be sent").await;
    assert_eq!(node.state(&stage.retrying).await, "cancelled");
    browser.hears(".confirm", "Replay").await;
    scene.open(&format!("/console/deliveries/{}", stage.delivered)).await;
    browser.hears("[data-live=standing]", "The peer has it").await;
    assert!(!browser.sees(".confirm").await, "what was delivered can be sent again");
    stage.scene.close().await;
}
