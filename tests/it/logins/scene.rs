//! The engine of logins with a database of its own, whose clock can be driven, and a private listener in front of it.

// Parts use what they need of it.
#![allow(dead_code)]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handfast::App;
use handfast::books::Acceptor;
use handfast::clock::Clock;
use handfast::codes::subject;
use handfast::config::{Bucket, Config};
use handfast::doors::{Serve, private_routes};
use handfast::jobs::{Ask, BackendAnswer, BackendCall, CallBackend, Reply};
use handfast::listen::{Listener, Settings};
use handfast::logins::{Address, Application, Logins, Mode, Origin, Started, Verified, Way, apps, parse};
use handfast::queue::{Asker, Consumer, Publisher, Replier, Source};
use handfast::senders::{self, Scopes};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_postgres::types::FromSqlOwned;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::secrets;
use crate::support::fresh_app_with;

pub(crate) const APP: &str = "com.example.app";
pub(crate) const ANN: &str = "18005551234";
pub(crate) const BOB: &str = "4915112345678";

/// The engine, and who speaks to it.
pub(crate) struct Scene {
    pub(crate) app: App,
    pub(crate) logins: Logins,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) http: reqwest::Client,
    stop: CancellationToken,
    _stop: DropGuard,
}

/// Buckets that nothing fills: their own tests have small ones.
pub(crate) fn roomy(config: &mut Config) {
    let bucket = Bucket { bucket: 1_000_000, per_minute: 1_000_000.0 };
    let limits = &mut config.mesibo.limits;
    for limit in [
        &mut limits.starts_per_ip,
        &mut limits.starts_per_network,
        &mut limits.tries_per_ip,
        &mut limits.tries_per_network,
        &mut limits.starts_per_app,
        &mut limits.tries_per_app,
        &mut limits.sends_per_country,
    ] {
        *limit = bucket;
    }
}

fn carried(config: &mut Config) {
    let recording = || toml::from_str("kind = 'recording'\nname = 'test'\nfile = 'codes.jsonl'").expect("a carrier");
    config.providers.sms = vec![recording()];
    config.providers.voice = vec![recording()];
    config.providers.email = vec![recording()];
}

impl Scene {
    /// With one application, whose tokens are ours, and roomy buckets.
    pub(crate) async fn start() -> Self {
        Self::with(roomy).await
    }

    /// With these settings besides. There is no broker: who needs none must not mind.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(fresh_app_with(|config| set(config, change)).await).await
    }

    /// The same with a broker, for those whose application has a back end.
    pub(crate) async fn with_broker(change: impl FnOnce(&mut Config)) -> Self {
        let url = std::env::var("HANDFAST_TEST_AMQP_URL").expect("HANDFAST_TEST_AMQP_URL names a RabbitMQ for tests");
        let app = fresh_app_with(|config| {
            config.amqp.url = url.into();
            config.amqp.prefix = format!("it-{}", Uuid::new_v4().simple());
            set(config, change);
        });
        Self::on(app.await).await
    }

    /// A further process of the same node.
    pub(crate) async fn beside(&self) -> Self {
        let db = handfast::db::Db::new(&self.app.config.database).expect("a pool");
        Self::of(App { db, clock: Clock::system(), ..self.app.clone() }).await
    }

    async fn on(app: App) -> Self {
        let scene = Self::of(app).await;
        let new = Application { ways: Way::ALL.map(|(way, _)| way).to_vec(), ..application(APP) };
        assert!(apps::create(&scene.app, &new).await.expect("made").is_some());
        scene
    }

    async fn of(app: App) -> Self {
        let stop = CancellationToken::new();
        let publisher = Publisher::start(&app, stop.clone());
        let (acceptor, asker) = (Acceptor::start(&app, &publisher), Asker::start(&app, stop.clone()));
        let logins = Logins::new(&app, &acceptor, &asker);
        let overview = handfast::overview::Watch::new(&app);
        let mailbox = handfast::mailbox::Mailbox::new(&app);
        let serve = Serve { app: app.clone(), acceptor, publisher, asker, overview, mailbox, stopping: stop.clone() };
        let listener = Listener::bind(Settings::private(&app.config)).await.expect("a listener");
        let address = listener.local_addr();
        tokio::spawn(listener.serve(warp::service(private_routes(serve)), stop.clone()));
        let (_, key) = senders::create(&app, "tests", &Scopes::everything(), None).await.expect("a key");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { app, logins, address, key: key.reveal().to_owned(), http, _stop: stop.clone().drop_guard(), stop }
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.app.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) async fn application(&self) -> Application {
        apps::find(&self.app, APP).await.expect("read").expect("an application")
    }

    /// Changes the application.
    pub(crate) async fn change(&self, change: impl FnOnce(&mut Application)) {
        let changed = apps::change::<()>(&self.app, APP, |application| {
            change(application);
            Ok(())
        });
        assert!(matches!(changed.await.expect("written"), apps::Change::Made(_)));
    }

    /// Has mesibo make the tokens.
    pub(crate) async fn by_mesibo(&self) {
        self.change(|application| {
            application.backend.mode = Mode::Mesibo;
            application.backend.url = "https://mesibo.test/backend/".into();
            application.backend.token = String::from("app-token").into();
        })
        .await;
    }

    pub(crate) async fn begin(&self, address: &str) -> Started {
        self.begin_from(address, &Origin::default()).await
    }

    pub(crate) async fn begin_from(&self, address: &str, origin: &Origin) -> Started {
        let application = self.application().await;
        self.logins.start(&application, &an_address(address), origin).await.expect("an answer")
    }

    /// Begins, and reads the code where a worker would.
    pub(crate) async fn code(&self, address: &str) -> String {
        assert_eq!(self.begin(address).await, Started::Accepted);
        self.pending().await
    }

    /// The live code that was made last.
    pub(crate) async fn pending(&self) -> String {
        let id = self.value("select id from codes where state = 0 order by created_at desc limit 1").await;
        let (code, _) = subject::to_send(&self.app, id).await.expect("read").expect("a code");
        code.as_str().to_owned()
    }

    pub(crate) async fn attempt(&self, address: &str, code: &str) -> Verified {
        self.attempt_from(address, code, &Origin::default()).await
    }

    pub(crate) async fn attempt_from(&self, address: &str, code: &str, origin: &Origin) -> Verified {
        let application = self.application().await;
        self.logins.verify(&application, &an_address(address), code, "Ann", origin).await.expect("an answer")
    }

    /// Signs in; the token.
    pub(crate) async fn sign_in(&self, address: &str) -> String {
        let code = self.code(address).await;
        token(self.attempt(address, &code).await)
    }

    pub(crate) async fn value<T: FromSqlOwned>(&self, sql: &str) -> T {
        self.app.db.row(sql, &[]).await.expect("read").expect("a row").get(0)
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        self.value(&format!("select count(*) from {from}")).await
    }

    /// A request to the API: status, Retry-After, body.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Option<u64>, Value) {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let mut request = self.http.request(method.parse().expect("a method"), url).bearer_auth(&self.key);
        if let Some(body) = body {
            secrets::of_json(&body);
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        (response.status().as_u16(), after, response.json().await.unwrap_or(Value::Null))
    }

    /// Answers, in a worker's place, what an application's back end is asked.
    pub(crate) fn back_end(
        &self,
        script: impl Fn(&BackendCall, usize) -> Option<BackendAnswer> + Send + Sync + 'static,
    ) -> BackEnd {
        let (into, mut taken) = mpsc::channel(10);
        let stop = &self.stop;
        Consumer::start(self.app.config.amqp.clone(), Source::Asks, 10, into, stop.clone(), stop.clone());
        let back_end = BackEnd::default();
        let (replier, calls, script) =
            (Replier::start(&self.app, stop.clone()), Arc::clone(&back_end.calls), Arc::new(script));
        tokio::spawn(async move {
            while let Some(message) = taken.recv().await {
                for asked in replier.open(&message) {
                    let Ask::CallBackend(CallBackend { call, .. }) = asked.ask else { panic!("another ask") };
                    let n = {
                        let mut calls = calls.lock().unwrap();
                        calls.push(call.clone());
                        calls.len() - 1
                    };
                    if let Some(answer) = script(&call, n) {
                        replier.reply(message.reply_to(), asked.id, Reply::Backend(answer)).await;
                    }
                }
                message.ack().await;
            }
        });
        back_end
    }
}

/// What stands in for an application's back end.
#[derive(Default)]
pub(crate) struct BackEnd {
    calls: Arc<Mutex<Vec<BackendCall>>>,
}

impl BackEnd {
    pub(crate) fn calls(&self) -> Vec<BackendCall> {
        self.calls.lock().unwrap().clone()
    }
}

fn set(config: &mut Config, change: impl FnOnce(&mut Config)) {
    config.private.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.database.pool = 20;
    carried(config);
    change(config);
}

pub(crate) fn application(appid: &str) -> Application {
    Application::new(appid.into(), "Example".into())
}

/// Of whatever kind it looks like.
pub(crate) fn an_address(text: &str) -> Address {
    parse::phone(text).or_else(|| parse::mail(text)).or_else(|| parse::user(text)).expect("an address")
}

pub(crate) fn from(ip: &str) -> Origin {
    Origin::new(Some(ip.parse::<IpAddr>().expect("an address")), "", "")
}

pub(crate) fn on(device: &str) -> Origin {
    Origin::new(None, device, "")
}

pub(crate) fn token(verified: Verified) -> String {
    match verified {
        Verified::Token { token, .. } => token.as_str().to_owned(),
        other => panic!("no token: {}", named(&other)),
    }
}

/// What it was, without what is in it.
pub(crate) fn named(verified: &Verified) -> &'static str {
    match verified {
        Verified::Token { .. } => "token",
        Verified::Wrong => "wrong",
        Verified::Limited { .. } => "limited",
        Verified::BadAddress => "bad address",
        Verified::Unavailable => "unavailable",
        Verified::Refused(_) => "refused",
    }
}

/// A code that is not this one.
pub(crate) fn other_than(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().expect("digits") + 1) % 1_000_000)
}
