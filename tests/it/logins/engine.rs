//! Starting and verifying, where the tokens are ours.

use std::collections::HashSet;
use std::time::Duration;

use handfast::config::{Bucket, TestCode};
use handfast::logins::{Started, Verified, parse};

use super::scene::{ANN, APP, BOB, Scene, an_address, from, named, other_than, roomy, token};

#[tokio::test]
async fn a_code_is_good_for_its_life() {
    let scene = Scene::start().await;
    let code = scene.code(ANN).await;
    scene.advance(299);
    assert_eq!(named(&scene.attempt(ANN, &code).await), "token");
    let code = scene.code(BOB).await;
    scene.advance(300);
    assert_eq!(named(&scene.attempt(BOB, &code).await), "wrong");
    scene.advance(1);
    assert_eq!(named(&scene.attempt(BOB, &code).await), "wrong");
    let counted: i64 = scene.value("select coalesce(sum(in_a_row), 0)::int8 from login_addresses").await;
    assert_eq!(counted, 0, "what is tried without a live code is no failure");
}

#[tokio::test]
async fn a_code_bears_five_tries() {
    let scene = Scene::start().await;
    let code = scene.code(ANN).await;
    for _ in 0..4 {
        assert_eq!(named(&scene.attempt(ANN, &other_than(&code)).await), "wrong");
    }
    assert_eq!(named(&scene.attempt(ANN, &code).await), "token", "the fifth may be right");

    let code = scene.code(BOB).await;
    for _ in 0..5 {
        assert_eq!(named(&scene.attempt(BOB, &other_than(&code)).await), "wrong");
    }
    assert_eq!(named(&scene.attempt(BOB, &code).await), "wrong", "the sixth is too late");
    // A new one is made, when a message may go again.
    assert!(matches!(scene.begin(BOB).await, Started::Limited { after } if after <= Duration::from_secs(60)));
    scene.advance(60);
    assert_eq!(scene.begin(BOB).await, Started::Accepted);
    assert_eq!(named(&scene.attempt(BOB, &scene.pending().await).await), "token");
}

#[tokio::test]
async fn of_fifty_simultaneous_right_codes_one_signs_in() {
    let scene = Scene::start().await;
    let code = scene.code(ANN).await;
    let application = scene.application().await;
    let (address, origin) = (an_address(ANN), from("192.0.2.1"));
    let tries = (0..50).map(|_| scene.logins.verify(&application, &address, &code, "", &origin));
    let answers = futures_util::future::join_all(tries).await;
    let tokens = answers.iter().filter(|answer| matches!(answer, Ok(Verified::Token { .. }))).count();
    let wrong = answers.iter().filter(|answer| matches!(answer, Ok(Verified::Wrong))).count();
    assert_eq!((tokens, wrong), (1, 49));
    assert_eq!(scene.count("login_sessions").await, 1);
    assert_eq!(scene.count("login_addresses where cardinality(failed) > 0").await, 0, "none of them was wrong");
}

#[tokio::test]
async fn the_same_code_is_sent_again_and_nothing_moves() {
    let scene = Scene::start().await;
    let code = scene.code(ANN).await;
    scene.attempt(ANN, &other_than(&code)).await;
    let state = "select row(id, code_hash, created_at, expires_at, tries)::text from codes";
    let before: String = scene.value(state).await;
    // Too early: answered alike, and nothing goes.
    assert_eq!(scene.begin(ANN).await, Started::Accepted);
    assert_eq!(scene.count("messages").await, 1);
    scene.advance(60);
    assert_eq!(scene.begin(ANN).await, Started::Accepted);
    assert_eq!(scene.count("messages").await, 2);
    assert_eq!(scene.value::<String>(state).await, before);
    assert_eq!(scene.pending().await, code);
    assert_eq!(
        scene.count("messages m join codes c on m.expires_at > c.expires_at").await,
        0,
        "a late code is not sent"
    );
    // A provider took it, and it can still be asked for.
    let id = scene.value("select id from codes").await;
    handfast::codes::subject::sent(&scene.app, id).await.unwrap();
    assert_eq!(scene.pending().await, code);
    assert_eq!(named(&scene.attempt(ANN, &code).await), "token");
    assert_eq!(scene.count("codes where sealed is not null").await, 0, "a used one is not kept");
}

#[tokio::test]
async fn all_million_codes_are_drawn() {
    let scene = Scene::start().await;
    let mut first = HashSet::new();
    for n in 0..80 {
        let code = scene.code(&format!("1800555{n:04}")).await;
        assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "six digits");
        first.insert(code.as_bytes()[0]);
    }
    // Each digit is missing with a chance of 0.9^80, 2 in 10,000: that all of 0, 1, 2 are missing never happens.
    assert!(first.iter().any(|digit| (b'0'..=b'2').contains(digit)));
    assert!(first.len() >= 5);
}

#[tokio::test]
async fn messages_keep_their_distance_and_are_ten_a_day() {
    let scene = Scene::start().await;
    // Every minute for a day.
    for _ in 0..24 * 60 {
        scene.begin(ANN).await;
        scene.advance(60);
        if scene.count("messages").await == 10 {
            break;
        }
    }
    let gaps: Vec<i32> = {
        let sql = "select array(select round(extract(epoch from at - lag))::int4 from (
            select at, lag(at) over (order by at) as lag from (select unnest(sent) as at from login_addresses) s) t
            where lag is not null order by at)";
        scene.value(sql).await
    };
    let minutes: Vec<i32> = gaps.iter().map(|seconds| seconds / 60).collect();
    assert_eq!(minutes[..4], [1, 2, 5, 10]);
    assert_eq!(scene.count("messages").await, 10);
    assert!(matches!(scene.begin(ANN).await, Started::Limited { after } if after > Duration::from_secs(3600)));
    // Somebody else's number is not concerned.
    assert_eq!(scene.begin(BOB).await, Started::Accepted);
}

#[tokio::test]
async fn limits_are_those_of_all_processes() {
    let scene = Scene::with(|config| {
        roomy(config);
        config.mesibo.limits.starts_per_ip = Bucket { bucket: 4, per_minute: 0.01 };
        config.mesibo.limits.tries_per_ip = Bucket { bucket: 3, per_minute: 0.01 };
    })
    .await;
    let other = scene.beside().await;
    for n in 0..2 {
        let begun = scene.begin_from(&format!("180055500{n:02}"), &from("2001:db8::1")).await;
        assert_eq!(begun, Started::Accepted);
        // Another of the same /64 is the same.
        let begun = other.begin_from(&format!("180055501{n:02}"), &from("2001:db8::2")).await;
        assert_eq!(begun, Started::Accepted);
    }
    for process in [&scene, &other] {
        assert!(matches!(process.begin_from(ANN, &from("2001:db8::3")).await, Started::Limited { .. }));
        assert_eq!(process.begin_from(ANN, &from("2001:db8:0:1::3")).await, Started::Accepted);
    }
    // The address's own row, too: the second process found the code that the first one had made.
    assert_eq!(scene.count("messages where content is not null").await, 5);
    let code = scene.pending().await;
    for process in [&scene, &other, &scene] {
        assert_eq!(named(&process.attempt_from(ANN, &other_than(&code), &from("192.0.2.1")).await), "wrong");
    }
    for process in [&scene, &other] {
        assert_eq!(named(&process.attempt_from(ANN, &code, &from("192.0.2.1")).await), "limited");
    }
    assert_eq!(named(&other.attempt_from(ANN, &code, &from("192.0.2.2")).await), "token");
}

#[tokio::test]
async fn a_network_of_neighbours_is_limited_too_and_what_is_refused_takes_nothing() {
    let scene = Scene::with(|config| {
        roomy(config);
        config.mesibo.limits.starts_per_ip = Bucket { bucket: 1, per_minute: 0.01 };
        config.mesibo.limits.starts_per_network = Bucket { bucket: 3, per_minute: 0.01 };
    })
    .await;
    for n in 1..=3 {
        assert_eq!(
            scene.begin_from(&format!("180055500{n:02}"), &from(&format!("192.0.2.{n}"))).await,
            Started::Accepted
        );
    }
    assert!(matches!(scene.begin_from(ANN, &from("192.0.2.4")).await, Started::Limited { .. }));
    let taken: i64 = scene.value("select count(*) from buckets where key = '192.0.2.4' and level > 0").await;
    assert_eq!(taken, 0);
    assert_eq!(scene.begin_from(ANN, &from("192.0.3.4")).await, Started::Accepted);
}

#[tokio::test]
async fn countries_have_a_budget_and_may_be_refused() {
    let scene = Scene::with(|config| {
        roomy(config);
        config.mesibo.limits.sends_per_country = Bucket { bucket: 2, per_minute: 0.01 };
    })
    .await;
    for number in ["18005550001", "18005550002"] {
        assert_eq!(scene.begin(number).await, Started::Accepted);
    }
    assert!(matches!(scene.begin("18005550003").await, Started::Limited { .. }));
    assert_eq!(scene.begin(BOB).await, Started::Accepted);
    // What is not sent takes nothing of it.
    assert_eq!(scene.begin(BOB).await, Started::Accepted);
    assert_eq!(scene.begin("4915112345679").await, Started::Accepted);
    assert_eq!(scene.begin("ann@mail.example").await, Started::Accepted, "mail knows no countries");

    scene.change(|application| application.countries = vec!["49".into(), "1".into()]).await;
    scene.change(|application| application.countries_refused = vec!["1876".into()]).await;
    assert_eq!(scene.begin("18765550001").await, Started::BadAddress);
    assert_eq!(scene.begin("33123456789").await, Started::BadAddress);
    assert_eq!(named(&scene.attempt("33123456789", "123456").await), "bad address");
}

#[tokio::test]
async fn each_kind_of_address_goes_its_way() {
    let scene = Scene::start().await;
    assert_eq!(scene.begin(ANN).await, Started::Accepted);
    assert_eq!(scene.begin("Ann@Mail.example").await, Started::Accepted);
    let sql = "select string_agg(channel || ' ' || destination, ', ' order by id) from messages";
    insta::assert_snapshot!(scene.value::<String>(sql).await, @"3 sms:codes, 5 email:codes");
    // Who is not to be reached so.
    assert_eq!(scene.begin("ann").await, Started::BadAddress);
    scene.change(|application| application.ways = vec![handfast::logins::Way::Voice]).await;
    assert_eq!(scene.begin("ben@mail.example").await, Started::BadAddress);
    assert_eq!(scene.begin(BOB).await, Started::Accepted);
    insta::assert_snapshot!(scene.value::<String>(sql).await, @"3 sms:codes, 5 email:codes, 4 voice:codes");
    scene.change(|application| application.enabled = false).await;
    assert_eq!(scene.begin("18005550009").await, Started::BadAddress);
}

#[tokio::test]
async fn what_nobody_carries_is_not_counted() {
    let scene = Scene::with(|config| {
        roomy(config);
        config.providers.sms.clear();
        config.providers.voice.clear();
        config.mesibo.limits.starts_per_ip = Bucket { bucket: 1, per_minute: 0.01 };
    })
    .await;
    for _ in 0..3 {
        assert_eq!(scene.begin_from(ANN, &from("192.0.2.1")).await, Started::Unavailable);
    }
    assert_eq!(scene.begin_from("ann@mail.example", &from("192.0.2.1")).await, Started::Accepted);
}

/// The same answers, and the same rows, whether or not somebody has signed in before.
#[tokio::test]
async fn nobody_learns_who_is_known() {
    let scene = Scene::start().await;
    let application = scene.application().await;
    scene.sign_in(ANN).await;
    scene.advance(86_400);
    let mut seen = Vec::new();
    for number in [ANN, BOB] {
        let rows = ["codes", "messages", "login_addresses", "login_sessions"];
        let count = async || futures_util::future::join_all(rows.map(|table| scene.count(table))).await;
        let before = count().await;
        let answer = format!("{:?}", scene.begin(number).await);
        let mut after: Vec<i64> = count().await.iter().zip(&before).map(|(after, before)| after - before).collect();
        // The known one has its row from before; its old code, too, if nobody has swept.
        after.remove(2);
        after.remove(0);
        seen.push((answer, after));
    }
    assert_eq!(seen[0], seen[1]);
    // Of the second step all failures are one: never begun, begun, expired, locked.
    let address = parse::phone("18005550777").unwrap();
    let never = scene.logins.verify(&application, &address, "123456", "", &from("192.0.2.1")).await.unwrap();
    assert_eq!(named(&never), "wrong");
    assert_eq!(scene.count("login_addresses").await, 2, "who was never written to gets no row");
}

#[tokio::test]
async fn a_test_code_is_one_address_s_for_a_time() {
    let until = handfast::clock::Clock::system().now() + Duration::from_secs(3600);
    let scene = Scene::with(|config| {
        roomy(config);
        config.mesibo.test_codes = vec![TestCode {
            app: APP.into(),
            address: format!("+{ANN}"),
            code: String::from("246810").into(),
            valid_until: until,
        }];
    })
    .await;
    for _ in 0..2 {
        assert_eq!(scene.begin(ANN).await, Started::Accepted);
        assert_eq!(named(&scene.attempt(ANN, "246811").await), "wrong");
        assert_eq!(named(&scene.attempt(ANN, "246810").await), "token");
    }
    assert_eq!(scene.count("messages").await, 0, "nothing is sent");
    assert_eq!(named(&scene.attempt(BOB, "246810").await), "wrong");
    // Begun in its time, tried after it.
    scene.advance(3500);
    assert_eq!(scene.begin(ANN).await, Started::Accepted);
    scene.advance(101);
    assert_eq!(named(&scene.attempt(ANN, "246810").await), "wrong");
    // From then on the address is like any other.
    let code = scene.code(ANN).await;
    assert_eq!(scene.count("messages").await, 1);
    if code != "246810" {
        assert_eq!(named(&scene.attempt(ANN, "246810").await), "wrong");
    }
    assert_eq!(named(&scene.attempt(ANN, &code).await), "token");
}

#[tokio::test]
async fn nothing_lies_open_in_the_database() {
    let scene = Scene::start().await;
    let code = scene.code(ANN).await;
    let token = token(scene.attempt_from(ANN, &code, &super::scene::on("device-4711")).await);
    scene.code(BOB).await;
    for table in ["codes", "login_addresses", "login_sessions", "apps", "messages"] {
        let rows = scene.app.db.rows(&format!("select t::text from {table} t"), &[]).await.unwrap();
        assert!(!rows.is_empty(), "{table}");
        let text: String = rows.iter().map(|row| row.get::<_, String>(0)).collect();
        for secret in [ANN, BOB, &token, "device-4711"] {
            let hex = handfast::crypto::encode_hex(secret.as_bytes());
            assert!(!text.contains(secret) && !text.contains(&hex), "{table}");
        }
    }
}
