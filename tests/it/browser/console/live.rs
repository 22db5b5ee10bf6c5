//! Pages that keep themselves up to date.

use serde_json::json;

use super::Scene;
use crate::browser::driver::Wanted;
use crate::node::Options;

/// Settled soon counts; the minute's rate is over the last whole one, so what changes at once is what is open.
#[tokio::test]
async fn a_number_changes_without_the_page_being_loaded_again() {
    let scene = Scene::with(Wanted::javascript(true), Options::of("shop.test")).await;
    let (browser, node) = (&scene.browser, &scene.node);
    browser.hears("#live", "Live").await;
    browser.run("window.here = 'still'; document.querySelector('#pace-table').open = true", json!([])).await;
    browser.hears("[data-live=destinations] p", "0 paused here").await;
    browser.hears("[data-live=destinations] .empty", "None").await;
    node.api("POST", "destinations/slow.test/pause", Some(json!({}))).await.good();
    browser.hears("[data-live=destinations] p", "1 paused here").await;
    browser.hears("[data-live=destinations] tbody", "slow.test").await;
    assert_eq!(browser.run("return window.here", json!([])).await, "still", "the page was loaded again");
    let open = browser.run("return document.querySelector('#pace-table').open", json!([])).await;
    assert_eq!(open, true, "what was opened was closed again");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    scene.close().await;
}

#[tokio::test]
async fn the_strip_says_when_the_workers_are_gone_and_the_stream_comes_back_after_a_restart() {
    let mut scene = Scene::with(Wanted::javascript(true), Options::of("shop.test")).await;
    scene.browser.hears(".strip", "Workers are alive").await;
    scene.browser.hears("#live", "Live").await;
    scene.node.kill_work().await;
    scene.browser.hears(".strip", "Workers are missing").await;
    scene.node.kill_serve().await;
    scene.browser.hears("#live", "Reconnecting").await;
    scene.node.start_serve();
    scene.node.start_work();
    scene.node.ready().await;
    scene.browser.hears("#live", "Live").await;
    scene.browser.hears(".strip", "Workers are alive").await;
    scene.close().await;
}

#[tokio::test]
async fn a_page_in_another_tab_hears_that_one_has_signed_out() {
    let scene = Scene::new(Wanted::javascript(true)).await;
    let browser = &scene.browser;
    browser.hears("#live", "Live").await;
    let leave = "const form = document.querySelector('.who');
        return fetch(form.action, {method: 'POST', body: new URLSearchParams(new FormData(form))}).then(() => 'sent')";
    assert_eq!(browser.run(leave, json!([])).await, "sent");
    browser.hears("#live", "Signed out").await;
    scene.close().await;
}
