//! Several connections of one device, and several processes of one node.

use super::device::{Device, Way};
use super::{send, send_and_tell, stored, stored_becomes};
use crate::node::Port;
use crate::peers::Attacker;
use crate::textsecure::scene::Scene;

#[tokio::test]
async fn what_was_not_taken_comes_again() {
    let mut scene = Scene::start().await;
    let phone = scene.phone("+14155550121").await;
    send(&scene.node, &phone, &["one", "two"]).await;
    let mut device = Device::open(&phone, Way::Text).await;
    let one = device.receive().await;
    assert_eq!(device.receive().await.text(), "two");
    device.take(&one).await;
    stored_becomes(&scene.node, &phone, &["two"]).await;
    drop(device);
    let mut device = Device::open(&phone, Way::Text).await;
    assert_eq!(device.receive().await.text(), "two");
    scene.node.kill_serve().await;
    assert!(!matches!(device.next().await, Some(Ok(_))), "the connection is gone");
    assert_eq!(stored(&scene.node, &phone).await, ["two"]);
    scene.node.start_serve();
    scene.node.ready().await;
    let mut device = Device::open(&phone, Way::Text).await;
    let two = device.receive().await;
    assert_eq!(two.text(), "two");
    device.take(&two).await;
    stored_becomes(&scene.node, &phone, &[]).await;
}

#[tokio::test]
async fn the_last_connection_is_the_one_whatever_process_it_ends_in() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550122").await;
    let (public, private) = (Port::free(), Port::free());
    let _second = scene.node.start_second_serve(&public, &private).await;
    let there = Attacker::new(&scene.net.ca, "home.test", public.socket());
    send(&scene.node, &phone, &["one"]).await;
    let mut first = Device::open(&phone, Way::Text).await;
    let one = first.receive().await;
    let path = Way::Text.path(&phone);
    let mut second = Device::open_on(&there, &phone, &path, Way::Text).await.unwrap();
    assert_eq!(first.closed_with().await, 4409);
    let again = second.receive().await;
    assert_eq!(again.text(), "one", "it was not acknowledged");
    // Numbers are a connection's own: the same one means nothing to another.
    assert_eq!(one.number, again.number);
    let other = scene.phone("+14155550123").await;
    let mut elsewhere = Device::open(&other, Way::Text).await;
    elsewhere.take(&again).await;
    elsewhere.say_text(r#"{"type":2}"#).await;
    assert_eq!(elsewhere.hear_text().await, r#"{"type":3}"#);
    assert_eq!(stored(&scene.node, &phone).await, ["one"]);
    second.take(&again).await;
    stored_becomes(&scene.node, &phone, &[]).await;
    // Stored in a third process, heard in the second at once, and in the first where the device comes back to it.
    send_and_tell(&scene.node, &phone, &["two"]).await;
    assert_eq!(second.receive().await.text(), "two");
    let mut first = Device::open(&phone, Way::Binary).await;
    assert_eq!(second.closed_with().await, 4409);
    assert_eq!(first.receive().await.text(), "two");
}

/// Nobody rings: whoever waits looks by itself.
#[tokio::test]
async fn what_nobody_tells_is_found_all_the_same() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550124").await;
    let mut device = Device::open(&phone, Way::Text).await;
    send(&scene.node, &phone, &["one"]).await;
    assert_eq!(device.receive().await.text(), "one");
}
