//! Registering numbers and further devices, over the wire.

mod devices;
mod numbers;
mod once;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use handfast::codes::subject;
use serde_json::{Value, json};
use toml::Table;
use uuid::Uuid;

use super::scene::{HOME, SIGNALING_KEY, Scene, basic, call, options, shown};
use crate::node::{Net, Node, Options};
use crate::peers::Reply;

const ANN: &str = "+14155550101";
const BEN: &str = "+14155550102";
const PASSWORD: &str = "0123456789abcdef";

/// A node whose codes have a provider and stay where they are: nobody works.
fn quiet() -> Options {
    let recording = || {
        let text = "kind = 'recording'\nname = 'test'\nfile = 'codes.jsonl'";
        vec![text.parse::<Table>().expect("TOML")]
    };
    options(HOME).workers(0).set("providers.sms", recording()).set("providers.voice", recording())
}

async fn start(options: Options) -> Scene {
    Scene::with(Net::new(), options).await
}

fn body() -> Value {
    json!({"signalingKey": BASE64_STANDARD.encode(SIGNALING_KEY), "fetchesMessages": true, "registrationId": 4242})
}

/// A code that is not this one.
fn other_than(code: &str) -> &'static str {
    if code == "555555" { "555556" } else { "555555" }
}

impl Scene {
    /// Asks for a code by SMS, and reads it where a worker would.
    async fn code(&self, number: &str) -> String {
        let asked = self.call("GET", &format!("/v1/accounts/sms/code/{number}"), None).await;
        assert_eq!(shown(&asked), "200");
        self.pending_code().await
    }

    /// The code that was made last.
    async fn pending_code(&self) -> String {
        let id: Uuid = self.node.value("select id from codes where state = 0 order by id desc limit 1").await;
        let (code, _) = subject::to_send(&self.node.app, id).await.expect("read").expect("a code");
        code.as_str().to_owned()
    }

    /// PUT with any header and any body.
    async fn put(&self, path: &str, authorization: Option<&str>, body: Value) -> Reply {
        call(&self.node.attacker(), "PUT", path, authorization, Some(body)).await
    }

    async fn confirm(&self, user: &str, code: &str) -> Reply {
        self.put(&format!("/v1/accounts/code/{code}"), Some(&basic(user, PASSWORD)), body()).await
    }

    async fn register(&self, number: &str) {
        let code = self.code(number).await;
        assert_eq!(shown(&self.confirm(number, &code).await), "204");
    }

    /// Whether a device can sign in.
    async fn knows(&self, user: &str, password: &str) -> bool {
        let gcm = json!({"gcmRegistrationId": "abc"});
        let reply = self.put("/v1/accounts/gcm", Some(&basic(user, password)), gcm).await;
        assert!([204, 401].contains(&reply.status), "{reply:?}");
        reply.status == 204
    }
}

async fn count(node: &Node, from: &str) -> i64 {
    node.value(&format!("select count(*) from {from}")).await
}

/// Seconds differ from run to run; that there are some does not.
fn seconds_hidden(shown: &str) -> String {
    let line = |line: &str| match line.strip_prefix("retry-after: ").map(str::parse::<u32>) {
        Some(Ok(1..)) => String::from("retry-after: SECONDS"),
        _ => line.to_owned(),
    };
    shown.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Answers that are all the same.
#[derive(Default)]
struct Alike(Vec<String>);

impl Alike {
    fn one(&mut self, shown: String) {
        self.0.push(shown);
    }

    fn all(mut self) -> String {
        self.0.dedup();
        assert_eq!(self.0.len(), 1, "{:?}", self.0);
        self.0.remove(0)
    }
}
