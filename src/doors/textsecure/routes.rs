//! The list of all endpoints.

use http::{Method, StatusCode, header};

use super::answer::{self, Answer, Refusal};
use super::request::Request;
use super::{Door, accounts, devices, registration};

/// Which endpoint. What stands in its path goes with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    RequestCode,
    Confirm,
    ProvisioningCode,
    JoinDevice,
    SetPush,
    ClearPush,
}

/// Answers a request.
pub(super) async fn answer(door: &Door, request: Request) -> Answer {
    if request.method == Method::OPTIONS {
        return Ok(answer::status(StatusCode::OK));
    }
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let Some(endpoint) = endpoint(&request.method, &path) else { return wrong_method(&path) };
    match endpoint {
        Endpoint::RequestCode => registration::request_code(door, request).await,
        Endpoint::Confirm => registration::confirm(door, request).await,
        Endpoint::ProvisioningCode => devices::provisioning_code(door, request).await,
        Endpoint::JoinDevice => devices::join(door, request).await,
        Endpoint::SetPush => accounts::set_push(door, request).await,
        Endpoint::ClearPush => accounts::clear_push(door, request).await,
    }
}

fn endpoint(method: &Method, path: &[&str]) -> Option<Endpoint> {
    let found = match (method.as_str(), path) {
        ("GET", ["v1", "accounts", _, "code", _]) => Endpoint::RequestCode,
        // The second spelling is the descriptions'.
        ("PUT", ["v1", "accounts" | "acccounts", "code", _]) => Endpoint::Confirm,
        ("GET", ["v1", "devices", "provisioning_code"] | ["v1", "devices", "provisioning", "code"]) => {
            Endpoint::ProvisioningCode
        }
        ("PUT", ["v1", "devices", _]) => Endpoint::JoinDevice,
        ("PUT", ["v1", "accounts", "gcm" | "apn" | "web"]) => Endpoint::SetPush,
        ("DELETE", ["v1", "accounts", "gcm" | "apn" | "web"]) => Endpoint::ClearPush,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_lead_to_the_same_endpoint() {
        for path in [["v1", "accounts", "code", "123456"], ["v1", "acccounts", "code", "123456"]] {
            assert_eq!(endpoint(&Method::PUT, &path), Some(Endpoint::Confirm));
            assert_eq!(endpoint(&Method::GET, &path), None);
        }
        assert_eq!(endpoint(&Method::PUT, &["v2", "accounts", "code", "123456"]), None);
    }
}
