//! The form pages: signing in, forged requests, what a page may say.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, Response};

use super::Node;

fn encode(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn form_type() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))])
}

async fn sign_in(node: &Node, key: &str) -> Response {
    node.http
        .post(node.url("/handshake/login"))
        .headers(form_type())
        .body(encode(&[("api_key", key)]))
        .send()
        .await
        .unwrap()
}

/// The session's cookie and its form's token.
async fn session(node: &Node, key: &str) -> (String, String) {
    let response = sign_in(node, key).await;
    assert_eq!(response.status(), 303);
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/handshake", "Max-Age=43200"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains(key));
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let page = node.http.get(node.url("/handshake")).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(page.headers()["cache-control"], "no-store");
    let page = page.text().await.unwrap();
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    (cookie, rest.split('"').next().unwrap().to_owned())
}

fn submit(node: &Node, cookie: &str, token: &str, code: &str) -> RequestBuilder {
    let fields = [("token", token), ("from", "1"), ("other_openmsg_address", "7*peer.example"), ("pass_code", code)];
    node.http.post(node.url("/handshake")).header("cookie", cookie).headers(form_type()).body(encode(&fields))
}

#[tokio::test]
async fn only_a_key_for_connections_signs_in_and_only_while_it_holds() {
    let node = Node::start().await;
    node.account(1).await;
    let page = node.http.get(node.url("/handshake")).send().await.unwrap();
    assert_eq!((page.status().as_u16(), page.headers()["location"].to_str().unwrap()), (303, "/handshake/login"));
    let weak = node.key("messages,connections:read", None).await;
    for key in ["", "hf_wrong", &weak] {
        let response = sign_in(&node, key).await;
        assert_eq!(response.status(), 403);
        assert!(!response.headers().contains_key("set-cookie"));
    }
    let (cookie, _) = session(&node, &node.key).await;
    let show = |cookie: String| node.http.get(node.url("/handshake")).header("cookie", cookie).send();
    assert_eq!(show(cookie.clone()).await.unwrap().status(), 200);
    assert_eq!(show(format!("{}x", cookie)).await.unwrap().status(), 303);
    node.app.clock.advance(std::time::Duration::from_secs(12 * 3600));
    assert_eq!(show(cookie).await.unwrap().status(), 303);
    let out = node.http.post(node.url("/handshake/logout")).send().await.unwrap();
    assert!(out.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
}

#[tokio::test]
async fn a_revoked_key_ends_its_sessions() {
    let node = Node::start().await;
    let (key, text) = handfast::senders::create(&node.app, "a", &"connections".parse().unwrap(), None).await.unwrap();
    let (cookie, _) = session(&node, text.reveal()).await;
    handfast::senders::revoke(&node.app, key.id).await.unwrap();
    let page = node.http.get(node.url("/handshake")).header("cookie", cookie).send().await.unwrap();
    assert_eq!(page.status(), 303);
}

#[tokio::test]
async fn forged_and_mistaken_forms_are_refused_and_no_page_repeats_the_code() {
    let node = Node::start().await;
    node.account(1).await;
    let (cookie, token) = session(&node, &node.key).await;
    let (_, other_token) = session(&node, &node.key).await;
    let good = || submit(&node, &cookie, &token, "98765");
    for (request, status) in [
        (submit(&node, &cookie, "", "987654"), 403),
        (submit(&node, &cookie, &other_token, "987654"), 403),
        (submit(&node, &cookie, &token, "987654").header("origin", "https://evil.example"), 403),
        (submit(&node, &cookie, &token, "987654").header("origin", "null"), 403),
        (submit(&node, &cookie, &token, "987654").header("sec-fetch-site", "cross-site"), 403),
        (submit(&node, "hf_session=x", &token, "987654"), 303),
        (good().header("origin", node.url("")), 422),
        (good(), 422),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["x-frame-options"], "DENY");
        assert!(!response.text().await.unwrap().contains("9876"));
    }
    let count = node.app.db.client().await.unwrap().query_one("select count(*) from handshakes", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_good_form_starts_a_handshake_and_tells_its_end_in_words() {
    let node = Node::start().await;
    node.account(1).await;
    let (cookie, token) = session(&node, &node.key).await;
    let submitted = tokio::spawn(submit(&node, &cookie, &token, "987654").send());
    let client = node.app.db.client().await.unwrap();
    // In the worker's place: the handshake is there, and fails.
    let failed = "update handshakes set state = 3, code = null, finished_at = $1, error = 'the <other> node said no'";
    while client.execute(failed, &[&node.app.clock.now()]).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let page = submitted.await.unwrap().unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("are not connected: the &lt;other&gt; node said no"), "{page}");
    assert!(!page.contains("987654"));
}
