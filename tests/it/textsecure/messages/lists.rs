//! Lists of version 1 and of the early version 2, and receipts.

use super::*;

#[tokio::test]
async fn a_list_says_who_was_reached() {
    let scene = Scene::start().await;
    let (alice, bob, carol) = (scene.phone(ALICE).await, scene.phone(BOB).await, scene.phone(CAROL).await);
    let node = &scene.node;
    insta::assert_snapshot!(shown(&scene.call("POST", "/v1/messages/", Some(json!({}))).await), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    for bad in [
        json!(null),
        json!([{"destination": BOB}]),
        json!([{"body": "YQ=="}]),
        json!([{"destination": BOB, "body": "YQ=="}, {"destination": "", "body": "YQ=="}]),
    ] {
        let answer = post(&alice, bad).await;
        insta::allow_duplicates! { insta::assert_snapshot!(answer, @"415") }
    }
    insta::assert_snapshot!(post(&alice, json!([])).await, @r#"
    200
    content-type: application/json
    {"success":[],"failure":[]}
    "#);
    assert_eq!(node.value::<i64>("select count(*) from envelopes").await, 0);

    let entry =
        |number: &str, body: &str| json!({"type": 1, "destination": number, "body": body, "timestamp": 1, "x": 1});
    let too_many: Vec<Value> = (0..257).map(|_| entry(BOB, "YQ==")).collect();
    insta::assert_snapshot!(post(&alice, json!(too_many)).await, @"415");
    assert_eq!(node.value::<i64>("select count(*) from envelopes").await, 0);
    let mut elsewhere = entry("+19999999997", "YQ==");
    elsewhere["relay"] = json!("nowhere");
    let many = json!([
        entry(CAROL, "b25l"),
        entry("+19999999999", "YQ=="),
        entry(BOB, "dHdv"),
        entry("nobody", "YQ=="),
        elsewhere,
        entry(CAROL, "dGhyZWU="),
    ]);
    insta::assert_snapshot!(post(&alice, many).await, @r#"
    200
    content-type: application/json
    {"success":["+14155550103","+14155550102","+14155550103"],"failure":["+19999999999","nobody","+19999999997"]}
    "#);
    assert_eq!(
        (texts(node, &bob).await, texts(node, &carol).await),
        (vec!["two".into()], vec!["one".into(), "three".into()])
    );
    let envelope = &envelopes_of(node, &bob).await[0];
    assert_eq!(envelope.destinations, [CAROL, "+19999999999", "nobody", "+19999999997"]);
    assert_eq!((envelope.source.as_deref(), envelope.kind), (Some(ALICE), Some(1)));

    // The same without the slash, and alone: there are no others.
    let sent = alice.post("/v1/messages", json!({"messages": [entry(BOB, "Zm91cg==")]})).await;
    insta::assert_snapshot!(shown(&sent), @r#"
    200
    content-type: application/json
    {"success":["+14155550102"],"failure":[]}
    "#);
    assert!(envelopes_of(node, &bob).await[1].destinations.is_empty());

    // A sender of version 1 knows no devices.
    let second = bob.second_device(node).await;
    insta::assert_snapshot!(post(&alice, json!([entry(BOB, "Zml2ZQ==")])).await, @r#"
    200
    content-type: application/json
    {"success":["+14155550102"],"failure":[]}
    "#);
    assert_eq!((texts(node, &bob).await.len(), texts(node, &second).await.len()), (3, 0));
}

#[tokio::test]
async fn a_list_that_names_devices_is_of_version_2() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    let node = &scene.node;
    let entry = |number: &str, device: i64, registration: i64| {
        let mut entry = to(device, registration, "YQ==");
        entry["destination"] = json!(number);
        entry
    };
    insta::assert_snapshot!(post(&alice, json!([entry(BOB, 1, REGISTRATION)])).await, @r#"
    200
    content-type: application/json
    {"success":[],"failure":[],"numbersMissingDevices":[]}
    "#);
    insta::assert_snapshot!(post(&alice, json!([entry(BOB, 1, 0), entry(CAROL, 1, 0)])).await, @"415");
    insta::assert_snapshot!(post(&alice, json!([entry(CAROL, 1, 0)])).await, @"404");
    insta::assert_snapshot!(post(&alice, json!([entry(BOB, 1, 1), entry(BOB, 2, 0)])).await, @r#"
    409
    content-type: application/json
    {"missingDevices":[],"extraDevices":[2]}
    "#);
    insta::assert_snapshot!(post(&alice, json!([entry(BOB, 1, 1)])).await, @r#"
    410
    content-type: application/json
    {"staleDevices":[1]}
    "#);
    assert_eq!(texts(node, &bob).await, ["a"], "the others were not delivered");
}

#[tokio::test]
async fn a_receipt_goes_to_every_device_of_the_sender() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    let (second, node) = (alice.second_device(&scene.node).await, &scene.node);
    let send = async |path: &str| shown(&bob.put(path, json!({})).await);
    insta::assert_snapshot!(send("/v1/receipt/+14155550101/1393500000000").await, @"204");
    insta::assert_snapshot!(send("/v1/receipt/%2B14155550101/1393500000001?relay=").await, @"204");
    insta::assert_snapshot!(send("/v1/receipt/+14155550101/1393500000000?relay=nowhere").await, @"404");
    insta::assert_snapshot!(send("/v1/receipt/+19999999999/1393500000000").await, @"404");
    insta::assert_snapshot!(send("/v1/receipt/+14155550101/yesterday").await, @"404");
    insta::assert_snapshot!(shown(&scene.call("PUT", "/v1/receipt/+14155550101/1", None).await), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    for device in [&alice, &second] {
        let stored = waiting(node, device).await;
        assert!(stored.len() == 2 && stored.iter().all(|stored| stored.receipt));
        let envelope = Envelope::from_plaintext(&stored[0].content).expect("an envelope");
        let expected = Envelope {
            kind: Some(RECEIPT),
            source: Some(BOB.into()),
            source_device: Some(1),
            timestamp: Some(1_393_500_000_000),
            ..Envelope::default()
        };
        assert_eq!(envelope, expected);
        // Bare fields: a client tells the message by its sender and its time.
        assert_eq!(hex::encode(&*stored[0].content), "0805120c2b313431353535353031303228809eca98c7283801");
    }
}
