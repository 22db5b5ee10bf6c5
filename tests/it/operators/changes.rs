//! The record of changes where processes die and commands are local.

use handfast::audit::{self, Filter, Via};
use serde_json::json;

use crate::node::{Net, Node, Options, eventually};

#[tokio::test]
async fn a_process_that_dies_leaves_a_row_whose_outcome_is_unknown() {
    let net = Net::new();
    // Nobody works: the handshake waits, and the request for it.
    let mut node = Node::start(&net, Options::of("a.test").workers(0)).await;
    let from = node.account("1000", "Shop").await;
    let wanted = json!({"from": from, "to": "1*silent.test", "pass_code": "042137"});
    let filter = Filter { action: Some("POST connections".into()), ..Filter::default() };
    let url = format!("http://{}/api/v1/connections?wait=60", node.private);
    let asking = tokio::spawn(reqwest::Client::new().post(url).bearer_auth(node.key()).json(&wanted).send());
    let rows = async || audit::list(&node.app, &filter, None, 10).await.expect("a list").entries;
    eventually("it is written down before it is done", async || rows().await.len() == 1).await;
    assert_eq!(rows().await[0].outcome, None);
    let app = node.app.clone();
    node.kill_serve().await;
    assert!(asking.await.expect("a task").is_err(), "nobody answered");
    let entry = audit::list(&app, &filter, None, 10).await.expect("a list").entries.remove(0);
    assert_eq!((entry.outcome, entry.ended_at), (None, None));
    assert_eq!((entry.actor.as_str(), entry.subject.as_str()), ("test", format!("{from} 1*silent.test").as_str()));
}

#[tokio::test]
async fn commands_say_which_way_they_came() {
    let net = Net::new();
    let node = net.node("a.test").await;
    node.said(&["account", "create", "1000", "--name", "Shop"]).await;
    let settings = node.dir().join("handfast.toml");
    let local = tokio::process::Command::new(env!("CARGO_BIN_EXE_handfast"))
        .args(["key", "create", "--sender", "dashboard", "--scopes", "node:read", "--config"])
        .arg(&settings)
        .output()
        .await
        .expect("the program runs");
    assert!(local.status.success(), "{}", String::from_utf8_lossy(&local.stderr));
    let key = String::from_utf8(local.stdout).expect("a key");
    let rows = audit::list(&node.app, &Filter::default(), None, 10).await.expect("a list").entries;
    let told: Vec<_> = rows.iter().rev().map(|e| (e.via, e.action.as_str(), e.subject.as_str(), e.outcome)).collect();
    assert_eq!(
        told,
        [(Via::Cli, "POST accounts", "1000", Some(201)), (Via::Local, "key create", "dashboard node:read", Some(200)),]
    );
    assert!(!rows[0].actor.is_empty() && !serde_json::to_string(&rows).expect("JSON").contains(key.trim()));

    let listed = node.said(&["audit", "list", "--since", "1h", "--via", "local"]).await;
    assert!(listed.contains("key create") && !listed.contains("POST accounts"), "{listed}");
    let mut lines = std::pin::pin!(node.said(&["audit", "follow", "--limit", "1", "--json"]));
    // What was before does not count, and nobody knows when it begins to follow: something happens until it has seen it.
    let followed = loop {
        tokio::select! {
            followed = &mut lines => break followed,
            _ = node.said(&["account", "disable", "1000"]) => {}
        }
    };
    assert!(followed.contains("POST accounts/{address}/disable") && followed.contains("\"outcome\":200"), "{followed}");
}
