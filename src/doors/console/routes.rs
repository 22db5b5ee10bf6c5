//! The list of all pages, and of all changes that can be made on them. Adding one is a function in its file and a line here.

use futures_util::future::BoxFuture;
use http::Method;

use super::call::{Answer, Call, Changed};
use super::{
    accounts, apps, audit, campaigns, configuration, connections, dead, deliveries, destinations, keys, operations,
    overview, phones, webhooks,
};
use crate::doors::paths::{matches, parameters, parameters_in, segments};
use crate::doors::site::frame::Group;
use crate::senders::{Scope, Scopes};

/// One page, or one change.
pub(super) struct Page {
    /// Segments below `/console/`; `{…}` matches any one and is handed to the page.
    pub(super) path: &'static str,
    /// The scope it needs: to read for a page, to change for a change. None: everybody who is signed in.
    pub(super) scope: Option<Scope>,
    /// Where the navigation lists it: under which heading, and in which words.
    listed: Option<(&'static str, &'static str)>,
    /// What it does.
    pub(super) run: Run,
}

/// What a page does.
pub(super) enum Run {
    /// Answers a page.
    Look(fn(Call) -> BoxFuture<'static, Answer>),
    /// Makes a change that is written down under `name`, with the path's parameters and the fields `told`.
    Change { run: fn(Call) -> BoxFuture<'static, Changed>, name: &'static str, told: &'static [&'static str] },
}

/// A page: `look!(scope, "path", function)`, with `"heading" / "words"` before the function where the navigation lists it.
macro_rules! look {
    ($scope:expr, $path:literal, $heading:literal / $words:literal, $run:path) => {
        Page {
            path: $path,
            scope: $scope,
            listed: Some(($heading, $words)),
            run: Run::Look(|call| Box::pin($run(call))),
        }
    };
    ($scope:expr, $path:literal, $run:path) => {
        Page { path: $path, scope: $scope, listed: None, run: Run::Look(|call| Box::pin($run(call))) }
    };
}

/// A change: `change!(scope, "path", "console: what it is called" ["fields", "told"], function)`. Fields that are told are written
/// down as they are: none of them may hold a secret. Where an empty one changes something, what it means stands behind it:
/// `"rate=none"`.
macro_rules! change {
    ($scope:expr, $path:literal, $name:literal [$($told:literal),*], $run:path) => {
        Page {
            path: $path,
            scope: Some($scope),
            listed: None,
            run: Run::Change { run: |call| Box::pin($run(call)), name: $name, told: &[$($told),*] },
        }
    };
}

/// In the order of the navigation.
static PAGES: &[Page] = &[
    look!(None, "", "" / "Overview", overview::show),
    look!(Some(Scope::Deliveries), "deliveries", "Sending" / "Deliveries", deliveries::list),
    look!(Some(Scope::Deliveries), "deliveries/{id}", deliveries::show),
    change!(Scope::Deliveries, "deliveries/{id}/replay", "console: replay delivery" [], deliveries::replay),
    change!(Scope::Deliveries, "deliveries/{id}/cancel", "console: cancel delivery" [], deliveries::cancel),
    look!(Some(Scope::Deliveries), "dead", "Sending" / "Dead letters", dead::show),
    look!(Some(Scope::Deliveries), "replays/new", dead::new_replay),
    change!(Scope::Deliveries, "replays", "console: replay deliveries" ["destination", "state", "status", "code", "campaign", "tag", "from", "to", "sender", "since", "until", "rate"], dead::replay),
    look!(Some(Scope::Deliveries), "cancellations/new", dead::new_cancel),
    change!(Scope::Deliveries, "cancellations", "console: cancel deliveries" ["destination", "state", "status", "code", "campaign", "tag", "from", "to", "sender", "since", "until", "rate"], dead::cancel),
    look!(Some(Scope::Deliveries), "operations", "Sending" / "Operations", operations::list),
    look!(Some(Scope::Deliveries), "operations/{id}", operations::show),
    change!(Scope::Deliveries, "operations/{id}/pause", "console: pause operation" [], operations::pause),
    change!(Scope::Deliveries, "operations/{id}/resume", "console: resume operation" [], operations::resume),
    change!(Scope::Deliveries, "operations/{id}/cancel", "console: cancel operation" [], operations::cancel),
    look!(Some(Scope::Campaigns), "campaigns", "Sending" / "Campaigns", campaigns::list),
    look!(Some(Scope::Campaigns), "campaigns/{id}", campaigns::show),
    look!(Some(Scope::Campaigns), "campaigns/{id}/report.csv", campaigns::report),
    change!(
        Scope::Campaigns,
        "campaigns/{id}/rate",
        "console: change rate of campaign"["rate=none"],
        campaigns::set_rate
    ),
    change!(Scope::Campaigns, "campaigns/{id}/pause", "console: pause campaign" [], campaigns::pause),
    change!(Scope::Campaigns, "campaigns/{id}/resume", "console: resume campaign" [], campaigns::resume),
    change!(Scope::Campaigns, "campaigns/{id}/close", "console: close campaign" [], campaigns::close),
    change!(Scope::Campaigns, "campaigns/{id}/cancel", "console: cancel campaign" [], campaigns::cancel),
    look!(Some(Scope::Destinations), "destinations", "Sending" / "Destinations", destinations::list),
    look!(Some(Scope::Destinations), "destinations/{name}", destinations::show),
    change!(Scope::Destinations, "destinations/{name}/pause", "console: pause destination" [], destinations::pause),
    change!(Scope::Destinations, "destinations/{name}/resume", "console: resume destination" [], destinations::resume),
    change!(Scope::Destinations, "destinations/{name}/pace", "console: change pace of destination" ["concurrency=default", "rate=default", "schedule=default"], destinations::set_pace),
    look!(Some(Scope::Webhooks), "webhooks", "Sending" / "Webhooks", webhooks::list),
    change!(Scope::Webhooks, "webhooks", "console: create webhook"["name"], webhooks::create),
    look!(Some(Scope::Webhooks), "webhooks/{name}", webhooks::show),
    change!(Scope::Webhooks, "webhooks/{name}/rotate", "console: rotate secrets of webhook"["hours"], webhooks::rotate),
    change!(Scope::Webhooks, "webhooks/{name}/test", "console: test webhook" [], webhooks::test),
    change!(Scope::Webhooks, "webhooks/{name}/disable", "console: disable webhook" [], webhooks::disable),
    change!(Scope::Webhooks, "webhooks/{name}/enable", "console: enable webhook" [], webhooks::enable),
    change!(Scope::Webhooks, "webhooks/{name}/delete", "console: delete webhook" [], webhooks::delete),
    look!(Some(Scope::Accounts), "accounts", "People" / "Accounts", accounts::list),
    change!(Scope::Accounts, "accounts", "console: create account"["address"], accounts::create),
    look!(Some(Scope::Accounts), "accounts/{address}", accounts::show),
    change!(Scope::Accounts, "accounts/{address}", "console: change account"["accepts_messages=no"], accounts::update),
    change!(Scope::Accounts, "accounts/{address}/disable", "console: disable account" [], accounts::disable),
    change!(Scope::Accounts, "accounts/{address}/enable", "console: enable account" [], accounts::enable),
    change!(Scope::Accounts, "accounts/{address}/sign-out", "console: sign out account" [], accounts::sign_out),
    change!(Scope::Passcodes, "accounts/{address}/passcodes", "console: issue pass code"["minutes"], accounts::issue),
    change!(Scope::Passcodes, "accounts/{address}/passcodes/withdraw", "console: withdraw pass codes" [], accounts::withdraw_all),
    change!(Scope::Passcodes, "accounts/{address}/passcodes/{id}/withdraw", "console: withdraw pass code" [], accounts::withdraw),
    look!(Some(Scope::Connections), "connections", "People" / "Connections", connections::list),
    look!(Some(Scope::Connections), "connections/{id}", connections::show),
    change!(Scope::Connections, "connections/{id}/block", "console: block connection" [], connections::block),
    change!(Scope::Connections, "connections/{id}/unblock", "console: unblock connection" [], connections::unblock),
    change!(Scope::Connections, "connections/{id}/delete", "console: delete connection" [], connections::delete),
    change!(Scope::Connections, "handshakes", "console: start handshake" ["from", "to"], connections::start),
    look!(Some(Scope::Connections), "handshakes/{id}", connections::handshake),
    look!(Some(Scope::Phones), "phones", "People" / "Phones", phones::list),
    look!(Some(Scope::Phones), "phones/{number}", phones::show),
    change!(Scope::Phones, "phones/{number}/disable", "console: disable phone number" [], phones::disable),
    change!(Scope::Phones, "phones/{number}/enable", "console: enable phone number" [], phones::enable),
    change!(Scope::Phones, "phones/{number}/unregister", "console: unregister phone number" [], phones::unregister),
    change!(Scope::Phones, "phones/{number}/test-push", "console: test push"["device"], phones::test_push),
    look!(Some(Scope::Apps), "apps", "People" / "Applications", apps::list),
    look!(Some(Scope::Apps), "apps/{appid}", apps::show),
    change!(Scope::Apps, "apps/{appid}/unlock", "console: unlock address" [], apps::unlock),
    look!(Some(Scope::Apps), "sessions", "People" / "Sessions", apps::list_sessions),
    change!(Scope::Apps, "sessions/{id}/revoke", "console: revoke session" [], apps::revoke),
    look!(Some(Scope::Keys), "keys", "Node" / "API keys", keys::list),
    change!(Scope::Keys, "keys", "console: create API key" ["sender", "scopes", "account"], keys::create),
    change!(Scope::Keys, "keys/{id}/revoke", "console: revoke API key" [], keys::revoke),
    look!(Some(Scope::Node), "audit", "Node" / "Audit", audit::show),
    look!(Some(Scope::Node), "configuration", "Node" / "Configuration", configuration::show),
];

impl Page {
    fn is_for(&self, method: &Method) -> bool {
        match self.run {
            Run::Look(_) => *method == Method::GET,
            Run::Change { .. } => *method == Method::POST,
        }
    }

    /// Whether somebody with these scopes may use it.
    pub(super) fn is_open_to(&self, scopes: &Scopes) -> bool {
        let writes = matches!(self.run, Run::Change { .. });
        self.scope.is_none_or(|scope| scopes.allows(scope, writes))
    }

    /// The path of the navigation's link under which it is.
    pub(super) fn section(&self) -> String {
        at(self.path.split('/').next().unwrap_or_default())
    }
}

/// Why there is no page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing is there.
    NotFound,
    /// Something is, for this method only.
    Allowed(&'static str),
}

/// The page of a request below `/console/`, with the path's parameters decoded; HEAD is answered as GET without its body.
pub(super) fn find(method: &Method, path: &str) -> Result<(&'static Page, Vec<String>), Missing> {
    let segments = segments(path);
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let matching = || PAGES.iter().filter(|page| matches(page.path, &segments));
    let fewest = matching().map(|page| parameters_in(page.path)).min().ok_or(Missing::NotFound)?;
    let mut here = matching().filter(|page| parameters_in(page.path) == fewest);
    match here.clone().find(|page| page.is_for(method)) {
        Some(page) => Ok((page, parameters(page.path, &segments).ok_or(Missing::NotFound)?)),
        None if here.any(|page| page.is_for(&Method::GET)) => Err(Missing::Allowed("GET, HEAD")),
        None => Err(Missing::Allowed("POST")),
    }
}

/// A page's whole path.
fn at(path: &str) -> String {
    if path.is_empty() { "/console".into() } else { format!("/console/{path}") }
}

/// The navigation, as far as somebody with these scopes may follow it.
pub(super) fn navigation(scopes: &Scopes) -> Vec<Group<'static>> {
    let mut groups: Vec<Group<'static>> = Vec::new();
    for page in PAGES.iter().filter(|page| page.is_open_to(scopes)) {
        let Some((heading, words)) = page.listed else { continue };
        let link = (at(page.path), words);
        match groups.iter_mut().find(|group| group.words == heading) {
            Some(group) => group.links.push(link),
            None => groups.push(Group { words: heading, links: vec![link] }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_led_where_they_may_go() {
        let words = |scopes: &str| {
            let groups = navigation(&scopes.parse().unwrap());
            groups.iter().flat_map(|group| group.links.iter().map(|(_, words)| *words)).collect::<Vec<_>>()
        };
        assert!(words("*").contains(&"Audit") && words("node:read").contains(&"Audit"));
        assert_eq!(words("inbox"), ["Overview"]);
    }

    #[test]
    fn what_is_not_there_is_told_from_another_method() {
        assert!(find(&Method::HEAD, "").is_ok() && find(&Method::GET, "audit/").is_ok());
        assert_eq!(find(&Method::GET, "nothing").err(), Some(Missing::NotFound));
        assert_eq!(find(&Method::POST, "audit").err(), Some(Missing::Allowed("GET, HEAD")));
    }

    #[test]
    fn every_change_has_a_name_of_its_own_and_needs_a_scope() {
        let mut names = Vec::new();
        for page in PAGES {
            if let Run::Change { name, told, .. } = page.run {
                assert!(!told.iter().any(|field| ["token", "pass_code", "secret"].contains(field)), "{name}");
                assert!(name.starts_with("console: ") && page.scope.is_some(), "{name}");
                assert!(!names.contains(&name), "{name} twice");
                names.push(name);
            }
        }
    }
}
