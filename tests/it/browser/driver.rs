//! Headless Chromium, driven over WebDriver (W3C) by Debian's chromedriver.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::node::PATIENCE;
use crate::secrets;

/// The key under which WebDriver names an element (W3C WebDriver, section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How a browser is to be.
#[derive(Default)]
pub(super) struct Wanted {
    javascript: bool,
    names: Vec<(String, SocketAddr)>,
    width: Option<u32>,
}

/// One browser with a profile of its own, which is gone with it.
pub(super) struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    _profile: tempfile::TempDir,
    /// What it looked like, step by step; kept when its test fails.
    pictures: Mutex<Option<tempfile::TempDir>>,
    steps: Mutex<u32>,
}

impl Wanted {
    /// With JavaScript or without.
    pub(super) fn javascript(javascript: bool) -> Self {
        Self { javascript, ..Self::default() }
    }

    /// `https://NAME/` leads to this socket, whatever its certificate.
    pub(super) fn name(mut self, name: &str, socket: SocketAddr) -> Self {
        self.names.push((name.to_owned(), socket));
        self
    }

    /// A phone, so many CSS pixels wide.
    pub(super) fn phone(self, width: u32) -> Self {
        Self { width: Some(width), ..self }
    }

    fn capabilities(&self, profile: &str) -> Value {
        let rules: Vec<String> = self.names.iter().map(|(name, to)| format!("MAP {name} {to}")).collect();
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--lang=en-GB",
        ]
        .map(String::from)
        .to_vec();
        // A screen, where no phone is wanted: 800 pixels, as it would be, is neither.
        arguments.push("--window-size=1280,900".to_owned());
        arguments.push(format!("--user-data-dir={profile}"));
        arguments.push(format!("--host-resolver-rules={}", rules.join(",")));
        let script = if self.javascript { 1 } else { 2 };
        let preferences = json!({"profile.managed_default_content_settings.javascript": script});
        let mut options = json!({"args": arguments, "prefs": preferences});
        if let Some(width) = self.width {
            // Without touch: with it, and without JavaScript, the driver waits for ever for a click to have happened.
            let metrics = json!({"width": width, "height": 740, "pixelRatio": 1.0, "touch": false, "mobile": true});
            options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let logs = json!({"browser": "ALL"});
        json!({"capabilities": {"alwaysMatch": {"acceptInsecureCerts": true, "goog:chromeOptions": options, "goog:loggingPrefs": logs}}})
    }

    /// Starts it.
    pub(super) async fn start(self) -> Browser {
        let (driver, port) = driver();
        let profile = tempfile::tempdir().unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(2 * PATIENCE).build().unwrap();
        let base = format!("http://127.0.0.1:{port}/session");
        let wanted = self.capabilities(&profile.path().display().to_string());
        let pictures = Mutex::new(Some(tempfile::tempdir().unwrap()));
        let mut browser =
            Browser { driver, session: base.clone(), http, _profile: profile, pictures, steps: Mutex::new(0) };
        let made = browser.call("", wanted).await;
        browser.session = format!("{base}/{}", made["sessionId"].as_str().unwrap());
        browser
    }
}

/// A driver and its port. It takes a free one for 127.0.0.1 and then wants the same for ::1, which somebody else may have taken: it then
/// ends, and is started anew.
fn driver() -> (Child, u16) {
    for _ in 0..10 {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver runs (ops/install brings it)");
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port = said.find_map(|line| {
            line.strip_suffix('.')?.split_once("started successfully on port ")?.1.parse::<u16>().ok()
        });
        if let Some(port) = port {
            return (driver, port);
        }
        let _ = driver.wait();
    }
    panic!("chromedriver found no port in ten tries");
}

impl Browser {
    pub(super) async fn call(&self, path: &str, body: Value) -> Value {
        self.try_call(path, body).await.unwrap_or_else(|message| panic!("{path}: {message}"))
    }

    async fn try_call(&self, path: &str, body: Value) -> Result<Value, String> {
        let answer = self.http.post(format!("{}{path}", self.session)).json(&body).send().await.unwrap();
        let mut answer: Value = answer.json().await.unwrap();
        match &answer["value"]["error"] {
            Value::Null => Ok(answer["value"].take()),
            error => Err(format!("{error}: {}", answer["value"]["message"])),
        }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.session)).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["value"].take()
    }

    pub(super) async fn open(&self, url: &str) {
        self.call("/url", json!({"url": url})).await;
    }

    pub(super) async fn back(&self) {
        self.call("/back", json!({})).await;
    }

    /// Where it is.
    pub(super) async fn url(&self) -> String {
        self.get("/url").await.as_str().unwrap_or_default().to_owned()
    }

    async fn try_find(&self, selector: &str) -> Option<String> {
        let found = self.try_call("/element", json!({"using": "css selector", "value": selector})).await.ok()?;
        found[ELEMENT].as_str().map(str::to_owned)
    }

    async fn find(&self, selector: &str) -> String {
        self.try_find(selector).await.unwrap_or_else(|| panic!("there is no {selector}"))
    }

    /// In place of what is there. What is typed is registered, if the field is one for secrets.
    pub(super) async fn type_into(&self, selector: &str, text: &str) {
        self.see(selector).await;
        let element = self.find(selector).await;
        let property = async |name: &str| self.get(&format!("/element/{element}/property/{name}")).await;
        let (name, kind) = (property("name").await, property("type").await);
        secrets::of_input(name.as_str().unwrap_or_default(), kind.as_str().unwrap_or_default(), text);
        self.call(&format!("/element/{element}/clear"), json!({})).await;
        self.call(&format!("/element/{element}/value"), json!({"text": text})).await;
    }

    pub(super) async fn click(&self, selector: &str) {
        self.see(selector).await;
        let element = self.find(selector).await;
        self.call(&format!("/element/{element}/click"), json!({})).await;
    }

    /// Presses keys wherever the focus is.
    pub(super) async fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()})))
            .collect();
        self.call("/actions", json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]})).await;
    }

    /// Waits until something is there to be seen and takes a picture.
    pub(super) async fn see(&self, selector: &str) {
        let shown = || async {
            let Some(element) = self.try_find(selector).await else { return false };
            self.get(&format!("/element/{element}/displayed")).await == json!(true)
        };
        self.until(&format!("{selector} is to be seen"), shown).await;
    }

    /// Whether something is to be seen now.
    pub(super) async fn sees(&self, selector: &str) -> bool {
        let Some(element) = self.try_find(selector).await else { return false };
        self.get(&format!("/element/{element}/displayed")).await == json!(true)
    }

    /// What an element says.
    pub(super) async fn text(&self, selector: &str) -> String {
        let element = self.find(selector).await;
        self.get(&format!("/element/{element}/text")).await.as_str().unwrap_or_default().to_owned()
    }

    /// What a field holds.
    pub(super) async fn value(&self, selector: &str) -> String {
        let element = self.find(selector).await;
        self.get(&format!("/element/{element}/property/value")).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an element says this.
    pub(super) async fn hears(&self, selector: &str, part: &str) {
        let says = || async {
            let Some(element) = self.try_find(selector).await else { return false };
            let text = self.get(&format!("/element/{element}/text")).await;
            text.as_str().is_some_and(|text| text.contains(part))
        };
        self.until(&format!("{selector} says {part}"), says).await;
    }

    /// What the page says, once it says `part`: a click may come back before the next page is there.
    pub(super) async fn words_with(&self, part: &str) -> String {
        let last = Mutex::new(String::new());
        let says = || async {
            let page = self.get("/source").await;
            *last.lock().unwrap() = page.as_str().unwrap_or_default().to_owned();
            last.lock().unwrap().contains(part)
        };
        self.until(&format!("the page says {part}"), says).await;
        last.into_inner().unwrap()
    }

    /// Waits, then takes a picture; also when it waited in vain, and says what the page says instead.
    async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let begun = Instant::now();
        while !holds().await {
            if begun.elapsed() > PATIENCE {
                self.picture().await;
                panic!("in vain: {what}; {} says instead:\n{}", self.url().await, self.text("body").await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.picture().await;
    }

    /// What a script's function body returns, once its promise is kept.
    pub(super) async fn run(&self, script: &str, arguments: Value) -> Value {
        self.call("/execute/sync", json!({"script": script, "args": arguments})).await
    }

    /// Keeps what the page looks like now.
    pub(super) async fn picture(&self) {
        let picture = self.get("/screenshot").await;
        let Ok(picture) = BASE64_STANDARD.decode(picture.as_str().unwrap_or_default()) else { return };
        let step = {
            let mut steps = self.steps.lock().unwrap();
            *steps += 1;
            *steps
        };
        if let Some(folder) = &*self.pictures.lock().unwrap() {
            fs::write(folder.path().join(format!("{step:03}.png")), picture).unwrap();
        }
    }

    pub(super) async fn close(mut self) {
        let _ = self.http.delete(&self.session).send().await;
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }

    fn keep_pictures(&self) -> Option<PathBuf> {
        // Also where a test failed while one was being written.
        let mut pictures = self.pictures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pictures.take().map(tempfile::TempDir::keep)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let keep = std::thread::panicking() || std::env::var_os("HANDFAST_TEST_KEEP_PICTURES").is_some();
        if let Some(folder) = keep.then(|| self.keep_pictures()).flatten() {
            eprintln!("what the browser showed, step by step: {}", folder.display());
        }
    }
}
