//! The form page in a real browser with JavaScript switched off, driven over WebDriver (W3C) by Debian's chromedriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::node::{Net, eventually};

/// The key under which WebDriver names an element (W3C WebDriver, section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    _profile: tempfile::TempDir,
}

impl Browser {
    async fn without_javascript() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver runs (ops/install brings it)");
        let said = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port = said.filter_map(|line| {
            line.strip_suffix('.')?.split_once("started successfully on port ")?.1.parse::<u16>().ok()
        });
        let port = { port }.next().expect("chromedriver says its port");
        let profile = tempfile::tempdir().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let base = format!("http://127.0.0.1:{port}");
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let no_script = json!({"profile.managed_default_content_settings.javascript": 2});
        let options = json!({"goog:chromeOptions": {"args": arguments, "prefs": no_script}});
        let mut browser = Self { driver, session: format!("{base}/session"), http, _profile: profile };
        let made = browser.call("", json!({"capabilities": {"alwaysMatch": options}})).await;
        browser.session = format!("{base}/session/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    async fn call(&self, path: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}{path}", self.session)).json(&body).send().await.unwrap();
        let mut answer: Value = answer.json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {}", answer["value"]["message"]);
        answer["value"].take()
    }

    async fn open(&self, url: &str) {
        self.call("/url", json!({"url": url})).await;
    }

    async fn find(&self, selector: &str) -> String {
        let found = self.call("/element", json!({"using": "css selector", "value": selector})).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    async fn type_into(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.call(&format!("/element/{element}/value"), json!({"text": text})).await;
    }

    async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.call(&format!("/element/{element}/click"), json!({})).await;
    }

    /// What the page says, once it says `part`: a click may come back before the next page is there.
    async fn words_with(&self, part: &str) -> String {
        let last = Mutex::new(String::new());
        let says = || async {
            let page =
                self.http.get(format!("{}/source", self.session)).send().await.unwrap().json::<Value>().await.unwrap();
            *last.lock().unwrap() = page["value"].as_str().unwrap_or_default().to_owned();
            last.lock().unwrap().contains(part)
        };
        eventually(&format!("the page says {part}"), says).await;
        last.into_inner().unwrap()
    }

    async fn close(mut self) {
        let _ = self.http.delete(&self.session).send().await;
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
    }
}

#[tokio::test]
async fn a_person_connects_on_the_form_page_without_javascript() {
    let net = Net::new();
    let mut node = net.node("shop.test").await;
    let (_shop, ann) = (node.account("1000", "Shop").await, node.account("2000", "Ann").await);
    let code = node.code("2000").await;
    let key =
        node.post("keys", json!({"sender": "form", "scopes": ["connections"], "account": "1000*shop.test"})).await;

    let browser = Browser::without_javascript().await;
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
