//! Two people shake hands and talk, with JavaScript and without.

use serde_json::json;

use super::scene::*;

#[tokio::test]
async fn two_people_connect_and_talk_and_messages_arrive_without_reloading() {
    let (mut a, mut b) = two().await;
    let (ada, bob) = (a.address(ADA), b.address(BOB));
    let (at_ada, at_bob) = tokio::join!(wanted(&a, true).start(), wanted(&b, true).phone(390).start());
    tokio::join!(sign_in(&at_ada, &a, ADA), sign_in(&at_bob, &b, BOB));
    at_ada.hears(".empty", "Nobody yet").await;

    // Ada asks for a code and sees it count down; Bob connects with it, and Ada hears of that on the same page.
    let code = ask_for_code(&at_ada, &a).await;
    assert_eq!(code.len(), 6);
    let begun = at_ada.text(".countdown").await;
    connect(&at_bob, &b, &ada, &code).await;
    at_bob.hears("main", "You are connected with 1000*a.test").await;
    at_ada.hears("[data-live=connected]", "Bob, 2000*b.test, is connected with you now").await;
    let now = at_ada.text(".countdown").await;
    assert_ne!(begun, now, "it counts down");
    at_ada.hears("[data-live=codes]", "None").await;

    // Bob writes from a phone; Ada's open list and then her open conversation show it without being loaded anew.
    open(&at_ada, &a, "").await;
    at_ada.hears("#live", "Live").await;
    at_ada.run("window.loadedOnce = true", json!([])).await;
    at_bob.click("main a.button").await;
    write(&at_bob, "Hello Ada,\nthis is Bob.").await;
    at_bob.hears(".mine .beneath", "delivered").await;
    at_ada.hears(".conversation .marks", "1 unread").await;
    at_ada.hears(".strip", "1 unread message").await;
    assert_eq!(at_ada.run("return window.loadedOnce === true", json!([])).await, json!(true));
    at_ada.click(".conversation").await;
    at_ada.hears(".theirs .text", "this is Bob.").await;
    assert!(!at_ada.sees(".strip a").await, "it is read");
    at_ada.hears("#live", "Live").await;
    at_ada.run("window.loadedOnce = true", json!([])).await;
    write(&at_bob, "And a second one").await;
    at_ada.hears(".theirs:last-child .text", "And a second one").await;
    let unread = async || a.get("inbox?account=1000&unacknowledged=true").await["items"].as_array().unwrap().len();
    crate::node::eventually("it is read", async || unread().await == 0).await;
    // For those who hear the page; nobody sees it.
    at_ada.words_with("Bob wrote: And a second one").await;
    assert_eq!(at_ada.run("return window.loadedOnce === true", json!([])).await, json!(true));

    // Ada's user sends by keyboard alone: focus, text, Ctrl+Enter.
    at_ada.type_into("#text", "Hello Bob").await;
    at_ada.run("document.getElementById('text').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', ctrlKey: true, cancelable: true}))", json!([])).await;
    at_ada.hears(".mine .beneath", "delivered").await;
    at_bob.hears(".theirs:last-child .text", "Hello Bob").await;
    let wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
    for (page, path) in [
        ("list", ""),
        ("connect", "/connect"),
        ("codes", "/codes"),
        ("settings", "/settings"),
        ("conversation", "/with/1000*a.test"),
    ] {
        open(&at_bob, &b, path).await;
        at_bob.see("main h1").await;
        assert_eq!(at_bob.run(wide, json!([])).await, json!(false), "{path} is wider than a phone");
        at_bob.keep_both_pictures(&format!("mailbox-{page}")).await;
    }
    tokio::join!(at_ada.close(), at_bob.close());
    for (node, secrets) in [(&mut a, [code.as_str(), PASSWORD]), (&mut b, [code.as_str(), "Hello Ada"])] {
        node.stop().await;
        let logs = node.logs();
        assert!(secrets.iter().all(|secret| !logs.contains(secret)), "a secret is in the log");
    }
    assert_eq!(bob, "2000*b.test");
}

#[tokio::test]
async fn without_javascript_the_same_is_done_by_loading_pages() {
    let (mut a, mut b) = two().await;
    let (ada, bob) = (a.address(ADA), b.address(BOB));
    let (at_ada, at_bob) = tokio::join!(wanted(&a, false).start(), wanted(&b, false).start());
    tokio::join!(sign_in(&at_ada, &a, ADA), sign_in(&at_bob, &b, BOB));
    connect(&at_bob, &b, &ada, "000000").await;
    at_bob.hears("[role=alert]", "You are not connected with 1000*a.test").await;
    let code = ask_for_code(&at_ada, &a).await;
    at_ada.hears(".fresh", "until").await;
    connect(&at_bob, &b, &ada, &code).await;
    at_bob.hears("[role=status]", "You are connected").await;
    open(&at_ada, &a, "").await;
    at_ada.hears(".conversation", "Bob").await;

    open_talk(&at_bob, &b, &ada).await;
    write(&at_bob, "Guten Tag\nzweite Zeile").await;
    at_bob.hears(".mine .text", "zweite Zeile").await;
    crate::node::eventually("it has arrived", async || a.texts(ADA).await.len() == 1).await;
    open(&at_ada, &a, "").await;
    at_ada.hears(".conversation", "1 unread").await;
    at_ada.click(".conversation").await;
    at_ada.hears(".theirs .text", "zweite Zeile").await;
    write(&at_ada, "zurück").await;
    crate::node::eventually("it has arrived", async || b.texts(BOB).await.len() == 1).await;
    open_talk(&at_bob, &b, &ada).await;
    at_bob.hears(".theirs .text", "zurück").await;
    at_bob.hears(".mine .beneath", "delivered").await;

    // Ada blocks Bob: nothing of his arrives, and he is told in words; then she lets him in again.
    open_talk(&at_ada, &a, &bob).await;
    at_ada.click(".about details summary").await;
    at_ada.click("form[action$='/block'] button").await;
    at_ada.hears("[role=status]", "2000*b.test is blocked").await;
    assert!(!at_ada.sees("form.answer").await);
    write(&at_bob, "Are you there?").await;
    let lost = async || b.get("messages?limit=1").await["items"][0]["state"] == "failed";
    crate::node::eventually("it is refused", lost).await;
    open_talk(&at_bob, &b, &ada).await;
    at_bob.hears(".lines li:last-child", "not delivered: the other side takes no messages from you").await;
    assert_eq!(a.texts(ADA).await.len(), 1);
    at_ada.click("form[action$='/unblock'] button").await;
    at_ada.hears("[role=status]", "not blocked any more").await;
    write(&at_bob, "Again").await;
    crate::node::eventually("it has arrived", async || a.texts(ADA).await.len() == 2).await;

    // Another name, and the end of the connection.
    open(&at_ada, &a, "/settings").await;
    at_ada.type_into("#name", "Ada Lovelace").await;
    at_ada.click("form[action$='/name'] button").await;
    at_ada.hears("[role=status]", "You are called Ada Lovelace").await;
    open_talk(&at_ada, &a, &bob).await;
    at_ada.click(".about details:last-of-type summary").await;
    at_ada.click("form[action$='/delete'] button").await;
    at_ada.hears("[role=status]", "is deleted").await;
    at_ada.hears(".conversation", "not connected").await;
    at_ada.click("form.who button").await;
    at_ada.hears("[role=status]", "You are signed out").await;
    tokio::join!(at_ada.close(), at_bob.close());
    tokio::join!(a.stop(), b.stop());
}

#[tokio::test]
async fn without_javascript_it_fits_a_phone() {
    let (mut a, mut b) = two().await;
    let bob = b.address(BOB);
    a.connected(ADA, &bob, &b.code(BOB).await).await;
    let at_ada = wanted(&a, false).phone(360).start().await;
    open(&at_ada, &a, "/sign-in").await;
    at_ada.see("#password").await;
    assert_eq!(at_ada.faults().await, Vec::<String>::new(), "sign-in");
    sign_in(&at_ada, &a, ADA).await;
    open_talk(&at_ada, &a, &bob).await;
    write(&at_ada, "A message from a small screen, with one long word in it: http://shop.test/0123456789012345678901234567890123456789012345678901234567890123456789").await;
    at_ada.hears(".mine .text", "from a small screen").await;
    crate::node::eventually("it has arrived", async || b.texts(BOB).await.len() == 1).await;
    let code = ask_for_code(&at_ada, &a).await;
    assert_eq!(code.len(), 6);
    assert_eq!(at_ada.faults().await, Vec::<String>::new(), "a new code");
    for path in ["", "/connect", "/codes", "/settings", "/with/2000*b.test", "/nothing"] {
        open(&at_ada, &a, path).await;
        at_ada.see("main h1").await;
        assert_eq!(at_ada.faults().await, Vec::<String>::new(), "{path}");
        assert!(at_ada.sees("nav.side a[href='/me/settings']").await, "{path} leads on");
    }
    at_ada.close().await;
    tokio::join!(a.stop(), b.stop());
}
