//! Where a stranger may make us connect to (rows 6.3, 6.4).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::scene::{ADA, BOB, NOT_CONFIRMED, Scene, TEMPORARILY, refusal};
use crate::node::{Net, Port};
use crate::peers::{Behaviour, Dialect, Endpoint, Peer, TestCa, Trick};

/// A port that nobody may reach, and how often somebody did.
struct Canary {
    socket: std::net::SocketAddr,
    hits: Arc<AtomicUsize>,
}

impl Canary {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (socket, hits) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&hits);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { socket, hits }
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn row_6_3_a_sending_address_is_an_address_and_nothing_else() {
    let canary = Canary::start().await;
    let scene = Scene::new(Dialect::V1).await;
    let (code, port) = (scene.node.code(ADA).await, canary.socket.port());
    let domains = [
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{port}/x?"),
        format!("peer.test:{port}"),
        format!("user:pw@127.0.0.1:{port}"),
        "peer.test@evil.test".into(),
        "[::1]".into(),
        "::1".into(),
        "2130706433".into(),
        "0x7f.1".into(),
        "0177.0.0.1".into(),
        "localhost".into(),
        "peer.test/openmsg/x?".into(),
        "peer.test#".into(),
        "peer.test\\@evil.test".into(),
        "peer.test evil.test".into(),
        "peer.test\r\nHost: evil".into(),
        "peer.test*evil.test".into(),
        "-peer.test".into(),
        "peer..test".into(),
        ".peer.test".into(),
        "pe_er.test".into(),
        "реег.test".into(),
        "peer.test%2f".into(),
        format!("{}.test", "a".repeat(64)),
        format!("{}test", "a.".repeat(130)),
    ];
    for domain in domains {
        let answer = scene.auth(&format!("1*{domain}"), &code).await.json();
        assert_eq!(
            answer["error_message"], "sending_openmsg_address should be digits, a star and a domain",
            "{domain}"
        );
    }
    for id in ["", "x", "1x", "-1", "1 1", "１", "1/../2"] {
        let answer = scene.auth(&format!("{id}*peer.test"), &code).await.json();
        assert_eq!(answer["error"], json!(true), "{id}: {answer}");
    }
    assert_eq!(scene.node.live_codes(ADA).await, 1, "no code is burnt for what cannot be called");
    assert_eq!((canary.hits(), scene.peer.log().len()), (0, 0));
}

#[tokio::test]
async fn row_6_3_a_name_that_leads_into_our_own_network_is_not_connected_to() {
    let canary = Canary::start().await;
    let net = Net::new();
    net.name("inside.test", canary.socket);
    let nowhere: Vec<String> = Vec::new();
    let scene = Scene::on(net, Dialect::V1, |options| options.set("development.allow_addresses", nowhere)).await;
    let code = scene.node.code(ADA).await;
    assert_eq!(scene.auth("1*inside.test", &code).await.json(), refusal(NOT_CONFIRMED));
    assert_eq!(scene.node.live_codes(ADA).await, 1, "nobody was reached: the code is good again");
    let handshake = scene.node.connect(ADA, "1*inside.test", "000000").await;
    assert_ne!(handshake["state"], "connected");
    assert_eq!(canary.hits(), 0);
}

#[tokio::test]
async fn row_6_3_redirects_stay_on_the_host_under_its_own_endpoints_and_are_one() {
    let canary = Canary::start().await;
    let net = Net::new();
    net.name("evil.test", canary.socket);
    let scene = Scene::on(net, Dialect::V1, |options| options).await;
    let port = canary.socket.port();
    let confirm = "/openmsg/moved/auth-confirm/";
    let refused = [
        (302, format!("http://127.0.0.1:{port}{confirm}")),
        (302, format!("http://peer.test{confirm}")),
        (302, format!("https://127.0.0.1:{port}{confirm}")),
        (302, format!("https://evil.test{confirm}")),
        (302, format!("//evil.test{confirm}")),
        (302, format!("https://peer.test:{port}{confirm}")),
        (302, format!("https://evil.test@peer.test{confirm}")),
        (302, format!("https://peer.test@evil.test{confirm}")),
        (302, format!("gopher://127.0.0.1:{port}/_x")),
        (302, "file:///etc/passwd".into()),
        (302, "/elsewhere/auth-confirm/".into()),
        (302, "/openmsg/../admin/auth-confirm/".into()),
        (302, String::new()),
        (303, format!("https://peer.test{confirm}")),
        (300, format!("https://peer.test{confirm}")),
    ];
    for (status, location) in refused {
        scene.peer.behave(Behaviour::At(Endpoint::AuthConfirm, Trick::Redirect(status, location.clone())));
        let (before, code) = (scene.peer.log().len(), scene.node.code(ADA).await);
        assert!(scene.peer.handshake(BOB, &scene.ada(), &code).await.is_err(), "{status} {location}");
        assert_eq!(scene.peer.log().len() - before, 1, "{status} {location}");
    }
    scene.peer.behave(Behaviour::At(Endpoint::AuthConfirm, Trick::RedirectLoop(302)));
    let (before, code) = (scene.peer.log().len(), scene.node.code(ADA).await);
    assert!(scene.peer.handshake(BOB, &scene.ada(), &code).await.is_err());
    assert_eq!(scene.peer.log().len() - before, 2, "one redirect is followed, the next is not");
    assert_eq!(canary.hits(), 0);

    for status in [301, 302, 307, 308] {
        for location in [format!("https://peer.test{confirm}"), confirm.to_owned()] {
            scene.peer.behave(Behaviour::At(Endpoint::AuthConfirm, Trick::Redirect(status, location.clone())));
            let code = scene.node.code(ADA).await;
            assert_eq!(scene.peer.handshake(BOB, &scene.ada(), &code).await, Ok(()), "{status} {location}");
            let last = scene.peer.log_of(Endpoint::AuthConfirm).pop().unwrap();
            assert_eq!((last.method.as_str(), last.path.as_str()), ("POST", confirm), "{status} {location}");
        }
    }
}

#[tokio::test]
async fn row_6_4_every_way_a_callback_can_fail_is_answered_alike() {
    let net = Net::new();
    let closed = Port::free();
    net.name("closed.test", closed.socket());
    let stranger = Peer::start(Dialect::V1, "untrusted.test", &TestCa::new(), net.names.clone()).await;
    net.name("untrusted.test", stranger.socket());
    let scene = Scene::on(net, Dialect::V1, |options| {
        options
            .set("outbound.confirm_timeout", "1s")
            .set("outbound.connect_timeout", "1s")
            .set("codes.live_per_account", 50)
    })
    .await;
    let mut answers: Vec<(String, Value)> = Vec::new();
    for domain in ["closed.test", "untrusted.test", "no.such.name.invalid"] {
        let code = scene.node.code(ADA).await;
        answers.push((domain.into(), scene.auth(&format!("1*{domain}"), &code).await.json()));
    }
    let leaky = Trick::Body(r#"{"error":true,"error_message":"10.0.0.7 says no"}"#.into());
    let tricks = [
        Trick::No,
        leaky,
        Trick::Status(500, "stack trace"),
        Trick::Status(404, ""),
        Trick::Status(204, ""),
        Trick::Garbage,
        Trick::Huge(1_000_000),
        Trick::CloseBefore,
        Trick::Hang,
        Trick::Body(r#"{"success":false}"#.into()),
        Trick::Body(r#"{"success":"no"}"#.into()),
        Trick::Body(r#""success""#.into()),
        Trick::Body("".into()),
    ];
    for trick in tricks {
        scene.peer.behave(Behaviour::At(Endpoint::AuthConfirm, trick.clone()));
        let code = scene.node.code(ADA).await;
        answers.push((format!("{trick:?}"), scene.auth(&scene.bob(), &code).await.json()));
    }
    for (what, answer) in answers {
        assert_eq!(answer, refusal(NOT_CONFIRMED), "{what}; not even {TEMPORARILY:?}");
    }
    assert_eq!(scene.node.connections().await.len(), 0);
}
