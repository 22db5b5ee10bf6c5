//! Messages that come twice, changed, old or early (rows 6.8, 6.8b, 6.8c).

use futures_util::future::join_all;

use super::super::scene::{ADA, Scene, code_of, receive, refused, rehash};
use crate::peers::{Behaviour, Endpoint, Trick};

#[tokio::test]
async fn row_6_8_the_same_message_again_is_accepted_and_not_stored_again() {
    let scene = Scene::connected().await;
    let message = scene.composed("once");
    assert_eq!(scene.peer.post(&message).await, Ok(()));
    // Its sender has forgotten it by now, and need not be asked.
    let asked = scene.peer.log_of(Endpoint::MessageConfirm).len();
    for _ in 0..3 {
        assert_eq!(code_of(&scene.call("message-receive", receive(&message)).await), "SM_S888");
    }
    assert_eq!(scene.peer.log_of(Endpoint::MessageConfirm).len(), asked);
    assert_eq!(scene.node.texts(ADA).await, ["once"]);
}

#[tokio::test]
async fn row_6_8_the_same_message_many_times_at_once_is_stored_once() {
    let scene = Scene::connected().await;
    let message = scene.composed("once");
    scene.peer.behave(Behaviour::At(Endpoint::MessageConfirm, Trick::Body(r#"{"success":true}"#.into())));
    let replies = join_all((0..15).map(|_| scene.call("message-receive", receive(&message)))).await;
    assert!(replies.iter().all(|reply| code_of(reply) == "SM_S888"), "{replies:?}");
    assert_eq!(scene.node.texts(ADA).await, ["once"]);
}

#[tokio::test]
async fn row_6_8_a_nonce_is_good_for_one_message() {
    let scene = Scene::connected().await;
    let first = scene.composed("once");
    assert_eq!(scene.peer.post(&first).await, Ok(()));
    let mut second = first.clone();
    second.salt = "0".repeat(32);
    rehash(&mut second, &scene.secrets().auth_code);
    scene.peer.behave(Behaviour::At(Endpoint::MessageConfirm, Trick::Body(r#"{"success":true}"#.into())));
    assert_eq!(scene.peer.post(&second).await, refused("SM_E007"));
    assert_eq!(scene.node.texts(ADA).await, ["once"]);
}

#[tokio::test]
async fn row_6_8b_digits_moved_between_salt_and_time_are_noticed() {
    let scene = Scene::connected().await;
    let ends_in_digit = || std::iter::repeat_with(|| scene.composed("text"));
    let message = ends_in_digit().find(|m| m.salt.ends_with(|c: char| ('1'..='9').contains(&c))).unwrap();
    let (salt, digit) = message.salt.split_at(31);
    let mut forged = receive(&message);
    forged["message_salt"] = salt.into();
    forged["message_timestamp"] = format!("{digit}{}", message.timestamp).parse::<i64>().unwrap().into();
    assert_eq!(code_of(&scene.call("message-receive", forged.clone()).await), "SM_E000");
    let time = message.timestamp.to_string();
    forged["message_salt"] = format!("{}{}", message.salt, &time[..1]).into();
    forged["message_timestamp"] = time[1..].parse::<i64>().unwrap().into();
    assert_eq!(code_of(&scene.call("message-receive", forged).await), "SM_E000");
    let mut spelled = receive(&message);
    spelled["message_hash"] = message.hash.to_uppercase().into();
    assert_eq!(code_of(&scene.call("message-receive", spelled).await), "SM_E004");
    assert_eq!(scene.peer.log_of(Endpoint::MessageConfirm).len(), 0, "nobody was even asked");
    assert_eq!(scene.peer.post(&message).await, Ok(()), "as it was it is good");
}

#[tokio::test]
async fn row_6_8c_a_message_is_good_for_a_minute_either_way() {
    let scene = Scene::connected().await;
    for (shift, good) in [(-70, false), (70, false), (86_400, false), (-50, true), (50, true)] {
        scene.peer.shift_clock(shift);
        let message = scene.composed("text");
        scene.peer.shift_clock(-shift);
        let wanted = if good { Ok(()) } else { refused("SM_E005") };
        assert_eq!(scene.peer.post(&message).await, wanted, "{shift} s");
    }
    assert_eq!(scene.node.texts(ADA).await.len(), 2);
}
