//! Campaigns of a whole node: uploads that outlive both sides, and memory that does not grow with them.

use std::fs;
use std::process::Stdio;

use serde_json::json;
use tokio::process::{Child, Command};

use crate::node::{Net, Node, Options, eventually};
use crate::secrets;

/// A node without workers, and a campaign to a webhook of it.
async fn campaign() -> (Node, String) {
    let net = Net::new();
    let node = Node::start(&net, Options::of("a.test").workers(0)).await;
    node.post("webhooks", json!({"name": "orders", "url": "https://hooks.test/in"})).await;
    let template = json!({"webhook": "orders", "payload": {"order": "{id}", "text": "{text}"}});
    let made = node.post("campaigns", json!({"name": "spring", "template": template, "key_field": "id"})).await;
    (node, made["id"].as_str().expect("an id").to_owned())
}

fn write(node: &Node, name: &str, rows: usize) -> String {
    let path = node.dir().join(name);
    let row = |n: usize| format!("{n},\"Order {n},\nis on its way\"\n");
    let text: String = (0..rows).map(row).collect();
    fs::write(&path, format!("id,text\n{text}")).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

/// `handfast campaign rows`.
fn uploading(node: &Node, id: &str, file: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_handfast"))
        .args(["campaign", "rows", id, file, "--api", &format!("http://{}", node.private)])
        .env("HANDFAST_API_KEY", node.key())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(secrets::output("campaign"))
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts")
}

async fn taken(node: &Node) -> i64 {
    node.value("select sum(taken)::bigint from campaigns").await
}

/// Every row is there once.
async fn whole(node: &Node, rows: i64) {
    let sql = "select count(*) from campaign_chunks, unnest(rows, keys) as r(row, key) where r.row = r.key::bigint + 1";
    assert_eq!(node.value::<i64>(sql).await, rows);
    assert_eq!(node.value::<i64>("select count(distinct r) from campaign_chunks, unnest(rows) r").await, rows);
    assert_eq!(node.value::<i64>("select count(*) from messages").await, rows);
    assert_eq!(node.value::<i64>("select accepted from campaigns").await, rows);
}

#[tokio::test]
async fn an_upload_outlives_the_death_of_either_side() {
    let (mut node, id) = campaign().await;
    let file = write(&node, "rows.csv", 30_000);
    let mut client = uploading(&node, &id, &file);
    for round in 0..4 {
        let wanted = taken(&node).await + 2_000;
        eventually("rows are taken", async || taken(&node).await >= wanted).await;
        if round % 2 == 0 {
            node.kill_serve().await;
            node.start_serve();
            node.alive().await;
        } else {
            client.kill().await.expect("killed");
            client = uploading(&node, &id, &file);
        }
    }
    let ended = client.wait().await.expect("waited for");
    assert!(ended.success(), "{ended}");
    whole(&node, 30_000).await;
}

#[tokio::test]
async fn ten_times_the_rows_take_no_more_memory() {
    let (node, id) = campaign().await;
    let resident = || {
        let pid = node.serve.as_ref().and_then(|serve| serve.pid()).expect("it runs");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number")
    };
    let few = write(&node, "few.csv", 5_000);
    assert!(uploading(&node, &id, &few).wait().await.expect("waited for").success());
    let before = resident();
    let many = write(&node, "many.csv", 55_000);
    assert!(uploading(&node, &id, &many).wait().await.expect("waited for").success());
    let after = resident();
    assert_eq!(taken(&node).await, 55_000);
    assert!(after < before + 24 * 1024, "{before} KiB before, {after} KiB after ten times the rows");
}
