//! An application's own verifier: a user id and a password instead of a number and a code.

use handfast::logins::Application;
use handfast::logins::apps::{Verifier, Way};
use http::Response;
use serde_json::{Value, json};

use super::scene::{Scene, options, shipped};
use crate::node::Net;
use crate::webhooks::receiver::{Receiver, Seen, status};

const HOST: &str = "verifier.test";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PASSWORD: &str = "correct horse battery staple";

fn app() -> Application {
    let mut app = shipped("com.staff");
    app.ways = vec![Way::Verifier];
    let url = format!("https://{HOST}/check?key=k3y-of-the-url");
    app.verifier = Some(Verifier { url, secret: SECRET.to_owned().into() });
    app
}

/// A verifier as somebody would write it.
fn verify(seen: &Seen) -> Response<String> {
    if !seen.is_signed_with(SECRET) {
        return status(400);
    }
    let event = seen.json();
    let data = &event["data"];
    match event["type"].as_str() {
        Some("login.start") => status(202),
        Some("login.verify") => {
            let good = data["user"] == "ann" && data["secret"] == PASSWORD;
            let body = json!({"verified": good, "address": good.then_some("4711"), "name": good.then_some("Ann Ä")});
            Response::builder().status(200).body(body.to_string()).unwrap()
        }
        _ => status(404),
    }
}

fn login(user: &str, password: Option<&str>) -> Value {
    json!({"op": "login", "appid": "com.staff", "user": user, "otp": password, "device": "d-1"})
}

#[tokio::test]
async fn a_user_id_and_a_password() {
    let net = Net::new();
    let verifier = Receiver::start(&net, HOST, |seen, _| verify(seen)).await;
    let scene = Scene::start(&net, options(), &[app()]).await;
    assert_eq!(scene.json(login("ann", None)).await["result"], "OK");
    let wrong = scene.json(login("ann", Some("guess"))).await;
    assert_eq!((&wrong["error"], &wrong["result"]), (&json!("BADCODE"), &json!("FAIL")));
    assert_eq!(scene.json(login("ben", Some(PASSWORD))).await["error"], "BADCODE");
    let right = scene.json(login("ann", Some(PASSWORD))).await;
    assert_eq!((&right["phone"], &right["name"], &right["result"]), (&json!("4711"), &json!("Ann Ä"), &json!("OK")));
    let seen = verifier.got(4).await;
    let event = seen[3].json();
    assert_eq!(event["type"], "login.verify");
    let expected = json!({"app": "com.staff", "user": "ann", "secret": PASSWORD, "device": "d-1", "ip": "127.0.0.1"});
    assert_eq!(event["data"], expected);
    assert!(seen[0].json()["data"].get("secret").is_none(), "nothing was typed yet");
    assert_ne!(seen[2].header("webhook-id"), seen[3].header("webhook-id"));
    let token = right["token"].as_str().unwrap();
    scene.kept_quiet(&[PASSWORD, token, SECRET, "k3y-of-the-url"]).await;
}

/// A client that was shipped, unchanged: what its user types as a number is for the verifier to know.
#[tokio::test]
async fn what_was_typed_as_a_number() {
    let net = Net::new();
    let verifier = Receiver::start(&net, HOST, |seen, _| verify(seen)).await;
    let scene = Scene::start(&net, options(), &[app()]).await;
    let login = json!({"op": "login", "appid": "com.staff", "phone": "ann", "otp": PASSWORD, "dt": "1"});
    assert_eq!(scene.json(login).await["result"], "OK");
    assert_eq!(verifier.seen().len(), 1);
}

#[tokio::test]
async fn a_verifier_that_is_not_well() {
    let net = Net::new();
    let verifier = Receiver::start(&net, HOST, |seen, n| match n {
        0 | 1 => status(403),
        2 => status(404),
        3 => Response::new(String::from("<html>")),
        // Three, for one question.
        4..7 => status(502),
        _ => verify(seen),
    })
    .await;
    let scene = Scene::start(&net, options(), &[app()]).await;
    let mut words = Vec::new();
    for password in [None, Some(PASSWORD), Some(PASSWORD), Some(PASSWORD), Some(PASSWORD), Some(PASSWORD)] {
        let answer = scene.json(login("ann", password)).await;
        words.push(answer["error"].as_str().unwrap_or("none").to_owned());
    }
    assert_eq!(words, ["none", "BADCODE", "BACKEND", "BACKEND", "BACKEND", "none"]);
    let seen = verifier.seen();
    let ids: Vec<&str> = seen[4..7].iter().map(|seen| seen.header("webhook-id")).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "a repeat has the same id");
}

/// The example of the documentation, with a Python that runs it.
#[tokio::test]
async fn the_example_of_the_documentation() {
    let net = Net::new();
    let _verifier = Receiver::start(&net, HOST, |seen, _| ask_the_example(seen)).await;
    let scene = Scene::start(&net, options(), &[app()]).await;
    assert_eq!(scene.json(login("ann", None)).await["result"], "OK");
    assert_eq!(scene.json(login("ann", Some("guess"))).await["error"], "BADCODE");
    assert_eq!(scene.json(login("nobody", Some(""))).await["result"], "OK", "that is step 1");
    assert_eq!(scene.json(login("nobody", Some(" "))).await["result"], "OK", "and so is this");
    assert_eq!(scene.json(login("nobody", Some("x"))).await["error"], "BADCODE");
    let right = scene.json(login("ann", Some(PASSWORD))).await;
    assert_eq!((&right["phone"], &right["name"]), (&json!("4711"), &json!("Ann Lee")), "{right}");
}

/// What the program on the page answers.
fn ask_the_example(seen: &Seen) -> Response<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mesibo.md")).unwrap();
    let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let ask = "import sys\nheaders = json.loads(sys.argv[1])\nstatus, said = answer(headers, sys.argv[2].encode())\n\
               print(json.dumps({'status': status, 'said': said}))";
    // Everything but its last two lines, which serve for ever.
    let program = format!("{}\n{ask}", program.split("if __name__").next().unwrap());
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: serde_json::Map<String, Value> =
        names.into_iter().map(|name| (name.to_owned(), seen.header(name).into())).collect();
    let output = std::process::Command::new("python3")
        .args(["-c", &program, &Value::from(headers).to_string(), std::str::from_utf8(&seen.body).unwrap()])
        .env("VERIFIER_SECRET", SECRET)
        .output()
        .expect("python3 is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let code = u16::try_from(said["status"].as_u64().unwrap()).unwrap();
    Response::builder().status(code).body(said["said"].to_string()).unwrap()
}
