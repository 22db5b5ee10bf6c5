//! Campaigns into the books: rows streamed in, errors, keys, pace, pause, cancel. Nothing is delivered, for there is no broker.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Node, fields, problem, read};

/// A node with a webhook that rows can go to.
async fn node() -> Node {
    let node = Node::start().await;
    let (status, _) = node.post("/webhooks", &json!({"name": "orders", "url": "https://hooks.example/in"})).await;
    assert_eq!(status, 201);
    node
}

async fn campaign(node: &Node, more: Value) -> String {
    let mut wanted = json!({"name": "spring", "template": {"webhook": "orders", "payload": {"order": "{id}"}}});
    wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, made) = node.post("/campaigns", &wanted).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

/// Uploads; the answer's lines.
async fn upload(node: &Node, id: &str, kind: &str, offset: u64, body: impl Into<reqwest::Body>) -> Vec<Value> {
    let request = node.ask(Method::POST, &format!("/campaigns/{id}/rows?offset={offset}"));
    let request = request.header("content-type", kind).body(body);
    lines(request).await
}

async fn lines(request: reqwest::RequestBuilder) -> Vec<Value> {
    let text = request.send().await.unwrap().text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn number(node: &Node, sql: &str) -> i64 {
    node.app.db.client().await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
}

const NDJSON: &str = "application/x-ndjson";

fn rows(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|n| format!("{}\n", json!({"id": n, "key": format!("k{n}")}))).collect()
}

#[tokio::test]
async fn ten_thousand_rows_and_every_bad_one_is_named() {
    let node = node().await;
    let id = campaign(&node, json!({"tag": "{spring}"})).await;
    let row = |n: u32| match n % 1000 {
        7 => "{\"other\":1}\n".to_owned(),
        8 => "{\"key\":\"\\u0000\",\"id\":8}\n".to_owned(),
        9 => format!("{{\"id\":\"{}\"}}\n", "x".repeat(70_000)),
        _ => format!("{{\"id\":{n},\"key\":\"k{n}\"}}\n"),
    };
    let body: String = (0..10_000).map(row).collect();
    let answer = upload(&node, &id, NDJSON, 0, body).await;
    let done = json!({"taken": 10_000, "accepted": 9_970, "repeated": 0, "refused": 30, "done": true});
    assert_eq!(answer.last(), Some(&done));
    assert!(answer.len() > 2, "nothing was said on the way");
    let (_, shown) = node.get(&format!("/campaigns/{id}")).await;
    assert_eq!((&shown["counts"]["pending"], &shown["state"]), (&json!(9_970), &json!("running")));
    let (_, errors) = node.get(&format!("/campaigns/{id}/errors?limit=2")).await;
    assert_eq!(errors["items"][0], json!({"row": 8, "key": null, "problem": "the row has no value for {id}"}));
    assert_eq!((&errors["items"][1]["row"], &errors["next"]), (&json!(9), &json!("9")));
    let (_, rest) = node.get(&format!("/campaigns/{id}/errors?limit=1000&after=9")).await;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (28, &Value::Null));
    let (_, tagged) = node.get("/messages/summary?tag=%7Bspring%7D").await;
    assert_eq!(tagged["accepted"], 9_970);
    let report = node.ask(Method::GET, &format!("/campaigns/{id}/report")).send().await.unwrap().text().await.unwrap();
    let mut reader = csv::Reader::from_reader(report.as_bytes());
    let keys: std::collections::BTreeSet<(u32, String, String)> = reader
        .records()
        .map(|record| record.unwrap())
        .map(|record| (record[0].parse().unwrap(), record[1].to_owned(), record[4].to_owned()))
        .collect();
    let expected =
        (0..10_000).filter(|n| !matches!(n % 1000, 7..=9)).map(|n| (n + 1, format!("k{n}"), "pending".to_owned()));
    assert!(keys.into_iter().eq(expected), "the report is not of the rows");
}

#[tokio::test]
async fn csv_and_gzip_say_the_same() {
    let node = node().await;
    let id = campaign(&node, json!({"key_field": "id"})).await;
    let csv = "id,text\r\n1,\"a, \"\"b\"\"\nc\"\n2,\n3\n\n\"4\",x\n";
    let answer = upload(&node, &id, "text/csv; charset=utf-8", 0, csv).await;
    assert_eq!(answer.last().unwrap(), &json!({"taken": 4, "accepted": 3, "repeated": 0, "refused": 1, "done": true}));
    // On resume the header comes again, and is no row.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(b"id,text\n4,again\n5,\xff\n6,y").unwrap();
    let path = format!("/campaigns/{id}/rows?offset=4");
    let request = node.ask(Method::POST, &path).header("content-type", "text/csv").header("content-encoding", "gzip");
    let answer = lines(request.body(gzip.finish().unwrap())).await;
    assert_eq!(answer.last().unwrap(), &json!({"taken": 7, "accepted": 4, "repeated": 1, "refused": 2, "done": true}));
    let (_, errors) = node.get(&format!("/campaigns/{id}/errors")).await;
    let told: Vec<&Value> = errors["items"].as_array().unwrap().iter().map(|error| &error["row"]).collect();
    assert_eq!(told, [&json!(3), &json!(6)]);
    let answer = upload(&node, &id, "text/csv", 7, "nothing,text\n1,2\n").await;
    assert_eq!((problem(&answer[0]["error"]), &answer[0]["taken"]), ("invalid", &json!(7)));
    let request = node.ask(Method::POST, &format!("/campaigns/{id}/rows")).header("content-type", "text/csv");
    let answer = lines(request.header("content-encoding", "gzip").body("no gzip")).await;
    assert_eq!(problem(&answer[0]["error"]), "invalid");
}

#[tokio::test]
async fn a_row_comes_once_by_its_key_and_an_upload_goes_on_where_it_was() {
    let node = node().await;
    let id = campaign(&node, json!({})).await;
    upload(&node, &id, NDJSON, 0, rows(0..700)).await;
    let path = format!("/campaigns/{id}/rows?offset=0");
    let (status, body) = read(node.ask(Method::POST, &path).header("content-type", NDJSON).body(rows(0..9))).await;
    assert_eq!((status.as_u16(), problem(&body)), (409, "conflict"));
    assert!(body["detail"].as_str().unwrap().contains("offset=700"));
    let answer = upload(&node, &id, NDJSON, 700, rows(600..1200)).await;
    let done = json!({"taken": 1300, "accepted": 1200, "repeated": 100, "refused": 0, "done": true});
    assert_eq!(answer.last().unwrap(), &done);
    assert_eq!(number(&node, "select count(*) from messages").await, 1200);
    // Another campaign has keys of its own.
    let other = campaign(&node, json!({})).await;
    assert_eq!(upload(&node, &other, NDJSON, 0, rows(0..5)).await.last().unwrap()["accepted"], 5);
    node.post(&format!("/campaigns/{id}/close"), &json!({})).await;
    let request = node.ask(Method::POST, &format!("/campaigns/{id}/rows")).header("content-type", NDJSON);
    assert_eq!(read(request.body(rows(0..1))).await.0, 409);
}

#[tokio::test]
async fn a_rate_spaces_rows_evenly_and_can_be_changed() {
    let node = node().await;
    let id = campaign(&node, json!({"rate": 50})).await;
    upload(&node, &id, NDJSON, 0, rows(0..1000)).await;
    // Repeated rows take no one's place.
    upload(&node, &id, NDJSON, 1000, rows(0..1000)).await;
    upload(&node, &id, NDJSON, 2000, rows(1000..1100)).await;
    let due = "select count(distinct due_at), max(n)::bigint, (extract(epoch from max(due_at) - min(due_at)) * 1000)::bigint from chunks";
    let row = node.app.db.client().await.unwrap().query_one(due, &[]).await.unwrap();
    let (times, most, span): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert!((219..=222).contains(&times) && most <= 6 && (21_700..=22_100).contains(&span), "{times} {most} {span}");
    let (status, changed) =
        read(node.ask(Method::PATCH, &format!("/campaigns/{id}")).json(&json!({"rate": 500}))).await;
    assert_eq!((status.as_u16(), &changed["rate"]), (200, &json!(500.0)));
    let row = node.app.db.client().await.unwrap().query_one(due, &[]).await.unwrap();
    assert!((2_100..=2_200).contains(&row.get::<_, i64>(2)), "{}", row.get::<_, i64>(2));
    read(node.ask(Method::PATCH, &format!("/campaigns/{id}")).json(&json!({"rate": null}))).await;
    assert_eq!(number(&node, &format!("select count(*) from chunks where due_at > '{}'", Timestamp::now())).await, 0);
    let (status, body) = read(node.ask(Method::PATCH, &format!("/campaigns/{id}")).json(&json!({}))).await;
    assert_eq!((status.as_u16(), fields(&body)), (422, vec!["rate"]));
}

#[tokio::test]
async fn paused_is_still_and_cancelled_is_over() {
    let node = node().await;
    let id = campaign(&node, json!({})).await;
    let ordered =
        campaign(&node, json!({"template": {"webhook": "orders", "body": "{id}", "ordering_key": "{id}"}})).await;
    for id in [&id, &ordered] {
        upload(&node, id, NDJSON, 0, rows(0..250)).await;
        let (_, paused) = node.post(&format!("/campaigns/{id}/pause"), &json!({})).await;
        assert_eq!((&paused["state"], &paused["counts"]["pending"]), (&json!("paused"), &json!(250)));
    }
    upload(&node, &id, NDJSON, 250, rows(250..300)).await;
    let ready = format!(
        "select (select count(*) from chunks where state in (0, 3)) + (select count(*) from exceptions where state = 1 and due_at < '{}')",
        Timestamp::now() + std::time::Duration::from_secs(86_400)
    );
    assert_eq!(number(&node, &ready).await, 0);
    for id in [&id, &ordered] {
        let (_, resumed) = node.post(&format!("/campaigns/{id}/resume"), &json!({})).await;
        assert_eq!(resumed["state"], "running");
    }
    assert_eq!(number(&node, "select count(*) from chunks where state = 4").await, 0);
    assert!(number(&node, &ready).await > 250);
    for (id, n) in [(&id, 300), (&ordered, 250)] {
        let (_, cancelled) = node.post(&format!("/campaigns/{id}/cancel"), &json!({})).await;
        assert_eq!((&cancelled["state"], &cancelled["counts"]["cancelled"]), (&json!("cancelled"), &json!(n)));
        let (status, _) = node.post(&format!("/campaigns/{id}/resume"), &json!({})).await;
        assert_eq!(status, 409);
    }
    assert_eq!(number(&node, "select count(*) from turns").await, 0, "somebody still stands in a line");
    let told = "select coalesce(sum(cardinality(seqs)), 0)::bigint from events where kind = 5";
    assert_eq!(number(&node, told).await, 550);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_any_row() {
    let node = node().await;
    let (status, body) = node.post("/campaigns", &json!({"name": "", "template": {"txt": "{", "lane": "bulk"}})).await;
    assert_eq!(status, 422);
    assert_eq!(fields(&body), ["name", "template.lane", "template.txt", "template"]);
    let account = node.account(1).await;
    let bound = node.key("campaigns", Some(&account)).await;
    let template = |from: &str| json!({"name": "n", "template": {"from": from, "to": "{to}", "text": "Hi"}});
    let make = |wanted: Value| read(node.ask_as(&bound, Method::POST, "/campaigns").json(&wanted));
    assert_eq!(make(template("{from}")).await.0, 403);
    assert_eq!(make(json!({"name": "n", "template": {"webhook": "orders", "body": "x"}})).await.0, 403);
    assert_eq!(make(template("1")).await.0, 201);
    let id = campaign(&node, json!({})).await;
    assert_eq!(read(node.ask_as(&bound, Method::GET, &format!("/campaigns/{id}"))).await.0, 404);
    let (_, list) = read(node.ask_as(&bound, Method::GET, "/campaigns")).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let request = node.ask(Method::POST, &format!("/campaigns/{id}/rows")).header("content-type", "text/plain");
    assert_eq!(read(request.body("x")).await.0, 415);
}
