//! What a code is good for: once, for a while, against few guesses; and what a registration takes away.

use std::collections::BTreeMap;

use super::*;

#[tokio::test]
async fn of_twenty_confirmations_at_once_one_registers() {
    let scene = start(quiet()).await;
    let code = scene.code(ANN).await;
    let tries = (0..20).map(|n| {
        let (node, code) = (scene.node.attacker(), code.clone());
        async move {
            let header = basic(ANN, &format!("password {n}"));
            call(&node, "PUT", &format!("/v1/accounts/code/{code}"), Some(&header), Some(body())).await.status
        }
    });
    let statuses = futures_util::future::join_all(tries).await;
    let winners: Vec<usize> = (0..20).filter(|n| statuses[*n] == 204).collect();
    let [winner] = winners[..] else { panic!("one of {statuses:?}") };
    assert!(statuses.iter().all(|status| [204, 403].contains(status)), "{statuses:?}");
    assert!(scene.knows(ANN, &format!("password {winner}")).await);
    assert_eq!(shown(&scene.confirm(ANN, &code).await), "403");
}

#[tokio::test]
async fn a_code_lives_for_its_time_and_bears_so_many_tries() {
    let scene = start(quiet().set("textsecure.code_tries", 3)).await;
    let code = scene.code(ANN).await;
    for _ in 0..3 {
        assert_eq!(shown(&scene.confirm(ANN, other_than(&code)).await), "403");
    }
    assert_eq!(shown(&scene.confirm(ANN, &code).await), "403", "it is worn out");
    let next = scene.code(ANN).await;
    assert_eq!(shown(&scene.confirm(ANN, other_than(&next)).await), "403");
    assert_eq!(scene.node.execute("update codes set expires_at = now()").await, 1);
    assert_eq!(shown(&scene.confirm(ANN, &next).await), "403", "it is too late");
    // A new code takes the place of the one before.
    let (before, after) = (scene.code(ANN).await, scene.code(ANN).await);
    if before != after {
        assert_eq!(shown(&scene.confirm(ANN, &before).await), "403");
    }
    assert_eq!(shown(&scene.confirm(ANN, &after).await), "204");
}

#[tokio::test]
async fn too_many_tries_are_refused_before_the_code_is_compared() {
    let options = quiet().set("textsecure.limits.verify.bucket", 2).set("textsecure.limits.verify.per_minute", 0.001);
    let scene = start(options).await;
    let code = scene.code(ANN).await;
    for _ in 0..2 {
        assert_eq!(shown(&scene.confirm(ANN, other_than(&code)).await), "403");
    }
    insta::assert_snapshot!(seconds_hidden(&shown(&scene.confirm(ANN, &code).await)), @r"
    413
    retry-after: SECONDS
    ");
    let code = scene.code(BEN).await;
    assert_eq!(shown(&scene.confirm(BEN, &code).await), "204", "another number's tries are its own");
}

#[tokio::test]
async fn guesses_at_many_numbers_are_counted_by_network() {
    let scene = start(quiet().set("textsecure.wrong_passwords_per_ip", 2)).await;
    let code = scene.code(ANN).await;
    assert_eq!(shown(&scene.confirm(ANN, &code).await), "204");
    for number in [ANN, BEN] {
        assert_eq!(shown(&scene.confirm(number, "555555").await), "403");
    }
    insta::assert_snapshot!(seconds_hidden(&shown(&scene.confirm("+14155550103", "555555").await)), @r"
    413
    retry-after: SECONDS
    ");
}

#[tokio::test]
async fn registering_anew_clears_everything_but_the_first_devices_prekeys() {
    let scene = start(quiet()).await;
    scene.register(ANN).await;
    let mut first = scene.phone(BEN).await;
    first.second_device(&scene.node).await;
    // What keys and messages leave behind.
    for device in [1, 2] {
        let sql = format!(
            "with k as (insert into prekeys values ('{BEN}', {device}, 7, 0, 'public', 'identity')),
                  d as (insert into device_keys (number, device, identity_key, updated_at)
                        values ('{BEN}', {device}, 'identity', now()))
             insert into envelopes (id, number, device, content, expires_at)
             values (gen_random_uuid(), '{BEN}', {device}, 'sealed', now() + interval '1 day')"
        );
        scene.node.execute(&sql).await;
    }
    let left = async || {
        let mut left = BTreeMap::new();
        for table in ["devices", "envelopes", "prekeys", "device_keys"] {
            left.insert(table, count(&scene.node, &format!("{table} where number = '{BEN}'")).await);
        }
        left
    };
    insta::assert_debug_snapshot!(left().await, @r#"
    {
        "device_keys": 2,
        "devices": 2,
        "envelopes": 2,
        "prekeys": 2,
    }
    "#);
    let code = scene.code(BEN).await;
    let header = basic(BEN, "another password");
    let registered = scene.put(&format!("/v1/accounts/code/{code}"), Some(&header), body()).await;
    assert_eq!(shown(&registered), "204");
    insta::assert_debug_snapshot!(left().await, @r#"
    {
        "device_keys": 1,
        "devices": 1,
        "envelopes": 0,
        "prekeys": 1,
    }
    "#);
    assert!(scene.knows(BEN, "another password").await);
    first.password = PASSWORD.to_owned();
    assert_eq!(first.delete("/v1/accounts/gcm").await.status, 401, "the one before is out");
    assert!(scene.knows(ANN, PASSWORD).await, "others are untouched");
}

#[tokio::test]
async fn neither_numbers_nor_codes_nor_passwords_are_logged_and_no_code_is_stored_in_the_clear() {
    let scene = start(quiet().set("log.level", "info,handfast=trace")).await;
    let code = scene.code(ANN).await;
    assert!(!scene.node.dump().await.contains(&hex::encode(&code)), "bytes are dumped as hexadecimal digits");
    assert_eq!(shown(&scene.confirm(ANN, other_than(&code)).await), "403");
    assert_eq!(shown(&scene.confirm(ANN, &code).await), "204");
    let (node, ann) = (scene.node.attacker(), basic(ANN, PASSWORD));
    let asked = call(&node, "GET", "/v1/devices/provisioning_code", Some(&ann), None).await.json();
    let further = asked["verificationCode"].as_str().expect("a code").to_owned();
    let joined = scene.put(&format!("/v1/devices/{further}"), Some(&basic(ANN, "another password")), body()).await;
    assert_eq!(joined.status, 200);
    let logs = scene.node.logs();
    assert!(!logs.is_empty());
    let digits = ANN.trim_start_matches('+');
    for secret in [digits, &code, other_than(&code), &further, PASSWORD, "another password"] {
        assert!(!logs.contains(secret), "a secret of {} characters is in the log", secret.len());
    }
    let key = BASE64_STANDARD.encode(SIGNALING_KEY);
    assert!(!logs.contains(&key));
}
