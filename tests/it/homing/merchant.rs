//! A merchant that was written from the seed's text and shares no line with the node (`merchant/merchant.py`): its three files work
//! with our hub as they are.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use handfast::cli::homing::{Agent, Gift, Visit};
use handfast::homing::encode;
use serde_json::{Value, json};

use super::scene::{HUB, PLAIN, Scene, leading_to, new_site, open, url, write_key};
use crate::node::eventually;

const PAGE: &str = "https://plain.test/merchant";
/// What it puts before its own parameters: everything that a careless reader would change.
const QUERY: &str = "page=a%20b&page=c+d&%7Ex=%c3%a4&empty=&flag&page=e&";

/// Its process; killed when dropped.
struct Merchant(Child);

impl Drop for Merchant {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Merchant {
    /// Registers its site at the hub and starts it.
    async fn start(scene: &Scene, scopes: &str, window: u64) -> Self {
        scene.keeper.add_persona("plainshop").await.expect("a persona");
        let mut site = new_site("plainshop", "Plain", "https://plain.test/endpoint", "site");
        "md5".clone_into(&mut site.otp_alg);
        let made = scene.keeper.add_site(&site).await.expect("a site");
        let key = scene.place("plain-sign.key");
        write_key(&key, &encode(scene.keeper.keys("plainshop").await.expect("keys").sign.seed()));
        let (certificate, tls_key) = scene.net.ca.issue(PLAIN);
        let file = |name: &str, text: &str| {
            let path = scene.place(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let socket = scene.net.socket_of(PLAIN);
        let settings = json!({
            "listen": socket.port(), "cert": file("plain.pem", &certificate), "key": file("plain-key.pem", &tls_key),
            "url": "https://plain.test", "hub": format!("https://{HUB}/homing/hub"),
            "hub_at": ["127.0.0.1", scene.hub.public.port()], "ca": scene.place("ca.pem"), "site": made["site"],
            "sauce": made["sauce"], "sign_key": key, "persona": "plainshop", "scopes": scopes, "query": QUERY,
            "window": window,
        });
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/homing/merchant/merchant.py");
        let child = Command::new("python3")
            .args(["-B", program])
            .arg(file("plain.json", &settings.to_string()))
            .stdout(Stdio::null())
            .spawn()
            .expect("python3 runs (ops/install brings it)");
        let merchant = Self(child);
        eventually("the merchant listens", || async { tokio::net::TcpStream::connect(socket).await.is_ok() }).await;
        merchant
    }
}

/// From its page to its endpoint; what the endpoint saw.
async fn signed_in(scene: &Scene, user: &Agent, persona: &str, gift: &Gift) -> (u16, Value) {
    let mut visit = Visit::begin(scene.browser(), &url(PAGE), persona, user.hub().base()).await.expect("at the hub");
    let welcome = user.welcome(&visit.challenge).await.expect("opened");
    assert_eq!(
        (welcome.envelope.merchant.as_str(), welcome.envelope.origin.as_str()),
        ("plainshop", "https://plain.test")
    );
    let approval = user.approve(&welcome, gift).await.expect("approved");
    let landing = visit.arrive(&approval).await.expect("an answer");
    let seen: Value = serde_json::from_str(&landing.body).expect("JSON");
    let sent = approval.action_text.split_once('?').expect("a query").1;
    assert_eq!(seen["query"].as_str().unwrap_or(sent), sent, "what the hub gave is what arrived, byte for byte");
    (landing.endpoint_status, seen)
}

fn gift(values: &[(&str, &str)]) -> Gift {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Gift { values, ..Gift::default() }
}

#[tokio::test]
async fn a_merchant_written_from_the_documentation_alone_lets_people_in() {
    let scene = Scene::start().await;
    let _merchant = Merchant::start(&scene, "fullname;email|phone1;birthday", 30).await;
    let (alice, bob) = (scene.user(&["alice", "alicia"]).await, scene.user(&["bob"]).await);

    let page = open(&mut scene.browser(), PAGE).await.text();
    assert!(page.contains("value=\"fullname;email|phone1;birthday\" readonly") && page.contains("plainshop"), "{page}");

    let values = gift(&[("fullname", "Alice Ärger"), ("email", "alice@mail.example"), ("phone1", "+4930123456")]);
    let (status, seen) = signed_in(&scene, &alice, "alice", &values).await;
    assert_eq!((status, &seen["username"], &seen["visits"]), (200, &json!("alice"), &json!(1)), "{seen}");
    let query = seen["query"].as_str().expect("a query");
    assert!(
        query.starts_with(&format!("{QUERY}username=alice&ts=")),
        "its own parameters come first and verbatim: {query}"
    );
    let posted = json!({"sc_fullname": "Alice Ärger", "sc_email": "alice@mail.example", "sc_phone1": "+4930123456"});
    assert_eq!(seen["post"], posted, "values come in POST, named sc_…");
    let f_in_g = seen["get"]["f_in_g"].as_str().expect("f_in_g comes in GET");
    assert_eq!(f_in_g.len(), 64);

    let values = gift(&[("fullname", "A"), ("email", "a@b.example")]);
    let (_, again) = signed_in(&scene, &alice, "alice", &values).await;
    assert_eq!(
        (&again["visits"], &again["get"]["f_in_g"]),
        (&json!(2), &json!(f_in_g)),
        "registered once, logged in since"
    );
    let (_, alicia) = signed_in(&scene, &alice, "alicia", &values).await;
    assert_eq!(alicia["also_known_as"], json!(["alice", "alicia"]), "caught under another name");
    let (_, bob) = signed_in(&scene, &bob, "bob", &values).await;
    assert_eq!(bob["also_known_as"], json!(["bob"]));
}

#[tokio::test]
async fn its_own_ten_seconds_and_its_own_password_count() {
    let scene = Scene::start().await;
    let _merchant = Merchant::start(&scene, "|", 2).await;
    let user = scene.user(&["alice", "alicia"]).await;
    let mut visit = Visit::begin(scene.browser(), &url(PAGE), "alice", user.hub().base()).await.expect("at the hub");
    let welcome = user.welcome(&visit.challenge).await.expect("opened");
    let approval = user.approve(&welcome, &Gift::default()).await.expect("approved");
    for (from, to) in [("username=alice", "username=alicia"), ("&otp=", "&otp=0")] {
        let edited = leading_to(&approval, &approval.action_text.replacen(from, to, 1));
        let refused = visit.arrive(&edited).await.expect("an answer");
        assert_eq!(refused.endpoint_status, 403, "{}", refused.body);
        assert!(refused.body.contains("the password is wrong"), "{}", refused.body);
    }
    // Its window is over three whole seconds after the request: until then the same URL is taken, and from then on never.
    let late = std::sync::Mutex::new(visit.clone());
    let closed = || async {
        let mut visit = late.lock().expect("nobody else has it").clone();
        visit.arrive(&approval).await.expect("an answer").body.contains("too late")
    };
    eventually("its endpoint is closed to what is old", closed).await;
    tokio::time::timeout(Duration::from_secs(10), async {
        assert_eq!(visit.arrive(&approval).await.expect("an answer").endpoint_status, 403);
    })
    .await
    .expect("in time");
}
