//! Every page at a screen's and a phone's width, light and dark, with hostile texts on it.

use serde_json::json;

use super::Stage;
use crate::browser::driver::Wanted;
use crate::browser::looks::Scheme;

async fn everything_is_usable(wanted: Wanted) {
    let (stage, pages) = Stage::full(wanted).await;
    let (scene, browser) = (&stage.scene, &stage.scene.browser);
    let mut wrong = Vec::new();
    for scheme in Scheme::BOTH {
        browser.prefer(scheme).await;
        for (page, path) in &pages {
            scene.open(path).await;
            browser.see("h1").await;
            browser
                .run("document.querySelectorAll('details').forEach(details => details.open = true)", json!([]))
                .await;
            let faults = browser.faults().await;
            browser.keep_picture(&format!("console-{page}"), scheme).await;
            wrong.extend(faults.into_iter().map(|fault| format!("{page}: {fault}")));
            let state = browser.run(
                "return [document.title, document.querySelectorAll('main img, main script, header img').length]",
                json!([]),
            );
            let state = state.await;
            assert!(!state[0].as_str().unwrap().starts_with("taken") && state[1] == 0, "{page}: {state}");
            let origin = scene.url("/console/");
            assert!(
                browser.loaded().await.iter().all(|name| name.starts_with(&origin)),
                "{page} loads what is not ours"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    stage.scene.close().await;
}

#[tokio::test]
async fn every_page_is_usable_on_a_screen_and_hostile_texts_stay_texts() {
    everything_is_usable(Wanted::javascript(true)).await;
}

#[tokio::test]
async fn every_page_is_usable_on_a_phone_and_hostile_texts_stay_texts() {
    everything_is_usable(Wanted::javascript(true).phone(360)).await;
}

#[tokio::test]
async fn a_page_follows_what_happens() {
    let stage = Stage::new(Wanted::javascript(true)).await;
    let (scene, browser, node) = (&stage.scene, &stage.scene.browser, &stage.scene.node);
    scene.open("/console/destinations/slow.test").await;
    scene.open("/console/destinations").await;
    browser.run("window.here = 'still'", json!([])).await;
    node.api("POST", "destinations/slow.test/pause", Some(json!({}))).await.good();
    browser.hears("[data-live=rows]", "slow.test").await;
    assert_eq!(browser.run("return window.here", json!([])).await, "still", "the page was loaded again");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    stage.scene.close().await;
}
