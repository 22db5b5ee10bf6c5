//! A way to a node that is bad at first: refused for now, refused for too much, and then an answer that is lost after the node
//! has done what it was asked.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, Method};
use tokio::net::TcpListener;
use warp::Filter;
use warp::reply::Response;

/// Serves until the test ends.
pub(super) struct BadWay;

impl BadWay {
    /// Its URL.
    pub(super) async fn to(url: &str) -> String {
        let (count, url) = (Arc::new(AtomicUsize::new(0)), url.to_owned());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let parts = warp::path::full().and(warp::method()).and(warp::header::headers_cloned()).and(warp::body::bytes());
        let filter =
            parts.then(move |path: warp::path::FullPath, method: Method, headers: HeaderMap, body: bytes::Bytes| {
                let (n, url, http) =
                    (count.fetch_add(1, Ordering::SeqCst), format!("{url}{}", path.as_str()), http.clone());
                async move {
                    match n {
                        0 => return refusal(503),
                        1 => return refusal(429),
                        _ => {}
                    }
                    let wanted = headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
                    let headers: HeaderMap = wanted.filter(|(name, _)| *name != http::header::HOST).collect();
                    let answer = http.request(method, url).headers(headers).body(body).send().await.unwrap();
                    let status = answer.status();
                    let body = answer.bytes().await.unwrap();
                    // It was done, and nobody is told.
                    if n == 2 {
                        return refusal(503);
                    }
                    let mut response = Response::new(body.to_vec().into());
                    *response.status_mut() = status;
                    response
                }
            });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(warp::serve(filter).incoming(listener).run());
        format!("http://{address}")
    }
}

fn refusal(status: u16) -> Response {
    let body = r#"{"type":"urn:handfast:problem:unavailable","title":"","status":503,"detail":"later"}"#;
    let mut response = Response::new(body.as_bytes().to_vec().into());
    *response.status_mut() = status.try_into().unwrap();
    response.headers_mut().insert("retry-after", "1".parse().unwrap());
    response
}
