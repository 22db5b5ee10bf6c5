//! A back end of mesibo's kind, as its samples and published pages describe it, in both forms; it can be out of order in every way.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::node::Net;

pub(super) const HOST: &str = "api.mesibo.test";
/// The application's secret token there.
pub(super) const APP_TOKEN: &str = "app-token-0123456789";
/// Where each form is.
pub(super) const URL: &str = "https://api.mesibo.test/backend/";
pub(super) const LEGACY_URL: &str = "https://api.mesibo.test/api.php";

/// How it answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mood {
    /// As it should.
    Well,
    /// The same, after so long.
    Slow(Duration),
    /// With a status and a page.
    Status(u16),
    /// 200 and no JSON.
    Html,
    /// `result:false` with this error.
    Refuses(&'static str),
    /// `result:true` and nothing else.
    Empty,
    /// Not at all: the connection ends after the request.
    Drops,
}

/// A call as it came: its operation, its fields whatever form they had.
#[derive(Debug, Clone)]
pub(super) struct Called {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) op: String,
    pub(super) body: Bytes,
    pub(super) fields: Map<String, Value>,
}

#[derive(Default)]
struct State {
    users: HashMap<String, User>,
    codes: HashMap<String, String>,
    groups: i64,
    tokens: usize,
}

struct User {
    uid: i64,
    name: String,
}

/// Serves until dropped.
pub(super) struct Backend {
    shared: Arc<Shared>,
    address: SocketAddr,
    tls: TlsAcceptor,
    serving: Mutex<Option<JoinSet<()>>>,
}

struct Shared {
    state: Mutex<State>,
    moods: Mutex<Vec<Mood>>,
    calls: Mutex<Vec<Called>>,
}

/// Returned to hyper to make it close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the back end hangs up")]
struct HangUp;

impl Backend {
    /// Under [`HOST`], for nodes that start from now on.
    pub(super) async fn start(net: &Net) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        net.name(HOST, address);
        let shared = Shared { state: Mutex::default(), moods: Mutex::default(), calls: Mutex::default() };
        let tls = TlsAcceptor::from(net.ca.server_config(HOST));
        let backend = Self { shared: Arc::new(shared), address, tls, serving: Mutex::default() };
        backend.serve(listener);
        backend
    }

    fn serve(&self, listener: TcpListener) {
        let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        *self.serving.lock().unwrap() = Some(serving);
    }

    /// Nobody listens any more.
    pub(super) async fn goes_away(&self) {
        let serving = self.serving.lock().unwrap().take();
        serving.unwrap().shutdown().await;
    }

    /// It listens again, where it was.
    pub(super) async fn comes_back(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    /// How it answers from now on: to the next call as the first says, and so on; the last one stays.
    pub(super) fn feels(&self, moods: impl IntoIterator<Item = Mood>) {
        *self.shared.moods.lock().unwrap() = moods.into_iter().collect();
    }

    /// All calls so far.
    pub(super) fn calls(&self) -> Vec<Called> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// How often an operation was called.
    pub(super) fn count(&self, op: &str) -> usize {
        self.calls().iter().filter(|call| call.op == op).count()
    }

    /// The name under which it knows somebody.
    pub(super) fn name_of(&self, address: &str) -> Option<String> {
        self.shared.state.lock().unwrap().users.get(address).map(|user| user.name.clone())
    }

    /// The code that it made for somebody.
    pub(super) fn code_for(&self, address: &str) -> String {
        self.shared.state.lock().unwrap().codes[address].clone()
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, HangUp> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| HangUp)?.to_bytes();
    let (method, path) = (head.method.to_string(), head.uri.to_string());
    let fields = fields(&path, &body);
    let op = fields.get("op").and_then(Value::as_str).unwrap_or_default().to_owned();
    shared.calls.lock().unwrap().push(Called { method, path, op: op.clone(), body, fields: fields.clone() });
    let mood = {
        let mut moods = shared.moods.lock().unwrap();
        if moods.len() > 1 { moods.remove(0) } else { moods.first().cloned().unwrap_or(Mood::Well) }
    };
    let json = |value: Value| Ok(page(StatusCode::OK, value.to_string()));
    match mood {
        Mood::Well => json(shared.state.lock().unwrap().perform(&fields)),
        Mood::Slow(after) => {
            tokio::time::sleep(after).await;
            json(shared.state.lock().unwrap().perform(&fields))
        }
        Mood::Status(status) => Ok(page(StatusCode::from_u16(status).unwrap(), String::from("<h1>Error</h1>"))),
        Mood::Html => Ok(page(StatusCode::OK, String::from("<br />\n<b>Fatal error</b>"))),
        Mood::Refuses(error) => json(json!({"op": op, "result": false, "error": error})),
        Mood::Empty => json(json!({"op": op, "result": true})),
        Mood::Drops => Err(HangUp),
    }
}

fn page(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let kind = if body.starts_with('{') { "application/json" } else { "text/html" };
    Response::builder().status(status).header("content-type", kind).body(Full::new(body.into())).unwrap()
}

/// Of the current form its members, of the older one its query, in the current one's places.
fn fields(path: &str, body: &[u8]) -> Map<String, Value> {
    if let Ok(Value::Object(fields)) = serde_json::from_slice(body) {
        return fields;
    }
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let all: HashMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    // Unsigned requests say so.
    if all.get("sig").map(String::as_str) != Some("none") {
        return Map::new();
    }
    let get = |name: &str| all.get(name).cloned().unwrap_or_default();
    let minutes: i64 = get("expiry").parse().unwrap_or_default();
    let token = match all.get("usertoken") {
        Some(token) => token.as_str().into(),
        None => json!({"appid": get("appid"), "expiry": minutes}),
    };
    let user = json!({"name": get("name"), "address": get("addr"), "otp": all.get("otp"), "uid": get("uid"),
        "token": token});
    let otp = json!({"address": get("addr"), "tries": get("tries").parse::<i64>().ok(), "expiry": minutes});
    let whole =
        json!({"op": get("op"), "token": get("token"), "user": user, "otp": otp, "group": {"name": get("name")}});
    whole.as_object().cloned().unwrap()
}

impl State {
    fn perform(&mut self, fields: &Map<String, Value>) -> Value {
        let op = fields.get("op").cloned().unwrap_or_default();
        let done = if fields.get("token").and_then(Value::as_str) == Some(APP_TOKEN) {
            self.operate(op.as_str().unwrap_or_default(), fields)
        } else {
            Err("BADTOKEN")
        };
        let mut answer = match done {
            Ok(answer) => answer,
            Err(error) => json!({"error": error}),
        };
        answer["op"] = op;
        answer["result"] = Value::Bool(answer["error"].is_null());
        answer.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        answer
    }

    fn operate(&mut self, op: &str, fields: &Map<String, Value>) -> Result<Value, &'static str> {
        let inner = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let user = inner("user");
        let address = user["address"].as_str().unwrap_or_default();
        match op {
            "otp" => {
                let address = inner("otp")["address"].as_str().unwrap_or_default().to_owned();
                // The live one again: `reuse`.
                let code =
                    self.codes.entry(address).or_insert_with(|| format!("{:06}", rand::random_range(0..1_000_000)));
                Ok(json!({"otp": code}))
            }
            "useradd" if address.is_empty() => Err("BADADDR"),
            "useradd" => {
                let otp = user["otp"].as_str();
                if otp.is_some_and(|otp| self.codes.get(address).map(String::as_str) != Some(otp)) {
                    return Err("BADOTP");
                }
                let uid = 5302 + i64::try_from(self.users.len()).unwrap();
                let name = user["name"].as_str().unwrap_or_default().to_owned();
                let known = self.users.entry(address.to_owned()).or_insert(User { uid, name: String::new() });
                known.name = name;
                let uid = known.uid.to_string();
                let token = user["token"].is_object().then(|| self.token());
                Ok(json!({"user": {"uid": uid, "token": token}}))
            }
            "usertoken" => match self.user(&user) {
                Some(known) => {
                    let uid = known.uid.to_string();
                    Ok(json!({"user": {"uid": uid, "appid": user["token"]["appid"], "token": self.token()}}))
                }
                None => Err("BADUSER"),
            },
            // Under a name that an operator has found out.
            "deltoken" => user["token"].is_string().then(|| json!({})).ok_or("BADTOKEN"),
            "userset" => self.user(&user).map(|known| json!({"user": {"uid": known.uid}})).ok_or("BADUSER"),
            "userdel" => {
                let known = self.user(&user).map(|known| known.uid).ok_or("BADUSER")?;
                self.users.retain(|_, user| user.uid != known);
                Ok(json!({}))
            }
            "usersget" => {
                let wanted = address.trim_end_matches('*');
                let found = self.users.iter().filter(|(address, _)| address.starts_with(wanted)).take(20);
                let found: Vec<Value> =
                    found.map(|(address, user)| json!({"uid": user.uid, "address": address})).collect();
                Ok(json!({"users": found}))
            }
            "groupadd" => {
                self.groups += 1;
                Ok(json!({"group": {"gid": self.groups, "name": inner("group")["name"]}}))
            }
            _ => Err("BADOP"),
        }
    }

    fn user(&self, wanted: &Value) -> Option<&User> {
        let uid = wanted["uid"].as_str().and_then(|uid| uid.parse().ok()).or(wanted["uid"].as_i64())?;
        self.users.values().find(|user| user.uid == uid)
    }

    /// As long as a published one.
    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("{:049x}", self.tokens)
    }
}

/// The stand-in itself: every operation in both forms.
#[test]
fn it_does_what_the_pages_say_in_both_forms() {
    let mut state = State::default();
    let mut both = |name: &str, query: &str, json: Value| {
        let path = format!("/api.php?op={name}&{query}&token={APP_TOKEN}&sig=none");
        let mut json = json;
        (json["op"], json["token"]) = (name.into(), APP_TOKEN.into());
        let by_query = state.perform(&fields(&path, b""));
        let by_json = state.perform(&fields("/backend/", json.to_string().as_bytes()));
        assert_eq!((&by_query["result"], &by_json["result"]), (&Value::Bool(true), &Value::Bool(true)), "{name}");
        (by_query, by_json)
    };
    let (one, two) =
        both("otp", "addr=18005551234&tries=5&expiry=300&reuse=1", json!({"otp": {"address": "18005551234"}}));
    assert_eq!(one["otp"], two["otp"], "the live code again");
    let code = one["otp"].as_str().unwrap().to_owned();
    let token = json!({"appid": "a", "expiry": 525_600, "v2": true});
    let user = json!({"user": {"name": "Ann", "address": "18005551234", "otp": code, "token": token}});
    let (one, two) = both("useradd", &format!("name=Ann&addr=18005551234&appid=a&otp={code}"), user);
    assert_eq!(one["user"]["uid"], two["user"]["uid"], "found by its address");
    assert_ne!(one["user"]["token"], two["user"]["token"], "a token of its own for each call");
    let uid = one["user"]["uid"].as_str().unwrap().to_owned();
    both("usertoken", &format!("uid={uid}&appid=a"), json!({"user": {"uid": uid, "token": {"appid": "a"}}}));
    both("userset", &format!("uid={uid}&active=1"), json!({"user": {"uid": uid, "active": true}}));
    let (one, _) = both("usersget", "addr=1800*", json!({"user": {"address": "1800*"}}));
    assert_eq!(one["users"][0]["address"], "18005551234");
    let (one, two) = both("groupadd", "name=Friends", json!({"group": {"name": "Friends"}}));
    assert_eq!((&one["group"]["gid"], &two["group"]["gid"]), (&json!(1), &json!(2)));
    let deleted = json!({"op": "userdel", "token": APP_TOKEN, "user": {"uid": uid}}).to_string();
    assert_eq!(state.perform(&fields("/backend/", deleted.as_bytes()))["result"], true);
    assert_eq!(state.perform(&fields("/backend/", deleted.as_bytes()))["error"], "BADUSER");
    let unknown = json!({"op": "x", "token": APP_TOKEN}).to_string();
    assert_eq!(state.perform(&fields("/", unknown.as_bytes())), json!({"op": "x", "result": false, "error": "BADOP"}));
    assert_eq!(state.perform(&fields("/api.php?op=otp&token=guess&sig=none", b""))["error"], "BADTOKEN");
}
