//! Receivers of webhooks that do not behave, through a whole node.
//!
//! Every trick is played on the first call of a webhook of its own, all of a group at once and for one worker. For each: the
//! attempt ends, though the trick never does, and says what happened; the node lets go of the connection; and the message arrives
//! as it was once its receiver behaves. Meanwhile another webhook is served while a receiver that may take its time takes it, and
//! the worker's memory stays where it was.

mod receiver;
mod tricks;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::node::{Net, Node, Options, eventually};
use receiver::{Heard, Layer, Receiver, Then, Trick};
use tricks::{Case, DELIVERED};

/// Most that a worker may grow by, in KiB, while gibibytes are held out to it.
const GROWTH: u64 = 96 << 10;

/// A node, the receivers of one group, and what was sent to each.
struct Scene {
    node: Node,
    played: Vec<Played>,
    /// The worker's memory before all of it, in KiB.
    idle: u64,
}

struct Played {
    case: Case,
    receiver: Receiver,
    message: String,
}

impl Scene {
    /// Sends one message to every receiver, and meanwhile another one elsewhere.
    async fn play(net: Net, cases: Vec<Case>) -> Self {
        let good = Receiver::start(&net, "good.test", behaves()).await;
        // Its webhook alone may take as long as it does; nobody waits for its end.
        let patient =
            Receiver::start(&net, "patient.test", Trick { says: Vec::new(), then: Then::Waits, ..behaves() }).await;
        let mut receivers = Vec::new();
        for case in cases {
            receivers.push((Receiver::start(&net, &domain(case.name), case.trick.clone()).await, case));
        }
        let node = Node::start(&net, options()).await;
        node.post("webhooks", json!({"name": "good", "url": "https://good.test/in"})).await;
        node.post("webhooks", json!({"name": "patient", "url": "https://patient.test/in", "timeout_seconds": 60}))
            .await;
        let held = send(&node, "patient").await;
        eventually("the patient one has its request", async || patient.heard().len() == 1).await;
        let idle = peak(&node);
        let mut played = Vec::new();
        for (receiver, case) in receivers {
            let url = format!("https://{}/in", domain(case.name));
            node.post("webhooks", json!({"name": case.name, "url": url})).await;
            let message = send(&node, case.name).await;
            played.push(Played { case, receiver, message });
        }
        let others = send(&node, "good").await;
        assert_eq!(attempts(&node.settled(&others).await), ["delivered"]);
        assert_eq!(good.heard().len(), 1);
        assert_eq!(node.message(&held).await["deliveries"][0]["attempts"], json!([]), "served meanwhile, not after it");
        Self { node, played, idle }
    }

    /// Every first attempt ended as it should, every message arrived, and the node let go of every connection.
    async fn all_arrive(&mut self) {
        let mut wrong = Vec::new();
        for played in &self.played {
            let settled = self.node.settled(&played.message).await;
            wrong.extend(played.faults(&settled).map(|fault| format!("{}: {fault}: {settled:#}", played.case.name)));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for Played { case, receiver, .. } in &self.played {
            eventually(case.name, async || receiver.is_over()).await;
        }
        self.node.unharmed().await;
    }
}

impl Played {
    /// What is not as it should be with a message that nothing more happens to.
    fn faults(&self, settled: &Value) -> impl Iterator<Item = &'static str> {
        let Self { case, receiver, message } = self;
        let (heard, outcomes) = (receiver.heard(), attempts(settled));
        let first = &settled["deliveries"][0]["attempts"][0];
        let verdict = (first["outcome"].as_str().unwrap_or_default(), first["code"].as_str());
        let body = payload(case.name).to_string();
        let whole = |heard: &Heard| heard.id == *message && heard.encodings.is_none() && heard.body == body.as_bytes();
        let again = verdict == DELIVERED || heard.len() > usize::from(case.trick.hears);
        let faults = [
            (settled["state"] != "delivered", "it did not arrive"),
            (!case.verdicts.contains(&verdict), "another verdict was due"),
            (outcomes.last() != Some(&"delivered"), "it was not delivered at last"),
            (!again, "it was not sent again"),
            (!heard.iter().all(whole), "it was not sent as it was"),
            (receiver.connections() > outcomes.len(), "there were more calls than attempts"),
        ];
        faults.into_iter().filter(|(wrong, _)| *wrong).map(|(_, fault)| fault)
    }
}

fn behaves() -> Trick {
    let says = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    Trick { layer: Layer::Tls, hears: true, says, then: Then::Closes }
}

fn options() -> Options {
    Options::of("node.test")
        .set("delivery.webhook_schedule", vec!["100ms", "300ms"])
        // Breakers open here as anywhere, and are not what is looked at.
        .set("destinations.open_for", "300ms")
        .set("destinations.open_at_most", "1s")
        .set("outbound.connect_timeout", "2s")
        .set("outbound.post_timeout", "3s")
}

fn domain(name: &str) -> String {
    format!("{name}.hostile.test")
}

fn payload(name: &str) -> Value {
    json!({"for": name})
}

async fn send(node: &Node, name: &str) -> String {
    let accepted = node.post("messages", json!({"webhook": name, "payload": payload(name)})).await;
    accepted["id"].as_str().unwrap().to_owned()
}

fn attempts(message: &Value) -> Vec<&str> {
    let all = message["deliveries"][0]["attempts"].as_array().unwrap();
    all.iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect()
}

/// The most memory the worker ever held, in KiB.
fn peak(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.work[0].pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A port on every address of this machine where nobody may call, and how often somebody did.
async fn forbidden() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    let (port, calls) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&calls);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, calls)
}

#[tokio::test]
async fn who_takes_for_ever_takes_no_longer_than_the_call_may() {
    Scene::play(Net::new(), tricks::of_time()).await.all_arrive().await;
}

#[tokio::test]
async fn who_says_too_much_is_not_listened_to() {
    let mut scene = Scene::play(Net::new(), tricks::of_size()).await;
    scene.all_arrive().await;
    let taken: u64 = scene.played.iter().map(|played| played.receiver.taken()).sum();
    assert!(taken > 1 << 20, "the floods flowed");
    let peak = peak(&scene.node);
    assert!(peak < scene.idle + GROWTH, "from {} to {peak} KiB", scene.idle);
}

#[tokio::test]
async fn who_makes_no_sense_is_asked_again() {
    let mut scene = Scene::play(Net::new(), tricks::of_sense()).await;
    scene.all_arrive().await;
    // An answer to what was not asked yet is not the answer to the next message.
    let next = send(&scene.node, "two-answers").await;
    scene.node.settled(&next).await;
    let receiver = scene.played.iter().find(|played| played.case.name == "two-answers").map(|played| &played.receiver);
    assert!(receiver.unwrap().heard().iter().any(|heard| heard.id == next));
}

#[tokio::test]
async fn who_points_elsewhere_is_not_followed() {
    let (net, (port, calls)) = (Net::new(), forbidden().await);
    net.name("inside.test", SocketAddr::from(([127, 0, 0, 1], port)));
    let refused = ["127.0.0.2", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "[fd00::1]", "0.0.0.0"];
    for (n, address) in refused.into_iter().enumerate() {
        net.name(&format!("private-{n}.test"), format!("{address}:{port}").parse().unwrap());
    }
    let mut scene = Scene::play(net, tricks::of_place(port)).await;
    let mut waiting = Vec::new();
    for n in 0..refused.len() {
        let name = format!("private-{n}");
        scene.node.post("webhooks", json!({"name": name, "url": format!("https://{name}.test/in")})).await;
        waiting.push((send(&scene.node, &name).await, name));
    }
    scene.all_arrive().await;
    let mut arriving = Vec::new();
    for (message, name) in waiting {
        let tried = scene.node.tried(&message, 1).await;
        assert_eq!(
            (&tried[0]["outcome"], &tried[0]["code"]),
            (&json!("not-sent"), &json!("refused_address")),
            "{name}"
        );
        let elsewhere = json!({"url": format!("https://good.test/{name}")});
        scene.node.api("PATCH", &format!("webhooks/{name}"), Some(elsewhere)).await.good();
        arriving.push((message, name));
    }
    for (message, name) in arriving {
        assert_eq!(scene.node.settled(&message).await["state"], "delivered", "{name}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}
