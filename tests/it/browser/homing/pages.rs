//! What the pages are like before anybody does anything.

use serde_json::json;

use super::scene::{Scene, hub};

const PAGES: [&str; 4] = ["", "utilities/reveal-keys", "utilities/secret-sauce", "w/hsc_AAAAAAAAAAAAAAAAAAAAAA"];

#[tokio::test]
async fn without_javascript_a_page_says_that_the_keys_need_it() {
    let scene = Scene::start().await;
    let browser = scene.wanted(false).start().await;
    for page in PAGES {
        browser.open(&hub(page)).await;
        browser.words_with("JavaScript is switched off").await;
        assert!(!browser.sees("main form").await, "{page} shows a form that could do nothing");
    }
    browser.close().await;
}

#[tokio::test]
async fn a_page_fits_a_phone() {
    let scene = Scene::start().await;
    let browser = scene.wanted(true).phone(360).start().await;
    let shown = [("start", "#start"), ("reveal-keys", "#none"), ("secret-sauce", "#none"), ("welcome", "#none")];
    for (page, (name, section)) in PAGES.into_iter().zip(shown) {
        browser.open(&hub(page)).await;
        browser.see(section).await;
        let all = "document.querySelectorAll('main > section').forEach((one) => { one.hidden = false; });";
        let sizes =
            browser.run(&format!("{all} return [innerWidth, document.documentElement.scrollWidth];"), json!([])).await;
        assert_eq!(sizes[0], 360);
        assert!(sizes[1].as_u64() <= Some(360), "{page} is {} wide", sizes[1]);
        browser.keep_both_pictures(&format!("homing-{name}")).await;
    }
    browser.close().await;
}
