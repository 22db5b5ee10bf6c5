//! The checks of a browser that comes back, with a clock that the test drives.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use handfast::App;
use handfast::books::Acceptor;
use handfast::config::homing::{Gateway, Otp, Policy};
use handfast::gateway::{self, Arrival, Begun, Came, Refusal, Site};
use handfast::queue::Publisher;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::standin::{FING, SITE, hub_public, release, sauce};
use crate::support::fresh_app_with;

const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const START: i64 = 1_900_000_000;

struct Scene {
    app: App,
    acceptor: Acceptor,
    site: Site,
    _stop: tokio_util::sync::DropGuard,
}

/// A browser that comes back.
#[derive(Clone)]
struct Back {
    query: String,
    body: String,
    state: Option<String>,
}

impl Scene {
    async fn with(change: impl FnOnce(&mut Gateway)) -> Self {
        let app = fresh_app_with(|config| {
            let file = config.data_dir.join("homing-sign.key");
            fs::write(&file, BASE64_STANDARD.encode([1; 32])).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let gateway = &mut config.homing.gateway;
            gateway.enabled = true;
            gateway.url = "https://shop.test".into();
            gateway.hub = "https://hub.test".into();
            gateway.hub_keys = vec![BASE64_STANDARD.encode([9; 32]), hub_public()];
            gateway.site = SITE.into();
            gateway.persona = "shop".into();
            gateway.sauce = sauce().into();
            gateway.sign_key = file;
            gateway.scopes = "email|fullname".into();
            change(gateway);
        })
        .await;
        let stop = CancellationToken::new();
        let acceptor = Acceptor::start(&app, &Publisher::start(&app, stop.clone()));
        let site = Site::of(&app.config).unwrap();
        let scene = Self { app, acceptor, site, _stop: stop.drop_guard() };
        scene.at(START);
        scene
    }

    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Half a second into that second, so that a test that is quick stays in it.
    fn at(&self, second: i64) {
        self.app.clock.follow(Timestamp::from_millisecond(second * 1000 + 100).unwrap());
    }

    async fn begin(&self, username: &str) -> Begun {
        let begun = self.site.begin(&username.parse_persona(), self.app.clock.unix_seconds(), "");
        gateway::keep(&self.app, &begun, "hsc_x").await.unwrap();
        begun
    }

    /// Somebody comes back with everything in order.
    async fn back(&self, username: &str, f_in_g: &str) -> Back {
        let begun = self.begin(username).await;
        let query = query(&self.site, &begun);
        Back {
            query: release(&query, f_in_g, self.app.clock.unix_seconds(), "email"),
            body: "sc_email=a%40b.example".into(),
            state: Some(begun.state.to_string()),
        }
    }

    async fn arrive(&self, back: &Back) -> Result<gateway::SignedIn, Refusal> {
        let Back { query, body, state } = back;
        let arrival = Arrival { query, body, state: state.as_deref() };
        let came = gateway::arrive(&self.app, &self.acceptor, &self.site, arrival).await.unwrap();
        came.map(|came| match came {
            Came::In(signed_in) => signed_in,
            Came::Elsewhere(_) => panic!("this login is of one device"),
        })
    }

    async fn refusal(&self, back: &Back) -> Option<&'static str> {
        self.arrive(back).await.err().map(Refusal::word)
    }

    async fn outcome(&self) -> Option<String> {
        self.app.db.row("select outcome from hs_attempts", &[]).await.unwrap().unwrap().get(0)
    }
}

trait ParsePersona {
    fn parse_persona(&self) -> handfast::homing::Persona;
}

impl ParsePersona for str {
    fn parse_persona(&self) -> handfast::homing::Persona {
        handfast::homing::Persona::parse(self).unwrap()
    }
}

fn query(site: &Site, begun: &Begun) -> String {
    let Begun { n, username, ts, .. } = begun;
    format!("username={username}&ts={ts}&n={n}&otp={}", site.otp(username.as_str(), *ts, n))
}

#[tokio::test]
async fn the_window_is_ten_whole_seconds_and_two_ahead() {
    for (after, expected) in
        [(0, None), (10, None), (11, Some("window")), (-2, None), (-3, Some("window")), (3600, Some("window"))]
    {
        let scene = Scene::start().await;
        let begun = scene.begin("alice").await;
        // The hub released some minutes after the login began: only its own time counts.
        let released = START + 200;
        let query = release(&query(&scene.site, &begun), FING, released, "email");
        let back = Back { query, body: "sc_email=a%40b.example".into(), state: Some(begun.state.to_string()) };
        scene.at(released + after);
        assert_eq!(scene.refusal(&back).await, expected, "{after}");
    }
}

#[tokio::test]
async fn an_attempt_ends_after_its_life() {
    for (after, expected) in [(299, None), (300, Some("unknown"))] {
        let scene = Scene::start().await;
        let begun = scene.begin("alice").await;
        scene.at(START + after);
        let query = release(&query(&scene.site, &begun), FING, START + after, "email");
        let back = Back { query, body: "sc_email=a%40b.example".into(), state: Some(begun.state.to_string()) };
        assert_eq!(scene.refusal(&back).await, expected, "{after}");
        scene.at(START + 301);
        assert_eq!(gateway::purge(&scene.app).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn nothing_that_came_can_be_changed() {
    let scene = Scene::start().await;
    let good = scene.back("alice", FING).await;
    // Without the hub's signature nothing goes.
    for name in ["username", "ts", "n", "otp", "f_in_g", "hs_ts", "hs_sig"] {
        let at = good.query.find(&format!("{name}=")).unwrap() + name.len() + 1;
        let mut bytes = good.query.clone().into_bytes();
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        let back = Back { query: String::from_utf8(bytes).unwrap(), ..good.clone() };
        assert_eq!(scene.refusal(&back).await, Some("sig"), "{name}");
    }
    let bodies = ["sc_email=a%40b.example&sc_fullname=Al", "", "sc_fullname=Al"];
    for body in bodies {
        assert_eq!(scene.refusal(&Back { body: body.into(), ..good.clone() }).await, Some("sig"), "{body}");
    }
    for (query, body) in [
        (format!("{}&ts=1", good.query), good.body.clone()),
        (format!("n=1&{}", good.query), good.body.clone()),
        (good.query.clone(), "sc_email=a%40b.example&sc_email=c%40d.example".into()),
        (good.query.replace("hs_ts=", "hs_ts=1&hs_ts="), good.body.clone()),
    ] {
        assert_eq!(scene.refusal(&Back { query, body, state: good.state.clone() }).await, Some("form"));
    }
    let (without, _) = good.query.split_once("&f_in_g=").unwrap();
    assert_eq!(scene.refusal(&Back { query: without.into(), ..good.clone() }).await, Some("sig"));
    assert_eq!(scene.refusal(&good).await, None, "and what was refused has used nothing up");
    assert_eq!(scene.refusal(&good).await, Some("replay"));
}

/// What a hub that errs, or lies, could sign.
#[tokio::test]
async fn the_hubs_signature_is_not_all() {
    let scene = Scene::start().await;
    let (one, two) = (scene.begin("alice").await, scene.begin("bobby").await);
    let (query_one, query_two) = (query(&scene.site, &one), query(&scene.site, &two));
    let otp = query_two.split("otp=").nth(1).unwrap();
    let mixed = query_one.split("otp=").next().unwrap();
    let now = scene.app.clock.unix_seconds();
    for (query, expected) in [
        (query_one.replace("alice", "bobby"), "unknown"),
        (query_one.replace(&format!("ts={START}"), &format!("ts={}", START + 1)), "unknown"),
        (query_one.replace(&one.n, "AAECAwQFBgcICQoLDA0ODw"), "unknown"),
        (format!("{mixed}otp={otp}"), "otp"),
        (format!("{mixed}otp="), "otp"),
        (format!("ts={START}&n={}&otp=x", one.n), "form"),
    ] {
        let query = release(&query, FING, now, "email");
        let back = Back { query, body: "sc_email=a%40b.example".into(), state: Some(one.state.to_string()) };
        assert_eq!(scene.refusal(&back).await, Some(expected));
    }
    let query = release(&query_one, FING, now, "email");
    for state in [None, Some(two.state.to_string()), Some(String::new())] {
        let back = Back { query: query.clone(), body: "sc_email=a%40b.example".into(), state };
        assert_eq!(scene.refusal(&back).await, Some("state"));
    }
}

#[tokio::test]
async fn everything_mandatory_must_be_there_and_good() {
    for (granted, body, expected) in [
        ("email", "sc_email=", Some("scope")),
        ("email", "sc_email=nobody", Some("scope")),
        ("", "", Some("scope")),
        ("fullname", "sc_fullname=Al", Some("scope")),
        ("email;fullname", "sc_email=a%40b.example&sc_fullname=a%00b", Some("scope")),
        ("email;fullname", "sc_email=a%40b.example&sc_fullname=", None),
        ("email", "sc_email=a%40b.example&sc_phone1=x&other=1", None),
    ] {
        let scene = Scene::start().await;
        let begun = scene.begin("alice").await;
        let query = release(&query(&scene.site, &begun), FING, scene.app.clock.unix_seconds(), granted);
        let back = Back { query, body: body.into(), state: Some(begun.state.to_string()) };
        assert_eq!(scene.refusal(&back).await, expected, "{body}");
        assert_eq!(scene.outcome().await.as_deref(), Some(expected.unwrap_or("in")), "{body}");
        if expected.is_none() {
            assert_eq!(scene.refusal(&back).await, Some("replay"));
        }
    }
}

#[tokio::test]
async fn somebody_known_under_another_persona_is_the_policys_to_judge() {
    for (policy, same_account) in [(Policy::Link, true), (Policy::Allow, false)] {
        let scene = Scene::with(|gateway| gateway.policy = policy).await;
        let mut accounts = Vec::new();
        for (username, f_in_g) in
            [("alice", FING), ("alice2", FING), ("alice2", FING), ("bobby", OTHER), ("alice", FING)]
        {
            let back = scene.back(username, f_in_g).await;
            let signed_in = scene.arrive(&back).await.map_err(Refusal::word).unwrap();
            accounts.push((signed_in.account.id, signed_in.is_new));
        }
        let [alice, second, again, bobby, first] = accounts[..] else { panic!("five") };
        assert_eq!(alice.0 == second.0, same_account, "{policy:?}");
        assert_eq!((second.1, again), (!same_account, (second.0, false)), "{policy:?}");
        assert!(bobby.1 && bobby.0 != alice.0);
        assert_eq!(first, (alice.0, false));
    }
    let scene = Scene::with(|gateway| gateway.policy = Policy::Reject).await;
    for (username, expected) in [("alice", None), ("alice2", Some("policy")), ("alice", None)] {
        let back = scene.back(username, FING).await;
        assert_eq!(scene.refusal(&back).await, expected, "{username}");
    }
}

#[tokio::test]
async fn two_first_visits_of_one_space_at_once_are_one_account() {
    let scene = Scene::start().await;
    let mut backs = Vec::new();
    for n in 0..7 {
        backs.push(scene.back(&format!("persona{n}"), FING).await);
    }
    let arrived = futures_util::future::join_all(backs.iter().map(|back| scene.arrive(back))).await;
    let accounts: std::collections::BTreeSet<_> =
        arrived.into_iter().map(|arrived| arrived.map_err(Refusal::word).unwrap().account.id).collect();
    assert_eq!(accounts.len(), 1);
}

#[tokio::test]
async fn a_session_ends_with_its_life() {
    let scene = Scene::start().await;
    let back = scene.back("alice", FING).await;
    let token = scene.arrive(&back).await.map_err(Refusal::word).unwrap().session;
    scene.at(START + 24 * 3600 - 1);
    let session = gateway::find(&scene.app, &token).await.unwrap().unwrap();
    assert_eq!((session.username.as_str(), session.account.f_in_g.as_str()), ("alice", FING));
    assert_eq!(session.account.claims, [("email".to_owned(), "a@b.example".to_owned())]);
    scene.at(START + 24 * 3600 + 1);
    assert!(gateway::find(&scene.app, &token).await.unwrap().is_none());
    assert_eq!(gateway::purge(&scene.app).await.unwrap(), 2, "the session and the attempt");
    let stored: String =
        scene.app.db.row("select string_agg(value::text, '') from hs_claims", &[]).await.unwrap().unwrap().get(0);
    assert!(!stored.contains(&hex::encode("a@b.example")), "claims lie sealed");
}

/// A hub that signs nothing: the time of the request counts, and the one-time password is the original sample's.
#[tokio::test]
async fn a_hub_that_signs_nothing() {
    for (after, expected) in [(10, None), (11, Some("window"))] {
        let scene = Scene::with(|gateway| {
            gateway.require_hub_signature = false;
            gateway.policy = Policy::Allow;
            gateway.otp = Otp::Md5;
            gateway.sauce = "sauce".to_owned().into();
        })
        .await;
        let begun = scene.begin("alice").await;
        let query = format!("{}&f_in_g=anything-1", query(&scene.site, &begun));
        assert_eq!(query.split("otp=").nth(1).unwrap().find('&'), Some(32), "{query}");
        let back = Back { query, body: "sc_email=a%40b.example".into(), state: Some(begun.state.to_string()) };
        scene.at(START + after);
        let wrong = Back { query: back.query.replace("alice", "bobby"), ..back.clone() };
        assert_eq!(scene.refusal(&wrong).await, expected.or(Some("unknown")));
        assert_eq!(scene.refusal(&back).await, expected);
    }
}
