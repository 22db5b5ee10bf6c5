//! The node's own API, as an application uses it.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;

use super::{Node, PATIENCE, eventually};
use crate::secrets;

/// States in which something is still going to happen.
const OPEN: [&str; 3] = ["pending", "sending", "retrying"];

/// What the API said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Null where the body was no JSON.
    pub(crate) body: Value,
}

impl Answer {
    /// The body.
    ///
    /// # Panics
    /// Unless the status is a success.
    #[track_caller]
    pub(crate) fn good(self) -> Value {
        assert!((200..300).contains(&self.status), "refused: {self:?}");
        self.body
    }
}

impl Node {
    /// Any request below `/api/v1/`.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let url = format!("http://{}/api/v1/{path}", self.private);
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, url).bearer_auth(&self.key);
        if let Some(body) = body {
            secrets::of_json(&body);
            request = request.json(&body);
        }
        let response = request.send().await.expect("the API answers");
        let status = response.status().as_u16();
        let body = response.json().await.unwrap_or(Value::Null);
        secrets::of_json(&body);
        Answer { status, body }
    }

    /// `handfast …` against the node.
    pub(crate) async fn handfast(&self, words: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_handfast"))
            .args(words)
            .args(["--api", &format!("http://{}", self.private)])
            .env("HANDFAST_API_KEY", &self.key)
            .output()
            .await
            .expect("the program runs");
        secrets::said("cli", &output.stderr);
        output
    }

    /// What it printed, of a command that must succeed.
    pub(crate) async fn said(&self, words: &[&str]) -> String {
        let output = self.handfast(words).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// A GET that must succeed.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.api("GET", path, None).await.good()
    }

    /// A POST that must succeed.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.api("POST", path, Some(body)).await.good()
    }

    /// Creates an account; returns its address.
    pub(crate) async fn account(&self, id: &str, name: &str) -> String {
        self.post("accounts", json!({"address": id, "name": name})).await;
        self.address(id)
    }

    /// A fresh pass code for an account.
    pub(crate) async fn code(&self, id: &str) -> String {
        let issued = self.post(&format!("accounts/{}/passcodes", self.address(id)), json!({})).await;
        issued["pass_code"].as_str().expect("a code").to_owned()
    }

    /// How many live pass codes an account has.
    pub(crate) async fn live_codes(&self, id: &str) -> usize {
        let list = self.get(&format!("accounts/{}/passcodes", self.address(id))).await;
        list["items"].as_array().expect("a list").len()
    }

    /// A handshake, allowing replies: as it stands at its end, or after ten seconds.
    pub(crate) async fn connect(&self, from: &str, to: &str, code: &str) -> Value {
        self.connect_replying(from, to, code, true).await
    }

    /// The same, with or without replies.
    pub(crate) async fn connect_replying(&self, from: &str, to: &str, code: &str, allow_replies: bool) -> Value {
        let wanted = json!({"from": self.address(from), "to": to, "pass_code": code, "allow_replies": allow_replies});
        self.post("connections?wait=10", wanted).await
    }

    /// A handshake that must succeed; returns the connection's id.
    pub(crate) async fn connected(&self, from: &str, to: &str, code: &str) -> String {
        let handshake = self.connect(from, to, code).await;
        assert_eq!(handshake["state"], "connected", "{handshake}");
        handshake["connection"].as_str().expect("an id").to_owned()
    }

    /// The connections of the whole node.
    pub(crate) async fn connections(&self) -> Vec<Value> {
        self.get("connections").await["items"].as_array().expect("a list").clone()
    }

    /// Hands a message over; returns its id.
    pub(crate) async fn send(&self, from: &str, to: &str, text: &str) -> String {
        let accepted = self.post("messages", json!({"from": self.address(from), "to": to, "text": text})).await;
        accepted["id"].as_str().expect("an id").to_owned()
    }

    /// A message as it stands.
    pub(crate) async fn message(&self, id: &str) -> Value {
        self.get(&format!("messages/{id}")).await
    }

    /// Its state.
    pub(crate) async fn state(&self, id: &str) -> String {
        self.message(id).await["state"].as_str().expect("a state").to_owned()
    }

    /// Waits until nothing more is going to happen to a message, and returns it.
    pub(crate) async fn settled(&self, id: &str) -> Value {
        let begun = Instant::now();
        loop {
            let message = self.message(id).await;
            if !OPEN.contains(&message["state"].as_str().expect("a state")) {
                return message;
            }
            assert!(begun.elapsed() < PATIENCE, "never settled: {message:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends, waits, and returns the final state.
    pub(crate) async fn sent(&self, from: &str, to: &str, text: &str) -> String {
        let id = self.send(from, to, text).await;
        self.settled(&id).await["state"].as_str().expect("a state").to_owned()
    }

    /// Waits until a message has been tried so often, and returns the attempts.
    pub(crate) async fn tried(&self, id: &str, times: usize) -> Vec<Value> {
        let attempts = async || {
            let message = self.message(id).await;
            message["deliveries"][0]["attempts"].as_array().expect("a list").clone()
        };
        eventually("the message is tried", async || attempts().await.len() >= times).await;
        attempts().await
    }

    /// What an account received, oldest first: sender's address and text.
    pub(crate) async fn inbox(&self, id: &str) -> Vec<(String, String)> {
        let list = self.get(&format!("inbox?account={}&limit=1000", self.address(id))).await;
        let items = list["items"].as_array().expect("a list").iter();
        let text = |item: &Value, name: &str| item[name].as_str().expect("a text").to_owned();
        items.map(|item| (text(item, "from"), text(item, "text"))).collect()
    }

    /// The texts of it.
    pub(crate) async fn texts(&self, id: &str) -> Vec<String> {
        self.inbox(id).await.into_iter().map(|(_, text)| text).collect()
    }
}
