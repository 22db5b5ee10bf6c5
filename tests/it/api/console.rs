//! The console without a browser: who comes in, what is refused, what is answered when things are away.

use std::time::{Duration, Instant};

use handfast::audit::{self, Filter};
use handfast::config::console::Person;
use handfast::config::{Bucket, Period};
use handfast::mailbox::{self, Mailbox, Set};
use handfast::senders;
use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{RequestBuilder, Response};

use super::Node;

const FORM: &str = "application/x-www-form-urlencoded";

fn encode(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn post(node: &Node, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
    node.http.post(node.url(path)).header(CONTENT_TYPE, FORM).body(encode(fields))
}

async fn sign_in(node: &Node, key: &str) -> Response {
    post(node, "/console/sign-in", &[("api_key", key)]).send().await.unwrap()
}

/// The cookie that an answer sets, as a browser sends it.
fn cookie(response: &Response) -> String {
    let set = response.headers()[SET_COOKIE].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

async fn session(node: &Node, key: &str) -> String {
    let response = sign_in(node, key).await;
    assert_eq!((response.status().as_u16(), response.headers()[LOCATION].to_str().unwrap()), (303, "/console"));
    cookie(&response)
}

async fn show(node: &Node, path: &str, cookie: &str) -> Response {
    node.http.get(node.url(path)).header(COOKIE, cookie).send().await.unwrap()
}

async fn text(response: Response, status: u16) -> String {
    assert_eq!(response.status(), status);
    response.text().await.unwrap()
}

/// Where a GET leads who is not signed in.
async fn led(node: &Node, path: &str, cookie: &str) -> String {
    let response = show(node, path, cookie).await;
    assert_eq!(response.status(), 303, "{path}");
    response.headers()[LOCATION].to_str().unwrap().to_owned()
}

fn token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_signs_in_and_its_end_ends_the_session() {
    let node = Node::start().await;
    assert_eq!(led(&node, "/console", "").await, "/console/sign-in");
    let way = "/console/sign-in?to=%2Fconsole%2Faudit%3Factor%3Dx";
    assert_eq!(led(&node, "/console/audit?actor=x", "").await, way);
    let account = node.account(1).await;
    let bound = node.key("*", Some(&account)).await;
    for key in ["", "hf_wrong", &bound] {
        let response = sign_in(&node, key).await;
        assert!(!response.headers().contains_key(SET_COOKIE));
        text(response, 403).await;
    }
    let response = sign_in(&node, &node.key).await;
    let set = response.headers()[SET_COOKIE].to_str().unwrap();
    for word in ["HttpOnly", "SameSite=Lax", "Path=/console", "Max-Age=43200"] {
        assert!(set.contains(word), "{set}");
    }
    assert!(!set.contains(&node.key));
    let cookie = cookie(&response);
    let page = show(&node, "/console", &cookie).await;
    assert_eq!(page.headers()["cache-control"], "no-store");
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(text(page, 200).await.contains("Open deliveries"));

    let key = senders::authenticate(&node.app, &node.key).await.unwrap().unwrap();
    senders::revoke(&node.app, key.id).await.unwrap();
    let begun = Instant::now();
    while show(&node, "/console", &cookie).await.status() == 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "a revoked key is still signed in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(led(&node, "/console", &cookie).await, "/console/sign-in");
}

#[tokio::test]
async fn a_way_back_leads_to_the_console_only() {
    let node = Node::start().await;
    for (way, led) in [
        ("/console/audit?actor=x", "/console/audit?actor=x"),
        ("//evil.example/", "/console"),
        ("https://evil.example/", "/console"),
        ("/console/../api", "/console"),
        ("/console\r\nSet-Cookie: a=b", "/console"),
    ] {
        let response = post(&node, "/console/sign-in", &[("api_key", &node.key), ("to", way)]).send().await.unwrap();
        assert_eq!(response.headers()[LOCATION].to_str().unwrap(), led, "{way}");
    }
}

#[tokio::test]
async fn guessing_has_a_limit_and_right_keys_cost_nothing() {
    let node = Node::start_with(|config| {
        config.console.wrong_keys_per_ip = Bucket { bucket: 3, per_minute: 0.001 };
    })
    .await;
    for _ in 0..5 {
        session(&node, &node.key).await;
    }
    for _ in 0..3 {
        assert_eq!(sign_in(&node, "hf_wrong").await.status(), 403);
    }
    let refused = sign_in(&node, &node.key).await;
    assert!(refused.headers().contains_key("retry-after"));
    assert!(text(refused, 429).await.contains("Too many wrong keys"));
}

#[tokio::test]
async fn forged_forms_are_not_carried_out() {
    let node = Node::start().await;
    let cookie = session(&node, &node.key).await;
    let page = text(show(&node, "/console", &cookie).await, 200).await;
    let token = token(&page);
    let leave = |token: &str| post(&node, "/console/sign-out", &[("token", token)]).header(COOKIE, &cookie);
    for (request, words) in [
        (leave(&token).header("origin", "https://evil.example"), "another site"),
        (leave(&token).header("sec-fetch-site", "cross-site"), "another site"),
        (leave(&token).header("origin", "null"), "another site"),
        (leave(""), "out of date"),
        (leave(&"0".repeat(32)), "out of date"),
        (
            post(&node, "/console/sign-in", &[("api_key", &node.key)]).header("origin", "https://evil.example"),
            "another",
        ),
    ] {
        let response = request.send().await.unwrap();
        assert!(!response.headers().contains_key(SET_COOKIE));
        let page = text(response, 403).await;
        assert!(page.contains(words), "{page}");
    }
    assert_eq!(show(&node, "/console", &cookie).await.status(), 200);

    let left = leave(&token).header("origin", node.url("")).send().await.unwrap();
    assert_eq!(left.status(), 303);
    assert!(left.headers()[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    // The cookie itself is worth nothing any more, whoever has a copy.
    assert_eq!(led(&node, "/console", &cookie).await, "/console/sign-in");
}

#[tokio::test]
async fn a_proxy_names_people_and_nobody_else_does() {
    let people = || {
        vec![
            Person { name: "ann@shop.example".into(), scopes: vec!["*".into()] },
            Person { name: "*@shop.example".into(), scopes: vec!["inbox:read".into()] },
        ]
    };
    let with = async |network: &str| {
        let network = network.parse().unwrap();
        Node::start_with(|config| {
            config.private.trusted_proxies = vec![network];
            config.console.trusted_header = "X-Forwarded-Email".into();
            config.console.people = people();
        })
        .await
    };
    let node = with("127.0.0.1/32").await;
    let ask = |names: &[&str], cookie: &str| {
        let request = node.http.get(node.url("/console")).header(COOKIE, cookie);
        names.iter().fold(request, |request, name| request.header("x-forwarded-email", *name)).send()
    };
    let ann = ask(&["ann@shop.example"], "").await.unwrap();
    let cookie = cookie(&ann);
    assert!(text(ann, 200).await.contains("Open deliveries"));
    let bob = text(ask(&["bob@shop.example"], "").await.unwrap(), 200).await;
    assert!(bob.contains("inbox:read") && !bob.contains("Open deliveries"), "{bob}");
    // Nobody of ours, two names, or a name with another behind it.
    for names in
        [&["eve@evil.example"][..], &["ann@shop.example", "bob@shop.example"], &["eve, ann@shop.example"], &[""]]
    {
        assert_eq!(ask(names, "").await.unwrap().status(), 303, "{names:?}");
    }
    // The session is worth nothing without the proxy's word, nor with its word for another.
    assert_eq!(ask(&[], &cookie).await.unwrap().status(), 303);
    assert_eq!(ask(&["ann@shop.example"], &cookie).await.unwrap().status(), 200);
    let other = text(ask(&["bob@shop.example"], &cookie).await.unwrap(), 200).await;
    assert!(other.contains("bob@shop.example") && !other.contains("Open deliveries"), "{other}");

    // Signing out here is not signing out there, and says so; a form that came too late is not carried out, and says so too.
    let page = text(ask(&["ann@shop.example"], &cookie).await.unwrap(), 200).await;
    let as_ann = |path: &str, fields: &[(&str, &str)]| {
        let request = post(&node, path, fields).header("x-forwarded-email", "ann@shop.example");
        request.header(COOKIE, &cookie).send()
    };
    let left = as_ann("/console/sign-out", &[("token", &token(&page))]).await.unwrap();
    assert!(left.headers()[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    let left = text(left, 200).await;
    assert!(left.contains("the proxy in front of this node signs you in"), "{left}");
    let late = as_ann("/console/keys", &[("token", &token(&page)), ("sender", "x"), ("scopes", "*")]).await.unwrap();
    let said = self::cookie(&late);
    let next = ask(&["ann@shop.example"], &said).await.unwrap();
    assert!(text(next, 200).await.contains("You were signed out meanwhile; nothing was done."));

    let node = with("10.0.0.0/8").await;
    let forged = node.http.get(node.url("/console")).header("x-forwarded-email", "ann@shop.example");
    let forged = forged.header("x-forwarded-for", "10.0.0.1").send().await.unwrap();
    assert_eq!(forged.status(), 303);
}

#[tokio::test]
async fn pages_follow_the_scopes_and_what_is_not_there_is_said_in_the_consoles_own_shape() {
    let node = Node::start().await;
    let weak = session(&node, &node.key("inbox", None).await).await;
    let page = text(show(&node, "/console/audit", &weak).await, 403).await;
    assert!(page.contains("scope “node”"), "{page}");
    assert!(!text(show(&node, "/console", &weak).await, 200).await.contains("href=\"/console/audit\""));
    let reader = session(&node, &node.key("node:read", None).await).await;
    assert!(text(show(&node, "/console/audit", &reader).await, 200).await.contains("Nothing that matches."));

    let none = show(&node, "/console/nothing/here", &reader).await;
    assert!(none.headers().contains_key("content-security-policy"));
    assert!(text(none, 404).await.contains("There is no such page."));
    let page = text(show(&node, "/console", &reader).await, 200).await;
    let wrong = post(&node, "/console/audit", &[("token", &token(&page))]).header(COOKIE, &reader);
    let wrong = wrong.send().await.unwrap();
    assert_eq!((wrong.status().as_u16(), wrong.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));
    let head = node.http.head(node.url("/console/audit")).header(COOKIE, &reader).send().await.unwrap();
    assert_eq!(text(head, 200).await, "");
}

#[tokio::test]
async fn a_console_that_is_switched_off_is_not_there() {
    let node = Node::start_with(|config| config.console.enabled = false).await;
    for path in ["/console", "/console/sign-in", "/console/assets/site.css"] {
        assert_eq!(show(&node, path, "").await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn assets_are_kept_and_nobody_needs_to_be_signed_in_for_them() {
    let node = Node::start().await;
    let page = text(show(&node, "/console/sign-in", "").await, 200).await;
    let mut assets = 0;
    for address in page.split('"').filter(|part| part.starts_with("/console/assets/")) {
        let asset = show(&node, address, "").await;
        assert_eq!(asset.headers()["cache-control"], "public, max-age=31536000, immutable");
        let tag = asset.headers()["etag"].clone();
        assert!(text(asset, 200).await.len() > 100);
        let again = node.http.get(node.url(address)).header("if-none-match", tag).send().await.unwrap();
        assert_eq!(again.status(), 304);
        assets += 1;
    }
    assert_eq!(assets, 3);
}

#[tokio::test]
async fn a_database_that_is_away_is_said_in_words() {
    let node = Node::start_with(|config| config.database.wait = Period::millis(300)).await;
    let cookie = session(&node, &node.key).await;
    let mut held = Vec::new();
    for _ in 0..node.app.config.database.pool {
        held.push(node.app.db.client().await.unwrap());
    }
    // The key is believed for two seconds.
    let begun = Instant::now();
    let away = loop {
        let response = show(&node, "/console/audit", &cookie).await;
        if response.status() == 503 {
            break response;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", response.status());
    };
    assert!(away.headers().contains_key("retry-after"));
    let page = away.text().await.unwrap();
    assert!(page.contains("The database does not answer") && page.contains("Database is away"), "{page}");
    drop(held);
    assert_eq!(show(&node, "/console/audit", &cookie).await.status(), 200);
}

/// Reads a stream until it says this, or ends.
async fn hears(stream: &mut Response, words: &str) -> String {
    let mut said = String::new();
    while !said.contains(words) {
        let piece = tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await.expect("nothing more is said");
        match piece.unwrap() {
            Some(piece) => said.push_str(&String::from_utf8_lossy(&piece)),
            None => break,
        }
    }
    said
}

#[tokio::test]
async fn a_stream_says_what_the_page_says_and_ends_with_the_session() {
    let node = Node::start().await;
    let cookie = session(&node, &node.key).await;
    let mut stream = show(&node, "/console/stream?page=overview", &cookie).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let said = hears(&mut stream, "\n\n").await;
    assert!(said.starts_with("event: parts\ndata: {") && said.contains("Open deliveries"), "{said}");
    let mut strip = show(&node, "/console/stream", &cookie).await;
    let said = hears(&mut strip, "\n\n").await;
    assert!(said.contains("Broker is away") && !said.contains("Open deliveries"), "{said}");

    let page = text(show(&node, "/console", &cookie).await, 200).await;
    let left = post(&node, "/console/sign-out", &[("token", &token(&page))]).header(COOKIE, &cookie).send().await;
    assert_eq!(left.unwrap().status(), 303);
    assert!(hears(&mut stream, "event: over").await.contains("event: over"));
    assert!(stream.chunk().await.unwrap().is_none());
    let over = text(show(&node, "/console/stream", &cookie).await, 200).await;
    assert!(over.starts_with("event: over"), "{over}");
}

#[tokio::test]
async fn a_stream_ends_with_its_key_and_when_the_process_stops() {
    let node = Node::start().await;
    let other = node.key("node:read", None).await;
    let mut stream = show(&node, "/console/stream?page=overview", &session(&node, &other).await).await;
    let mut mine = show(&node, "/console/stream", &session(&node, &node.key).await).await;
    hears(&mut stream, "\n\n").await;
    let key = senders::authenticate(&node.app, &other).await.unwrap().unwrap();
    senders::revoke(&node.app, key.id).await.unwrap();
    assert!(hears(&mut stream, "event: over").await.contains("event: over"));
    node.stop.cancel();
    let said = hears(&mut mine, "event: over").await;
    assert!(!said.contains("event: over"), "the page would not come back: {said}");
}

#[tokio::test]
async fn streams_of_a_key_have_a_limit_and_give_their_places_back() {
    let node = Node::start().await;
    let cookie = session(&node, &node.key).await;
    let mut open = Vec::new();
    let refused = loop {
        let stream = show(&node, "/console/stream", &cookie).await;
        if stream.status() != 200 {
            break stream;
        }
        open.push(stream);
        assert!(open.len() < 100);
    };
    assert_eq!(refused.status(), 429);
    assert_eq!(open.len(), 16);
    // Sessions are free; places are counted by key.
    let again = session(&node, &node.key).await;
    assert_eq!(show(&node, "/console/stream", &again).await.status(), 429);
    let other = session(&node, &node.key("inbox", None).await).await;
    assert_eq!(show(&node, "/console/stream", &other).await.status(), 200);
    drop(open);
    let begun = Instant::now();
    while show(&node, "/console/stream", &cookie).await.status() != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "places are not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the record says, oldest first.
async fn told(node: &Node) -> Vec<(String, String, Option<u16>)> {
    let rows = audit::list(&node.app, &Filter::default(), None, 100).await.unwrap().entries;
    rows.into_iter().rev().map(|entry| (entry.action, entry.subject, entry.outcome)).collect()
}

/// Sends a form with the token of the session's own pages.
async fn change(node: &Node, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Response {
    let page = text(show(node, "/console", cookie).await, 200).await;
    let token = token(&page);
    let fields: Vec<_> = fields.iter().copied().chain([("token", token.as_str())]).collect();
    post(node, path, &fields).header(COOKIE, cookie).send().await.unwrap()
}

#[tokio::test]
async fn what_was_made_what_was_taken_away_and_what_was_refused_is_in_the_record() {
    let node = Node::start().await;
    node.account(1000).await;
    let weak = session(&node, &node.key("keys:read", None).await).await;
    text(change(&node, &weak, "/console/keys", &[("sender", "more"), ("scopes", "*")]).await, 403).await;
    let cookie = session(&node, &node.key).await;
    let forged = post(&node, "/console/destinations/a.example/pause", &[("token", "0")]).header(COOKIE, &cookie);
    text(forged.send().await.unwrap(), 403).await;
    let page = change(&node, &cookie, "/console/keys", &[("sender", "shop"), ("scopes", "inbox")]).await;
    let page = text(page, 201).await;
    let (_, plain) = page.split_once("hf_").unwrap();
    let plain = format!("hf_{}", plain.split('<').next().unwrap());
    let key = senders::authenticate(&node.app, &plain).await.unwrap().unwrap();
    for (path, fields) in [
        ("/console/destinations/a.example/pace", &[("rate", "0.3"), ("concurrency", "2")][..]),
        ("/console/destinations/a.example/pace", &[]),
        ("/console/accounts/1000", &[("name", "Shop")]),
    ] {
        assert_eq!(change(&node, &cookie, path, fields).await.status(), 303, "{path}");
    }
    let code = text(change(&node, &cookie, "/console/accounts/1000/passcodes", &[]).await, 201).await;
    let told = told(&node).await;
    let told: Vec<_> =
        told.iter().map(|(action, subject, outcome)| (action.as_str(), subject.as_str(), *outcome)).collect();
    let made = format!("sender=shop scopes=inbox -> {}", key.id);
    let pace = "console: change pace of destination";
    assert_eq!(
        told[..6],
        [
            ("console: create API key", "", Some(403)),
            ("console: pause destination", "a.example", Some(403)),
            ("console: create API key", made.as_str(), Some(201)),
            (pace, "a.example concurrency=2 rate=0.3 schedule=default", Some(200)),
            (pace, "a.example concurrency=default rate=default schedule=default", Some(200)),
            ("console: change account", "1000 accepts_messages=no", Some(200)),
        ]
    );
    assert!(told[6].1.starts_with("1000 -> ") && code.contains("It is shown only now"), "{told:?}");
    let page = text(show(&node, "/console/audit?actor=%00&action=API+key", &cookie).await, 200).await;
    assert!(page.contains("control characters") && page.contains("key …"), "{page}");
    let shown = text(show(&node, "/console/destinations/a.example", &cookie).await, 200).await;
    assert!(!shown.contains("0.30000"), "{shown}");
}

#[tokio::test]
async fn counting_leaves_the_database_to_what_is_in_a_hurry() {
    let node = Node::start().await;
    let cookie = session(&node, &node.key).await;
    let mut looks = Vec::new();
    while let Some(room) = node.app.db.room_to_look(Duration::ZERO).await {
        looks.push(room);
    }
    assert!(looks.len() * 4 <= node.app.config.database.pool, "{} look at once", looks.len());
    let (page, words, answer) = tokio::join!(
        show(&node, "/console/dead", &cookie),
        show(&node, "/console/deliveries?q=spring", &cookie),
        node.get("/deliveries/count?state=failed"),
    );
    for page in [page, words] {
        assert!(text(page, 429).await.contains("Others are counting"));
    }
    assert_eq!(answer.0, 503, "{}", answer.1);
    drop(looks);
    text(show(&node, "/console/dead", &cookie).await, 200).await;
    assert_eq!(node.get("/deliveries/count?state=failed").await.0, 200);
}

#[tokio::test]
async fn sessions_of_a_mailbox_are_counted_and_ended() {
    let node = Node::start_with(|config| config.mailbox.enabled = true).await;
    let account = node.account(1000).await;
    let mailbox = Mailbox::new(&node.app);
    let password = "correct horse battery staple";
    assert!(matches!(mailbox.set_password(&account.address, password).await.unwrap(), Ok(Set::Done)));
    let from = mailbox::From { ip: [192, 0, 2, 7].into(), agent: "a browser of somebody" };
    for _ in 0..2 {
        assert!(matches!(mailbox.sign_in("1000", password, from).await.unwrap(), mailbox::Outcome::In(_)));
    }
    let cookie = session(&node, &node.key).await;
    let page = text(show(&node, "/console/accounts/1000", &cookie).await, 200).await;
    assert!(page.contains("newest first: 2") && !page.contains("somebody") && !page.contains("192.0.2"), "{page}");
    assert_eq!(change(&node, &cookie, "/console/accounts/1000/sign-out", &[]).await.status(), 303);
    let page = text(show(&node, "/console/accounts/1000", &cookie).await, 200).await;
    assert!(page.contains("Nobody is signed in."), "{page}");
}
