//! What is stored: how much at the most, in which order with registrations, for how long, and through the death of an ingress.

use std::os::unix::process::ExitStatusExt;

use super::*;

#[tokio::test]
async fn what_is_too_much_is_refused_before_it_is_taken() {
    let options = options(HOME)
        .set("textsecure.messages_per_device", 2)
        .set("textsecure.limits.messages.bucket", 4)
        .set("textsecure.limits.messages.per_minute", 1.0)
        .set("textsecure.limits.receipts.bucket", 2)
        .set("textsecure.limits.receipts.per_minute", 60.0);
    let scene = Scene::with(Net::new(), options).await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    let second = bob.second_device(&scene.node).await;
    let both = || json!([to(1, 0, "YQ=="), to(2, 0, "YQ==")]);
    insta::assert_snapshot!(put(&alice, BOB, both()).await, @"204");
    // Device 2 has room for one, device 1 would need two: nobody is written to.
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "YQ=="), to(2, 0, "YQ=="), to(1, 0, "YQ==")])).await, @"
    413
    retry-after: 300
    ");
    assert_eq!((texts(&scene.node, &bob).await.len(), texts(&scene.node, &second).await.len()), (1, 1));
    insta::assert_snapshot!(put(&alice, BOB, both()).await, @"204");
    // A full device does not keep a receipt from the others, nor its sender waiting.
    let taken = waiting(&scene.node, &second).await.iter().map(|stored| stored.id).collect::<Vec<_>>();
    envelopes::take(&scene.node.app, &bob.number, 2, &taken).await.expect("taken");
    insta::assert_snapshot!(shown(&alice.put("/v1/receipt/+14155550102/5", json!({})).await), @"204");
    assert_eq!((waiting(&scene.node, &bob).await.len(), waiting(&scene.node, &second).await.len()), (2, 1));

    // The fourth request is the last one; what cannot be read is not counted, and who is nobody is found out afterwards.
    insta::assert_snapshot!(put(&alice, BOB, json!(null)).await, @"415");
    insta::assert_snapshot!(put(&alice, CAROL, both()).await, @"404");
    let refused = alice.put(&path(CAROL), json!({"messages": both()})).await;
    let after: u64 = refused.header("retry-after").expect("when there is room").parse().expect("seconds");
    assert!(refused.status == 413 && refused.body.is_empty() && (1..=60).contains(&after), "{refused:?}");
    assert_eq!(alice.post("/v1/messages/", json!({"messages": []})).await.status, 413, "lists count as well");
    assert_eq!(bob.put(&path(CAROL), json!({"messages": both()})).await.status, 404, "another sender is another one");
    let receipts = async || alice.put("/v1/receipt/+19999999999/5", json!({})).await.status;
    assert_eq!((receipts().await, receipts().await), (404, 413));
}

async fn take_all(node: &Node, phone: &Phone) {
    let ids: Vec<_> = waiting(node, phone).await.iter().map(|stored| stored.id).collect();
    envelopes::take(&node.app, &phone.number, phone.device, &ids).await.expect("taken");
}

#[tokio::test]
async fn a_full_mailbox_keeps_nobody_else_from_being_written_to() {
    let scene = Scene::with(Net::new(), options(HOME).set("textsecure.messages_per_device", 2)).await;
    let (alice, bob, carol) = (scene.phone(ALICE).await, scene.phone(BOB).await, scene.phone(CAROL).await);
    let (node, second) = (&scene.node, bob.second_device(&scene.node).await);
    let waits = async || (waiting(node, &bob).await.len(), waiting(node, &second).await.len());
    let both = || json!([to(2, 0, "YQ=="), to(1, 0, "YQ==")]);
    for _ in 0..2 {
        assert_eq!(put(&alice, BOB, both()).await, "204");
        assert_eq!(put(&alice, CAROL, json!([to(1, 0, "YQ==")])).await, "204");
    }
    // The first one is full, the other is not: nobody is written to.
    take_all(node, &second).await;
    insta::assert_snapshot!(put(&alice, BOB, both()).await, @"
    413
    retry-after: 300
    ");
    assert_eq!(waits().await, (2, 0));
    // The other way round it is left out.
    take_all(node, &bob).await;
    for expected in [(1, 1), (2, 2)] {
        assert_eq!(put(&alice, BOB, both()).await, "204");
        assert_eq!(waits().await, expected);
    }
    take_all(node, &bob).await;
    insta::assert_snapshot!(put(&alice, BOB, both()).await, @"204");
    assert_eq!(waits().await, (1, 2));
    // A list says who had no room.
    let entry = |number: &str| json!({"type": 1, "destination": number, "body": "YQ=="});
    insta::assert_snapshot!(post(&alice, json!([entry(CAROL), entry(BOB), entry(BOB)])).await, @r#"
    200
    content-type: application/json
    {"success":["+14155550102"],"failure":["+14155550103","+14155550102"]}
    "#);
    assert_eq!((waits().await, waiting(node, &carol).await.len()), ((2, 2), 2));
    // Receipts have half of the room, and nobody hears of it.
    take_all(node, &bob).await;
    for _ in 0..2 {
        assert_eq!(alice.put("/v1/receipt/+14155550102/5", json!({})).await.status, 204);
        assert_eq!(waits().await, (1, 2));
    }
}

/// Whoever registers anew gets nothing that was written for the one before, and nobody is told that they were reached after that.
#[tokio::test]
async fn a_registration_and_a_message_that_race_come_one_after_the_other() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    for registration in [1, 2, 3] {
        let before = if registration == 1 { REGISTRATION } else { i64::from(registration) - 1 };
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let alice = alice.clone();
                tokio::spawn(async move {
                    let mut statuses = Vec::new();
                    while statuses.last() != Some(&410) {
                        let body = json!({"messages": [to(1, before, "YQ==")]});
                        statuses.push(alice.put(&path(BOB), body).await.status);
                        assert!(statuses.len() < 5000, "the registration was never seen");
                    }
                    statuses
                })
            })
            .collect();
        let some = async || !waiting(&scene.node, &bob).await.is_empty();
        eventually("the first ones are there", some).await;
        register_anew(&scene.node, &bob, registration).await;
        for sender in senders {
            let statuses = sender.await.expect("no panic");
            assert!(statuses.iter().all(|status| [204, 410].contains(status)), "{statuses:?}");
        }
        assert!(waiting(&scene.node, &bob).await.is_empty(), "written for the one before");
    }
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 3, "YQ==")])).await, @"204");
    assert_eq!(texts(&scene.node, &bob).await, ["a"]);
}

#[tokio::test]
async fn what_nobody_takes_in_time_is_swept_away() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "YQ==")])).await, @"204");
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "Yg==")])).await, @"204");
    let first = waiting(&scene.node, &bob).await[0].id;
    scene
        .node
        .execute(&format!("update envelopes set expires_at = now() - interval '1 second' where id = '{first}'"))
        .await;
    assert_eq!(texts(&scene.node, &bob).await, ["b"]);
    assert!(envelopes::find(&scene.node.app, first).await.expect("read").is_none());
    let rows = async || scene.node.value::<i64>("select count(*) from envelopes").await;
    eventually("it is gone", async || rows().await == 1).await;
    assert_eq!(texts(&scene.node, &bob).await, ["b"]);
}

/// The ingress dies when the message is stored and the worker that is to wake its device does not know: it learns of it all the same.
#[tokio::test]
async fn a_device_is_woken_for_a_message_whose_ingress_died() {
    let (net, port) = (Net::new(), crate::node::Port::free());
    net.name("gcm.test", port.socket());
    let options = options(HOME)
        .set("providers.push.gcm.url", format!("https://gcm.test:{}/gcm/send", port.number))
        .set("providers.push.gcm.key", "key");
    let mut scene = Scene::with(net, options).await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    insta::assert_snapshot!(shown(&bob.put("/v1/accounts/gcm/", json!({"gcmRegistrationId": "abc"})).await), @"204");
    scene.node.kill_serve().await;
    scene.node.start_serve_to_die("after-commit");
    scene.node.ready().await;
    let sending = tokio::spawn(async move {
        let body = json!({"messages": [to(1, 0, "YQ==")]}).to_string();
        let attacker = alice.attacker();
        attacker
            .request(
                "PUT",
                &path(BOB),
                &[("Authorization", &alice.authorization()), ("Content-Type", "application/json")],
                body,
            )
            .await
    });
    let ended = scene.node.serve.take().expect("started").ended().await;
    assert_eq!(ended.signal(), Some(9), "it did not die: {ended}");
    assert!(sending.await.expect("no panic").is_err(), "nobody answered");
    scene.node.start_serve();
    scene.node.ready().await;
    assert_eq!(texts(&scene.node, &bob).await, ["a"]);
    let tried =
        "select count(*) from chunks c cross join lateral tries_of(c.id, 0::int2) where c.destination = 'push:gcm'";
    eventually("it was tried", async || scene.node.value::<i64>(tried).await > 0).await;
    drop(port);
}
