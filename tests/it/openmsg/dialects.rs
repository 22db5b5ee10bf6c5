//! Every published dialect, from both sides (specification §5).

use super::scene::{ADA, BOB, OURS, Scene};
use crate::node::Net;
use crate::peers::{Dialect, Endpoint, Peer};

/// Those that can talk to us, with the domain of a peer of theirs.
const ALL: [(Dialect, &str); 8] = [
    (Dialect::Seed, "seed.test"),
    (Dialect::Seed2, "seed2.test"),
    (Dialect::Jun, "jun.test"),
    (Dialect::Jul, "jul.test"),
    (Dialect::Oct, "oct.test"),
    (Dialect::OctKept, "octkept.test"),
    (Dialect::Swapped, "swapped.test"),
    (Dialect::V1, "v1.test"),
];

async fn peers(net: &Net) -> Vec<(Dialect, Peer)> {
    let mut peers = Vec::new();
    for (dialect, domain) in ALL {
        let peer = net.peer(dialect, domain).await;
        peer.user(BOB, "Bob");
        peers.push((dialect, peer));
    }
    peers
}

async fn write_both_ways(node: &crate::node::Node, dialect: Dialect, peer: &Peer) {
    let (ada, bob) = (node.address(ADA), peer.address(BOB));
    // Long: a short package may by chance hold neither `-` nor `_`, and then anybody can read it.
    let there = format!("Grüße 👋 an {dialect:?} {}", "x".repeat(500));
    assert_eq!(node.sent(ADA, &bob, &there).await, "delivered", "to {dialect:?}");
    assert_eq!(peer.inbox(BOB), [(ada.clone(), there.clone())], "at {dialect:?}");
    // What a peer can read is found out once (§5.4): nodes from before 25 June 2025 read standard base64 only.
    let again = node.send(ADA, &bob, &there).await;
    assert_eq!(node.settled(&again).await["state"], "delivered", "to {dialect:?} again");
    assert_eq!(node.tried(&again, 1).await.len(), 1, "to {dialect:?} again");
    let back = format!("und zurück von {dialect:?}");
    assert_eq!(peer.send(BOB, &ada, &back).await, Ok(()), "from {dialect:?}");
    assert_eq!(node.inbox(ADA).await.last(), Some(&(bob, back)), "from {dialect:?}");
}

#[tokio::test]
async fn every_dialect_can_connect_to_us() {
    let net = Net::new();
    let peers = peers(&net).await;
    let node = net.node(OURS).await;
    let ada = node.account(ADA, "Ada").await;
    for (dialect, peer) in &peers {
        let code = node.code(ADA).await;
        assert_eq!(peer.handshake(BOB, &ada, &code).await, Ok(()), "{dialect:?}");
        assert_eq!(peer.connections()[0].other_name, "Ada", "{dialect:?}");
        assert_eq!(node.live_codes(ADA).await, 0);
        write_both_ways(&node, *dialect, peer).await;
    }
    assert_eq!(node.connections().await.len(), ALL.len());
    node.drain().await;
}

#[tokio::test]
async fn we_can_connect_to_every_dialect() {
    let net = Net::new();
    let peers = peers(&net).await;
    let node = net.node(OURS).await;
    node.account(ADA, "Ada").await;
    for (dialect, peer) in &peers {
        let id = node.connected(ADA, &peer.address(BOB), &peer.issue_code(BOB)).await;
        assert_eq!(node.get(&format!("connections/{id}")).await["other_name"], "Bob", "{dialect:?}");
        assert_eq!(peer.connections()[0].other_name, "Ada", "{dialect:?}");
        assert_eq!(peer.codes_left(), 0, "{dialect:?}");
        write_both_ways(&node, *dialect, peer).await;
    }
    node.drain().await;
}

#[tokio::test]
async fn a_second_handshake_keeps_the_ident_code_whoever_begins() {
    let net = Net::new();
    let peers = peers(&net).await;
    let node = net.node(OURS).await;
    let ada = node.account(ADA, "Ada").await;
    for (dialect, peer) in &peers {
        let bob = peer.address(BOB);
        let mut idents = Vec::new();
        for _ in 0..2 {
            let code = node.code(ADA).await;
            assert_eq!(peer.handshake(BOB, &ada, &code).await, Ok(()), "{dialect:?}");
            idents.push(peer.connections()[0].ident_code.clone());
        }
        assert_eq!(idents[0], idents[1], "we keep it for {dialect:?}");
        node.connected(ADA, &bob, &peer.issue_code(BOB)).await;
        let now = peer.connections();
        assert_eq!(now.len(), 1, "{dialect:?}");
        if matches!(dialect, Dialect::OctKept | Dialect::Swapped | Dialect::V1) {
            assert_eq!(now[0].ident_code, idents[0], "{dialect:?} keeps it");
        } else {
            // A changed one is taken: refusing it would leave the two sides apart (§5.4).
            assert_ne!(now[0].ident_code, idents[0], "{dialect:?} makes a new one");
        }
        write_both_ways(&node, *dialect, peer).await;
    }
    assert_eq!(node.connections().await.len(), ALL.len());
}

#[tokio::test]
async fn the_sandbox_of_summer_2025_is_served_and_called() {
    let Scene { node, peer, .. } =
        Scene::with(Dialect::Jul, |options| options.set("openmsg.sandbox_domains", vec!["peer.test"])).await;
    peer.behave(crate::peers::Behaviour::SandboxCallbacks);
    node.connected(ADA, &peer.address(BOB), &peer.issue_code(BOB)).await;
    write_both_ways(&node, Dialect::Jul, &peer).await;
    assert_eq!(peer.log_of(Endpoint::Auth)[0].path, "/openmsg/sandbox/auth/");
    assert_eq!(peer.log_of(Endpoint::MessageReceive)[0].path, "/openmsg/sandbox/message-receive/");
    assert_eq!(peer.log_of(Endpoint::MessageConfirm)[0].path, "/openmsg/sandbox/message-confirm/");
    assert!(peer.calls().iter().any(|call| call.url == "https://node.test/openmsg/sandbox/auth-confirm/"));
}

#[tokio::test]
async fn strict_1_0_nodes_get_no_code_in_the_clear() {
    let scene = Scene::with(Dialect::V1, |options| options.set("openmsg.strict_confirm", true)).await;
    scene.connect().await;
    let asked = scene.peer.log_of(Endpoint::AuthConfirm)[0].json();
    let fields: Vec<&String> = asked.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["passcode_hash", "receiving_openmsg_address"]);
}

#[tokio::test]
async fn cleansend_is_refused_and_leaves_nothing_behind() {
    let Scene { node, peer, .. } = Scene::new(Dialect::CleanSend).await;
    let refused = peer.handshake(BOB, &node.address(ADA), &node.code(ADA).await).await;
    assert_eq!(refused, Err(format!("Error: {}", super::scene::NOT_CONFIRMED)));
    let handshake = node.connect(ADA, &peer.address(BOB), &peer.issue_code(BOB)).await;
    assert_eq!(handshake["state"], "failed", "{handshake}");
    assert!(handshake["error"].as_str().unwrap().starts_with("peer.test "), "{handshake}");
    assert_eq!((node.connections().await, peer.connections()), (vec![], vec![]));
}
