//! Back ends that are away, slow or confused: the code stays good for a while, and no call is made that could be too many.

use std::time::Duration;

use handfast::logins::apps::Mode;
use serde_json::{Value, json};

use super::backend::{Backend, Mood, URL};
use super::scene::{APP, PHONE, Scene, body, options, with_mesibo};
use crate::node::{Net, Options};

struct Stage {
    backend: Backend,
    scene: Scene,
    code: String,
}

impl Stage {
    async fn with(options: Options) -> Self {
        let net = Net::new();
        let backend = Backend::start(&net).await;
        let scene = Scene::start(&net, options, &[with_mesibo(Mode::Mesibo, URL)]).await;
        let code = scene.code(APP, PHONE).await;
        Self { backend, scene, code }
    }

    /// Step 2 with the right code.
    async fn login(&self) -> Value {
        self.login_from("d-1").await
    }

    async fn login_from(&self, device: &str) -> Value {
        let login = json!({"op": "login", "appid": APP, "phone": PHONE, "otp": self.code, "device": device});
        self.scene.json(login).await
    }
}

#[tokio::test]
async fn a_back_end_that_is_away_does_not_burn_the_code() {
    let stage = Stage::with(options()).await;
    stage.backend.goes_away().await;
    let login = json!({"op": "login", "appid": APP, "phone": PHONE, "otp": stage.code, "device": "d-1"});
    let reply = stage.scene.post(login.to_string()).await;
    assert_eq!(body(&reply), r#"{"op":"login","ts":TS,"error":"BACKEND","result":false}"#);
    stage.backend.comes_back().await;
    let answer = stage.login().await;
    assert_eq!(answer["token"], format!("{:049x}", 1), "{answer}");
    assert_eq!(stage.login().await["error"], "BADCODE", "now it is burnt");
    stage.scene.kept_quiet(&[&stage.code, PHONE]).await;
}

/// Each of these is "not now": the same code works when the back end is well again.
#[tokio::test]
async fn a_back_end_that_is_confused_does_not_burn_the_code() {
    for mood in [Mood::Html, Mood::Empty, Mood::Status(404), Mood::Drops, Mood::Slow(Duration::from_secs(10))] {
        let stage = Stage::with(options().set("mesibo.backend_timeout", "1s")).await;
        stage.backend.feels([mood.clone()]);
        assert_eq!(stage.login().await["error"], "BACKEND", "{mood:?}");
        assert_eq!(stage.backend.count("useradd"), 1, "{mood:?}: asked twice");
        stage.backend.feels([Mood::Well]);
        assert_eq!(stage.login().await["result"], true, "{mood:?}");
    }
}

/// A back end that is out of order for a moment is asked again at once, without anybody noticing.
#[tokio::test]
async fn a_moment_of_disorder_is_not_noticed() {
    let stage = Stage::with(options()).await;
    stage.backend.feels([Mood::Status(500), Mood::Status(503), Mood::Well]);
    assert_eq!(stage.login().await["result"], true);
    assert_eq!(stage.backend.count("useradd"), 3);
}

/// `grace_calls`: the first included, and no other device, and no more calls afterwards.
#[tokio::test]
async fn a_right_code_is_used_three_times_at_the_most() {
    let stage = Stage::with(options()).await;
    stage.backend.feels([Mood::Html]);
    assert_eq!(stage.login().await["error"], "BACKEND");
    assert_eq!(stage.login_from("d-2").await["error"], "BADCODE", "another device");
    for _ in 0..2 {
        assert_eq!(stage.login().await["error"], "BACKEND");
    }
    stage.backend.feels([Mood::Well]);
    assert_eq!(stage.login().await["error"], "BADCODE");
    assert_eq!(stage.backend.count("useradd"), 3);
}

/// A refusal is told, and is not repeated by itself.
#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let stage = Stage::with(options()).await;
    stage.backend.feels([Mood::Refuses("BADADDR")]);
    assert_eq!(stage.login().await["error"], "BADUSER");
    assert_eq!(stage.backend.count("useradd"), 1);
}

/// One application's slow back end takes nothing from another's.
#[tokio::test]
async fn a_slow_back_end_has_its_own_places() {
    let net = Net::new();
    let backend = Backend::start(&net).await;
    let mut local = super::scene::app();
    local.appid = "com.local".into();
    let options = options().set("mesibo.backend_calls", 1).set("mesibo.backend_timeout", "20s");
    let scene = Scene::start(&net, options, &[with_mesibo(Mode::Mesibo, URL), local]).await;
    let mut codes = Vec::new();
    for (appid, phone) in [(APP, PHONE), (APP, "18005551235"), ("com.local", PHONE)] {
        codes.push(json!({"op": "login", "appid": appid, "phone": phone, "otp": scene.code(appid, phone).await}));
    }
    backend.feels([Mood::Slow(Duration::from_secs(3)), Mood::Well]);
    let slow = scene.json(codes[0].clone());
    let others = async {
        crate::node::eventually("the back end is called", async || backend.count("useradd") == 1).await;
        (scene.json(codes[1].clone()).await, scene.json(codes[2].clone()).await)
    };
    let (slow, (second, elsewhere)) = tokio::join!(slow, others);
    assert_eq!((&slow["result"], &elsewhere["result"]), (&json!(true), &json!(true)));
    assert_eq!(second["error"], "BACKEND", "its one place is taken");
}
