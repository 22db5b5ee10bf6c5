//! What all tests here begin with: `a.test` with Ada and `b.test` with Bob, who have passwords.

use serde_json::json;

use crate::browser::driver::{Browser, Wanted};
use crate::node::{Net, Node, Options};
use crate::secrets;

pub(super) const ADA: &str = "1000";
pub(super) const BOB: &str = "2000";
pub(super) const PASSWORD: &str = "correct horse battery";

pub(super) fn with_mailbox(domain: &str) -> Options {
    Options::of(domain).set("mailbox.enabled", true)
}

/// Both nodes.
pub(super) async fn two() -> (Node, Node) {
    let net = Net::new();
    let _ = (net.socket_of("a.test"), net.socket_of("b.test"));
    let (a, b) = tokio::join!(Node::start(&net, with_mailbox("a.test")), Node::start(&net, with_mailbox("b.test")));
    a.account(ADA, "Ada").await;
    b.account(BOB, "Bob").await;
    tokio::join!(password(&a, ADA), password(&b, BOB));
    (a, b)
}

/// Gives an account a password.
pub(super) async fn password(node: &Node, id: &str) {
    let set = node.api("PUT", &format!("accounts/{id}/password"), Some(json!({"password": PASSWORD}))).await;
    assert_eq!(set.status, 204, "{set:?}");
}

/// A browser that knows this node.
pub(super) fn wanted(node: &Node, javascript: bool) -> Wanted {
    Wanted::javascript(javascript).name(&node.domain, node.public)
}

/// Signs in; the browser then shows the conversations.
pub(super) async fn sign_in(browser: &Browser, node: &Node, id: &str) {
    open(browser, node, "").await;
    browser.type_into("#address", id).await;
    browser.type_into("#password", PASSWORD).await;
    browser.click("form.card button").await;
    browser.see("a[aria-current=page][href='/me']").await;
}

pub(super) async fn open(browser: &Browser, node: &Node, path: &str) {
    browser.open(&format!("https://{}/me{path}", node.domain)).await;
}

/// The conversation with somebody.
pub(super) async fn open_talk(browser: &Browser, node: &Node, other: &str) {
    open(browser, node, &format!("/with/{other}")).await;
    browser.see("main h1 .name").await;
}

/// Asks for a pass code and reads it off the page.
pub(super) async fn ask_for_code(browser: &Browser, node: &Node) -> String {
    open(browser, node, "/codes").await;
    browser.click("form[action='/me/codes'] button").await;
    browser.see(".digits").await;
    let code: String = browser.text(".digits").await.chars().filter(char::is_ascii_digit).collect();
    secrets::note(secrets::Kind::Code, &code);
    code
}

/// Connects with a code and reads what became of it.
pub(super) async fn connect(browser: &Browser, node: &Node, to: &str, code: &str) {
    open(browser, node, "/connect").await;
    browser.type_into("#to", to).await;
    browser.type_into("#code", code).await;
    browser.click("form[action='/me/connect'] button").await;
}

/// Writes in the open conversation.
pub(super) async fn write(browser: &Browser, text: &str) {
    browser.type_into("#text", text).await;
    browser.click("form.answer button").await;
}
