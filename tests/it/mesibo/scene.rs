//! A node with the door open, applications, and codes read where they were sent.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use handfast::logins::Application;
use handfast::logins::apps::{self, Mode, ResultStyle, Way};
use serde_json::Value;
use toml::Table;

use crate::node::{Net, Node, Options, eventually};
use crate::peers::Reply;

/// The node's domain.
pub(super) const HOME: &str = "home.test";
/// An application as the documentation calls it.
pub(super) const APP: &str = "com.messenger.appid";
pub(super) const PHONE: &str = "18005551234";

/// A node, and how many codes were read.
pub(super) struct Scene {
    pub(super) node: Node,
    read: AtomicUsize,
}

/// The door open, everything often, codes written into a file.
pub(super) fn options() -> Options {
    let mut options = Options::of(HOME).set("mesibo.enabled", true).set("mesibo.backend_timeout", "3s");
    for limit in
        ["starts_per_ip", "starts_per_network", "tries_per_ip", "tries_per_network", "starts_per_app", "tries_per_app"]
    {
        options = options
            .set(&format!("mesibo.limits.{limit}.bucket"), 10_000)
            .set(&format!("mesibo.limits.{limit}.per_minute"), 10_000.0);
    }
    for kind in ["sms", "email"] {
        let carrier = "kind = 'recording'\nname = 'test'\nfile = 'codes.jsonl'".parse::<Table>().unwrap();
        options = options.set(&format!("providers.{kind}"), vec![carrier]);
    }
    options
}

/// The application of the documentation, as it was made.
pub(super) fn app() -> Application {
    Application::new(APP.into(), "Messenger".into())
}

/// One for the clients that were shipped.
pub(super) fn shipped(appid: &str) -> Application {
    let mut app = Application::new(appid.into(), "Messenger".into());
    app.result_style = ResultStyle::String;
    app
}

/// One whose tokens mesibo makes.
pub(super) fn with_mesibo(mode: Mode, url: &str) -> Application {
    let mut app = app();
    app.backend.mode = mode;
    app.backend.url = url.to_owned();
    app.backend.token = super::backend::APP_TOKEN.to_owned().into();
    app
}

impl Scene {
    /// With these applications, phones and mailboxes in all of them that have no other way.
    pub(super) async fn start(net: &Net, options: Options, all: &[Application]) -> Self {
        let node = Node::start(net, options).await;
        for app in all {
            let mut app = app.clone();
            if app.ways == [Way::Sms] {
                app.ways.push(Way::Email);
            }
            assert!(apps::create(&node.app, &app).await.expect("written").is_some());
        }
        Self { node, read: AtomicUsize::new(0) }
    }

    /// With the application of the documentation.
    pub(super) async fn plain() -> Self {
        Self::start(&Net::new(), options(), &[app()]).await
    }

    /// A POST of this body, nothing said of its type.
    pub(super) async fn post(&self, body: impl AsRef<[u8]>) -> Reply {
        self.node.attacker().request("POST", "/", &[], body).await.expect("an answer")
    }

    /// A POST whose answer must be JSON with status 200.
    pub(super) async fn json(&self, body: Value) -> Value {
        let reply = self.post(body.to_string()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    /// The next code that was sent: to whom, and the code.
    pub(super) async fn sent(&self) -> (String, String) {
        let at = self.read.fetch_add(1, Ordering::SeqCst);
        eventually("a code is sent", async || self.codes().len() > at).await;
        let line = self.codes().remove(at);
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("to"), text("code"))
    }

    /// Everything that was sent so far.
    pub(super) fn codes(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.node.dir().join("codes.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Step 1, and the code that came.
    pub(super) async fn code(&self, appid: &str, phone: &str) -> String {
        let begun = self.json(serde_json::json!({"op": "login", "appid": appid, "phone": phone})).await;
        assert!(begun["error"].is_null(), "{begun}");
        self.sent().await.1
    }

    /// Nothing of this is in a log, or lies open in the database.
    pub(super) async fn kept_quiet(&self, secrets: &[&str]) {
        let (logs, dump) = (self.node.logs(), self.node.dump().await);
        for secret in secrets {
            assert!(secret.len() >= 4, "{secret:?} is everywhere");
            assert!(!logs.contains(secret), "{secret} is in the log");
            assert!(!dump.contains(secret), "{secret} is in the database");
        }
    }
}

/// A code that is not this one.
pub(super) fn other_than(code: &str) -> &'static str {
    if code == "555555" { "555556" } else { "555555" }
}

/// A reply for a snapshot: status, the headers that matter, the body with its time as `TS`.
pub(super) fn shown(reply: &Reply) -> String {
    const HEADERS: [&str; 11] = [
        "content-type",
        "cache-control",
        "pragma",
        "access-control-allow-origin",
        "access-control-allow-methods",
        "access-control-allow-headers",
        "access-control-max-age",
        "vary",
        "allow",
        "location",
        "retry-after",
    ];
    let mut lines = vec![reply.status.to_string()];
    for name in HEADERS {
        lines.extend(reply.header(name).map(|value| format!("{name}: {value}")));
    }
    lines.push(body(reply));
    lines.join("\n").trim_end().to_owned()
}

/// The body, its time as `TS`; it must be about now.
pub(super) fn body(reply: &Reply) -> String {
    let text = String::from_utf8(reply.body.to_vec()).expect("UTF-8");
    let Some(ts) = reply.json()["ts"].as_i64() else { return text };
    let now = jiff::Timestamp::now().as_second();
    assert!((now - 60..=now + 60).contains(&ts), "{ts} is not now");
    text.replacen(&format!("\"ts\":{ts}"), "\"ts\":TS", 1)
}
