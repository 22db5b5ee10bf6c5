//! What operators do with deliveries, campaigns, destinations, people and keys, at a node where things went well and badly.

mod changes;
mod looking;
mod rescue;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::Scene;
use crate::browser::driver::Wanted;
use crate::node::{Net, Node, Options, eventually};
use crate::webhooks::receiver::{Receiver, status};

const HOOKS: &str = "hooks.test";
/// What strangers put where they may write: names, tags, answers.
const ATTACK: &str = "\"'><script>document.title='taken'</script>";
/// As short as the name of an account must be.
const NAME: &str = "\"><img src=x onerror=alert(1)>";

/// A signed-in browser at a node that delivered one message, failed with one, and is trying a third.
struct Stage {
    scene: Scene,
    delivered: String,
    failed: String,
    retrying: String,
    /// Whether the receiver takes what it refused so far.
    healed: Arc<AtomicBool>,
    _receiver: Receiver,
}

impl Stage {
    async fn new(wanted: Wanted) -> Self {
        let (net, healed) = (Net::new(), Arc::new(AtomicBool::new(false)));
        let well = Arc::clone(&healed);
        let receiver = Receiver::start(&net, HOOKS, move |seen, _| match seen.path.split('?').next() {
            Some("/good") => status(204),
            Some("/bad") if well.load(Ordering::SeqCst) => status(204),
            Some("/bad") => status(400).map(|_| ATTACK.to_owned()),
            _ => status(503),
        });
        let receiver = receiver.await;
        let options = Options::of("shop.test").set("delivery.webhook_schedule", vec!["10m"]);
        let node = Node::start(&net, options).await;
        for name in ["good", "bad", "busy"] {
            let url = format!("https://{HOOKS}/{name}?token=%22%3E{}", "<script>document.title='taken'</script>");
            node.post("webhooks", json!({"name": name, "url": url})).await;
        }
        let [delivered, failed, retrying] =
            [send(&node, "good").await, send(&node, "bad").await, send(&node, "busy").await];
        eventually("all are tried", async || {
            node.state(&delivered).await == "delivered"
                && node.state(&failed).await == "failed"
                && node.state(&retrying).await == "retrying"
        })
        .await;
        let scene = Scene { node, browser: wanted.start().await };
        scene.sign_in(scene.node.key()).await;
        Self { scene, delivered, failed, retrying, healed, _receiver: receiver }
    }

    /// Accounts, a connection, a campaign, an application, an operation and a paused destination beside it; where their pages are.
    async fn full(wanted: Wanted) -> (Self, Vec<(&'static str, String)>) {
        let stage = Self::new(wanted).await;
        let node = &stage.scene.node;
        let (shop, ann) = (node.account("1000", NAME).await, node.account("2000", "Ann").await);
        let connection = node.connected("1000", &ann, &node.code("2000").await).await;
        let template = json!({"from": shop, "to": "{to}", "text": "Hello"});
        let campaign = node.post("campaigns", json!({"name": ATTACK, "tag": "spring", "template": template})).await;
        let operation = node.post("cancellations", json!({"filter": {"tag": "nobody"}})).await;
        node.post("apps", json!({"appid": "com.example.shop", "name": ATTACK})).await;
        node.api("POST", "destinations/slow.test/pause", Some(json!({}))).await.good();
        let id = |value: &serde_json::Value| value["id"].as_str().unwrap().to_owned();
        let pages = [
            ("deliveries", "deliveries".into()),
            ("delivery-failed", format!("deliveries/{}", stage.failed)),
            ("delivery-retrying", format!("deliveries/{}", stage.retrying)),
            ("dead", "dead".into()),
            ("replay", "replays/new?state=failed".into()),
            ("operations", "operations".into()),
            ("operation", format!("operations/{}", id(&operation))),
            ("campaigns", "campaigns".into()),
            ("campaign", format!("campaigns/{}", id(&campaign))),
            ("destinations", "destinations".into()),
            ("destination", "destinations/bad".into()),
            ("webhooks", "webhooks".into()),
            ("webhook", "webhooks/bad".into()),
            ("accounts", "accounts".into()),
            ("account", format!("accounts/{shop}")),
            ("connections", "connections".into()),
            ("connection", format!("connections/{connection}")),
            ("phones", "phones".into()),
            ("apps", "apps".into()),
            ("app", "apps/com.example.shop".into()),
            ("sessions", "sessions".into()),
            ("keys", "keys".into()),
        ];
        (stage, pages.into_iter().map(|(name, path): (_, String)| (name, format!("/console/{path}"))).collect())
    }
}

async fn send(node: &Node, webhook: &str) -> String {
    let message = json!({"webhook": webhook, "payload": {"order": 7}, "tag": ATTACK});
    node.post("messages", message).await["id"].as_str().unwrap().to_owned()
}
