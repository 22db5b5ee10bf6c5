//! What a peer does wrong when a test asks it to: how it answers an endpoint, and how it makes its confirmation calls.

use std::time::Duration;

use bytes::Bytes;

use super::{
    curl::{self, Outcome},
    node::{Node, lock},
    php,
};

/// The four endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Auth,
    AuthConfirm,
    MessageReceive,
    MessageConfirm,
}

impl Endpoint {
    /// The path's last part.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthConfirm => "auth-confirm",
            Self::MessageReceive => "message-receive",
            Self::MessageConfirm => "message-confirm",
        }
    }
}

/// How an endpoint answers. Unless said otherwise the request is not processed at all.
#[derive(Debug, Clone)]
pub(crate) enum Trick {
    /// A well-formed error without a response code.
    No,
    /// A well-formed error with this response code, such as `SM_E008`.
    Code(&'static str),
    /// Status 200 and this body.
    Body(Bytes),
    /// This status and body, as `text/html`.
    Status(u16, &'static str),
    /// 200 and bytes that are no JSON and no UTF-8.
    Garbage,
    /// A well-formed success of this many bytes.
    Huge(usize),
    /// This status with this `Location`. A request that is for the location itself is answered honestly, so that a
    /// followed redirect can be told from one that wasn't; `/openmsg/moved/<endpoint>/` is served for that.
    Redirect(u16, String),
    /// This status with the request's own path as `Location`, for ever.
    RedirectLoop(u16),
    /// Takes the request and never answers.
    Hang,
    /// Closes the connection without processing.
    CloseBefore,
    /// Processes, then closes the connection instead of answering.
    CloseAfter,
    /// Processes, then answers so much later.
    Late(Duration),
    /// Processes, then answers one byte at a time with this pause before each.
    Drip(Duration),
}

/// How the peer, as receiver, calls the sender or initiator back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Confirming {
    /// Once, and goes by the answer.
    #[default]
    Once,
    /// Doesn't call and behaves as if confirmed; [`confirm_now`] makes the call when the test wants it, for instance
    /// after the POST has ended.
    Withheld,
    /// Twice, and goes by the first answer.
    Twice,
    /// With a nonce (or code, or hash) that is not the right one.
    WrongProof,
}

/// A switch for `Peer::behave`.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Takes back everything that was switched on.
    Honest,
    /// The endpoint answers like this until told otherwise.
    At(Endpoint, Trick),
    /// The endpoint answers like this so many times, then honestly.
    Times(u32, Endpoint, Trick),
    /// Calls back like this until told otherwise.
    Confirming(Confirming),
    /// Callbacks go to `/openmsg/sandbox/…`, as with the two settings files of summer 2025.
    SandboxCallbacks,
}

/// What is switched on.
#[derive(Default)]
pub(crate) struct Tricks {
    at: Vec<(Endpoint, Trick, u32)>,
    confirming: Confirming,
    sandbox_callbacks: bool,
    last_callback: Option<(String, String)>,
}

impl Tricks {
    pub(crate) fn switch(&mut self, behaviour: Behaviour) {
        match behaviour {
            Behaviour::Honest => *self = Self { last_callback: self.last_callback.take(), ..Self::default() },
            Behaviour::At(endpoint, trick) => self.set(endpoint, trick, u32::MAX),
            Behaviour::Times(times, endpoint, trick) => self.set(endpoint, trick, times),
            Behaviour::Confirming(confirming) => self.confirming = confirming,
            Behaviour::SandboxCallbacks => self.sandbox_callbacks = true,
        }
    }

    /// The trick for this request, if any, counting it down.
    pub(crate) fn take(&mut self, endpoint: Endpoint, domain: &str, path: &str) -> Option<Trick> {
        let (_, trick, left) = self.at.iter_mut().find(|(at, _, left)| *at == endpoint && *left > 0)?;
        let arrived = |location: &str| location == path || location == format!("https://{domain}{path}");
        if matches!(&trick, Trick::Redirect(_, location) if arrived(location)) {
            return None;
        }
        if *left != u32::MAX {
            *left -= 1;
        }
        Some(trick.clone())
    }

    fn set(&mut self, endpoint: Endpoint, trick: Trick, times: u32) {
        self.at.retain(|(at, _, _)| *at != endpoint);
        self.at.push((endpoint, trick, times));
    }
}

/// The confirmation call of a receiver to `domain`, with the body that is right and one that is wrong.
pub(crate) async fn call_back(node: &Node, domain: &str, endpoint: Endpoint, right: String, wrong: String) -> Outcome {
    let (url, confirming) = {
        let mut tricks = lock(&node.tricks);
        let url = callback_url(node, domain, endpoint, tricks.sandbox_callbacks);
        tricks.last_callback = Some((url.clone(), right.clone()));
        (url, tricks.confirming)
    };
    match confirming {
        Confirming::Once => curl::post(node, &url, &right).await,
        Confirming::Withheld => Outcome::Answered { status: 200, body: Bytes::from_static(br#"{"success":true}"#) },
        Confirming::Twice => {
            let first = curl::post(node, &url, &right).await;
            curl::post(node, &url, &right).await;
            first
        }
        Confirming::WrongProof => curl::post(node, &url, &wrong).await,
    }
}

/// Makes the latest callback (made or withheld) now; `None` when there has been none.
pub(crate) async fn confirm_now(node: &Node) -> Option<Outcome> {
    let (url, body) = lock(&node.tricks).last_callback.clone()?;
    Some(curl::post(node, &url, &body).await)
}

/// `{"error":true,"response_code":…}` as a peer's own refusal, not connected to any check.
pub(crate) fn refusal(code: Option<&str>) -> String {
    let code = code.map_or_else(|| "null".into(), php::quote);
    php::object(&[("error", "true".into()), ("response_code", code), ("error_message", php::quote("not today"))])
}

fn callback_url(node: &Node, domain: &str, endpoint: Endpoint, sandbox: bool) -> String {
    if node.traits.express {
        return format!("https://{domain}/openmsg/{}", endpoint.name().replace('-', "/"));
    }
    let sandbox = if sandbox { "/sandbox" } else { "" };
    format!("https://{domain}/openmsg{sandbox}/{}/", endpoint.name())
}
