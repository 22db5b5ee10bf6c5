//! Phone numbers as operators see them. What devices notice of it: `tests/it/textsecure/operators.rs`.

use handfast::phones::{self, Registration};
use handfast::textsecure::Number;
use reqwest::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Node, fields, problem, read};

const ADA: &str = "+14155550101";
const BOB: &str = "+14155550102";
const EVE: &str = "+14155550103";

impl Node {
    /// A number with one device that listens.
    pub(super) async fn number(&self, text: &str) -> Number {
        let number: Number = text.parse().unwrap();
        let registration = Registration {
            generation: uuid::Uuid::new_v4(),
            password: "not one that is ever checked".into(),
            signaling_key: Zeroizing::new([7; phones::SIGNALING_KEY_BYTES]),
            registration_id: 0,
            fetches_messages: true,
            supports_sms: true,
        };
        let mut client = self.app.db.client().await.unwrap();
        let tx = client.transaction().await.unwrap();
        assert_eq!(phones::register(&tx, &self.app, &number, &registration).await.unwrap(), phones::Registered::As(1));
        tx.commit().await.unwrap();
        number
    }

    /// What only a peer lists.
    async fn listed_by(&self, peer: &str, text: &str) {
        let number: Number = text.parse().unwrap();
        let sql = "insert into directory (token, relay) values ($1, $2)";
        self.app.db.execute(sql, &[&number.token().0.as_slice(), &peer]).await.unwrap();
    }

    async fn count(&self, table: &str) -> i64 {
        self.app.db.row(&format!("select count(*) from {table}"), &[]).await.unwrap().unwrap().get(0)
    }
}

#[tokio::test]
async fn numbers_are_listed_in_pages_and_shown_with_their_devices() {
    let node = Node::start().await;
    for number in [BOB, ADA, EVE] {
        node.number(number).await;
    }
    let (_, first) = node.get("/phones?limit=2").await;
    let numbers = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|phone| phone["number"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((numbers(&first), &first["next"]), (vec![ADA.to_owned(), BOB.to_owned()], &json!(BOB)));
    for after in ["%2B14155550102", "+14155550102"] {
        let (_, second) = node.get(&format!("/phones?limit=2&after={after}")).await;
        assert_eq!((numbers(&second), &second["next"]), (vec![EVE.to_owned()], &Value::Null));
    }
    let (status, wrong) = node.get("/phones?after=1&limit=x").await;
    assert_eq!((status.as_u16(), fields(&wrong)), (422, vec!["limit"]));
    assert_eq!(fields(&node.get("/phones?after=1").await.1), ["after"]);

    let (status, seen) = node.get(&format!("/phones/{ADA}")).await;
    assert_eq!(status, 200);
    assert_eq!(node.get("/phones/%2B14155550101").await.1, seen);
    let device = &seen["devices"][0];
    let expected = json!({
        "number": ADA, "active": true, "disabled": false, "disabled_at": null, "directory": "local", "peer": null,
        "created_at": seen["created_at"], "registered_at": seen["registered_at"],
        "devices": [{
            "id": 1, "active": true, "fetches_messages": true, "push": null, "push_failed_at": null, "prekeys": 0,
            "waiting": 0, "created_at": device["created_at"], "seen_on": device["seen_on"],
        }],
    });
    assert_eq!(seen, expected);
    assert!(seen["created_at"].is_string() && device["seen_on"].is_string());
}

#[tokio::test]
async fn what_is_no_number_of_ours_is_404_and_nothing_repeats_it() {
    let node = Node::start().await;
    for path in [ADA, "14155550101", "+1415", "ada", "%2B1415555010x"] {
        for (method, action) in [
            (Method::GET, ""),
            (Method::DELETE, ""),
            (Method::POST, "/disable"),
            (Method::POST, "/enable"),
            (Method::POST, "/test-push"),
        ] {
            let (status, body) = read(node.ask(method.clone(), &format!("/phones/{path}{action}"))).await;
            assert_eq!((status.as_u16(), problem(&body)), (404, "not-found"), "{method} {path}{action}");
            assert!(!body.to_string().contains("1415"), "{body}");
        }
    }
}

#[tokio::test]
async fn only_keys_for_numbers_see_them_and_none_of_one_account() {
    let node = Node::start().await;
    node.number(ADA).await;
    let (own, path) = (node.account(1).await, format!("/phones/{ADA}"));
    let (reader, other) = (node.key("phones:read", None).await, node.key("accounts,messages", None).await);
    let bound = node.key("phones", Some(&own)).await;
    let disable = format!("{path}/disable");
    for (key, method, path, status) in [
        (&reader, Method::GET, path.as_str(), 200),
        (&reader, Method::GET, "/phones", 200),
        (&reader, Method::GET, "/peers", 200),
        (&reader, Method::DELETE, path.as_str(), 403),
        (&reader, Method::POST, disable.as_str(), 403),
        (&other, Method::GET, path.as_str(), 403),
        (&other, Method::GET, "/peers", 403),
        (&bound, Method::GET, path.as_str(), 403),
        (&bound, Method::GET, "/phones", 403),
        (&bound, Method::GET, "/peers", 403),
        (&bound, Method::DELETE, path.as_str(), 403),
    ] {
        assert_eq!(read(node.ask_as(key, method.clone(), path)).await.0, status, "{method} {path}");
    }
}

#[tokio::test]
async fn a_number_is_disabled_with_all_it_has_and_enabled_again() {
    let node = Node::start().await;
    node.number(ADA).await;
    let (status, disabled) = node.post(&format!("/phones/{ADA}/disable"), &json!({})).await;
    let state = |phone: &Value| ["active", "disabled", "directory"].map(|name| phone[name].clone());
    assert_eq!((status.as_u16(), state(&disabled)), (200, [json!(false), json!(true), json!("none")]));
    assert_eq!(disabled["devices"].as_array().unwrap().len(), 1);
    let (_, again) = node.post(&format!("/phones/{ADA}/disable"), &json!({})).await;
    assert_eq!(again["disabled_at"], disabled["disabled_at"]);
    let (status, body) = node.post(&format!("/phones/{ADA}/test-push"), &json!({})).await;
    assert_eq!((status.as_u16(), problem(&body)), (409, "conflict"));
    for _ in 0..2 {
        let (status, enabled) = read(node.ask(Method::POST, "/phones/%2B14155550101/enable")).await;
        assert_eq!((status.as_u16(), state(&enabled)), (200, [json!(true), json!(false), json!("local")]));
        assert_eq!(enabled["disabled_at"], Value::Null);
    }
}

#[tokio::test]
async fn an_unregistered_number_leaves_nothing_here_and_nothing_of_a_peer() {
    let node = Node::start().await;
    let ada = node.number(ADA).await;
    node.number(BOB).await;
    for sql in [
        "insert into prekeys values ($1, 1, 7, 0, 'key', 'identity')",
        "insert into device_keys (number, device, updated_at) values ($1, 1, now())",
        "insert into envelopes (id, number, device, content, expires_at) values (gen_random_uuid(), $1, 1, '', now())",
    ] {
        node.app.db.execute(sql, &[&ada.as_str()]).await.unwrap();
    }
    let mut client = node.app.db.client().await.unwrap();
    let tx = client.transaction().await.unwrap();
    let (purpose, life) = (handfast::codes::Purpose::PhoneNumber, std::time::Duration::from_secs(60));
    handfast::codes::subject::make(&tx, &node.app, purpose, ADA, life).await.unwrap();
    handfast::codes::subject::make(&tx, &node.app, purpose, BOB, life).await.unwrap();
    tx.commit().await.unwrap();
    let (_, seen) = node.get(&format!("/phones/{ADA}")).await;
    assert_eq!((&seen["devices"][0]["prekeys"], &seen["devices"][0]["waiting"]), (&json!(1), &json!(1)));

    let delete = |path: &str| node.ask(Method::DELETE, &format!("/phones/{path}"));
    assert_eq!(read(delete(ADA)).await, (reqwest::StatusCode::NO_CONTENT, Value::Null));
    for (table, left) in [
        ("phones", 1),
        ("devices", 1),
        ("prekeys", 0),
        ("device_keys", 0),
        ("envelopes", 0),
        ("directory", 1),
        ("codes", 1),
    ] {
        assert_eq!(node.count(table).await, left, "{table}");
    }
    assert_eq!(read(delete(ADA)).await.0, 404);
    assert_eq!(node.get(&format!("/phones/{BOB}")).await.0, 200);

    // What a peer claims keeps its owner from registering: it is shown, and can be taken out.
    node.listed_by("other", EVE).await;
    let (status, seen) = node.get(&format!("/phones/{EVE}")).await;
    assert_eq!(status, 200);
    assert_eq!(
        [&seen["directory"], &seen["peer"], &seen["active"], &seen["registered_at"], &seen["devices"]],
        [&json!("peer"), &json!("other"), &json!(false), &Value::Null, &json!([])]
    );
    assert_eq!(read(delete("%2B14155550103")).await.0, 204);
    assert_eq!(node.get(&format!("/phones/{EVE}")).await.0, 404);
}

#[tokio::test]
async fn a_test_needs_a_device_with_a_push_address_and_a_service_for_it() {
    let node = Node::start().await;
    node.number(ADA).await;
    let path = format!("/phones/{ADA}/test-push");
    let refused = async |body: Value| {
        let (status, answer) = node.post(&path, &body).await;
        (status.as_u16(), answer["detail"].as_str().unwrap().to_owned())
    };
    assert_eq!(refused(json!({})).await, (409, "No device has a push address that could be tried.".into()));
    let sql = "update devices set push = 1, push_address = '', push_set_at = now()";
    node.app.db.execute(sql, &[]).await.unwrap();
    let none = "No push service is configured for the kind of address that there is.";
    assert_eq!(refused(json!({})).await, (409, none.into()));
    assert_eq!(refused(json!({"device": 1})).await, (409, none.into()));
    assert_eq!(refused(json!({"device": 2})).await, (422, "device: is none of this number's".into()));
    for wrong in [json!({"device": 0}), json!({"device": 32768}), json!({"to": 1})] {
        assert_eq!(refused(wrong).await.0, 422);
    }
    assert_eq!((node.count("envelopes").await, node.count("messages").await), (0, 0));
}

#[tokio::test]
async fn peers_are_shown_as_they_were_last_read() {
    let node = Node::start_with(|config| {
        config.textsecure.peers = ["alpha", "beta"]
            .map(|name| handfast::config::textsecure::Peer {
                name: name.into(),
                url: format!("https://{name}.example"),
                token: String::from("secret").into(),
                certificate: None,
            })
            .into();
    })
    .await;
    let (_, fresh) = node.get("/peers?limit=1").await;
    assert_eq!(fresh["next"], "alpha");
    assert_eq!(
        fresh["items"],
        json!([{"name": "alpha", "url": "https://alpha.example", "synced_at": null, "due_at": null, "failures": 0,
                "contacts": 0, "error": null}])
    );
    let sql =
        "insert into peers (name, due_at, failures, contacts, error) values ('beta', '2026-01-02', 3, 7, 'timeout')";
    node.app.db.execute(sql, &[]).await.unwrap();
    let (_, rest) = node.get("/peers?after=alpha").await;
    assert_eq!(
        rest["items"],
        json!([{"name": "beta", "url": "https://beta.example", "synced_at": null, "due_at": "2026-01-02T00:00:00Z",
                "failures": 3, "contacts": 7, "error": "timeout"}])
    );
    assert!(!rest.to_string().contains("secret"));
}
