//! Two handfast nodes with each other.

use crate::node::Net;

#[tokio::test]
async fn two_nodes_shake_hands_and_write_to_each_other() {
    let net = Net::new();
    let _ = (net.socket_of("a.test"), net.socket_of("b.test"));
    let (mut a, mut b) = tokio::join!(net.node("a.test"), net.node("b.test"));
    let (ada, bob) = (a.account("1000", "Ada").await, b.account("2000", "Bob").await);
    a.connected("1000", &bob, &b.code("2000").await).await;
    assert_eq!(a.connections().await[0]["other_name"], "Bob");
    assert_eq!(b.connections().await[0]["other_name"], "Ada");

    assert_eq!(a.sent("1000", &bob, "Grüße 👋").await, "delivered");
    assert_eq!(b.sent("2000", &ada, "und zurück").await, "delivered");
    assert_eq!(b.inbox("2000").await, [(ada.clone(), "Grüße 👋".to_owned())]);
    assert_eq!(a.inbox("1000").await, [(bob, "und zurück".to_owned())]);
    a.drain().await;
    a.stop().await;
    b.stop().await;
}
