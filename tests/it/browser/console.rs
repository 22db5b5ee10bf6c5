//! The console in a real browser: with JavaScript and without, on a phone, in the dark, by keyboard only, and attacked.

mod attacks;
mod journeys;
mod live;
mod pages;

use serde_json::json;

use super::driver::{Browser, Wanted};
use crate::node::{Net, Node, Options};

/// A node, a browser that is signed in to its console, and what keeps both there.
struct Scene {
    node: Node,
    browser: Browser,
}

impl Scene {
    /// Nothing has happened at the node yet.
    async fn new(wanted: Wanted) -> Self {
        Self::with(wanted, Options::of("shop.test")).await
    }

    async fn with(wanted: Wanted, options: Options) -> Self {
        let net = Net::new();
        let node = Node::start(&net, options).await;
        let browser = wanted.start().await;
        let scene = Self { node, browser };
        scene.sign_in(scene.node.key()).await;
        scene
    }

    /// The same, with orders that went out, so that there is something to see.
    async fn busy(wanted: Wanted) -> Self {
        let scene = Self::new(wanted).await;
        let node = &scene.node;
        let (_, ann) = (node.account("1000", "Shop").await, node.account("2000", "Ann").await);
        node.connected("1000", &ann, &node.code("2000").await).await;
        assert_eq!(node.sent("1000", &ann, "Your order has left us.").await, "delivered");
        let template = json!({"from": node.address("1000"), "text": "Hello"});
        node.post("campaigns", json!({"name": "Spring sale", "template": template})).await;
        node.api("POST", "destinations/slow.test/pause", Some(json!({}))).await.good();
        scene
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.node.private)
    }

    async fn open(&self, path: &str) {
        self.browser.open(&self.url(path)).await;
    }

    async fn sign_in(&self, key: &str) {
        self.open("/console").await;
        self.browser.type_into("input[name=api_key]", key).await;
        self.browser.click("main button").await;
        self.browser.hears("h1", "Overview").await;
    }

    async fn sign_out(&self) {
        self.browser.click("header .who button").await;
        self.browser.hears("h1", "Sign in").await;
    }

    async fn close(mut self) {
        self.browser.close().await;
        self.node.stop().await;
    }
}
