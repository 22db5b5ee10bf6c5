//! Every block of `docs/clients.md`, run against a whole node.
//!
//! The node is reached through a way that is bad at first (`bad_way`): what a client is to do about 429, 503 and lost answers is what
//! the blocks promise.

mod bad_way;
mod blocks;

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::node::{Net, Node, Options, Port};
use crate::webhooks::receiver::{Receiver, status};
use bad_way::BadWay;
use blocks::{Block, blocks};

const HOOKS: &str = "hooks.test";
const PEER: &str = "0012345*other.example";
/// Longest wait for a word of a block.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node with everything that the blocks name.
struct Scene {
    node: Node,
    receiver: Receiver,
    secret: String,
    folder: tempfile::TempDir,
    _net: Net,
}

impl Scene {
    async fn start() -> Self {
        let net = Net::new();
        let receiver = Receiver::start(&net, HOOKS, |_, _| status(204)).await;
        let node = Node::start(&net, Options::of("node.test")).await;
        let address = node.account("1000", "Shop").await;
        connect(&node, &address).await;
        let made = node.post("webhooks", json!({"name": "orders", "url": format!("https://{HOOKS}/in")})).await;
        let secret = made["secret"].as_str().unwrap().to_owned();
        Self { node, receiver, secret, folder: tempfile::tempdir().unwrap(), _net: net }
    }

    /// A block, with the client it begins with.
    fn command(&self, block: &Block, url: &str) -> Command {
        let (program, name) = match block.language {
            "sh" => ("bash", "block.sh"),
            "python" => ("python3", "block.py"),
            _ => ("node", "block.mjs"),
        };
        let path = self.folder.path().join(name);
        std::fs::write(&path, &block.text).unwrap();
        let mut command = Command::new(program);
        command
            .arg(path)
            .current_dir(self.folder.path())
            .env("HANDFAST_API_URL", url)
            .env("HANDFAST_API_KEY", self.node.key())
            .env("NO_PROXY", "*")
            .env_remove("http_proxy")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a block to its end; what it printed.
    async fn run(&self, block: &Block, url: &str) -> String {
        let output = self.command(block, url).output();
        let output = tokio::time::timeout(PATIENCE, output).await.expect("a block ends").expect("it begins");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{} {}: {errors}", block.language, block.title);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a block that goes on until it is stopped.
    fn begin(&self, block: &Block, more: &[(&str, &str)]) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut command = self.command(block, &self.url());
        let mut child = command.envs(more.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }

    fn url(&self) -> String {
        format!("http://{}", self.node.private)
    }

    async fn accepted(&self) -> i64 {
        self.node.get("messages/summary?tag=orders").await["accepted"].as_i64().unwrap()
    }
}

async fn connect(node: &Node, address: &str) {
    use handfast::connections::{NewConnection, Secrets, store};
    use handfast::openmsg::{AuthCode, CryptKey, IdentCode};
    let account = handfast::accounts::find(&node.app, &address.parse().unwrap()).await.unwrap().unwrap();
    let secrets =
        Secrets { auth_code: AuthCode::random(), ident_code: IdentCode::random(), crypt_key: CryptKey::random() };
    let new = NewConnection {
        account_id: account.id,
        own: account.address.clone(),
        other: PEER.parse().unwrap(),
        other_name: "Ada".parse().unwrap(),
        self_accepts: true,
        other_accepts: true,
        other_remembers: false,
        secrets,
    };
    store(&node.app.db.client().await.unwrap(), &node.app, &new).await.unwrap();
}

/// Reads until a line has this in it.
async fn until(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) -> String {
    let find = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(word) {
                return line;
            }
        }
        panic!("it ended without {word:?}");
    };
    tokio::time::timeout(PATIENCE, find).await.unwrap_or_else(|_| panic!("{word:?} does not come"))
}

#[tokio::test]
async fn every_block_does_what_it_is_there_for() {
    let scene = Scene::start().await;
    let all = blocks();
    assert_eq!(
        all.len(),
        4 + 5 + 5,
        "{:?}",
        all.iter().map(|block| (block.language, &block.title)).collect::<Vec<_>>()
    );
    for block in &all {
        match block.title.as_str() {
            "Send a message" => sends(&scene, block, 1).await,
            "Send a batch" => sends(&scene, block, if block.language == "python" { 5 } else { 3 }).await,
            "Page through a list" => pages(&scene, block).await,
            "Follow events" => follows(&scene, block).await,
            "Receive a webhook" => receives(&scene, block).await,
            other => panic!("nobody runs {other:?}"),
        }
    }
}

/// However bad the way is, there are just so many messages more, and again none more when the block is run again.
async fn sends(scene: &Scene, block: &Block, number: i64) {
    let before = scene.accepted().await;
    let streamed = block.language == "sh" && number > 1;
    // What is streamed is not sent again by itself.
    let url = if streamed { scene.url() } else { BadWay::to(&scene.url()).await };
    let said = scene.run(block, &url).await;
    assert!(!said.trim().is_empty());
    assert_eq!(scene.accepted().await - before, number, "{said}");
    scene.run(block, &scene.url()).await;
    assert_eq!(scene.accepted().await - before, number, "a second time");
}

async fn pages(scene: &Scene, block: &Block) {
    let said = scene.run(block, &scene.url()).await;
    let list = scene.node.get("messages?tag=orders&limit=1000").await;
    let ids: Vec<&str> = list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert!(ids.len() > 2, "more than a page");
    for id in ids {
        // A page's cursor is its last id.
        let said = said.replace(&format!("\"next\":\"{id}\""), "");
        assert_eq!(said.matches(id).count(), 1, "{id} in {said}");
    }
}

async fn follows(scene: &Scene, block: &Block) {
    let cursor = scene.folder.path().join("cursor");
    let _ = std::fs::remove_file(&cursor);
    let (mut child, mut lines) = scene.begin(block, &[]);
    until(&mut lines, "delivery.delivered").await;
    // What happens while it listens.
    let sent = scene.node.post("messages", json!({"webhook": "orders", "payload": 1})).await;
    let id = sent["id"].as_str().unwrap().to_owned();
    until(&mut lines, &id).await;
    if block.language != "sh" {
        // Once more, so that the cursor behind the first one is written.
        let kept = async || std::fs::read_to_string(&cursor).is_ok_and(|text| text.contains('-'));
        crate::node::eventually("the cursor is kept", kept).await;
    }
    child.kill().await.unwrap();
    if block.language != "sh" {
        // With its cursor it goes on with what is new.
        let (mut child, mut lines) = scene.begin(block, &[]);
        let sent = scene.node.post("messages", json!({"webhook": "orders", "payload": 2})).await;
        let line = until(&mut lines, "delivery.").await;
        let known = [sent["id"].as_str().unwrap(), &id];
        assert!(known.iter().any(|id| line.contains(id)), "{line} is neither of {known:?}");
        child.kill().await.unwrap();
    }
}

/// What the node sent, as its endpoint behind a proxy gets it.
async fn receives(scene: &Scene, block: &Block) {
    let sent = scene.node.post("messages", json!({"webhook": "orders", "payload": {"order": 9}})).await;
    let id = sent["id"].as_str().unwrap();
    let came = async || scene.receiver.seen().iter().any(|seen| seen.header("webhook-id") == id);
    crate::node::eventually("the webhook was called", came).await;
    let seen = scene.receiver.seen().into_iter().find(|seen| seen.header("webhook-id") == id).unwrap();
    let port = Port::free();
    let number = port.number.to_string();
    let (mut child, mut lines) = scene.begin(block, &[("PORT", &number), ("WEBHOOK_SECRET", &scene.secret)]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{number}/in");
    let pass_on = async |body: Vec<u8>| {
        let request = http.post(&url).headers(seen.headers.clone()).body(body);
        request.send().await.ok().map(|answer| answer.status().as_u16())
    };
    let body = seen.body.to_vec();
    let up = async || pass_on(body.clone()).await == Some(204);
    crate::node::eventually("the endpoint took it", up).await;
    until(&mut lines, id).await;
    let mut other = body.clone();
    other[0] = b'[';
    assert_eq!(pass_on(other).await, Some(401));
    let unsigned = http.post(&url).body(body).send().await.unwrap();
    assert_eq!(unsigned.status(), 401);
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_told_and_not_repeated() {
    let scene = Scene::start().await;
    for language in ["python", "js"] {
        let all = blocks();
        let block = all.iter().find(|block| block.language == language && block.title == "Send a message").unwrap();
        let wrong = Block {
            text: block
                .text
                .replace("webhook: \"orders\"", "webhook: \"others\"")
                .replace("\"webhook\": \"orders\"", "\"webhook\": \"others\""),
            ..block.clone()
        };
        let output = scene.command(&wrong, &scene.url()).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains("it is created with POST /webhooks"), "{errors}");
    }
}
