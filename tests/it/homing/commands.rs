//! The walk with the program itself, as a script does it.

use std::process::Output;

use serde_json::Value;

use super::scene::{LOGIN, Scene};

fn out(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&out(output)).expect("JSON")
}

#[tokio::test]
async fn a_script_walks_the_whole_way() {
    let scene = Scene::start().await;
    let alice = async |words: &[&str]| scene.command("alice.json", words).await;
    assert!(refused(&alice(&["show"]).await, 1).contains("no space here"));
    let made = json(&alice(&["create", "--hub", "https://hub.test/homing/hub", "--json"]).await);
    assert!(made["space"].as_str().expect("a code").starts_with("hsp_"), "{made}");
    assert!(refused(&alice(&["create", "--hub", "https://hub.test/homing/hub"]).await, 2).contains("a space already"));
    let file = std::fs::read_to_string(scene.place("alice.json")).expect("the space's file");
    let names: Vec<String> = serde_json::from_str::<serde_json::Map<String, Value>>(&file)
        .expect("JSON")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["hub", "space", "vault"], "and nothing else is kept here");

    assert_eq!(out(&alice(&["persona", "add", "Alice"]).await), "alice is yours (1 of 7)\n");
    assert!(refused(&alice(&["persona", "add", "alice"]).await, 1).contains("somebody has that name already"));
    let login = ["login", LOGIN, "--persona", "alice", "--merchant", "shopkeeper"];
    assert!(refused(&alice(&login).await, 1).contains("homing set email"));
    assert_eq!(scene.count("hs_attempts").await, 0, "nothing was begun that could not be brought to its end");
    assert_eq!(out(&alice(&["set", "email", "alice@mail.example"]).await), "email written down\n");
    assert!(refused(&alice(&["set", "phone1", "12"]).await, 2).contains("not a value for phone1"));

    let said = out(&alice(&login).await);
    insta::assert_snapshot!(said, @r"
    signed in at shopkeeper as alice
    landed at  https://shop.test/homing/ (200)
    session    __Host-hs_session
    ");
    let said =
        json(&alice(&[&login[..], &["--give", "phone1=+4930123456", "--show-session", "--json"]].concat()).await);
    assert_eq!((&said["session"], said["status"].as_i64()), (&Value::from("__Host-hs_session"), Some(200)));
    assert!(said["session_value"].as_str().expect("shown").len() > 20);
    assert_eq!((scene.count("hs_accounts").await, scene.count("hs_claims").await), (1, 2));
    let stranger = ["login", LOGIN, "--persona", "alice", "--origin", "https://login.shop.test"];
    assert!(refused(&alice(&stranger).await, 1).contains("the welcome leads to https://shop.test"));

    let code = made["space"].as_str().expect("a code");
    let phone =
        scene.command("phone.json", &["open", "--hub", "https://hub.test/homing/hub", "--code", code, "--json"]).await;
    assert_eq!(json(&phone)["space"], made["space"]);
    let shown = json(&scene.command("phone.json", &["show", "--json"]).await);
    assert_eq!(
        (&shown["properties"]["email"], &shown["personas"][0]["name"]),
        (&"alice@mail.example".into(), &"alice".into())
    );
}

#[tokio::test]
async fn a_script_answers_welcomes() {
    let scene = Scene::start().await;
    let alice = async |words: &[&str]| scene.command("alice.json", words).await;
    out(&alice(&["create", "--hub", "https://hub.test/homing/hub"]).await);
    out(&alice(&["persona", "add", "alice"]).await);
    assert_eq!(out(&alice(&["inbox", "--json"]).await), "");
    let mut visit = scene.begin("alice").await;
    let waiting = json(&alice(&["inbox", "--wait", "20s", "--json"]).await);
    assert_eq!(waiting["challenge"], visit.challenge.as_str());
    let shown = out(&alice(&["show-welcome", &visit.challenge]).await);
    assert!(shown.starts_with("merchant   shopkeeper\nsite       The Shop\nleads to   https://shop.test\n"), "{shown}");
    let challenge = visit.challenge.clone();
    let gift = ["approve", &challenge, "--give", "email=a@mail.example", "--json"];
    let approved = json(&alice(&gift).await);
    assert_eq!((&approved["method"], &approved["fields"]["sc_email"]), (&"POST".into(), &"a@mail.example".into()));
    let fields = vec![("sc_email".to_owned(), "a@mail.example".to_owned())];
    let action_text = approved["action"].as_str().expect("a URL").to_owned();
    let approval = handfast::cli::homing::Approval { action: super::scene::url(&action_text), action_text, fields };
    assert!(visit.arrive(&approval).await.expect("an answer").is_in());
    assert!(refused(&alice(&gift).await, 1).contains("approved or denied already"));

    let visit = scene.begin("alice").await;
    assert_eq!(out(&alice(&["deny", &visit.challenge]).await), format!("{} denied\n", visit.challenge));
    assert!(refused(&alice(&["deny", "hsc_AAAAAAAAAAAAAAAAAAAAAA"]).await, 1).contains("there is none"));
}

#[tokio::test]
async fn a_merchant_registers_by_script() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::start().await;
    let shop = async |words: &[&str]| scene.command("second.json", words).await;
    out(&shop(&["create", "--hub", "https://hub.test/homing/hub"]).await);
    out(&shop(&["persona", "add", "second"]).await);
    let dir = scene.place("keys");
    std::fs::create_dir(&dir).expect("a folder");
    let to = dir.to_str().expect("UTF-8");
    let said = json(&shop(&["keys", "second", "--to", to, "--json"]).await);
    for name in ["homing-sign.key", "homing-box.key"] {
        let mode = std::fs::metadata(dir.join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let key = handfast::homing::keys::KeyFile::sign(&dir.join("homing-sign.key")).expect("a key");
    assert_eq!(said["sign_public"], handfast::homing::encode(key.public()));
    assert!(refused(&shop(&["keys", "second", "--to", to]).await, 2).contains("is there already"));

    let add =
        ["site", "add", "--persona", "second", "--name", "Second", "--endpoint", "https://second.test/e", "--json"];
    let site = json(&shop(&add).await);
    let id = site["site"].as_str().expect("an id");
    assert!(
        site["sauce"].as_str().expect("a sauce").starts_with("hss_") && site["trial_ends_at"].is_string(),
        "{site}"
    );
    assert!(out(&shop(&["site", "list"]).await).contains("Second"));
    assert!(out(&shop(&["site", "rotate", id]).await).starts_with("hss_"));
    assert!(json(&shop(&["site", "stats", id, "--json"]).await)["days"].is_array());
    assert_eq!(out(&shop(&["site", "delete", id]).await), format!("{id} revoked\n"));

    assert!(refused(&shop(&["notice", "add", "email", "second@mail.example"]).await, 1).contains("sends no mail"));
    let bell = "https://bell.test/welcomes";
    let notice = json(&shop(&["notice", "add", "webhook", bell, "--json"]).await);
    let id = notice["id"].as_str().expect("an id");
    assert!(notice["secret"].is_string(), "{notice}");
    assert!(out(&shop(&["notice", "list"]).await).contains("bell.test"), "the host only: the rest may be a secret");
    assert_eq!(out(&shop(&["notice", "delete", id]).await), format!("{id} taken away\n"));
    out(&shop(&["persona", "delete", "second"]).await);
}
