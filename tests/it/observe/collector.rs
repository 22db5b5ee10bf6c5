//! A collector as somebody else would write it: OTLP over HTTP, in protobuf.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tokio::net::TcpListener;

/// A span as it came.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) name: String,
    /// `handfast.role` of who sent it.
    pub(super) role: String,
}

type Came = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// Takes spans until the test ends.
pub(super) struct Collector {
    address: SocketAddr,
    came: Came,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let came = Came::default();
        let all = Arc::clone(&came);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let all = Arc::clone(&all);
                tokio::spawn(async move {
                    let service = service_fn(move |request| take(request, Arc::clone(&all)));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, came }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far, by their beginning.
    pub(super) fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for (_, body) in self.came.lock().unwrap().iter() {
            for of in ExportTraceServiceRequest::decode(body.clone()).unwrap().resource_spans {
                let about = of.resource.unwrap_or_default().attributes;
                let role =
                    about.iter().find(|about| about.key == "handfast.role").and_then(|about| about.value.clone());
                let role = match role.and_then(|value| value.value) {
                    Some(Value::StringValue(role)) => role,
                    other => panic!("no role: {other:?}"),
                };
                for span in of.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    let one = Span {
                        trace: hex::encode(&span.trace_id),
                        id: hex::encode(&span.span_id),
                        parent: hex::encode(&span.parent_span_id),
                        name: span.name,
                        role: role.clone(),
                    };
                    spans.push((span.start_time_unix_nano, one));
                }
            }
        }
        spans.sort_by_key(|(began, _)| *began);
        spans.into_iter().map(|(_, span)| span).collect()
    }

    /// A header of the first request.
    pub(super) fn header(&self, name: &str) -> String {
        let came = self.came.lock().unwrap();
        came.first().and_then(|(headers, _)| headers.get(name)?.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// Whether anything that came holds these words.
    pub(super) fn holds(&self, words: &str) -> bool {
        self.came.lock().unwrap().iter().any(|(_, body)| body.windows(words.len()).any(|part| part == words.as_bytes()))
    }
}

async fn take(request: Request<Incoming>, all: Came) -> Result<Response<Full<Bytes>>, Infallible> {
    let good = request.method() == "POST"
        && request.uri().path() == "/v1/traces"
        && request.headers().get("content-type").is_some_and(|kind| kind == "application/x-protobuf");
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if good {
        all.lock().unwrap().push((head.headers, body));
    }
    let status = if good { 200 } else { 400 };
    Ok(Response::builder()
        .status(status)
        .header("content-type", "application/x-protobuf")
        .body(Full::default())
        .unwrap())
}
