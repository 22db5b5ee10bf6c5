//! How websockets end.

use handfast::phones::{self, set_disabled};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use super::device::{Device, Way};
use super::{send, send_and_tell, stored, stored_becomes};
use crate::node::Net;
use crate::textsecure::scene::{Phone, Scene, options};

#[tokio::test]
async fn what_is_not_understood_closes_with_its_code() {
    let mut scene = Scene::start().await;
    let phone = scene.phone("+14155550111").await;
    let cases = [
        (Way::Text, Message::text("nonsense"), 1007),
        (Way::Text, Message::text(r#"{"type":4}"#), 1008),
        (Way::Text, Message::binary(b"\x08\x01".as_slice()), 1003),
        (Way::Text, Message::text("x".repeat((64 << 10) + 1)), 1009),
        (Way::Binary, Message::binary(b"\xff\xff".as_slice()), 1007),
        (Way::Binary, Message::binary(b"\x08\x07".as_slice()), 1008),
        (Way::Binary, Message::text(r#"{"type":2}"#), 1003),
        (Way::Binary, Message::binary(vec![0; (64 << 10) + 1]), 1009),
    ];
    for (way, message, code) in cases {
        let mut device = Device::open(&phone, way).await;
        let said = format!("{message:.40?}");
        device.say(message).await;
        assert_eq!(device.closed_with().await, code, "{way:?} {said}");
    }
    // Frames that RFC 6455 does not allow: not masked; a reserved bit; text that is no UTF-8.
    let raw: [(&[u8], u16); 3] =
        [(b"\x81\x01x", 1002), (b"\xc1\x80\0\0\0\0", 1002), (b"\x81\x82\0\0\0\0\xc3\x28", 1007)];
    for (bytes, code) in raw {
        let mut device = Device::open(&phone, Way::Text).await;
        device.socket.get_mut().write_all(bytes).await.unwrap();
        device.socket.get_mut().flush().await.unwrap();
        assert_eq!(device.closed_with().await, code, "{bytes:x?}");
    }
    scene.node.unharmed().await;
}

#[tokio::test]
async fn a_client_that_closes_is_answered_and_what_it_took_last_is_taken() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550112").await;
    send(&scene.node, &phone, &["one", "two"]).await;
    let mut device = Device::open(&phone, Way::Text).await;
    let one = device.receive().await;
    device.take(&one).await;
    device.say(Message::Close(None)).await;
    while let Some(Ok(_)) = device.next().await {}
    stored_becomes(&scene.node, &phone, &["two"]).await;
}

#[tokio::test]
async fn the_stop_is_told_and_does_not_wait() {
    let mut scene = Scene::start().await;
    let phone = scene.phone("+14155550113").await;
    send(&scene.node, &phone, &["one"]).await;
    let mut device = Device::open(&phone, Way::Text).await;
    device.receive().await;
    // Another one answers nothing, not even that it is closed.
    let silent = Device::open(&scene.phone("+14155550114").await, Way::Binary).await;
    let serve = scene.node.serve.take().unwrap();
    let begun = std::time::Instant::now();
    let ((), code) = tokio::join!(serve.stop(), device.closed_with());
    assert_eq!(code, 1001);
    // Well below the grace time of ten seconds and more that requests in hand have.
    assert!(begun.elapsed().as_secs() < 8, "stopping took {:?}", begun.elapsed());
    drop(silent);
    assert_eq!(stored(&scene.node, &phone).await, ["one"]);
}

#[tokio::test]
async fn silence_is_borne_for_so_long() {
    let scene = Scene::with(Net::new(), options("home.test").set("textsecure.websocket_idle", "1s")).await;
    let phone = scene.phone("+14155550115").await;
    assert_eq!(Device::open(&phone, Way::Text).await.closed_with().await, 1001);
}

#[tokio::test]
async fn nothing_of_the_new_device_comes_to_the_old_one() {
    let scene = Scene::start().await;
    let phone = scene.phone("+14155550116").await;
    send(&scene.node, &phone, &["for the old one"]).await;
    let mut old = Device::open(&phone, Way::Text).await;
    assert_eq!(old.receive().await.text(), "for the old one");
    let phone = Phone::register(&scene.node, "+14155550116").await;
    send_and_tell(&scene.node, &phone, &["for the new one"]).await;
    match old.next().await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1008),
        other => panic!("{other:?}"),
    }
    assert_eq!(Device::open(&phone, Way::Text).await.receive().await.text(), "for the new one");
}

#[tokio::test]
async fn a_number_that_is_disabled_or_unregistered_is_disconnected() {
    let scene = Scene::start().await;
    let (one, two) = (scene.phone("+14155550117").await, scene.phone("+14155550118").await);
    let (mut first, mut second) = (Device::open(&one, Way::Text).await, Device::open(&two, Way::Binary).await);
    assert!(set_disabled(&scene.node.app, &one.number, true).await.unwrap());
    assert!(phones::unregister(&scene.node.app, &two.number).await.unwrap());
    assert_eq!((first.closed_with().await, second.closed_with().await), (1008, 1008));
}
