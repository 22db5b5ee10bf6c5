//! The private listener over a real socket, with real PostgreSQL and no broker: what needs none must not mind.

mod accounts;
mod audit;
mod campaigns;
mod connections;
mod console;
mod deliveries;
mod events;
mod form;
mod inbox;
mod keys;
mod messages;
mod overview;
mod phones;
mod problems;

use std::net::SocketAddr;

use handfast::accounts::Account;
use handfast::books::Acceptor;
use handfast::config::Config;
use handfast::connections::{NewConnection, Secrets};
use handfast::doors::{Serve, private_routes};
use handfast::inbox::{NewEntry, store_many};
use handfast::listen::{Listener, Settings};
use handfast::openmsg::{AuthCode, CryptKey, IdentCode};
use handfast::queue::{Asker, Publisher};
use handfast::senders::{self, Scopes};
use handfast::{App, crypto};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{DOMAIN, fresh_app_with};

/// A served private listener and a key for everything.
struct Node {
    app: App,
    address: SocketAddr,
    http: reqwest::Client,
    key: String,
    stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Node {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let app = fresh_app_with(|config| {
            config.private.listen = SocketAddr::from(([127, 0, 0, 1], 0));
            change(config);
        })
        .await;
        let stop = CancellationToken::new();
        let publisher = Publisher::start(&app, stop.clone());
        let acceptor = Acceptor::start(&app, &publisher);
        let asker = Asker::start(&app, stop.clone());
        let overview = handfast::overview::Watch::new(&app);
        let mailbox = handfast::mailbox::Mailbox::new(&app);
        let serve = Serve { app: app.clone(), acceptor, publisher, asker, overview, mailbox, stopping: stop.clone() };
        let listener = Listener::bind(Settings::private(&app.config)).await.unwrap();
        let address = listener.local_addr();
        tokio::spawn(listener.serve(warp::service(private_routes(serve)), stop.clone()));
        let (_, key) = senders::create(&app, "tests", &Scopes::everything(), None).await.unwrap();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { app, address, http, key: key.reveal().to_owned(), stop }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request to the API with the key for everything.
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.ask_as(&self.key, method, path)
    }

    fn ask_as(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(&format!("/api/v1{path}"))).bearer_auth(key)
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.ask(Method::GET, path)).await
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        read(self.ask(Method::POST, path).json(body)).await
    }

    /// A key with these scopes, for one account if one is given.
    async fn key(&self, scopes: &str, account: Option<&Account>) -> String {
        let (_, key) = senders::create(&self.app, "tests", &scopes.parse().unwrap(), account).await.unwrap();
        key.reveal().to_owned()
    }

    async fn account(&self, id: u32) -> Account {
        let address = format!("{id}*{DOMAIN}").parse().unwrap();
        handfast::accounts::create(&self.app, &address, &"Shop".parse().unwrap(), true).await.unwrap().unwrap()
    }

    async fn connection(&self, account: &Account, other: &str) -> Uuid {
        let new = NewConnection {
            account_id: account.id,
            own: account.address.clone(),
            other: other.parse().unwrap(),
            other_name: "Ada".parse().unwrap(),
            self_accepts: true,
            other_accepts: true,
            other_remembers: false,
            secrets: Secrets {
                auth_code: AuthCode::random(),
                ident_code: IdentCode::random(),
                crypt_key: CryptKey::random(),
            },
        };
        handfast::connections::store(&self.app.db.client().await.unwrap(), &self.app, &new).await.unwrap()
    }

    /// Something arrives for the account.
    async fn arrives(&self, account: &Account, text: &str) {
        let entry = NewEntry {
            connection_id: None,
            account_id: account.id,
            from: "7*peer.example".parse().unwrap(),
            from_name: "Ada".parse().unwrap(),
            text: text.into(),
            sent_at: self.app.clock.now(),
            nonce: None,
            hash: crypto::random(),
            message_id: None,
            deadline: None,
        };
        store_many(&self.app, vec![entry]).await.unwrap();
    }
}

async fn read(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    (response.status(), body(response).await)
}

async fn body(response: Response) -> Value {
    let bytes = response.bytes().await.unwrap();
    if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() }
}

/// The name of a problem: what follows `urn:handfast:problem:`.
fn problem(body: &Value) -> &str {
    body["type"].as_str().and_then(|name| name.strip_prefix("urn:handfast:problem:")).unwrap_or("not a problem")
}

/// The fields a problem names.
fn fields(body: &Value) -> Vec<&str> {
    let errors = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().map(|error| error["field"].as_str().unwrap()).collect()
}
