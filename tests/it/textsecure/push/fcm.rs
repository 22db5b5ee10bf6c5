//! FCM, HTTP v1: the stand-in gives out tokens as Google does, and checks who asks.

use std::path::Path;

use http::Response;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use serde_json::json;

use super::gateway::{Gateway, Seen, Speaks, says};
use super::*;

const GATE: &str = "fcm.test";
const SIGN_IN: &str = "sign-in.test";

/// A service account: its key, and the node's settings with it.
struct Account {
    key: KeyPair,
    dir: tempfile::TempDir,
}

impl Account {
    fn new() -> Self {
        let account = Self { key: KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(), dir: tempfile::tempdir().unwrap() };
        let credentials = json!({
            "type": "service_account",
            "project_id": "a-project",
            "private_key_id": "K1",
            "private_key": account.key.serialize_pem(),
            "client_email": "node@a-project.test",
            "token_uri": format!("https://{SIGN_IN}/token"),
        });
        std::fs::write(account.file(), credentials.to_string()).unwrap();
        account
    }

    fn file(&self) -> std::path::PathBuf {
        Path::join(self.dir.path(), "fcm.json")
    }

    fn options(&self) -> Options {
        quick()
            .set("providers.push.fcm.url", format!("https://{GATE}"))
            .set("providers.push.fcm.credentials", self.file().to_str().unwrap())
    }

    /// Gives out `token-0`, `token-1`, … to whom the key proves; `first` is what becomes of the first request.
    async fn sign_in(&self, net: &Net, first: Option<u16>) -> Gateway {
        let key = DecodingKey::from_rsa_pem(public_pem(&self.key).as_bytes()).unwrap();
        Gateway::start(net, SIGN_IN, Speaks::Http1, move |seen, n| match (n, first) {
            (0, Some(status)) => says(status, json!({"error": "temporarily_unavailable"})),
            _ => granted(&key, seen, n),
        })
        .await
    }
}

fn public_pem(key: &KeyPair) -> String {
    key.public_key_pem()
}

fn granted(key: &DecodingKey, seen: &Seen, n: usize) -> Option<Response<String>> {
    let form: std::collections::HashMap<_, _> = url::form_urlencoded::parse(&seen.body).into_owned().collect();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&[format!("https://{SIGN_IN}/token")]);
    let read = decode::<Value>(&form["assertion"], key, &rules).expect("an assertion that holds");
    assert_eq!((read.header.kid.as_deref(), &read.claims["iss"]), (Some("K1"), &json!("node@a-project.test")));
    assert_eq!(read.claims["scope"], "https://www.googleapis.com/auth/firebase.messaging");
    says(200, json!({"access_token": format!("token-{n}"), "expires_in": 3599, "token_type": "Bearer"}))
}

fn refused(status: u16, word: &str, code: &str) -> Option<Response<String>> {
    let details = json!([{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]);
    says(status, json!({"error": {"code": status, "message": "no", "status": word, "details": details}}))
}

fn accepted() -> Option<Response<String>> {
    says(200, json!({"name": "projects/a-project/messages/1"}))
}

#[tokio::test]
async fn one_token_serves_many_messages_and_a_refused_one_is_renewed_once() {
    let (net, account) = (Net::new(), Account::new());
    let sign_in = account.sign_in(&net, None).await;
    let gate = Gateway::start(&net, GATE, Speaks::Http1, |seen, n| match n {
        0..=2 => accepted(),
        _ if seen.header("authorization") == "Bearer token-0" => {
            refused(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")
        }
        _ => accepted(),
    })
    .await;
    let scene = Scene::with(net, account.options()).await;
    let phone = pushed(&scene, "+14155550101").await;
    for _ in 0..3 {
        waits(&scene.node, &phone, b"an envelope", false).await;
    }
    set(&phone, "gcm", "device-1").await;
    until_taken(&scene.node).await;
    assert_eq!(sign_in.seen().len(), 1);
    let seen = gate.got(3).await[0].clone();
    assert_eq!(
        (seen.path.as_str(), seen.header("authorization")),
        ("/v1/projects/a-project/messages:send", "Bearer token-0")
    );
    let message = &seen.json()["message"];
    assert_eq!((&message["token"], &message["android"]["priority"]), (&json!("device-1"), &json!("HIGH")));
    assert_eq!(message["data"]["type"], "message");
    assert_eq!(open(&phone, &message["data"]["message"]), b"an envelope");
    // Larger than the service takes: the device is only told, and fetches it.
    waits(&scene.node, &phone, &[7; 4000], false).await;
    set(&phone, "gcm", "device-2").await;
    let seen = gate.got(5).await;
    assert_eq!(seen[4].header("authorization"), "Bearer token-1");
    assert_eq!(seen[4].json()["message"]["data"], json!({"type": "message", "notification": ""}));
    assert_eq!((waiting(&scene.node).await, sign_in.seen().len()), (1, 2));
}

#[tokio::test]
async fn only_the_service_s_word_on_an_address_takes_it_away() {
    let (net, account) = (Net::new(), Account::new());
    account.sign_in(&net, Some(503)).await;
    Gateway::start(&net, GATE, Speaks::Http1, |seen, n| match (n, seen.json()["message"]["token"].as_str().unwrap()) {
        // Of a wrong project, of a wrong place: our mistakes.
        (0, _) => refused(404, "NOT_FOUND", "NOT_FOUND"),
        (1, _) => refused(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
        (2, _) => refused(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED").map(|mut answer| {
            answer.headers_mut().insert("retry-after", "1".parse().unwrap());
            answer
        }),
        (3, _) => None,
        (_, "gone") => refused(404, "NOT_FOUND", "UNREGISTERED"),
        (_, "junk") => says(
            400,
            json!({"error": {"code": 400, "status": "INVALID_ARGUMENT",
                "message": "The registration token is not a valid FCM registration token"}}),
        ),
        _ => accepted(),
    })
    .await;
    let scene = Scene::with(net, account.options().set("destinations.failures_in_a_row", 100)).await;
    let phone = pushed(&scene, "+14155550101").await;
    waits(&scene.node, &phone, b"an envelope", false).await;
    for address in ["gone", "junk"] {
        set(&phone, "gcm", address).await;
        until_forgotten(&scene.node, &phone).await;
    }
    for code in
        ["no_token", "NOT_FOUND", "SENDER_ID_MISMATCH", "QUOTA_EXCEEDED", "timeout_after_sending", "UNREGISTERED"]
    {
        until_tried(&scene.node, code).await;
    }
    assert_eq!(waiting(&scene.node).await, 1);
    set(&phone, "gcm", "device-1").await;
    until_taken(&scene.node).await;
}
