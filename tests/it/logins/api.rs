//! Logins, applications and sessions over the API.

use http::StatusCode;
use serde_json::{Value, json};

use super::scene::{ANN, APP, BOB, Scene, other_than};

type Answered = (u16, Option<u64>, Value);

fn shown((status, after, body): &Answered) -> String {
    let after = after.map(|seconds| format!(" after {seconds} s")).unwrap_or_default();
    let body = if body.is_null() { String::new() } else { format!(" {body}") };
    format!("{status}{after}{body}")
}

/// What differs from run to run, hidden.
fn plain(mut answered: Answered) -> String {
    for field in
        ["token", "expires_at", "session", "sid", "iat", "exp", "id", "created_at", "seen_at", "ends_at", "updated_at"]
    {
        if let Some(value) = answered.2.get_mut(field).filter(|value| !value.is_null()) {
            *value = json!("…");
        }
    }
    shown(&answered)
}

impl Scene {
    async fn post(&self, path: &str, body: Value) -> Answered {
        self.ask("POST", path, Some(body)).await
    }
}

#[tokio::test]
async fn a_login_from_beginning_to_end() {
    let scene = Scene::start().await;
    let step = json!({"app": APP, "phone": "+1 800 555-1234", "ip": "192.0.2.1", "device": "d1", "device_type": "ios"});
    insta::assert_snapshot!(plain(scene.post("otp/start", step.clone()).await), @r#"202 {"state":"started"}"#);
    let code = scene.pending().await;
    let with = |code: &str| {
        let mut step = step.clone();
        step["code"] = code.into();
        step["name"] = "Ann Lee".into();
        step
    };
    insta::assert_snapshot!(plain(scene.post("otp/verify", with(&other_than(&code))).await), @r#"403 {"detail":"Ask for a new code if it was not a slip.","status":403,"title":"The code is wrong, was used, or is not good any more","type":"urn:handfast:problem:wrong-code"}"#);
    let signed_in = scene.post("otp/verify", with(&code)).await;
    let token = signed_in.2["token"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(plain(signed_in), @r#"200 {"address":"18005551234","expires_at":"…","name":"Ann Lee","session":"…","token":"…","uid":null}"#);
    assert_eq!(
        plain(scene.post("otp/verify", with(&code)).await),
        plain(scene.post("otp/verify", with("000000")).await)
    );
    insta::assert_snapshot!(plain(scene.post("otp/introspect", json!({"token": token})).await), @r#"200 {"active":true,"app":"com.example.app","device":"d1","exp":"…","iat":"…","kind":"phone","name":"Ann Lee","sid":"…","sub":"18005551234"}"#);
    insta::assert_snapshot!(shown(&scene.post("otp/introspect", json!({"token": "none"})).await), @r#"200 {"active":false}"#);
    let listed = scene.ask("GET", "sessions?app=com.example.app&address=%2B18005551234", None).await;
    let session = listed.2["items"][0].clone();
    insta::assert_snapshot!(plain((listed.0, None, session)), @r#"200 {"address":"18005551234","app":"com.example.app","created_at":"…","device":"d1","device_type":"ios","ends_at":"…","expires_at":"…","id":"…","ip":"192.0.2.1","kind":"phone","name":"Ann Lee","revoked_at":null,"seen_at":"…"}"#);
    for _ in 0..2 {
        assert_eq!(shown(&scene.ask("DELETE", "otp/session", Some(json!({"token": token}))).await), "204");
    }
    insta::assert_snapshot!(shown(&scene.post("otp/introspect", json!({"token": token})).await), @r#"200 {"active":false}"#);
}

#[tokio::test]
async fn what_is_not_right_is_told() {
    let scene = Scene::start().await;
    let start = async |body: Value| shown(&scene.post("otp/start", body).await);
    insta::assert_snapshot!(start(json!({})).await, @r#"422 {"detail":"app: is missing","errors":[{"field":"app","message":"is missing"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    insta::assert_snapshot!(start(json!({"app": APP})).await, @r#"422 {"detail":"phone: one of phone, email and user is needed, and no more","errors":[{"field":"phone","message":"one of phone, email and user is needed, and no more"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    insta::assert_snapshot!(start(json!({"app": APP, "phone": ANN, "email": "a@b.example"})).await, @r#"422 {"detail":"phone: one of phone, email and user is needed, and no more","errors":[{"field":"phone","message":"one of phone, email and user is needed, and no more"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    insta::assert_snapshot!(start(json!({"app": APP, "phone": "12345678"})).await, @r#"422 {"detail":"phone: is nothing that this application lets sign in","errors":[{"field":"phone","message":"is nothing that this application lets sign in"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    insta::assert_snapshot!(start(json!({"app": APP, "user": "ann"})).await, @r#"422 {"detail":"user: is nothing that this application lets sign in","errors":[{"field":"user","message":"is nothing that this application lets sign in"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    insta::assert_snapshot!(start(json!({"app": "com.example.none", "phone": ANN})).await, @r#"404 {"detail":"There is no such application.","status":404,"title":"There is no such thing","type":"urn:handfast:problem:not-found"}"#);
    insta::assert_snapshot!(start(json!({"app": APP, "phone": ANN, "ip": "x", "odd": 1})).await, @r#"422 {"detail":"2 fields are not valid; see `errors`.","errors":[{"field":"ip","message":"is not an IP address"},{"field":"odd","message":"is not known here; known: app, phone, email, user, ip, device, device_type"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    scene.change(|application| application.enabled = false).await;
    insta::assert_snapshot!(start(json!({"app": APP, "phone": ANN})).await, @r#"404 {"detail":"There is no such application.","status":404,"title":"There is no such thing","type":"urn:handfast:problem:not-found"}"#);
    let huge = json!({"token": "x".repeat(2000)});
    insta::assert_snapshot!(shown(&scene.post("otp/introspect", huge).await), @r#"422 {"detail":"token: is longer than 1024 bytes","errors":[{"field":"token","message":"is longer than 1024 bytes"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
}

/// The wait is a real one: after it there is room.
#[tokio::test]
async fn who_is_too_quick_is_told_how_long_to_wait() {
    let scene = Scene::start().await;
    let body = json!({"app": APP, "phone": ANN});
    let code = scene.code(ANN).await;
    let mut with_code = body.clone();
    with_code["code"] = code.into();
    assert_eq!(scene.post("otp/verify", with_code).await.0, 200);
    let (status, after, problem) = scene.post("otp/start", body.clone()).await;
    let after = after.expect("a number of seconds");
    assert!((55..=60).contains(&after), "{after}");
    insta::assert_snapshot!(format!("{status} {problem}"), @r#"429 {"detail":"Too many logins or codes; see Retry-After.","status":429,"title":"Too many requests at once","type":"urn:handfast:problem:too-many-requests"}"#);
    scene.advance(after);
    assert_eq!(scene.post("otp/start", body).await.0, 202);
}

/// Also where the database knows more of the one than of the other.
#[tokio::test]
async fn known_and_unknown_numbers_are_answered_alike() {
    let scene = Scene::start().await;
    scene.sign_in(ANN).await;
    scene.advance(3600);
    let begin = async |number: &str| shown(&scene.post("otp/start", json!({"app": APP, "phone": number})).await);
    assert_eq!(begin(ANN).await, begin(BOB).await);
    let fail = async |number: &str| {
        shown(&scene.post("otp/verify", json!({"app": APP, "phone": number, "code": "no code"})).await)
    };
    assert_eq!(fail(ANN).await, fail("18005550999").await);
}

#[tokio::test]
async fn applications_are_made_changed_and_deleted() {
    let scene = Scene::start().await;
    let new = json!({
        "appid": "com.example.chat", "name": "Chat", "ways": ["sms", "voice"], "countries": ["49", "1876"],
        "text": "{code} opens {app}", "result_style": "string", "legacy_errors": true, "backend": "mesibo",
        "backend_url": "https://mesibo.test/backend/", "backend_token": "s3cret-app-token", "revoke_op": "deltoken",
    });
    insta::assert_snapshot!(plain(scene.post("apps", new.clone()).await), @r#"201 {"appid":"com.example.chat","backend":"mesibo","backend_url":"https://mesibo.test/backend/","countries":["49","1876"],"countries_refused":[],"created_at":"…","enabled":true,"has_backend_token":true,"legacy_errors":true,"makes_codes":false,"name":"Chat","result_style":"string","revoke_op":"deltoken","text":"{code} opens {app}","token_minutes":525600,"updated_at":"…","verifier_url":null,"ways":["sms","voice"]}"#);
    insta::assert_snapshot!(shown(&scene.post("apps", new).await), @r#"409 {"detail":"There is an application com.example.chat already.","status":409,"title":"The state of things forbids it","type":"urn:handfast:problem:conflict"}"#);
    let change = async |body: Value| plain(scene.ask("PATCH", "apps/com.example.chat", Some(body)).await);
    insta::assert_snapshot!(change(json!({"backend": "local", "countries": [], "enabled": false})).await, @r#"200 {"appid":"com.example.chat","backend":"local","backend_url":"https://mesibo.test/backend/","countries":[],"countries_refused":[],"created_at":"…","enabled":false,"has_backend_token":true,"legacy_errors":true,"makes_codes":false,"name":"Chat","result_style":"string","revoke_op":"deltoken","text":"{code} opens {app}","token_minutes":525600,"updated_at":"…","verifier_url":null,"ways":["sms","voice"]}"#);
    insta::assert_snapshot!(change(json!({"ways": ["verifier"]})).await, @r#"422 {"detail":"verifier_url: is missing","errors":[{"field":"verifier_url","message":"is missing"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    let made = change(json!({"ways": ["verifier"], "verifier_url": "https://auth.test/login"})).await;
    assert!(made.contains(r#""verifier_secret":"whsec_"#), "{made}");
    let shown_again = plain(scene.ask("GET", "apps/com.example.chat", None).await);
    assert!(!shown_again.contains("whsec_") && !shown_again.contains("s3cret"), "{shown_again}");
    let (_, _, list) = scene.ask("GET", "apps?limit=1", None).await;
    assert_eq!((&list["items"][0]["appid"], &list["next"]), (&json!(APP), &json!(APP)));
    let (_, _, list) = scene.ask("GET", "apps?after=com.example.app", None).await;
    assert_eq!(list["items"][0]["appid"], "com.example.chat");
    let delete = async || scene.ask("DELETE", "apps/com.example.chat", None).await.0;
    assert_eq!((delete().await, delete().await), (204, 404));
    assert_eq!(scene.ask("GET", "apps/com.example.chat", None).await.0, 404);
}

#[tokio::test]
async fn an_application_that_makes_no_sense_is_refused() {
    let scene = Scene::start().await;
    let new = async |more: Value| {
        let mut body = json!({"appid": "com.example.chat", "name": "Chat"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        shown(&scene.post("apps", body).await)
    };
    let odd = json!({
        "appid": "a b", "name": "\u{7}", "ways": ["pigeon"], "countries": ["4"], "text": "no place", "result_style": "x",
        "backend": "y", "backend_token": "a b", "token_minutes": 0, "revoke_op": "a b", "verifier_secret": "x",
    });
    let (_, _, problem) = scene.post("apps", odd).await;
    let named: Vec<String> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| format!("{} {}", error["field"].as_str().unwrap(), error["message"].as_str().unwrap()))
        .collect();
    insta::assert_snapshot!(named.join("\n"), @r"
    appid has 1 to 128 of A-Z, a-z, 0-9, ., _ and -, as in com.example.app
    name has 1 to 64 characters and no control characters
    result_style is neither bool nor string
    ways holds something else than sms, voice, email and verifier
    countries holds something else than country codes, as in 49 or 1876
    text does not say where the code goes: {code}
    backend is none of local, mesibo and mesibo-legacy
    backend_token is 1 to 1024 visible ASCII characters, without spaces
    token_minutes is not a whole number from 1 to 5256000
    revoke_op is not the name of an operation
    verifier_secret is not a secret of the form whsec_…
    ");
    insta::assert_snapshot!(new(json!({"backend": "mesibo"})).await, @r#"422 {"detail":"backend_url: must be https://host[/path]","errors":[{"field":"backend_url","message":"must be https://host[/path]"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    insta::assert_snapshot!(new(json!({"backend": "mesibo", "backend_url": "https://mesibo.test/"})).await, @r#"422 {"detail":"backend_token: is missing: the application's token at its back end","errors":[{"field":"backend_token","message":"is missing: the application's token at its back end"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    insta::assert_snapshot!(new(json!({"ways": ["verifier"]})).await, @r#"422 {"detail":"verifier_url: is missing","errors":[{"field":"verifier_url","message":"is missing"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    insta::assert_snapshot!(new(json!({"verifier_url": "ftp://auth.test/"})).await, @r#"422 {"detail":"verifier_url: must be https://host[/path]","errors":[{"field":"verifier_url","message":"must be https://host[/path]"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    insta::assert_snapshot!(new(json!({"ways": []})).await, @r#"422 {"detail":"ways: names no way","errors":[{"field":"ways","message":"names no way"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
    assert_eq!(scene.count("apps").await, 1);
}

#[tokio::test]
async fn an_operator_unlocks_and_revokes() {
    let scene = Scene::start().await;
    let unlock = async |app: &str, address: &str| {
        shown(&scene.post(&format!("apps/{app}/unlock"), json!({"address": address})).await)
    };
    let code = scene.code(ANN).await;
    scene.attempt(ANN, &other_than(&code)).await;
    insta::assert_snapshot!(unlock(APP, ANN).await, @r#"200 {"unlocked":true}"#);
    insta::assert_snapshot!(unlock(APP, ANN).await, @r#"200 {"unlocked":false}"#);
    insta::assert_snapshot!(unlock("com.example.none", ANN).await, @r#"404 {"detail":"There is no such application.","status":404,"title":"There is no such thing","type":"urn:handfast:problem:not-found"}"#);
    let token = scene.sign_in(BOB).await;
    let (_, _, list) = scene.ask("GET", "sessions?limit=1", None).await;
    let id = list["items"][0]["id"].as_str().unwrap().to_owned();
    let revoke = async |id: &str| scene.ask("DELETE", &format!("sessions/{id}"), None).await.0;
    assert_eq!((revoke(&id).await, revoke(&id).await, revoke("x").await), (204, 204, 404));
    assert_eq!(scene.post("otp/introspect", json!({"token": token})).await.2, json!({"active": false}));
    insta::assert_snapshot!(shown(&scene.ask("GET", "sessions?address=18005551234", None).await), @r#"422 {"detail":"address: needs `app` beside it","errors":[{"field":"address","message":"needs `app` beside it"}],"status":422,"title":"The request is not valid","type":"urn:handfast:problem:invalid"}"#);
}

#[tokio::test]
async fn each_half_has_its_scope() {
    let scene = Scene::start().await;
    let ask = async |scopes: &str, method: &str, path: &str| {
        let scopes = scopes.parse().unwrap();
        let (_, key) = handfast::senders::create(&scene.app, "tests", &scopes, None).await.unwrap();
        let url = format!("http://{}/api/v1/{path}", scene.address);
        let request = scene.http.request(method.parse().unwrap(), url).bearer_auth(key.reveal()).json(&json!({}));
        request.send().await.unwrap().status()
    };
    assert_eq!(ask("apps", "POST", "otp/start").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("logins", "POST", "otp/start").await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(ask("logins:read", "POST", "otp/introspect").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("logins", "GET", "apps").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("apps:read", "GET", "apps").await, StatusCode::OK);
    assert_eq!(ask("apps:read", "DELETE", "apps/com.example.app").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("phones", "GET", "sessions").await, StatusCode::FORBIDDEN);
}
