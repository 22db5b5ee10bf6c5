//! A merchant's gateway as a whole node, with a stand-in hub: real TLS, real keys, none of the node's own protocol.

mod arrival;
mod standin;

use std::collections::BTreeSet;

use serde_json::json;

use crate::node::{Net, Options, eventually};
use crate::webhooks::receiver::{Receiver, status};
use standin::{FING, Scene, now};

#[tokio::test]
async fn somebody_signs_in_and_the_application_learns_who() {
    let net = Net::new();
    let hooks = Receiver::start(&net, "hooks.test", |_, _| status(204)).await;
    let scene = Scene::on(net, |options| options.set("homing.gateway.webhook", "logins")).await;
    scene.node.post("webhooks", json!({"name": "logins", "url": "https://hooks.test/in"})).await;
    let entered = scene.enter("Alice").await;
    let asked = &entered.payload;
    assert_eq!((asked["username"].as_str(), asked["scopes"].as_str()), (Some("alice"), Some("email|fullname")));
    assert_eq!(asked["endpoint"], "https://shop.test/homing/endpoint");
    let arrived = scene.arrive(&entered, "sc_email=a%40b.example&sc_fullname=Al+I&sc_birthday=1990-01-01").await;
    assert_eq!((arrived.status, arrived.header("location")), (303, Some("/homing/")), "{arrived:?}");
    let cookies = standin::cookies(&arrived);
    let session = &cookies["__Host-hs_session"];
    assert!(session.contains("HttpOnly; SameSite=Lax") && session.contains("; Secure") && session.contains("Path=/;"));
    assert!(cookies["__Host-hs_state"].contains("Max-Age=0"), "{cookies:?}");
    let token = session.split(';').next().unwrap();

    let told = scene.node.post("homing/introspect", json!({"token": token})).await;
    let expected = json!({"email": "a@b.example", "fullname": "Al I"});
    assert_eq!((&told["active"], &told["username"], &told["f_in_g"]), (&json!(true), &json!("alice"), &json!(FING)));
    assert_eq!(
        (&told["claims"], &told["scope"]),
        (&expected, &json!("email fullname")),
        "what was not asked for is dropped"
    );
    assert!(told["exp"].as_i64().unwrap() > now() + 23 * 3600);
    let heard = hooks.got(1).await.remove(0).json();
    assert_eq!(
        (&heard["type"], &heard["account"], &heard["new"]),
        (&json!("homing.login"), &told["account"], &json!(true))
    );
    assert_eq!((&heard["claims"], &heard["f_in_g"]), (&expected, &json!(FING)));

    let page = scene.get("/homing/", &[("Cookie", &format!("__Host-hs_session={token}"))]).await;
    let html = String::from_utf8_lossy(&page.body).into_owned();
    assert!(html.contains("signed in as <strong>alice</strong>") && !html.contains(FING), "{html}");
    let out = scene.post("/homing/logout", &[("Cookie", &format!("__Host-hs_session={token}"))], "").await;
    assert_eq!(out.status, 303);
    assert!(standin::cookies(&out)["__Host-hs_session"].contains("Max-Age=0"));
    assert_eq!(scene.node.post("homing/introspect", json!({"token": token})).await, json!({"active": false}));
    let logs = scene.node.logs();
    for secret in ["a@b.example", "alice", FING, asked["otp"].as_str().unwrap(), asked["n"].as_str().unwrap(), token] {
        assert!(!logs.contains(secret), "{secret} in the log");
    }
}

#[tokio::test]
async fn the_second_visit_finds_the_account_and_rotates_the_session() {
    let scene = Scene::start().await;
    let mut accounts = BTreeSet::new();
    let mut cookie = String::new();
    for _ in 0..2 {
        let entered = scene.enter("alice").await;
        let headers = [("Cookie", format!("__Host-hs_state={}; __Host-hs_session={cookie}", entered.state))];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let arrived = scene.post(&entered.target(&scene, "email", now()), &headers, "sc_email=a%40b.example").await;
        assert_eq!(arrived.status, 303, "{arrived:?}");
        let token = standin::cookies(&arrived)["__Host-hs_session"].split(';').next().unwrap().to_owned();
        assert_ne!(token, cookie);
        if !cookie.is_empty() {
            assert_eq!(scene.introspect(&cookie).await["active"], false, "the session before is over");
        }
        accounts.insert(scene.introspect(&token).await["account"].to_string());
        cookie = token;
    }
    assert_eq!(accounts.len(), 1);
}

#[tokio::test]
async fn a_query_comes_back_verbatim_in_whatever_order() {
    let scene = Scene::start().await;
    let entered = scene.enter("alice").await;
    let query = entered.query();
    let pairs: Vec<&str> = query.split('&').collect();
    let odd = format!("x=%20a+b&{}&{}&y&{}&{}&z=%7e", pairs[3], pairs[1], pairs[2], pairs[0]);
    let target = scene.released(&odd, FING, now(), "email");
    let changed = target.replace("%20a+b", "+a%20b");
    let refused = scene.submit(&changed, &entered.state, "sc_email=a%40b.example").await;
    assert_eq!(refused.status, 400, "the same in other bytes is not what was signed");
    let arrived = scene.submit(&target, &entered.state, "sc_email=a%40b.example").await;
    assert_eq!(arrived.status, 303, "{arrived:?}");
}

#[tokio::test]
async fn fifty_at_once_make_one_session() {
    let scene = Scene::start().await;
    let entered = scene.enter("alice").await;
    let target = entered.target(&scene, "email", now());
    let all = (0..50).map(|_| scene.submit(&target, &entered.state, "sc_email=a%40b.example"));
    let replies = futures_util::future::join_all(all).await;
    let signed_in = replies.iter().filter(|reply| reply.status == 303).count();
    assert_eq!(signed_in, 1);
    assert_eq!(scene.node.value::<i64>("select count(*) from hs_sessions").await, 1);
}

#[tokio::test]
async fn whatever_is_wrong_the_page_is_the_same_and_the_log_has_the_reason() {
    let scene = Scene::start().await;
    let entered = scene.enter("alice").await;
    let old =
        scene.submit(&entered.target(&scene, "email", now() - 60), &entered.state, "sc_email=a%40b.example").await;
    let other = scene.submit(&entered.target(&scene, "email", now()), "other", "sc_email=a%40b.example").await;
    let text = |reply: &crate::peers::Reply| {
        let html = String::from_utf8_lossy(&reply.body).into_owned();
        let (before, after) = html.split_once("Reference: ").expect("a reference");
        (reply.status, format!("{before}{}", &after[12..]), after[..12].to_owned())
    };
    let (old, other) = (text(&old), text(&other));
    assert_eq!((old.0, &old.1), (400, &other.1));
    for (reference, reason) in [(old.2, "window"), (other.2, "state")] {
        let line = async || scene.node.logs().lines().any(|line| line.contains(&reference) && line.contains(reason));
        eventually("the reason is in the log", line).await;
    }
    let get = scene.get(&entered.target(&scene, "email", now()), &[]).await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn a_hub_that_is_away_leaves_nothing_behind() {
    let net = Net::new();
    let nobody = crate::node::Port::free();
    net.name("hub.test", nobody.socket());
    let scene = Scene::without_hub(net, |options| options).await;
    let reply = scene.entry("alice").await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("set-cookie").is_none());
    assert_eq!(scene.node.value::<i64>("select count(*) from hs_attempts").await, 0);
}

#[tokio::test]
async fn a_hub_that_refuses_or_leads_astray_is_not_followed() {
    const ANSWERS: [(u16, &str, u16, &str); 5] = [
        (403, r#"{"error":"SITE_REVOKED","message":"","request_id":"x"}"#, 503, "SITE_REVOKED"),
        (429, r#"{"error":"RATE_LIMITED"}"#, 429, ""),
        (
            202,
            r#"{"challenge":"hsc_x","welcome_url":"https://evil.test/w/hsc_x","expires_at":1}"#,
            503,
            "leads nowhere",
        ),
        (
            202,
            r#"{"challenge":"hsc_x","welcome_url":"https://hub.test.evil.test/","expires_at":1}"#,
            503,
            "leads nowhere",
        ),
        (200, "never", 503, "status=200"),
    ];
    let net = Net::new();
    let say = |_: &_, n: usize| {
        http::Response::builder().status(ANSWERS[n].0).body(ANSWERS[n].1.to_owned()).expect("an answer")
    };
    let _hub = Receiver::start(&net, "hub.test", say).await;
    let scene = Scene::without_hub(net, |options| options).await;
    for (_, body, status, seen) in ANSWERS {
        let reply = scene.entry("alice").await;
        assert_eq!((reply.status, reply.header("set-cookie")), (status, None), "{body}");
        eventually("the reason is in the log", async || scene.node.logs().contains(seen)).await;
    }
    assert_eq!(scene.node.value::<i64>("select count(*) from hs_attempts").await, 0);
}

#[tokio::test]
async fn the_form_and_a_page_of_the_merchants_own() {
    let scene = Scene::with(|options| {
        options
            .set("homing.gateway.scope_notes", toml::Table::from_iter([("email".to_owned(), "<for receipts>".into())]))
    })
    .await;
    let page = scene.get("/homing/login", &[]).await;
    let html = String::from_utf8_lossy(&page.body).into_owned();
    for part in [
        "<strong>shop-persona</strong>",
        r#"name="scopes" value="email|fullname""#,
        "&lt;for receipts&gt;",
        r#"<label for="username">"#,
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self' https://hub.test;") && !policy.contains("script-src"), "{policy}");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    // What a static page of the same origin sends.
    let own = [("Origin", "https://shop.test"), ("Sec-Fetch-Site", "same-origin")];
    let reply = scene.post("/homing/entry", &own, "username=alice&scopes=email%7Cfullname&submit=Go").await;
    assert_eq!(reply.status, 303, "{reply:?}");
    for headers in [
        vec![("Origin", "https://evil.test")],
        vec![("Origin", "null")],
        vec![("Sec-Fetch-Site", "cross-site")],
        vec![("Sec-Fetch-Site", "same-site")],
    ] {
        let reply = scene.post("/homing/entry", &headers, "username=alice&scopes=email%7Cfullname").await;
        assert_eq!(reply.status, 403, "{headers:?}");
        let reply = scene.post("/homing/logout", &headers, "").await;
        assert_eq!(reply.status, 403, "{headers:?}");
    }
    for (form, words) in [
        ("username=alice&scopes=%7C", "out of date"),
        ("username=alice", "out of date"),
        ("username=no&scopes=email%7Cfullname", "not the name of a persona"),
        ("username=alice&username=bob&scopes=email%7Cfullname", "could not be read"),
    ] {
        let reply = scene.post("/homing/entry", &[], form).await;
        let html = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(reply.status == 422 && html.contains(words), "{form}: {html}");
    }
    assert_eq!(scene.hub.seen().len(), 1);
}

#[tokio::test]
async fn one_address_begins_so_many_logins_and_then_waits() {
    let scene = Scene::with(|options| {
        options.set("homing.gateway.entries_per_ip.bucket", 2).set("homing.gateway.entries_per_ip.per_minute", 0.5)
    })
    .await;
    for expected in [303, 303, 429] {
        let reply = scene.entry("alice").await;
        assert_eq!(reply.status, expected);
        let wait = reply.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
        assert_eq!(wait.is_some_and(|seconds| (1..=121).contains(&seconds)), expected == 429, "{wait:?}");
    }
}

#[tokio::test]
async fn a_login_is_approved_on_another_device_by_who_sees_the_digits() {
    let scene = Scene::with(|options| options.set("homing.gateway.cross_device", true)).await;
    for right in [true, false] {
        let form = "username=alice&scopes=email%7Cfullname&device=other";
        let begun = scene.post("/homing/entry", &[], form).await;
        let status = begun.header("location").unwrap().to_owned();
        assert!(begun.status == 303 && status.starts_with("/homing/status/"), "{begun:?}");
        let cookie = standin::cookies(&begun)["__Host-hs_state"].split(';').next().unwrap().to_owned();
        let cookie = format!("__Host-hs_state={cookie}");
        let first = [("Cookie", cookie.as_str())];
        let html = |reply: &crate::peers::Reply| String::from_utf8_lossy(&reply.body).into_owned();
        let waiting = scene.get(&status, &first).await;
        assert_eq!((waiting.status, waiting.header("refresh")), (200, Some("3")));
        let digits = html(&waiting).split("<p role=\"status\"><strong>").nth(1).unwrap()[..2].to_owned();
        assert_eq!(scene.get(&status, &[]).await.status, 410, "only who began sees the digits");

        let entered = scene.last(String::new()).await;
        let target = entered.target(&scene, "email", now());
        let asked = scene.submit(&target, "", "sc_email=a%40b.example").await;
        assert!(asked.status == 200 && !asked.headers.iter().any(|(name, _)| name == "set-cookie"), "{asked:?}");
        assert!(!html(&asked).contains(&format!(">{digits}<")));
        let token = html(&asked).split("name=\"token\" value=\"").nth(1).unwrap()[..43].to_owned();
        assert_eq!(scene.submit(&target, "", "sc_email=a%40b.example").await.status, 400, "used up");
        assert_eq!(scene.get(&status, &first).await.status, 200, "still waiting");
        let other = if digits == "00" { "01" } else { "00" };
        let typed = if right { digits.as_str() } else { other };
        let other_site = [("Origin", "https://evil.test")];
        let form = format!("token={token}&digits={typed}");
        assert_eq!(scene.post("/homing/match", &other_site, &form).await.status, 403);
        assert_eq!(scene.post("/homing/match", &[], &form).await.status, if right { 200 } else { 400 });
        let again = format!("token={token}&digits={digits}");
        assert_eq!(scene.post("/homing/match", &[], &again).await.status, 400, "one try");
        let fetched = scene.get(&status, &first).await;
        assert_eq!(fetched.status, if right { 303 } else { 410 });
        if right {
            let session = standin::cookies(&fetched)["__Host-hs_session"].split(';').next().unwrap().to_owned();
            assert_eq!(scene.introspect(&session).await["username"], "alice");
            assert_eq!(scene.get(&status, &first).await.status, 410, "one session");
        }
    }
    assert_eq!(scene.node.value::<i64>("select count(*) from hs_sessions").await, 1);
    // Who approves where the login began needs no digits; who comes back elsewhere with one that was not to be is refused.
    let entered = scene.enter("alice").await;
    let refused = scene.submit(&entered.target(&scene, "email", now()), "", "sc_email=a%40b.example").await;
    assert_eq!(refused.status, 400);
    assert_eq!(scene.arrive(&entered, "sc_email=a%40b.example").await.status, 303);
}

/// A neighbour under the same domain can set cookies for all of it, but none with the prefix of the host's own.
#[tokio::test]
async fn a_state_that_somebody_else_planted_does_not_count() {
    let scene = Scene::start().await;
    let entered = scene.enter("alice").await;
    let target = entered.target(&scene, "email", now());
    let own = format!("__Host-hs_state={}", entered.state);
    for cookies in [format!("hs_state={}", entered.state), format!("{own}; __Host-hs_state=planted")] {
        let reply = scene.post(&target, &[("Cookie", cookies.as_str())], "sc_email=a%40b.example").await;
        assert_eq!(reply.status, 400, "{cookies}");
    }
    let both = format!("hs_state=planted; {own}");
    let reply = scene.post(&target, &[("Cookie", both.as_str())], "sc_email=a%40b.example").await;
    assert_eq!(reply.status, 303, "{reply:?}");
}

#[tokio::test]
async fn what_cannot_be_an_attempt_or_digits_never_reaches_the_database() {
    let scene = Scene::with(|options| options.set("homing.gateway.cross_device", true)).await;
    for digits in ["%00%00", "1", "123", "%D9%A1%D9%A2", "a1", ""] {
        let reply = scene.post("/homing/match", &[], &format!("token=x&digits={digits}")).await;
        assert_eq!(reply.status, 400, "{digits}");
    }
    for n in ["%00", "x", "AAAA", "AAAAAAAAAAAAAAAAAAAAA%00"] {
        let status = scene.get(&format!("/homing/status/{n}"), &[]).await;
        assert_eq!(status.status, 410, "{n}");
        let query = format!("username=alice%00&ts={}&n={n}&otp=x", now());
        let reply = scene.submit(&scene.released(&query, FING, now(), "email"), "", "sc_email=a%40b.example").await;
        assert_eq!(reply.status, 400, "{n}");
    }
    for username in ["ali%00ce", "%00"] {
        let form = format!("username={username}&scopes=email%7Cfullname");
        assert_eq!(scene.post("/homing/entry", &[], &form).await.status, 422, "{username}");
    }
}

#[tokio::test]
async fn a_captcha_is_asked_for_and_verified() {
    let net = Net::new();
    let judge = Receiver::start(&net, "captcha.test", |seen, _| {
        let good = seen.body.as_ref() == b"secret=s%26s&response=human".as_slice();
        http::Response::builder().status(200).body(json!({"success": good}).to_string()).unwrap()
    })
    .await;
    let scene = Scene::on(net, |options| {
        let set =
            |options: Options, name: &str, value: &str| options.set(&format!("homing.gateway.captcha.{name}"), value);
        let options = set(options, "script", "https://captcha.test/api.js");
        let options = set(set(options, "class", "widget"), "site_key", "key");
        set(set(set(options, "field", "answer"), "verify", "https://captcha.test/verify"), "secret", "s&s")
    })
    .await;
    let page = scene.get("/homing/login", &[]).await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src https://captcha.test;"), "{policy}");
    assert!(String::from_utf8_lossy(&page.body).contains(r#"<script src="https://captcha.test/api.js""#));
    let form = "username=alice&scopes=email%7Cfullname";
    for (answer, expected) in [("", 422), ("&answer=robot", 422), ("&answer=human", 303)] {
        assert_eq!(scene.post("/homing/entry", &[], &format!("{form}{answer}")).await.status, expected, "{answer}");
    }
    assert_eq!(judge.seen().len(), 2, "an empty answer is nobody's business");
}

#[tokio::test]
async fn the_door_is_closed_unless_it_is_opened_and_under_its_own_names() {
    let net = Net::new();
    let node = net.node("plain.test").await;
    assert_eq!(node.attacker().request("GET", "/homing/login", &[], "").await.unwrap().status, 404);
    let scene = Scene::with(|options| options.set("homing.gateway.hosts", vec!["shop.test"])).await;
    assert_eq!(scene.get("/homing/login", &[]).await.status, 200);
    assert_eq!(scene.get("/homing/login", &[("Host", "other.test")]).await.status, 404);
}

#[tokio::test]
async fn the_api_wants_its_scope() {
    let scene = Scene::start().await;
    let key = |scopes: &str| {
        let (app, scopes) = (scene.node.app.clone(), scopes.parse().unwrap());
        async move { handfast::senders::create(&app, "t", &scopes, None).await.unwrap().1.reveal().to_owned() }
    };
    let url = format!("http://{}/api/v1/homing/introspect", scene.node.private);
    for (scopes, expected) in [("homing", 200), ("inbox", 403)] {
        let request = reqwest::Client::new().post(&url).bearer_auth(key(scopes).await).json(&json!({"token": "x"}));
        assert_eq!(request.send().await.unwrap().status(), expected, "{scopes}");
    }
    assert_eq!(scene.node.api("POST", "homing/introspect", Some(json!({}))).await.status, 422);
}
