//! A hub, shops that let their users in through it, and people's browsers.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use toml::Table;

use super::super::driver::{Browser, Wanted};
use crate::node::{Net, Node, Options};

pub(super) const HUB: &str = "hub.test";
pub(super) const SHOP: &str = "shop.test";
pub(super) const OTHER_SHOP: &str = "other.test";
pub(super) const PASSWORD: &str = "seven horses in the rain";

/// A page of the hub.
pub(super) fn hub(path: &str) -> String {
    format!("https://{HUB}/homing/hub/{path}")
}

/// A page of a shop.
pub(super) fn shop(path: &str) -> String {
    format!("https://{SHOP}/homing/{path}")
}

pub(super) struct Scene {
    pub(super) net: Net,
    pub(super) hub: Node,
}

/// Somebody with a browser and a space in it.
pub(super) struct Person {
    pub(super) browser: Browser,
    /// Of the space.
    pub(super) code: String,
}

/// A merchant's server, with the files it was given.
pub(super) struct Shop {
    pub(super) node: Node,
    _files: tempfile::TempDir,
}

impl Scene {
    /// A hub; the shops are known to browsers and to it before they are there.
    pub(super) async fn start() -> Self {
        let net = Net::new();
        for name in [SHOP, OTHER_SHOP] {
            net.socket_of(name);
        }
        let hub = Node::start(&net, hub_options()).await;
        Self { net, hub }
    }

    /// A browser with a profile of its own.
    pub(super) async fn browser(&self) -> Browser {
        self.wanted(true).start().await
    }

    pub(super) fn wanted(&self, javascript: bool) -> Wanted {
        let names = [HUB, SHOP, OTHER_SHOP];
        names.iter().fold(Wanted::javascript(javascript), |wanted, name| wanted.name(name, self.net.socket_of(name)))
    }

    /// Somebody who has just made a space.
    pub(super) async fn person(&self) -> Person {
        Person::create(self.browser().await).await
    }

    /// A shop, made by its owner as the pages say: a persona, a site, the sauce and the settings that are shown, and the key file.
    pub(super) async fn shop(&self, owner: &Person, host: &str, persona: &str, scopes: &str) -> Shop {
        owner.take(persona).await;
        let settings = owner.make_site(persona, host).await;
        let files = tempfile::tempdir().unwrap();
        let sign_key = files.path().join("homing-sign.key");
        fs::write(&sign_key, owner.sign_key(persona).await).unwrap();
        fs::set_permissions(&sign_key, fs::Permissions::from_mode(0o600)).unwrap();
        let mut options = Options::of(host)
            .set("homing.gateway.enabled", true)
            .set("homing.gateway.hosts", vec![host])
            .set("homing.gateway.scopes", scopes);
        for (name, value) in settings {
            options = options.set(&format!("homing.gateway.{name}"), value);
        }
        let options = options.set("homing.gateway.sign_key", sign_key.to_str().unwrap());
        Shop { node: Node::start(&self.net, options).await, _files: files }
    }
}

impl Person {
    async fn create(browser: Browser) -> Self {
        let code = make_space(&browser).await;
        Self { browser, code }
    }

    /// The home page, unlocked.
    pub(super) async fn home(&self) {
        self.browser.open(&hub("")).await;
        self.unlock().await;
        self.browser.hears("#status", "Your space is open.").await;
    }

    /// Whichever page it is that asks for the password.
    pub(super) async fn unlock(&self) {
        self.browser.type_into("#unlock-password", PASSWORD).await;
        self.browser.click("#unlock-form button").await;
    }

    /// Takes a name, on the home page.
    pub(super) async fn take(&self, name: &str) {
        self.browser.type_into("#persona-name", name).await;
        self.browser.click("#persona-form button").await;
        self.browser.hears("#status", &format!("{name} is yours.")).await;
    }

    /// The settings of the gateway of a site of one's own.
    async fn make_site(&self, persona: &str, host: &str) -> Table {
        let browser = &self.browser;
        browser.open(&hub("utilities/secret-sauce")).await;
        self.unlock().await;
        browser.type_into("#site-name", &format!("Shop at {host}")).await;
        browser.click(&format!("#site-persona option[value={persona}]")).await;
        browser.type_into("#site-endpoints", &format!("https://{host}/homing/endpoint")).await;
        browser.click("#site-form button").await;
        browser.see("#settings").await;
        let settings: Table = browser.text("#settings").await.parse().unwrap();
        assert_eq!(settings["sauce"].as_str(), Some(browser.value("#sauce").await.as_str()));
        browser.click("#sauce-done").await;
        browser.hears("#sites", &format!("Shop at {host}")).await;
        assert_eq!(browser.value("#sauce").await, "", "the sauce can still be read");
        settings
    }

    async fn sign_key(&self, persona: &str) -> String {
        self.browser.open(&hub("utilities/reveal-keys")).await;
        assert!(!self.browser.sees("#keys").await, "keys without the password");
        self.unlock().await;
        let field = format!("[id='{persona}-homing-sign.key']");
        self.browser.see(&field).await;
        self.browser.value(&field).await
    }

    /// Types a name at a shop's form, arrives at the hub and unlocks the space.
    pub(super) async fn knock(&self, name: &str) {
        self.browser.open(&shop("login")).await;
        self.browser.type_into("input[name=username]", name).await;
        self.browser.click("form button").await;
        self.unlock().await;
    }
}

/// Makes a space in a browser that has none, and opens it; its code.
pub(super) async fn make_space(browser: &Browser) -> String {
    browser.open(&hub("")).await;
    browser.type_into("#create-password", PASSWORD).await;
    browser.type_into("#create-again", PASSWORD).await;
    browser.click("#create-form button").await;
    browser.see("#code").await;
    let code = browser.text("#code").await;
    browser.click("#code-kept").await;
    browser.click("#created-form button").await;
    browser.hears("#status", "Your space is open.").await;
    code
}

fn hub_options() -> Options {
    let generous = |options: Options, limit: &str| {
        let limit = format!("homing.hub.{limit}");
        options.set(&format!("{limit}.bucket"), 1000).set(&format!("{limit}.per_minute"), 1000.0)
    };
    let mail = "kind = 'recording'\nname = 'mail'\nfile = 'codes.jsonl'".parse::<Table>().unwrap();
    let options = Options::of(HUB)
        .set("providers.email", vec![mail])
        .set("homing.hub.enabled", true)
        .set("homing.hub.hosts", vec![HUB])
        .set("homing.hub.url", format!("https://{HUB}"))
        .set("homing.hub.denials", 100);
    ["spaces_per_ip", "welcomes_per_persona", "decisions"].into_iter().fold(options, generous)
}
