//! The list of all pages, and of all changes that can be made on them. Adding one is a function in its file and a line here.

use futures_util::future::BoxFuture;
use http::Method;

use super::call::{Answer, Call, Changed};
use super::{audit, configuration, overview};
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
/// down as they are: none of them may hold a secret.
#[allow(unused_macros)]
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
            if let Run::Change { name, .. } = page.run {
                assert!(name.starts_with("console: ") && page.scope.is_some(), "{name}");
                assert!(!names.contains(&name), "{name} twice");
                names.push(name);
            }
        }
    }
}
