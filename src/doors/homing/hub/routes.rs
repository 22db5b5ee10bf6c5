//! The list of all endpoints.

use http::Method;

use super::answer::{Answer, Refused};
use super::request::Request;
use super::{Door, merchant, notices, personas, sites, spaces, welcomes};
use crate::hub::Refusal;

/// Which endpoint. What stands in its path goes with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    AskWelcome,
    WelcomeStatus,
    Keys,
    CreateSpace,
    Challenge,
    Login,
    Logout,
    FetchVault,
    PutVault,
    Personas,
    CreatePersona,
    DeletePersona,
    Inbox,
    Welcome,
    Approve,
    Deny,
    CreateSite,
    Sites,
    NewSauce,
    DeleteSite,
    SiteStats,
    Notices,
    AddNotice,
    ConfirmNotice,
    RemoveNotice,
}

/// Whether a request does nothing but wait for welcomes.
pub(super) fn waits(request: &Request) -> bool {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    endpoint(&request.method, &path) == Some(Endpoint::Inbox)
}

/// Answers a request.
pub(super) async fn answer(door: &Door, request: Request) -> Answer {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let Some(endpoint) = endpoint(&request.method, &path) else { return Err(wrong_method(&path)) };
    match endpoint {
        Endpoint::AskWelcome => merchant::ask(door, request).await,
        Endpoint::WelcomeStatus => merchant::status(door, request).await,
        Endpoint::Keys => merchant::keys(door).await,
        Endpoint::CreateSpace => spaces::create(door, request).await,
        Endpoint::Challenge => spaces::challenge(door, request).await,
        Endpoint::Login => spaces::login(door, request).await,
        Endpoint::Logout => spaces::logout(door, request).await,
        Endpoint::FetchVault => spaces::fetch_vault(door, request).await,
        Endpoint::PutVault => spaces::put_vault(door, request).await,
        Endpoint::Personas => personas::list(door, request).await,
        Endpoint::CreatePersona => personas::create(door, request).await,
        Endpoint::DeletePersona => personas::delete(door, request).await,
        Endpoint::Inbox => welcomes::inbox(door, request).await,
        Endpoint::Welcome => welcomes::show(door, request).await,
        Endpoint::Approve => welcomes::approve(door, request).await,
        Endpoint::Deny => welcomes::deny(door, request).await,
        Endpoint::CreateSite => sites::create(door, request).await,
        Endpoint::Sites => sites::list(door, request).await,
        Endpoint::NewSauce => sites::new_sauce(door, request).await,
        Endpoint::DeleteSite => sites::delete(door, request).await,
        Endpoint::SiteStats => sites::stats(door, request).await,
        Endpoint::Notices => notices::list(door, request).await,
        Endpoint::AddNotice => notices::add(door, request).await,
        Endpoint::ConfirmNotice => notices::confirm(door, request).await,
        Endpoint::RemoveNotice => notices::remove(door, request).await,
    }
}

fn endpoint(method: &Method, path: &[&str]) -> Option<Endpoint> {
    let found = match (method.as_str(), path) {
        ("POST", ["welcome"]) => Endpoint::AskWelcome,
        ("GET", ["welcome", _]) => Endpoint::WelcomeStatus,
        ("GET", ["keys"]) => Endpoint::Keys,
        ("POST", ["spaces"]) => Endpoint::CreateSpace,
        ("POST", ["spaces", "challenge"]) => Endpoint::Challenge,
        ("POST", ["spaces", "login"]) => Endpoint::Login,
        ("POST", ["spaces", "logout"]) => Endpoint::Logout,
        ("POST", ["vault", "fetch"]) => Endpoint::FetchVault,
        ("PUT", ["vault"]) => Endpoint::PutVault,
        ("GET", ["personas"]) => Endpoint::Personas,
        ("POST", ["personas"]) => Endpoint::CreatePersona,
        ("DELETE", ["personas", _]) => Endpoint::DeletePersona,
        ("GET", ["inbox"]) => Endpoint::Inbox,
        ("GET", ["welcomes", _]) => Endpoint::Welcome,
        ("POST", ["welcomes", _, "approve"]) => Endpoint::Approve,
        ("POST", ["welcomes", _, "deny"]) => Endpoint::Deny,
        ("POST", ["sites"]) => Endpoint::CreateSite,
        ("GET", ["sites"]) => Endpoint::Sites,
        ("POST", ["sites", _, "sauce"]) => Endpoint::NewSauce,
        ("DELETE", ["sites", _]) => Endpoint::DeleteSite,
        ("GET", ["sites", _, "stats"]) => Endpoint::SiteStats,
        ("GET", ["notices"]) => Endpoint::Notices,
        ("POST", ["notices"]) => Endpoint::AddNotice,
        ("POST", ["notices", _, "confirm"]) => Endpoint::ConfirmNotice,
        ("DELETE", ["notices", _]) => Endpoint::RemoveNotice,
        _ => return None,
    };
    Some(found)
}

/// 405 where another method would do, 404 where none would.
fn wrong_method(path: &[&str]) -> Refused {
    let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
    let allowed: Vec<&str> =
        methods.iter().filter(|method| endpoint(method, path).is_some()).map(Method::as_str).collect();
    if allowed.is_empty() { Refusal::NotFound.into() } else { Refused::method(allowed.join(", ")) }
}
