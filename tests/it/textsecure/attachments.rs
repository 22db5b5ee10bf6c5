//! Places for files: what devices are told (the files themselves: `tests/it/attachments`).

use insta::assert_snapshot;

use super::scene::{HOME, Scene, options, shown};
use crate::node::Net;
use crate::peers::Reply;

/// A text of the answer.
fn text(reply: &Reply, name: &str) -> String {
    reply.json()[name].as_str().expect("a text").to_owned()
}

/// The answer without what is new each time: the place's id, and what its URL is signed with.
fn steady(reply: &Reply, id: u64) -> String {
    let text = shown(reply).replace(&id.to_string(), "ID");
    let Some((before, signed)) = text.split_once("?expires=") else { return text };
    let (expires, rest) = signed.split_once('&').expect("further parameters");
    let (operation, rest) = rest.split_once("&signature=").expect("a signature");
    let (signature, rest) = rest.split_once('"').expect("the end of the URL");
    assert!(expires.parse::<i64>().is_ok() && signature.len() == 64, "{text}");
    format!("{before}?expires=SOON&{operation}&signature=SIGNATURE\"{rest}")
}

#[tokio::test]
async fn a_place_and_the_way_to_it() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550101").await;
    let placed = phone.get("/v1/attachments/").await;
    let id = placed.json()["id"].as_u64().unwrap();
    assert!(i64::try_from(id).is_ok(), "clients keep it in a signed number");
    assert_snapshot!(steady(&placed, id), @r#"
    200
    content-type: application/json
    {"id":ID,"idString":"ID","location":"https://home.test/attachments/ID?expires=SOON&operation=put&signature=SIGNATURE"}
    "#);
    let found = phone.get(&format!("/v1/attachments/{id}")).await;
    assert_snapshot!(steady(&found, id), @r#"
    200
    content-type: application/json
    {"location":"https://home.test/attachments/ID?expires=SOON&operation=get&signature=SIGNATURE"}
    "#);
    let slash = phone.get(&format!("/v1/attachments/{id}/")).await;
    assert_eq!(slash.status, 200);
    let other = phone.get("/v1/attachments").await;
    assert_eq!(other.status, 200);
    assert_ne!(other.json()["id"].as_u64(), Some(id));
    // Whether there is one is not looked up.
    assert_eq!(phone.get("/v1/attachments/0").await.status, 200);
    assert_eq!(phone.get("/v1/attachments/9223372036854775807").await.status, 200);
}

#[tokio::test]
async fn a_file_goes_from_one_phone_to_another() {
    let scene = Scene::start().await;
    let (one, other) = (scene.phone("+14155550101").await, scene.phone("+14155550102").await);
    let placed = one.get("/v1/attachments/").await;
    let path = |url: String| url.strip_prefix(&format!("https://{HOME}")).expect("a URL of this node").to_owned();
    let client = scene.node.attacker();
    let kind = ("Content-Type", "application/octet-stream");
    let stored = client.request("PUT", &path(text(&placed, "location")), &[kind], "sealed").await.unwrap();
    assert_eq!(stored.status, 200);
    let found = other.get(&format!("/v1/attachments/{}", text(&placed, "idString"))).await;
    let fetched = client.request("GET", &path(text(&found, "location")), &[kind], "").await.unwrap();
    assert_eq!((fetched.status, &fetched.body[..]), (200, b"sealed".as_slice()));
}

#[tokio::test]
async fn who_is_not_signed_in_gets_no_place() {
    let scene = Scene::start().await;
    assert_snapshot!(shown(&scene.call("GET", "/v1/attachments/", None).await), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    assert_snapshot!(shown(&scene.call("GET", "/v1/attachments/1", None).await), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    let mut guess = scene.phone("+14155550101").await;
    guess.password = "guess".into();
    assert_eq!(guess.get("/v1/attachments/").await.status, 401);
    assert_eq!(guess.get("/v1/attachments/1").await.status, 401);
}

#[tokio::test]
async fn what_is_no_place() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550101").await;
    assert_snapshot!(shown(&phone.get("/v1/attachments/one").await), @"404");
    for id in ["-1", "+1", "1.0", "9223372036854775808", "1/2"] {
        assert_eq!(phone.get(&format!("/v1/attachments/{id}")).await.status, 404, "{id}");
    }
    assert_snapshot!(shown(&phone.get("/v1/attachments/1?relay=nobody").await), @"404");
    assert_snapshot!(shown(&phone.delete("/v1/attachments/1").await), @r"
    405
    allow: GET
    ");
}

#[tokio::test]
async fn too_many_places_are_too_many() {
    let options = options(HOME)
        .set("textsecure.limits.attachments.bucket", 2)
        .set("textsecure.limits.attachments.per_minute", 0.01);
    let scene = Scene::with(Net::new(), options).await;
    let (phone, other) = (scene.phone("+14155550101").await, scene.phone("+14155550102").await);
    assert_eq!(phone.get("/v1/attachments/").await.status, 200);
    assert_eq!(phone.get("/v1/attachments/").await.status, 200);
    let over = phone.get("/v1/attachments/").await;
    let after = over.header("retry-after").and_then(|after| after.parse::<u32>().ok()).unwrap_or_default();
    assert!((5_900..=6_000).contains(&after), "one leaks out in 100 minutes: {after}");
    assert_snapshot!(shown(&over).replace(&after.to_string(), "6000"), @r"
    413
    retry-after: 6000
    ");
    assert_eq!(phone.get("/v1/attachments/1").await.status, 200, "finding costs nothing");
    assert_eq!(other.get("/v1/attachments/").await.status, 200, "each number has its own");
}
