//! The form page, with JavaScript switched off.

use serde_json::json;

use super::driver::Wanted;
use crate::node::Net;

#[tokio::test]
async fn a_person_connects_on_the_form_page_without_javascript() {
    let net = Net::new();
    let mut node = net.node("shop.test").await;
    let (_shop, ann) = (node.account("1000", "Shop").await, node.account("2000", "Ann").await);
    let code = node.code("2000").await;
    let key =
        node.post("keys", json!({"sender": "form", "scopes": ["connections"], "account": "1000*shop.test"})).await;

    let browser = Wanted::javascript(false).start().await;
    browser.open(&format!("http://{}/handshake", node.private)).await;
    browser.type_into("input[name=api_key]", key["key"].as_str().unwrap()).await;
    browser.click("button").await;
    browser.words_with("Connect to somebody").await;

    browser.type_into("input[name=other_openmsg_address]", &ann).await;
    browser.type_into("input[name=pass_code]", &code).await;
    browser.click("form[action='/handshake'] button").await;
    let words = browser.words_with("role=\"status\"").await;
    assert!(words.contains(&ann), "{words}");
    assert!(!words.contains(&code), "the code is shown: {words}");
    browser.close().await;

    assert_eq!(node.sent("1000", &ann, "Your order has left us.").await, "delivered");
    assert_eq!(node.texts("2000").await, ["Your order has left us."]);
    node.stop().await;
}
