//! The list of all endpoints. Adding one is a function in its file and a line here.

use futures_util::future::BoxFuture;
use http::Method;

use crate::senders::Scope;

use super::call::{Answer, Call};
use super::problem::Problem;
use super::{
    accounts, apps, audit, campaigns, connections, deliveries, destinations, events, homing, hub, inbox, keys,
    messages, otp, overview, passcodes, phones, webhooks,
};

/// One endpoint.
pub(super) struct Route {
    method: Method,
    /// Segments; `{…}` matches any one and is handed to the endpoint.
    path: &'static str,
    /// The scope a key needs; all methods but GET need it in full, GET also works with `NAME:read`.
    pub(super) scope: Scope,
    pub(super) run: fn(Call) -> BoxFuture<'static, Answer>,
    /// It writes, and is no change of the node: what senders, devices and people who sign in do all day is in the books.
    traffic: bool,
    /// Method and path, for the record of changes.
    name: &'static str,
}

impl Route {
    /// Whether it changes anything.
    pub(super) fn writes(&self) -> bool {
        self.method != Method::GET
    }

    /// Whether it is written down who asked for it.
    pub(super) fn is_audited(&self) -> bool {
        self.writes() && !self.traffic
    }

    /// Its method.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Its path, with `{…}` for what is handed to the endpoint.
    pub(super) fn path(&self) -> &'static str {
        self.path
    }

    /// `METHOD path`.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

macro_rules! routes {
    ($($scope:ident { $($method:ident $path:literal => $run:path $(, $traffic:ident)?;)+ })+) => {
        &[$($(Route {
            method: Method::$method,
            path: $path,
            scope: Scope::$scope,
            run: |call| Box::pin($run(call)),
            traffic: traffic!($($traffic)?),
            name: concat!(stringify!($method), " ", $path),
        },)+)+]
    };
}

macro_rules! traffic {
    () => {
        false
    };
    (traffic) => {
        true
    };
}

static ROUTES: &[Route] = routes! {
    Accounts {
        POST "accounts" => accounts::create;
        POST "accounts/batch" => accounts::create_many;
        GET "accounts" => accounts::list;
        GET "accounts/{address}" => accounts::show;
        PATCH "accounts/{address}" => accounts::update;
        POST "accounts/{address}/disable" => accounts::disable;
        POST "accounts/{address}/enable" => accounts::enable;
    }
    Passcodes {
        POST "accounts/{address}/passcodes" => passcodes::issue;
        GET "accounts/{address}/passcodes" => passcodes::list;
        DELETE "accounts/{address}/passcodes" => passcodes::withdraw_all;
        DELETE "accounts/{address}/passcodes/{id}" => passcodes::withdraw;
    }
    Connections {
        POST "connections" => connections::start;
        GET "handshakes/{id}" => connections::handshake;
        GET "connections" => connections::list;
        GET "connections/{id}" => connections::show;
        POST "connections/{id}/block" => connections::block;
        POST "connections/{id}/unblock" => connections::unblock;
        DELETE "connections/{id}" => connections::delete;
    }
    Messages {
        POST "messages" => messages::accept, traffic;
        POST "messages/batch" => messages::accept_many, traffic;
        GET "messages" => messages::list;
        GET "messages/summary" => messages::summary;
        GET "messages/{id}" => messages::show;
        POST "messages/{id}/cancel" => messages::cancel;
    }
    Deliveries {
        GET "deliveries" => deliveries::list;
        GET "deliveries/count" => deliveries::count;
        POST "deliveries/replay" => deliveries::replay_many;
        POST "deliveries/cancel" => deliveries::cancel_many;
        GET "deliveries/{id}" => deliveries::show;
        POST "deliveries/{id}/replay" => deliveries::replay;
        POST "replays" => deliveries::begin_replay;
        POST "cancellations" => deliveries::begin_cancel;
        GET "operations" => deliveries::operations;
        GET "operations/{id}" => deliveries::operation;
        GET "operations/{id}/results" => deliveries::results;
        POST "operations/{id}/pause" => deliveries::pause_operation;
        POST "operations/{id}/resume" => deliveries::resume_operation;
        POST "operations/{id}/cancel" => deliveries::cancel_operation;
    }
    Campaigns {
        POST "campaigns" => campaigns::create;
        GET "campaigns" => campaigns::list;
        GET "campaigns/{id}" => campaigns::show;
        PATCH "campaigns/{id}" => campaigns::update;
        POST "campaigns/{id}/rows" => campaigns::take, traffic;
        POST "campaigns/{id}/close" => campaigns::close;
        POST "campaigns/{id}/pause" => campaigns::pause;
        POST "campaigns/{id}/resume" => campaigns::resume;
        POST "campaigns/{id}/cancel" => campaigns::cancel;
        GET "campaigns/{id}/errors" => campaigns::errors;
        GET "campaigns/{id}/report" => campaigns::report;
    }
    Inbox {
        GET "inbox" => inbox::list;
        GET "inbox/count" => inbox::count;
        GET "inbox/stream" => inbox::stream;
        POST "inbox/ack" => inbox::acknowledge_many, traffic;
        GET "inbox/{id}" => inbox::show;
        POST "inbox/{id}/ack" => inbox::acknowledge, traffic;
    }
    Events {
        GET "events" => events::list;
        GET "events/stream" => events::stream;
    }
    Webhooks {
        POST "webhooks" => webhooks::create;
        GET "webhooks" => webhooks::list;
        GET "webhooks/{name}" => webhooks::show;
        PATCH "webhooks/{name}" => webhooks::update;
        DELETE "webhooks/{name}" => webhooks::delete;
        POST "webhooks/{name}/rotate" => webhooks::rotate;
        POST "webhooks/{name}/test" => webhooks::test;
        POST "webhooks/{name}/disable" => webhooks::disable;
        POST "webhooks/{name}/enable" => webhooks::enable;
    }
    Destinations {
        GET "destinations" => destinations::list;
        GET "destinations/{name}" => destinations::show;
        PATCH "destinations/{name}" => destinations::update;
        POST "destinations/{name}/pause" => destinations::pause;
        POST "destinations/{name}/resume" => destinations::resume;
    }
    Phones {
        GET "phones" => phones::list;
        GET "phones/{number}" => phones::show;
        POST "phones/{number}/disable" => phones::disable;
        POST "phones/{number}/enable" => phones::enable;
        DELETE "phones/{number}" => phones::unregister;
        POST "phones/{number}/test-push" => phones::test_push;
        GET "peers" => phones::peers;
    }
    Logins {
        POST "otp/start" => otp::start, traffic;
        POST "otp/verify" => otp::verify, traffic;
        POST "otp/introspect" => otp::introspect, traffic;
        DELETE "otp/session" => otp::sign_out, traffic;
    }
    Apps {
        POST "apps" => apps::create;
        GET "apps" => apps::list;
        GET "apps/{appid}" => apps::show;
        PATCH "apps/{appid}" => apps::update;
        DELETE "apps/{appid}" => apps::delete;
        POST "apps/{appid}/unlock" => apps::unlock;
        GET "sessions" => apps::sessions;
        DELETE "sessions/{id}" => apps::revoke;
    }
    Homing {
        POST "homing/introspect" => homing::introspect, traffic;
        GET "homing/sites" => hub::list;
        GET "homing/sites/{id}" => hub::show;
        PATCH "homing/sites/{id}" => hub::change;
        GET "homing/keys" => hub::keys;
        POST "homing/keys/rotate" => hub::rotate;
    }
    Keys {
        POST "keys" => keys::create;
        GET "keys" => keys::list;
        DELETE "keys/{id}" => keys::revoke;
    }
    Node {
        GET "overview" => overview::show;
        GET "audit" => audit::list;
        GET "configuration" => audit::configuration;
    }
};

/// The route of a request, with the path's parameters decoded; HEAD is answered as GET without its body.
pub(super) fn find(method: &Method, path: &str) -> Result<(&'static Route, Vec<String>), Problem> {
    let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    let method = if method == Method::HEAD { &Method::GET } else { method };
    // A fixed path (`inbox/count`) goes before one with a parameter in its place (`inbox/{id}`), whatever the method.
    let matching = || ROUTES.iter().filter(|route| matches(route.path, &segments));
    let fewest = matching().map(|route| parameters_in(route.path)).min();
    let Some(fewest) = fewest else { return Err(Problem::not_found("path in this API")) };
    let mut candidates = matching().filter(|route| parameters_in(route.path) == fewest);
    match candidates.clone().find(|route| route.method == *method) {
        Some(route) => Ok((route, parameters(route.path, &segments).ok_or_else(|| Problem::not_found("path"))?)),
        None => {
            let head = candidates.clone().any(|route| route.method == Method::GET).then_some("HEAD");
            let allowed: Vec<&str> = candidates.by_ref().map(|route| route.method.as_str()).chain(head).collect();
            Err(Problem::method_not_allowed(allowed.join(", ")))
        }
    }
}

/// The route's path as written above: fit for a log, unlike the request's.
pub(super) fn name(method: &Method, path: &str) -> &'static str {
    find(method, path).map_or("none", |(route, _)| route.path)
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{')
}

fn parameters_in(path: &str) -> usize {
    path.split('/').filter(|segment| is_parameter(segment)).count()
}

fn matches(path: &str, segments: &[&str]) -> bool {
    let mut given = segments.iter();
    let all = path.split('/').all(|wanted| {
        given.next().is_some_and(|segment| if is_parameter(wanted) { !segment.is_empty() } else { wanted == *segment })
    });
    all && given.next().is_none()
}

fn parameters(path: &str, segments: &[&str]) -> Option<Vec<String>> {
    path.split('/').zip(segments).filter(|(wanted, _)| is_parameter(wanted)).map(|(_, given)| decode(given)).collect()
}

/// Percent-decoding of one segment (RFC 3986, 2.1); nothing where the result is not UTF-8.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            byte => byte,
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doors::api::problem::Kind;
    use proptest::prelude::*;

    fn path_of(method: Method, path: &str) -> Result<(&'static str, Vec<String>), Kind> {
        find(&method, path).map(|(route, parameters)| (route.path, parameters)).map_err(|problem| problem.kind())
    }

    #[test]
    fn fixed_paths_go_before_parameters() {
        let found = |method, path| path_of(method, path).unwrap();
        assert_eq!(found(Method::GET, "inbox/count"), ("inbox/count", vec![]));
        assert_eq!(found(Method::HEAD, "inbox/x/"), ("inbox/{id}", vec!["x".into()]));
        assert_eq!(found(Method::GET, "accounts/1000%2Aour.example").1, ["1000*our.example"]);
        assert_eq!(found(Method::DELETE, "accounts/1/passcodes/2").1, ["1", "2"]);
        for path in ["phones/+14155550101", "phones/%2B14155550101", "phones/%2b14155550101/"] {
            assert_eq!(found(Method::GET, path), ("phones/{number}", vec!["+14155550101".into()]));
        }
    }

    #[test]
    fn what_is_not_there_is_404_and_another_method_405() {
        for path in ["", "/", "nothing", "accounts//passcodes", "messages/1/2", "inbox/%ff", "inbox/%2", "accounts/%zz"]
        {
            assert_eq!(path_of(Method::GET, path), Err(Kind::NotFound), "{path}");
        }
        assert_eq!(path_of(Method::PUT, "accounts"), Err(Kind::MethodNotAllowed));
        assert_eq!(path_of(Method::POST, "inbox/count"), Err(Kind::MethodNotAllowed));
        let problem = find(&Method::DELETE, "messages").err().unwrap();
        assert_eq!(problem.detail(), "Allowed here: POST, GET, HEAD.");
    }

    #[test]
    fn every_route_of_the_contract_is_here_and_the_other_way_round() {
        let contract = include_str!("../../../docs/api.md");
        let plain =
            |path: &str| path.split('/').map(|s| if is_parameter(s) { "{}" } else { s }).collect::<Vec<_>>().join("/");
        let mut promised: Vec<(String, String)> = Vec::new();
        for line in contract.lines().filter(|line| line.starts_with("| `")) {
            let cell = line[1..].split(" | ").next().unwrap_or_default();
            let mut method = "";
            for quoted in cell.split('`').skip(1).step_by(2) {
                let words: Vec<&str> = quoted.split(' ').collect();
                let path = match words.as_slice() {
                    [first, path, ..] if first.chars().all(|c| c.is_ascii_uppercase()) => {
                        method = first;
                        (*path).to_owned()
                    }
                    [other] if other.starts_with('…') => {
                        let before = promised.last().map(|(_, path)| path.clone()).unwrap_or_default();
                        let stem = before.rsplit_once('/').map_or("", |(stem, _)| stem);
                        format!("/{stem}{}", other.trim_start_matches('…'))
                    }
                    _ => continue,
                };
                let path = path.split(['?', '[']).next().unwrap_or_default();
                promised.push((method.into(), plain(path.trim_start_matches('/'))));
            }
        }
        let mut kept: Vec<_> = ROUTES.iter().map(|route| (route.method.to_string(), plain(route.path))).collect();
        promised.sort();
        promised.dedup();
        kept.sort();
        assert_eq!(promised, kept);
    }

    #[test]
    fn what_writes_is_written_down_unless_it_is_traffic() {
        let traffic: Vec<&str> = ROUTES.iter().filter(|route| route.traffic).map(Route::name).collect();
        // Nothing joins this list by mistake: each is what senders, devices and people who sign in do all day.
        let known = [
            "POST messages",
            "POST messages/batch",
            "POST campaigns/{id}/rows",
            "POST inbox/ack",
            "POST inbox/{id}/ack",
            "POST otp/start",
            "POST otp/verify",
            "POST otp/introspect",
            "DELETE otp/session",
            "POST homing/introspect",
        ];
        assert_eq!(traffic, known);
        assert!(ROUTES.iter().all(|route| route.is_audited() == (route.writes() && !known.contains(&route.name()))));
    }

    proptest! {
        #[test]
        fn any_path_is_answered(path: String) {
            let _ = find(&Method::GET, &path);
        }
    }
}
