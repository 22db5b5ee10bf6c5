//! The peers' web server: Apache with PHP behind it (or Express), over TLS, one task a connection. A script runs to its
//! end even when the caller has gone, as PHP's do.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::{
    handshake,
    hostile::{self, Endpoint, Trick},
    message,
    node::{Node, Seen, lock},
    php::{self, Answer},
};

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// Returned to hyper to make it close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the peer hangs up")]
struct HangUp;

/// Serves until dropped; dropping it closes every connection.
pub(crate) async fn serve(listener: TcpListener, tls: TlsAcceptor, node: Arc<Node>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve_connection(stream, tls.clone(), node.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, tls: TlsAcceptor, node: Arc<Node>) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| answer(node.clone(), request));
    // An error here is a caller that went away or a trick that hung up; both are the test's own doing.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(node: Arc<Node>, request: Request<Incoming>) -> Result<Reply, HangUp> {
    let seen = read(request).await?;
    node.saw(seen.clone());
    let path = seen.path.split('?').next().unwrap_or("").to_owned();
    let Some(endpoint) = route(&node, &path) else { return Ok(not_found(&node, &path)) };
    let trick = lock(&node.tricks).take(endpoint, &node.domain, &path);
    match trick {
        Some(trick) => perform(trick, node, endpoint, &path, seen.body).await,
        None => Ok(page(&node, run(node.clone(), endpoint, seen.body).await)),
    }
}

async fn read(request: Request<Incoming>) -> Result<Seen, HangUp> {
    let (head, body) = request.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Seen {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        version: head.version,
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: body.collect().await.map_err(|_| HangUp)?.to_bytes(),
    })
}

fn route(node: &Node, path: &str) -> Option<Endpoint> {
    if node.traits.express {
        return match path.trim_end_matches('/') {
            "/openmsg/auth" => Some(Endpoint::Auth),
            "/openmsg/auth/confirm" => Some(Endpoint::AuthConfirm),
            _ => None,
        };
    }
    let (folder, name) = path.strip_suffix('/')?.rsplit_once('/')?;
    let served =
        matches!(folder, "/openmsg" | "/openmsg/moved") || (folder == "/openmsg/sandbox" && node.traits.sandbox);
    endpoints().into_iter().find(|endpoint| served && endpoint.name() == name)
}

fn endpoints() -> [Endpoint; 4] {
    [Endpoint::Auth, Endpoint::AuthConfirm, Endpoint::MessageReceive, Endpoint::MessageConfirm]
}

/// Runs the endpoint's script, to its end whether or not the caller waits.
async fn run(node: Arc<Node>, endpoint: Endpoint, body: Bytes) -> Answer {
    let script = async move {
        let data = php::decode(&body);
        match endpoint {
            Endpoint::Auth => handshake::auth(&node, &data).await,
            Endpoint::AuthConfirm => handshake::auth_confirm(&node, &data),
            Endpoint::MessageReceive => message::receive(&node, &data).await,
            Endpoint::MessageConfirm => message::confirm(&node, &data),
        }
    };
    tokio::spawn(script).await.unwrap_or(Answer::Crash)
}

async fn perform(trick: Trick, node: Arc<Node>, endpoint: Endpoint, path: &str, body: Bytes) -> Result<Reply, HangUp> {
    let json = |text: String| Ok(page(&node, Answer::Json(text)));
    match trick {
        Trick::No => json(hostile::refusal(None)),
        Trick::Code(code) => json(hostile::refusal(Some(code))),
        Trick::Body(body) => Ok(html(StatusCode::OK, body)),
        Trick::Status(status, body) => Ok(html(status_code(status), body.into())),
        Trick::Garbage => Ok(html(StatusCode::OK, Bytes::from_static(b"\xff\xfe{\"success\":tru\x00"))),
        Trick::Huge(size) => json(format!("{{\"success\":true,\"padding\":\"{}\"}}", "x".repeat(size))),
        Trick::Redirect(status, location) => Ok(redirect(status, &location)),
        Trick::RedirectLoop(status) => Ok(redirect(status, path)),
        Trick::Hang => std::future::pending().await,
        Trick::CloseBefore => Err(HangUp),
        Trick::CloseAfter => {
            run(node, endpoint, body).await;
            Err(HangUp)
        }
        Trick::Late(delay) => {
            let answer = run(node.clone(), endpoint, body).await;
            sleep(delay).await;
            Ok(page(&node, answer))
        }
        Trick::Drip(pause) => {
            let reply = page(&node, run(node.clone(), endpoint, body).await);
            Ok(drip(reply, pause).await)
        }
    }
}

/// A script's output as it arrives: for PHP with its content type and the blank lines of the files it includes.
fn page(node: &Node, answer: Answer) -> Reply {
    match answer {
        Answer::Crash => html(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()),
        Answer::Json(json) if node.traits.express => {
            let mut reply = html(StatusCode::OK, json.into());
            let kind = http::HeaderValue::from_static("application/json; charset=utf-8");
            reply.headers_mut().insert(header::CONTENT_TYPE, kind);
            reply
        }
        Answer::Json(json) => html(StatusCode::OK, format!("\r\n\r\n{json}\r\n\r\n").into()),
    }
}

/// Apache redirects a folder without its slash; Express and everything else is not found.
fn not_found(node: &Node, path: &str) -> Reply {
    let slashed = format!("{path}/");
    if !node.traits.express && route(node, &slashed).is_some() {
        return redirect(301, &format!("https://{}{slashed}", node.domain));
    }
    html(StatusCode::NOT_FOUND, "<html><body><h1>Not Found</h1></body></html>".into())
}

fn redirect(status: u16, location: &str) -> Reply {
    let mut reply = html(status_code(status), "<html><body>Moved</body></html>".into());
    let location = http::HeaderValue::from_str(location).expect("a test's location is a header value");
    reply.headers_mut().insert(header::LOCATION, location);
    reply
}

fn html(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body).boxed());
    *reply.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/html; charset=UTF-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply
}

async fn drip(reply: Reply, pause: Duration) -> Reply {
    let (head, body) = reply.into_parts();
    let Ok(whole) = body.collect().await;
    let drops = stream::unfold(whole.to_bytes(), move |mut rest| async move {
        sleep(pause).await;
        let drop = (!rest.is_empty()).then(|| rest.split_to(1))?;
        Some((Ok(Frame::data(drop)), rest))
    });
    Response::from_parts(head, BodyExt::boxed(StreamBody::new(Box::pin(drops))))
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a test's status is one")
}
