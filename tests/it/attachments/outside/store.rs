//! A small store that speaks as much of S3 as is needed, and verifies signatures of version 4 by its own arithmetic, in the query
//! and in the header. It shares no code with the node.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

pub(super) const BUCKET: &str = "sealed-files";
pub(super) const REGION: &str = "eu-test-1";
pub(super) const ACCESS_KEY: &str = "AKIATESTACCESSKEY";
pub(super) const SECRET_KEY: &str = "a/secret+key=of the test";

/// How it misbehaves with what is asked in the header's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// 403, with everything in the body that such stores tell.
    Refuses,
    /// 503 to the next request only.
    BusyOnce,
}

struct Inside {
    objects: BTreeMap<String, Bytes>,
    ahead: Duration,
    trouble: Trouble,
}

/// Serves until dropped.
pub(super) struct Store {
    address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
    task: tokio::task::JoinHandle<()>,
}

impl Store {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inside = Inside { objects: BTreeMap::new(), ahead: Duration::ZERO, trouble: Trouble::None };
        let inside = Arc::new(Mutex::new(inside));
        let task = tokio::spawn(serve(listener, Arc::clone(&inside)));
        Self { address, inside, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The store's time from now on, ahead of the world's.
    pub(super) fn clock(&self, ahead: Duration) {
        lock(&self.inside).ahead = ahead;
    }

    pub(super) fn make(&self, trouble: Trouble) {
        lock(&self.inside).trouble = trouble;
    }

    /// What is in the bucket.
    pub(super) fn keys(&self) -> Vec<String> {
        lock(&self.inside).objects.keys().cloned().collect()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().expect("no test panics while it holds this")
}

async fn serve(listener: TcpListener, inside: Arc<Mutex<Inside>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let inside = Arc::clone(&inside);
        let service = service_fn(move |request| answer(Arc::clone(&inside), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(inside: Arc<Mutex<Inside>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, text) = decide(&mut lock(&inside), &head, body);
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status;
    Ok(response)
}

fn decide(inside: &mut Inside, head: &Parts, body: Bytes) -> (StatusCode, Bytes) {
    let now = Timestamp::now() + inside.ahead;
    let in_header = head.headers.contains_key("authorization");
    if let Err(why) = if in_header { in_the_header(head, &body) } else { in_the_query(head, now) } {
        return (StatusCode::FORBIDDEN, told(head, why));
    }
    match std::mem::replace(&mut inside.trouble, Trouble::None) {
        Trouble::Refuses if in_header => {
            inside.trouble = Trouble::Refuses;
            return (StatusCode::FORBIDDEN, told(head, "AccessDenied"));
        }
        Trouble::BusyOnce if in_header => return (StatusCode::SERVICE_UNAVAILABLE, Bytes::new()),
        _ => {}
    }
    let Some(key) = head.uri.path().strip_prefix(&format!("/{BUCKET}/")) else {
        return (StatusCode::NOT_FOUND, told(head, "NoSuchBucket"));
    };
    match head.method {
        Method::PUT => {
            inside.objects.insert(key.to_owned(), body);
            (StatusCode::OK, Bytes::new())
        }
        Method::GET => inside
            .objects
            .get(key)
            .map_or((StatusCode::NOT_FOUND, told(head, "NoSuchKey")), |object| (StatusCode::OK, object.clone())),
        Method::DELETE => {
            inside.objects.remove(key);
            (StatusCode::NO_CONTENT, Bytes::new())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
    }
}

/// Such stores repeat what they were told, keys and signatures too.
fn told(head: &Parts, why: &str) -> Bytes {
    let key = head.uri.path();
    let given = head.headers.get("authorization").map(|value| value.to_str().unwrap_or_default()).unwrap_or_default();
    format!("<Error><Code>{why}</Code><Key>{key}</Key><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId><SignatureProvided>{given}</SignatureProvided></Error>").into()
}

fn in_the_query(head: &Parts, now: Timestamp) -> Result<(), &'static str> {
    let query = head.uri.query().ok_or("AccessDenied")?;
    let mut pairs: Vec<&str> = query.split('&').collect();
    let value = |name: &str| {
        let found = pairs.iter().find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        found.map(str::to_owned).ok_or("AuthorizationQueryParametersError")
    };
    if value("X-Amz-Algorithm")? != "AWS4-HMAC-SHA256" || value("X-Amz-SignedHeaders")? != "host" {
        return Err("AuthorizationQueryParametersError");
    }
    let (date, credential) = (value("X-Amz-Date")?, value("X-Amz-Credential")?.replace("%2F", "/"));
    let (expires, given) = (value("X-Amz-Expires")?, value("X-Amz-Signature")?);
    pairs.retain(|pair| !pair.starts_with("X-Amz-Signature="));
    pairs.sort_unstable();
    let host = head.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let canonical =
        format!("{}\n{}\n{}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD", head.method, head.uri.path(), pairs.join("&"));
    if given != signature(&canonical, &date, &credential)? {
        return Err("SignatureDoesNotMatch");
    }
    let signed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &date).map_err(|_| "AccessDenied")?;
    let signed = signed.to_zoned(TimeZone::UTC).map_err(|_| "AccessDenied")?.timestamp();
    let life = Duration::from_secs(expires.parse().map_err(|_| "AccessDenied")?);
    if now > signed + life { Err("Request has expired") } else { Ok(()) }
}

fn in_the_header(head: &Parts, body: &[u8]) -> Result<(), &'static str> {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).ok_or("AccessDenied");
    let said = header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("AccessDenied")?;
    let part = |name: &str| {
        let found = said.split(',').find_map(|part| part.trim().strip_prefix(&format!("{name}=")));
        found.ok_or("AuthorizationHeaderMalformed")
    };
    let (credential, names, given) = (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
    let payload = header("x-amz-content-sha256")?;
    if payload != "UNSIGNED-PAYLOAD" && payload != hex::encode(Sha256::digest(body)) {
        return Err("XAmzContentSHA256Mismatch");
    }
    let mut headers = String::new();
    for name in names.split(';') {
        headers.push_str(&format!("{name}:{}\n", header(name)?.trim()));
    }
    let query = head.uri.query().unwrap_or_default();
    let canonical = format!("{}\n{}\n{query}\n{headers}\n{names}\n{payload}", head.method, head.uri.path());
    let right = signature(&canonical, header("x-amz-date")?, credential)?;
    if given == right { Ok(()) } else { Err("SignatureDoesNotMatch") }
}

/// Signature version 4, from its description.
fn signature(canonical: &str, date: &str, credential: &str) -> Result<String, &'static str> {
    let (key, scope) = credential.split_once('/').ok_or("InvalidAccessKeyId")?;
    let day = date.get(..8).ok_or("AccessDenied")?;
    if key != ACCESS_KEY || scope != format!("{day}/{REGION}/s3/aws4_request") {
        return Err("InvalidAccessKeyId");
    }
    let hashed = hex::encode(Sha256::digest(canonical));
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
    let mut key = format!("AWS4{SECRET_KEY}").into_bytes();
    for step in [day, REGION, "s3", "aws4_request"] {
        key = mac(&key, step);
    }
    Ok(hex::encode(mac(&key, &to_sign)))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
