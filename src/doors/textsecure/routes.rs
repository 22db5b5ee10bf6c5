//! The list of all endpoints.

use http::{Method, StatusCode, header};

use super::answer::{self, Answer, Refusal};
use super::request::Request;
use super::{
    Door, accounts, attachments, devices, directory, federation, keys, keys_v2, messages, receipts, registration,
    websocket,
};

/// Which endpoint. What stands in its path goes with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    RequestCode,
    Confirm,
    ProvisioningCode,
    JoinDevice,
    SetPush,
    ClearPush,
    PutKeys,
    CountKeys,
    GetFirstKey,
    GetKeys,
    PutKeysV2,
    GetKeysV2,
    PutSignedKey,
    GetSignedKey,
    FindTokens,
    FindToken,
    SendMessages,
    SendList,
    SendReceipt,
    FederationCount,
    FederationTokens,
    FederationKey,
    FederationKeys,
    FederationAttachment,
    FederationMessage,
    FederationMessages,
    FederationReceipt,
    AllocateAttachment,
    FindAttachment,
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
        Endpoint::RequestCode => registration::request_code(door, request).await,
        Endpoint::Confirm => registration::confirm(door, request).await,
        Endpoint::ProvisioningCode => devices::provisioning_code(door, request).await,
        Endpoint::JoinDevice => devices::join(door, request).await,
        Endpoint::SetPush => accounts::set_push(door, request).await,
        Endpoint::ClearPush => accounts::clear_push(door, request).await,
        Endpoint::PutKeys => keys::put(door, request).await,
        Endpoint::CountKeys => keys::count(door, request).await,
        Endpoint::GetFirstKey => keys::get_first(door, request).await,
        Endpoint::GetKeys => keys::get(door, request).await,
        Endpoint::PutKeysV2 => keys_v2::put(door, request).await,
        Endpoint::GetKeysV2 => keys_v2::get(door, request).await,
        Endpoint::PutSignedKey => keys_v2::put_signed(door, request).await,
        Endpoint::GetSignedKey => keys_v2::get_signed(door, request).await,
        Endpoint::FindTokens => directory::find_all(door, request).await,
        Endpoint::FindToken => directory::find(door, request).await,
        Endpoint::SendMessages => messages::send(door, request).await,
        Endpoint::SendList => messages::send_list(door, request).await,
        Endpoint::SendReceipt => receipts::put(door, request).await,
        Endpoint::FederationCount => federation::user_count(door, request).await,
        Endpoint::FederationTokens => federation::user_tokens(door, request).await,
        Endpoint::FederationKey => federation::key(door, request).await,
        Endpoint::FederationKeys => federation::keys(door, request).await,
        Endpoint::FederationAttachment => federation::attachment(door, request).await,
        Endpoint::FederationMessage => federation::message(door, request).await,
        Endpoint::FederationMessages => federation::messages(door, request).await,
        Endpoint::FederationReceipt => federation::receipt(door, request).await,
        Endpoint::AllocateAttachment => attachments::allocate(door, request).await,
        Endpoint::FindAttachment => attachments::find(door, request).await,
        Endpoint::Websocket => websocket::open(door, request).await,
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
        ("PUT", ["v1", "keys"]) => Endpoint::PutKeys,
        ("GET", ["v1" | "v2", "keys"]) => Endpoint::CountKeys,
        ("GET", ["v1", "keys", _]) => Endpoint::GetFirstKey,
        ("GET", ["v1", "keys", _, _]) => Endpoint::GetKeys,
        ("PUT", ["v2", "keys"]) => Endpoint::PutKeysV2,
        ("PUT", ["v2", "keys", "signed"]) => Endpoint::PutSignedKey,
        ("GET", ["v2", "keys", "signed"]) => Endpoint::GetSignedKey,
        ("GET", ["v2", "keys", _, _]) => Endpoint::GetKeysV2,
        ("PUT", ["v1", "directory", "tokens"]) => Endpoint::FindTokens,
        // A token may hold slashes.
        ("GET", ["v1", "directory", _, ..]) => Endpoint::FindToken,
        ("PUT", ["v1", "messages", _]) => Endpoint::SendMessages,
        ("POST", ["v1", "messages"]) => Endpoint::SendList,
        ("PUT", ["v1", "receipt", _, _]) => Endpoint::SendReceipt,
        ("GET", ["v1", "federation", "user_count"]) => Endpoint::FederationCount,
        ("GET", ["v1", "federation", "user_tokens", _]) => Endpoint::FederationTokens,
        ("GET", ["v1", "federation", "key", _]) => Endpoint::FederationKey,
        ("GET", ["v1", "federation", "key", _, _]) => Endpoint::FederationKeys,
        ("GET", ["v1", "federation", "attachment", _]) => Endpoint::FederationAttachment,
        ("PUT", ["v1", "federation", "message"]) => Endpoint::FederationMessage,
        ("PUT", ["v1", "federation", "messages", _, _, _]) => Endpoint::FederationMessages,
        // Without the word: so the server of July 2014 calls it.
        ("PUT", ["v1", "receipt", _, _, _, _]) => Endpoint::FederationReceipt,
        ("GET", ["v1", "attachments"]) => Endpoint::AllocateAttachment,
        ("GET", ["v1", "attachments", _]) => Endpoint::FindAttachment,
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
