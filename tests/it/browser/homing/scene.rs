//! A hub, a shop that lets its users in through it, and people's browsers.

use super::super::driver::{Browser, Wanted};
use crate::node::{Net, Node, Options};

pub(super) const HUB: &str = "hub.test";
pub(super) const SHOP: &str = "shop.test";
pub(super) const PASSWORD: &str = "seven horses in the rain";

/// A page of the hub.
pub(super) fn hub(path: &str) -> String {
    format!("https://{HUB}/homing/hub/{path}")
}

pub(super) struct Scene {
    pub(super) net: Net,
    pub(super) hub: Node,
}

impl Scene {
    pub(super) async fn start() -> Self {
        let net = Net::new();
        // Known to browsers and to the hub before it is there.
        net.socket_of(SHOP);
        let hub = Node::start(&net, hub_options()).await;
        Self { net, hub }
    }

    /// A browser with a profile of its own.
    pub(super) async fn browser(&self) -> Browser {
        self.wanted(true).start().await
    }

    pub(super) fn wanted(&self, javascript: bool) -> Wanted {
        let names = [HUB, SHOP];
        names.iter().fold(Wanted::javascript(javascript), |wanted, name| wanted.name(name, self.net.socket_of(name)))
    }
}

fn hub_options() -> Options {
    Options::of(HUB)
        .set("homing.hub.enabled", true)
        .set("homing.hub.hosts", vec![HUB])
        .set("homing.hub.url", format!("https://{HUB}"))
}
