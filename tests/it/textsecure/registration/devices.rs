//! Further devices of a number.

use super::*;
use crate::textsecure::scene::Phone;

/// What the first device is told.
async fn provisioned(phone: &Phone) -> String {
    let told = phone.get("/v1/devices/provisioning_code").await;
    assert_eq!(told.status, 200);
    told.json()["verificationCode"].as_str().expect("a code").to_owned()
}

async fn join(scene: &Scene, user: &str, code: &str) -> Reply {
    scene.put(&format!("/v1/devices/{code}"), Some(&basic(user, "another password")), body()).await
}

#[tokio::test]
async fn the_first_device_is_told_a_code() {
    let scene = start(quiet()).await;
    let phone = scene.phone(ANN).await;
    let mut told_so = Alike::default();
    for path in ["/v1/devices/provisioning_code", "/v1/devices/provisioning/code", "/v1/devices/provisioning/code/"] {
        let told = phone.get(path).await;
        let code = told.json()["verificationCode"].as_str().expect("a code").to_owned();
        assert!(code.len() == 6 && code.parse::<u32>().is_ok_and(|code| code >= 100_000));
        told_so.one(shown(&told).replace(&code, "CODE"));
    }
    insta::assert_snapshot!(told_so.all(), @r#"
    200
    content-type: application/json
    {"verificationCode":"CODE"}
    "#);
    assert_eq!(count(&scene.node, "codes").await, 1);
    assert_eq!(count(&scene.node, "codes where sealed is not null").await, 0, "it was told");
    assert_eq!(count(&scene.node, "messages").await, 0);
    let nobody = scene.call("GET", "/v1/devices/provisioning_code", None).await;
    insta::assert_snapshot!(shown(&nobody), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    let second = phone.second_device(&scene.node).await;
    insta::assert_snapshot!(shown(&second.get("/v1/devices/provisioning_code").await), @"401");
}

#[tokio::test]
async fn a_further_device_brings_the_code() {
    let scene = start(quiet()).await;
    let phone = scene.phone(ANN).await;
    let code = provisioned(&phone).await;
    let path = format!("/v1/devices/{code}");
    let ann = basic(ANN, "another password");
    insta::assert_snapshot!(shown(&scene.put(&path, Some(&ann), json!({"signalingKey": "AAEC"})).await), @"415");
    insta::assert_snapshot!(shown(&scene.put(&path, None, body()).await), @"401");
    insta::assert_snapshot!(shown(&join(&scene, ANN, other_than(&code)).await), @"403");
    // No such number; and a code for a number is none for a device, nor the other way round.
    assert_eq!(shown(&join(&scene, BEN, &code).await), "403");
    assert_eq!(shown(&scene.confirm(ANN, &code).await), "403");
    insta::assert_snapshot!(shown(&join(&scene, ANN, &format!("{}-{}", &code[..3], &code[3..])).await), @r#"
    200
    content-type: application/json
    {"deviceId":2}
    "#);
    assert!(scene.knows("+14155550101.2", "another password").await);
    assert!(scene.knows(ANN, PASSWORD).await, "the first is what it was");
    insta::assert_snapshot!(shown(&join(&scene, ANN, &code).await), @"403");
    let sql = "select registration_id from devices where device = 2";
    assert_eq!(scene.node.value::<i32>(sql).await, 4242);
    let by_sms = scene.code(ANN).await;
    assert_eq!(shown(&join(&scene, ANN, &by_sms).await), "403");
}

#[tokio::test]
async fn of_twenty_devices_at_once_one_joins() {
    let scene = start(quiet()).await;
    let code = provisioned(&scene.phone(ANN).await).await;
    let statuses = (0..20).map(|_| async { join(&scene, ANN, &code).await.status });
    let statuses = futures_util::future::join_all(statuses).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 403].contains(status)), "{statuses:?}");
    assert_eq!(count(&scene.node, "devices").await, 2);
}

#[tokio::test]
async fn a_number_has_so_many_devices_and_no_more() {
    let scene = start(quiet().set("textsecure.devices", 2)).await;
    let phone = scene.phone(ANN).await;
    let code = provisioned(&phone).await;
    let second = phone.second_device(&scene.node).await;
    insta::assert_snapshot!(shown(&join(&scene, ANN, &code).await), @r#"
    411
    content-type: application/json
    {"current":2,"max":2}
    "#);
    insta::assert_snapshot!(shown(&phone.get("/v1/devices/provisioning_code").await), @r#"
    411
    content-type: application/json
    {"current":2,"max":2}
    "#);
    assert_eq!(scene.node.execute("delete from devices where device = 2").await, 1);
    insta::assert_snapshot!(shown(&join(&scene, ANN, &code).await), @r#"
    200
    content-type: application/json
    {"deviceId":2}
    "#);
    drop(second);
}

#[tokio::test]
async fn whoever_had_the_number_before_has_no_way_back() {
    let scene = start(quiet()).await;
    let code = provisioned(&scene.phone(ANN).await).await;
    scene.register(ANN).await;
    assert_eq!(shown(&join(&scene, ANN, &code).await), "403");
    assert_eq!(count(&scene.node, "devices").await, 1);
    handfast::phones::set_disabled(&scene.node.app, &ANN.parse().unwrap(), true).await.unwrap();
    assert_eq!(shown(&join(&scene, ANN, &code).await), "403");
}

#[tokio::test]
async fn both_calls_have_their_limits() {
    let mut options = quiet();
    for limit in ["allocate_device", "verify_device"] {
        options = options.set(&format!("textsecure.limits.{limit}.bucket"), 1);
        options = options.set(&format!("textsecure.limits.{limit}.per_minute"), 0.001);
    }
    let scene = start(options).await;
    let phone = scene.phone(ANN).await;
    let code = provisioned(&phone).await;
    let again = phone.get("/v1/devices/provisioning_code").await;
    insta::assert_snapshot!(seconds_hidden(&shown(&again)), @r"
    413
    retry-after: SECONDS
    ");
    assert_eq!(shown(&join(&scene, ANN, other_than(&code)).await), "403");
    insta::assert_snapshot!(seconds_hidden(&shown(&join(&scene, ANN, &code).await)), @r"
    413
    retry-after: SECONDS
    ");
}
