//! What operators do, as they do it.

use super::Scene;
use crate::browser::driver::Wanted;
use crate::browser::looks::Scheme;

/// Pages about the node itself: a name for the picture, the path, and a part of the heading.
const PAGES: [(&str, &str, &str); 4] = [
    ("overview", "/console", "Overview"),
    ("audit", "/console/audit", "Audit"),
    ("configuration", "/console/configuration", "Configuration"),
    ("not-found", "/console/nothing", "Not found"),
];

/// Enter, as WebDriver has it (17.4.2); the others likewise.
const ENTER: &str = "\u{E007}";
const TAB: &str = "\u{E004}";

async fn everything_is_usable(wanted: Wanted, width: &str) {
    let scene = Scene::busy(wanted).await;
    let browser = &scene.browser;
    for scheme in Scheme::BOTH {
        browser.prefer(scheme).await;
        for (page, path, heading) in PAGES {
            scene.open(path).await;
            browser.hears("h1", heading).await;
            let faults = browser.faults().await;
            browser.keep_picture(&format!("console-{page}"), scheme).await;
            assert!(faults.is_empty(), "{page} {width}: {faults:#?}");
            let origin = scene.url("/console/");
            let foreign: Vec<String> =
                browser.loaded().await.into_iter().filter(|name| !name.starts_with(&origin)).collect();
            assert!(foreign.is_empty(), "{page} loads {foreign:?}");
        }
    }
    // The only thing to complain about is the page that is not there.
    let complaints = browser.complaints().await;
    assert!(complaints.iter().all(|said| said.contains("/console/nothing") && said.contains("404")), "{complaints:#?}");
    scene.close().await;
}

#[tokio::test]
async fn every_page_is_usable_on_a_screen() {
    everything_is_usable(Wanted::javascript(true), "screen").await;
}

#[tokio::test]
async fn every_page_is_usable_on_a_phone() {
    everything_is_usable(Wanted::javascript(true).phone(360), "phone").await;
}

#[tokio::test]
async fn the_sign_in_page_is_usable_and_a_wrong_key_is_said() {
    let scene = Scene::new(Wanted::javascript(true).phone(360)).await;
    let browser = &scene.browser;
    browser.click("header .who button").await;
    browser.hears("h1", "Sign in").await;
    browser.type_into("input[name=api_key]", "hf_wrong").await;
    browser.click("main button").await;
    browser.hears("[role=alert]", "not known").await;
    for scheme in Scheme::BOTH {
        browser.prefer(scheme).await;
        let faults = browser.faults().await;
        browser.keep_picture("console-sign-in", scheme).await;
        assert!(faults.is_empty(), "{faults:#?}");
    }
    scene.close().await;
}

#[tokio::test]
async fn without_javascript_everything_can_be_found_too() {
    let scene = Scene::busy(Wanted::javascript(false)).await;
    let browser = &scene.browser;
    browser.hears("[data-live=pace] h2", "Deliveries a minute").await;
    assert!(!browser.sees("#live").await, "it says that it is live, and is not");
    browser.click("#pace-table summary").await;
    browser.see("#pace-table table").await;

    browser.click("nav.side a[href='/console/audit']").await;
    browser.hears("h1", "Audit").await;
    browser.type_into("input[name=action]", "destinations/{name}/pause").await;
    browser.click("form.filter button").await;
    browser.hears("tbody", "slow.test").await;
    assert_eq!(browser.value("input[name=action]").await, "destinations/{name}/pause");
    browser.type_into("input[name=actor]", "nobody").await;
    browser.click("form.filter button").await;
    browser.hears("main .empty", "Nothing that matches").await;

    browser.click("nav.side a[href='/console/configuration']").await;
    browser.type_into("input[name=name]", "database").await;
    browser.click("form.filter button").await;
    browser.hears("main", "••••••••").await;
    let password = scene.node.app.config.database.url.reveal().to_owned();
    assert!(!browser.words_with("••••••••").await.contains(&password));

    browser.click("header .who button").await;
    browser.hears("h1", "Sign in").await;
    scene.open("/console/audit").await;
    browser.hears("h1", "Sign in").await;
    scene.close().await;
}

#[tokio::test]
async fn a_phone_has_the_whole_navigation_behind_a_button() {
    let scene = Scene::new(Wanted::javascript(false).phone(360)).await;
    let browser = &scene.browser;
    let few = browser.sees("nav.side").await;
    if !few {
        browser.click("details.menu summary").await;
    }
    let link = if few { "nav.side a[href='/console/audit']" } else { ".menu a[href='/console/audit']" };
    browser.click(link).await;
    browser.hears("h1", "Audit").await;
    scene.close().await;
}

#[tokio::test]
async fn the_keyboard_alone_leads_everywhere() {
    let scene = Scene::new(Wanted::javascript(true)).await;
    let browser = &scene.browser;
    browser.click("header .who button").await;
    browser.hears("h1", "Sign in").await;
    // The field has the focus from the beginning.
    assert!(browser.focused().await.contains("name=\"api_key\""), "{}", browser.focused().await);
    browser.press(&format!("{}{ENTER}", scene.node.key())).await;
    browser.hears("h1", "Overview").await;

    browser.press(TAB).await;
    assert!(browser.focused().await.contains("Skip to the content"));
    browser.see(".skip:focus").await;
    browser.press(ENTER).await;
    assert!(browser.focused().await.starts_with("<main"), "{}", browser.focused().await);

    scene.open("/console").await;
    browser.hears("h1", "Overview").await;
    let mut way = Vec::new();
    loop {
        browser.press(TAB).await;
        let focused = browser.focused().await;
        let outlined =
            "const style = getComputedStyle(document.activeElement); return [style.outlineStyle, style.outlineWidth]";
        let outline = browser.run(outlined, serde_json::json!([])).await;
        assert!(outline[0] != "none" && outline[1] != "0px", "the focus is not to be seen: {focused}");
        let arrived = focused.contains("href=\"/console/audit\"");
        way.push(focused);
        if arrived {
            break;
        }
        assert!(way.len() < 40, "the link is not reached: {way:#?}");
    }
    // Skip link, name of the site, sign out, then the pages in their order.
    let order = ["Skip to", "class=\"brand\"", "Sign out", "href=\"/console\""];
    for (n, part) in order.iter().enumerate() {
        assert!(way[n].contains(part), "{part} is not number {n}: {way:#?}");
    }
    browser.press(ENTER).await;
    browser.hears("h1", "Audit").await;
    scene.close().await;
}
