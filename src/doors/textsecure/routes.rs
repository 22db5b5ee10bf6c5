//! The list of all endpoints.

use http::{Method, StatusCode, header};

use super::answer::{self, Answer, Refusal};
use super::request::Request;
use super::{Door, accounts, messages, receipts, websocket};

/// Which endpoint. What stands in its path goes with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    SetPush,
    ClearPush,
    SendMessages,
    SendList,
    SendReceipt,
    Websocket,
}

/// Answers a request.
pub(super) async fn answer(door: &Door, request: Request) -> Answer {
    if request.method == Method::OPTIONS {
        return Ok(answer::status(StatusCode::OK));
    }
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let Some(endpoint) = endpoint(&request.method, &path) else { return wrong_method(&path) };
    match endpoint {
        Endpoint::SetPush => accounts::set_push(door, request).await,
        Endpoint::ClearPush => accounts::clear_push(door, request).await,
        Endpoint::SendMessages => messages::send(door, request).await,
        Endpoint::SendList => messages::send_list(door, request).await,
        Endpoint::SendReceipt => receipts::put(door, request).await,
        Endpoint::Websocket => websocket::open(door, request).await,
    }
}

fn endpoint(method: &Method, path: &[&str]) -> Option<Endpoint> {
    let found = match (method.as_str(), path) {
        ("PUT", ["v1", "accounts", "gcm" | "apn" | "web"]) => Endpoint::SetPush,
        ("DELETE", ["v1", "accounts", "gcm" | "apn" | "web"]) => Endpoint::ClearPush,
        ("PUT", ["v1", "messages", _]) => Endpoint::SendMessages,
        ("POST", ["v1", "messages"]) => Endpoint::SendList,
        ("PUT", ["v1", "receipt", _, _]) => Endpoint::SendReceipt,
        ("GET", ["v1", "websocket"]) => Endpoint::Websocket,
        _ => return None,
    };
    Some(found)
}

/// 405 where another method would do, 404 where none would.
fn wrong_method(path: &[&str]) -> Answer {
    let methods = [Method::GET, Method::PUT, Method::POST, Method::DELETE];
    let allowed: Vec<&str> =
        methods.iter().filter(|method| endpoint(method, path).is_some()).map(Method::as_str).collect();
    if allowed.is_empty() {
        return Err(Refusal::NOT_FOUND);
    }
    let mut response = answer::status(StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(allowed) = allowed.join(", ").parse() {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    Ok(response)
}
