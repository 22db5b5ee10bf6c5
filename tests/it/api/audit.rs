use std::fs;
use std::path::Path;

use handfast::audit::{self, Entry, Filter};
use http::Method;
use http::header::USER_AGENT;
use serde_json::json;

use super::{Node, body, problem, read};

async fn entries(node: &Node) -> Vec<Entry> {
    audit::list(&node.app, &Filter::default(), None, 10_000).await.unwrap().entries
}

/// Method, path and whether it is marked as traffic, of each route that writes, read from the list of routes itself.
fn writing_routes() -> Vec<(Method, String, bool)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/doors/api/routes.rs");
    let text = fs::read_to_string(file).unwrap();
    let routes = text.lines().filter(|line| line.contains("\" => ") && line.trim_end().ends_with(';'));
    let route = |line: &str| {
        let (method, rest) = line.trim().split_once(' ')?;
        let path = rest.split('"').nth(1)?.to_owned();
        Some((method.parse().ok()?, path, line.contains(", traffic")))
    };
    let found: Vec<_> = routes.filter_map(route).filter(|(method, ..)| *method != Method::GET).collect();
    assert!(found.len() > 40, "only {} routes were found", found.len());
    found
}

#[tokio::test]
async fn every_route_that_writes_is_written_down_or_traffic() {
    let node = Node::start().await;
    for (method, path, traffic) in writing_routes() {
        let asked = path
            .replace("{address}", "9")
            .replace("{id}", "00000000-0000-7000-8000-000000000001")
            .replace("{number}", "+14155550199")
            .replace("{appid}", "none.example")
            .replace("{name}", "none");
        let before = entries(&node).await.len();
        let answer = node.ask(method.clone(), &format!("/{asked}")).json(&json!({})).send().await.unwrap();
        let now = entries(&node).await;
        if traffic {
            assert_eq!(now.len(), before, "{method} {path}");
            continue;
        }
        assert_eq!(now.len(), before + 1, "{method} {path}");
        let entry = &now[0];
        assert_eq!(entry.action, format!("{method} {path}"));
        assert_eq!(entry.outcome, Some(answer.status().as_u16()), "{method} {path}");
        assert_eq!((entry.actor.as_str(), entry.via), ("tests", audit::Via::Api));
        assert!(entry.key.is_some() && entry.ended_at >= Some(entry.at));
        assert!(!entry.subject.contains("14155550199"), "{}", entry.subject);
    }
}

#[tokio::test]
async fn who_what_and_how_it_ended_is_there_for_what_was_done_and_for_what_was_refused() {
    let node = Node::start().await;
    node.post("/accounts", &json!({"address": "1000", "name": "Shop"})).await;
    node.post("/accounts", &json!({"address": "1000", "name": "Shop"})).await;
    let weak = node.key("accounts:read", None).await;
    read(node.ask_as(&weak, Method::POST, "/accounts").json(&json!({"address": "2000", "name": "x"}))).await;
    read(node.ask_as("hf_nobody", Method::POST, "/accounts").json(&json!({"address": "3", "name": "x"}))).await;
    let cli = node.ask(Method::POST, "/accounts/1000/disable").header(USER_AGENT, "handfast-cli/9.9.9");
    read(cli.json(&json!({}))).await;
    let (_, made) = node.post("/keys", &json!({"sender": "shop", "scopes": ["messages"]})).await;

    let told: Vec<(String, String, Option<u16>, &str)> = entries(&node)
        .await
        .into_iter()
        .rev()
        .map(|entry| (entry.action, entry.subject, entry.outcome, entry.via.name()))
        .collect();
    let told: Vec<_> = told.iter().map(|(a, s, o, v)| (a.as_str(), s.as_str(), *o, *v)).collect();
    let key = format!("shop messages -> {}", made["id"].as_str().unwrap());
    assert_eq!(
        told,
        [
            ("POST accounts", "1000", Some(201), "api"),
            ("POST accounts", "1000", Some(409), "api"),
            ("POST accounts", "", Some(403), "api"),
            ("POST accounts/{address}/disable", "1000", Some(200), "cli"),
            ("POST keys", key.as_str(), Some(201), "api"),
        ]
    );
}

#[tokio::test]
async fn no_secret_is_in_any_row() {
    let node = Node::start().await;
    let secrets = [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "hunter2-bearer",
        "hunter2-header",
        "hunter2-backend",
        "hunter2-path",
        "042137",
        "+14155550199",
    ];
    let key = node.key.clone();
    let requests = [
        (
            "POST",
            "/webhooks".to_owned(),
            json!({"name": "orders", "url": "https://a.example/hunter2-path", "secret": secrets[0],
            "auth": {"type": "bearer", "token": secrets[1]}, "headers": {"x-a": secrets[2]}}),
        ),
        (
            "PATCH",
            "/webhooks/orders".to_owned(),
            json!({"auth": {"type": "bearer", "token": secrets[1]}, "url": "https://b.example/hunter2-path"}),
        ),
        ("POST", "/webhooks/orders/rotate".to_owned(), json!({"secret": secrets[0]})),
        (
            "POST",
            "/apps".to_owned(),
            json!({"appid": "a.example", "name": "A", "backend": "mesibo", "backend_token": secrets[3]}),
        ),
        ("POST", "/connections".to_owned(), json!({"from": "1000", "to": "2*b.example", "pass_code": secrets[5]})),
        ("DELETE", "/phones/+14155550199".to_owned(), json!({})),
        ("POST", "/replays".to_owned(), json!({"filter": {"to": secrets[6]}})),
        ("DELETE", format!("/keys/{key}"), json!({})),
        ("POST", "/webhooks".to_owned(), json!({"name": secrets[0], "url": "https://a.example"})),
        ("POST", "/apps/a.example/unlock".to_owned(), json!({"address": "14155550199"})),
    ];
    let asked = requests.len();
    for (method, path, json) in requests {
        node.ask(method.parse().unwrap(), &path).json(&json).send().await.unwrap();
    }
    let rows = entries(&node).await;
    assert_eq!(rows.len(), asked);
    let text = serde_json::to_string(&rows).unwrap();
    for secret in secrets.iter().copied().chain([key.as_str(), "14155550199"]) {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains("orders (auth, url)"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let node = Node::start().await;
    let client = node.app.db.client().await.unwrap();
    client.batch_execute("alter table audit rename to elsewhere").await.unwrap();
    let (status, _) = node.post("/accounts", &json!({"address": "1000", "name": "Shop"})).await;
    assert!(status.is_server_error(), "{status}");
    client.batch_execute("alter table elsewhere rename to audit").await.unwrap();
    assert_eq!(node.get("/accounts/1000").await.0, 404);
    assert_eq!(node.post("/accounts", &json!({"address": "1000", "name": "Shop"})).await.0, 201);
}

#[tokio::test]
async fn the_record_is_found_by_its_parts_in_pages_and_shown_to_operators_only() {
    let node = Node::start().await;
    for id in 1..=5 {
        node.post("/accounts", &json!({"address": id.to_string(), "name": "Shop"})).await;
    }
    node.post("/webhooks", &json!({"name": "orders", "url": "https://a.example"})).await;
    let count = async |query: &str| {
        let (status, page) = node.get(&format!("/audit?{query}")).await;
        assert_eq!(status, 200, "{page}");
        page["items"].as_array().unwrap().len()
    };
    for (query, rows) in [
        ("", 6),
        ("action=post%20ACCOUNTS", 5),
        ("subject=orders", 1),
        ("actor=tests", 6),
        ("actor=test", 0),
        ("via=console", 0),
        ("via=api&subject=3", 1),
        ("since=2100-01-01T00:00:00Z", 0),
        ("until=2100-01-01T00:00:00Z", 6),
        ("until=2000-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(count(query).await, rows, "{query}");
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (_, page) = node.get(&format!("/audit?limit=4{after}")).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["id"].to_string()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first: {seen:?}");

    let (status, refusal) = node.get("/audit?via=mail").await;
    assert_eq!((status.as_u16(), problem(&refusal)), (422, "invalid"));
    let account = node.account(77).await;
    let (other, bound) = (node.key("accounts", None).await, node.key("*", Some(&account)).await);
    let reads = node.key("node:read", None).await;
    for path in ["/audit", "/configuration"] {
        for (key, status) in [(&other, 403), (&bound, 403), (&reads, 200)] {
            assert_eq!(read(node.ask_as(key, Method::GET, path)).await.0, status, "{path}");
        }
    }
}

#[tokio::test]
async fn the_settings_in_effect_are_shown_and_secrets_are_dots() {
    let node = Node::start_with(|config| {
        config.amqp.url = String::from("amqp://u:hunter2@127.0.0.1:1/x").into();
        config.delivery.chunk = 77;
    })
    .await;
    let response = node.ask(Method::GET, "/configuration").send().await.unwrap();
    let shown = body(response).await;
    assert_eq!(shown["settings"]["delivery"]["chunk"], 77);
    assert_eq!(shown["settings"]["audit"]["keep"], "365d");
    assert_eq!(shown["version"], env!("CARGO_PKG_VERSION"));
    let text = shown.to_string();
    let database = node.app.config.database.url.reveal();
    let password = url::Url::parse(database).unwrap().password().map(str::to_owned).unwrap_or("hunter2".into());
    assert!(!text.contains("hunter2") && !text.contains(&password), "{text}");
}

#[tokio::test]
async fn what_has_had_its_time_is_forgotten() {
    let node = Node::start().await;
    node.post("/accounts", &json!({"address": "1", "name": "Shop"})).await;
    assert_eq!(audit::purge(&node.app).await.unwrap(), 0);
    node.app.clock.advance(std::time::Duration::from_secs(366 * 86_400));
    assert_eq!(audit::purge(&node.app).await.unwrap(), 1);
    assert!(entries(&node).await.is_empty());
}
