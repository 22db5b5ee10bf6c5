//! What the mailbox withstands: forged forms, guessing, strangers' texts, stolen and ended sessions.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::scene::*;
use crate::node::{Net, Node};
use crate::secrets;

/// A form, as a browser of this origin would send it, or another.
async fn post(node: &Node, path: &str, cookie: &str, origin: &str, body: &str) -> (u16, String) {
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Cookie", cookie),
        ("Origin", origin),
        ("Sec-Fetch-Site", if origin == "https://a.test" { "same-origin" } else { "cross-site" }),
    ];
    let reply = node.attacker().request("POST", path, &headers, body).await.unwrap();
    (reply.status, String::from_utf8_lossy(&reply.body).into_owned())
}

async fn get(node: &Node, path: &str, cookie: &str) -> (u16, String) {
    let reply = node.attacker().request("GET", path, &[("Cookie", cookie)], "").await.unwrap();
    (reply.status, String::from_utf8_lossy(&reply.body).into_owned())
}

/// A session's cookie, got by hand.
async fn signed_in(node: &Node, id: &str) -> String {
    let body = format!("address={id}&password={}", PASSWORD.replace(' ', "+"));
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", "https://a.test")];
    let reply = node.attacker().request("POST", "/me/sign-in", &headers, body).await.unwrap();
    assert_eq!(reply.status, 303);
    let cookie = reply.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("__Host-handfast_me="), "{cookie}");
    for part in ["; Path=/;", "; HttpOnly", "; SameSite=Strict", "; Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    secrets::note(secrets::Kind::Token, cookie.split_once('=').unwrap().1);
    assert_eq!(reply.header("location"), Some("/me/sign-in?begun=yes"), "where it is seen whether the cookie was kept");
    assert_eq!(get(node, "/me/sign-in?begun=yes", &cookie).await.0, 303);
    assert!(get(node, "/me/sign-in?begun=yes", "").await.1.contains("did not keep the cookie"));
    cookie
}

/// The token that a page's forms carry.
fn token(page: &str) -> String {
    page.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// One node with both, connected, and Ada's cookie.
async fn both_at_one() -> (Node, String) {
    let net = Net::new();
    let node = Node::start(&net, with_mailbox("a.test")).await;
    for (id, name) in [(ADA, "Ada"), (BOB, "Bob")] {
        node.account(id, name).await;
        password(&node, id).await;
    }
    node.connected(ADA, &node.address(BOB), &node.code(BOB).await).await;
    let ada = signed_in(&node, ADA).await;
    (node, ada)
}

/// How many of Ada's messages nobody has read.
async fn unread(node: &Node) -> usize {
    let found = node.get(&format!("inbox?account={ADA}&unacknowledged=true")).await;
    found["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn what_was_sent_to_a_page_is_read_only_once_the_page_says_so() {
    let (mut node, ada) = both_at_one().await;
    let (bob, text) = (node.address(BOB), "Are you there, or only your browser?");
    let mut wire = node.attacker().connect().await.unwrap();
    let head = format!("GET /me/live?with={bob} HTTP/1.1\r\nHost: a.test\r\nCookie: {ada}\r\n\r\n");
    wire.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(node.sent(BOB, &node.address(ADA), text).await, "delivered");
    let mut said = String::new();
    while !said.contains(text) || !said.contains("data-id=") {
        let mut piece = [0; 8192];
        let n = wire.read(&mut piece).await.unwrap();
        assert!(n > 0, "the stream ended: {said}");
        said.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    // The browser may be a phone that has lost its network; and a link is not opened by asking for its head.
    let path = format!("/me/with/{bob}");
    let head = node.attacker().request("HEAD", &path, &[("Cookie", ada.as_str())], "").await.unwrap();
    assert_eq!((head.status, unread(&node).await), (200, 1));
    let id = said.split("data-id=\\\"").nth(1).unwrap().split('\\').next().unwrap();
    let own = token(&get(&node, "/me/settings", &ada).await.1);
    let read = async |token: &str| {
        post(&node, "/me/read", &ada, "https://a.test", &format!("token={token}&ids=x+{id}")).await.0
    };
    assert_eq!((read("").await, unread(&node).await), (403, 1));
    assert_eq!((read(&own).await, unread(&node).await), (204, 0));
    drop(wire);
    node.stop().await;
}

#[tokio::test]
async fn a_blocked_address_is_not_tried_and_what_was_written_to_one_is_not_lost() {
    let (mut node, ada) = both_at_one().await;
    let bob = node.address(BOB);
    let own = token(&get(&node, "/me/settings", &ada).await.1);
    let blocked = post(&node, &format!("/me/with/{bob}/block"), &ada, "https://a.test", &format!("token={own}")).await;
    assert_eq!(blocked.0, 303);
    let code = node.code(BOB).await;
    let body = format!("token={own}&to={}&code={code}", bob.replace('*', "%2A"));
    let (status, page) = post(&node, "/me/connect", &ada, "https://a.test", &body).await;
    assert!(status == 409 && page.contains("You have blocked 2000*a.test"), "{status} {page}");
    let body = format!("token={own}&once=1&text=Written+in+another+tab");
    let (status, page) = post(&node, &format!("/me/with/{bob}"), &ada, "https://a.test", &body).await;
    assert!(status == 409 && page.contains("Written in another tab"), "{status} {page}");
    node.stop().await;
}

#[tokio::test]
async fn forged_forms_and_tokens_of_others_change_nothing() {
    let net = Net::new();
    let node = Node::start(&net, with_mailbox("a.test")).await;
    for id in [ADA, BOB] {
        node.account(id, "Ada").await;
        password(&node, id).await;
    }
    let (ada, bob) = (signed_in(&node, ADA).await, signed_in(&node, BOB).await);
    let own = token(&get(&node, "/me/settings", &ada).await.1);
    let others = token(&get(&node, "/me/settings", &bob).await.1);
    assert_ne!(own, others);
    let rename = async |cookie: &str, origin: &str, token: &str| {
        post(&node, "/me/settings/name", cookie, origin, &format!("token={token}&name=Mallory")).await.0
    };
    assert_eq!(rename(&ada, "https://evil.test", &own).await, 403);
    assert_eq!(rename(&ada, "https://a.test", "").await, 403);
    assert_eq!(rename(&ada, "https://a.test", &others).await, 403);
    assert_eq!(rename("", "https://a.test", &own).await, 303, "to the sign-in page");
    let body = format!("address={ADA}&password={}", PASSWORD.replace(' ', "+"));
    assert_eq!(
        post(&node, "/me/sign-in", "", "https://evil.test", &body).await.0,
        403,
        "nobody is signed in by others"
    );
    assert_eq!(node.get("accounts/1000").await["name"], "Ada");
    // A GET changes nothing, a cookie that comes twice is none, and what is not there is not.
    for (path, status) in [
        ("/me/settings/name", 404),
        ("/me/with/x", 404),
        ("/me/connect/x", 404),
        ("/me/sign-out", 404),
        ("/me/nothing", 404),
    ] {
        assert_eq!(get(&node, path, &ada).await.0, status, "{path}");
    }
    assert_eq!(get(&node, "/me", &format!("{ada}; {ada}")).await.0, 303);
    assert_eq!(node.attacker().request("DELETE", "/me", &[("Cookie", ada.as_str())], "").await.unwrap().status, 405);
    assert_eq!(rename(&ada, "https://a.test", &own).await, 303);
    assert_eq!(node.get("accounts/1000").await["name"], "Mallory");
    // Every page keeps to itself.
    let reply = node.attacker().request("GET", "/me", &[("Cookie", ada.as_str())], "").await.unwrap();
    let header = |name: &str| reply.header(name).unwrap_or_default().to_owned();
    assert_eq!(header("cache-control"), "no-store");
    let policy = header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    // Disabled is out, at once.
    node.post("accounts/1000/disable", json!({})).await;
    assert_eq!(get(&node, "/me", &ada).await.0, 303);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_tells_nothing() {
    let net = Net::new();
    let options = with_mailbox("a.test").set("mailbox.wrong_passwords_per_account", 2);
    let node = Node::start(&net, options).await;
    node.account(ADA, "Ada").await;
    password(&node, ADA).await;
    let try_in = async |id: &str, password: &str| {
        post(&node, "/me/sign-in", "", "https://a.test", &format!("address={id}&password={password}")).await
    };
    for n in 0..2 {
        let (known, unknown) = (try_in(ADA, "wrong").await, try_in("4711", "wrong").await);
        assert_eq!((known.0, unknown.0), (403, 403), "{n}");
        assert_eq!(known.1.replace(ADA, "N"), unknown.1.replace("4711", "N").replace(ADA, "N"));
    }
    let right = PASSWORD.replace(' ', "+");
    let (known, unknown) = (try_in(ADA, &right).await, try_in("4711", &right).await);
    assert_eq!((known.0, unknown.0), (429, 429));
    assert!(known.1.contains("too many wrong passwords"), "{}", known.1);
    assert!(!node.logs().contains("correct"));
}

#[tokio::test]
async fn signing_out_everywhere_ends_other_browsers_and_their_streams() {
    let net = Net::new();
    let mut node = Node::start(&net, with_mailbox("a.test")).await;
    node.account(ADA, "Ada").await;
    password(&node, ADA).await;
    let (one, other) = tokio::join!(wanted(&node, true).start(), wanted(&node, false).start());
    tokio::join!(sign_in(&one, &node, ADA), sign_in(&other, &node, ADA));
    one.hears("#live", "Live").await;
    open(&other, &node, "/settings").await;
    other.hears(".places", "this browser").await;
    other.click("section .confirm summary").await;
    other.click("form[action='/me/settings/sessions'] button").await;
    other.hears("[role=status]", "signed out everywhere").await;
    one.hears("#live", "Signed out").await;
    open(&one, &node, "").await;
    one.see("#password").await;
    tokio::join!(one.close(), other.close());
    node.stop().await;
}

#[tokio::test]
async fn what_strangers_write_is_text_and_cannot_pass_for_ours() {
    let (mut a, mut b) = two().await;
    let evil = "<img src=x onerror=alert(1)>";
    b.api("PATCH", "accounts/2000", Some(json!({"name": evil}))).await.good();
    a.connected(ADA, &b.address(BOB), &b.code(BOB).await).await;
    let texts = [
        "<script>window.stolen = 1</script>",
        "</p></li></ol><form action=https://evil.test>",
        "\u{202e}txt.exe",
        "&lt;b&gt;",
    ];
    let browser = wanted(&a, true).start().await;
    sign_in(&browser, &a, ADA).await;
    for text in texts {
        assert_eq!(b.sent(BOB, &a.address(ADA), text).await, "delivered");
    }
    open(&browser, &a, "").await;
    browser.hears(".conversation .name", evil).await;
    open_talk(&browser, &a, &b.address(BOB)).await;
    browser.hears(".lines li:last-child .text", "&lt;b&gt;").await;
    // As the server writes it at first, and as it comes by the stream.
    assert_eq!(b.sent(BOB, &a.address(ADA), "<img src=x onerror='window.stolen = 1'>").await, "delivered");
    browser.hears(".lines li:last-child .text", "<img src=x onerror=").await;
    let shown = browser
        .run("return Array.from(document.querySelectorAll('.theirs .text'), (p) => p.textContent)", json!([]))
        .await;
    assert_eq!(shown[0], texts[0]);
    assert_eq!(shown[1], texts[1]);
    assert_eq!(shown[2], "\u{fffd}txt.exe");
    let planted = "return [window.stolen === undefined, document.querySelectorAll('main img, main form[action*=evil], main script:not([src])').length]";
    assert_eq!(browser.run(planted, json!([])).await, json!([true, 0]));
    browser.close().await;
    tokio::join!(a.stop(), b.stop());
}

#[tokio::test]
async fn an_invitation_lets_somebody_choose_a_password_once() {
    let net = Net::new();
    let mut node = Node::start(&net, with_mailbox("a.test")).await;
    node.account(ADA, "Ada").await;
    let said = node.said(&["account", "invite", ADA]).await;
    let link = said.split_whitespace().find(|word| word.starts_with("https://a.test/me/invite/")).unwrap().to_owned();
    let path = link.strip_prefix("https://a.test").unwrap();
    secrets::note(secrets::Kind::Token, path.rsplit('/').next().unwrap());
    // Its form can be sent by browsers that say no more than their origin, and the path is told to nobody.
    let page = node.attacker().request("GET", path, &[], "").await.unwrap();
    assert_eq!(page.header("referrer-policy"), Some("strict-origin"));
    assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"));
    let browser = wanted(&node, false).start().await;
    browser.open(&link).await;
    browser.hears("main", "1000*a.test").await;
    browser.type_into("#new", PASSWORD).await;
    browser.type_into("#again", "something else entirely").await;
    browser.click("form.card button").await;
    browser.hears("[role=alert]", "differ").await;
    browser.type_into("#new", PASSWORD).await;
    browser.type_into("#again", PASSWORD).await;
    browser.click("form.card button").await;
    browser.hears("[role=status]", "Your password is set").await;
    sign_in(&browser, &node, ADA).await;
    browser.open(&link).await;
    browser.hears("[role=alert]", "not good any more").await;

    // Another password, by its owner; and one by the operator, from a file.
    open(&browser, &node, "/settings").await;
    browser.type_into("#present", PASSWORD).await;
    browser.type_into("#new", "a password of my own").await;
    browser.type_into("#again", "a password of my own").await;
    browser.click("form[action$='/password'] button").await;
    browser.hears("[role=status]", "Your password is changed").await;
    let file = node.dir().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    node.said(&["account", "password", ADA, "--password-file", file.to_str().unwrap()]).await;
    sign_in(&browser, &node, ADA).await;
    let ended = node.said(&["account", "sign-out", ADA, "--json"]).await;
    assert_eq!(ended.trim(), r#"{"ended":1}"#);
    open(&browser, &node, "").await;
    browser.see("#password").await;
    browser.close().await;
    node.stop().await;
    let token = link.rsplit('/').next().unwrap();
    let logs = node.logs();
    for secret in [token, PASSWORD, "a password of my own"] {
        assert!(!logs.contains(secret), "a secret is in the log");
    }
}

#[tokio::test]
async fn the_mailbox_is_where_it_was_put_and_nowhere_else() {
    let net = Net::new();
    let _ = net.socket_of("b.test");
    let (off, inside) = tokio::join!(
        net.node("a.test"),
        Node::start(
            &net,
            with_mailbox("b.test").set("mailbox.listener", "private").set("mailbox.url", "http://127.0.0.1:1")
        )
    );
    assert_eq!(get(&off, "/me/sign-in", "").await.0, 404);
    assert_eq!(get(&inside, "/me/sign-in", "").await.0, 404);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = http.get(format!("http://{}/me/sign-in", inside.private)).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(off.api("POST", "accounts/1/invite", None).await.status, 409);
}
