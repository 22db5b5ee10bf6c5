//! What pages look like, and whether everybody can use them: pictures that are kept, colour schemes, contrast, labels, headings.
//!
//! Pictures go to the folder that `HANDFAST_TEST_PICTURES` names, else to `pictures` beside the tests' other files of the build, as
//! `PAGE-SCHEME-WIDTH.png`.

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::driver::Browser;

/// What is wrong with a page for those who do not see it, see it badly, or have no pointer; in words.
const INSPECT: &str = include_str!("looks/inspect.js");

/// A colour scheme.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    pub(super) const BOTH: [Self; 2] = [Self::Light, Self::Dark];

    fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Browser {
    /// As if the system preferred this scheme.
    pub(super) async fn prefer(&self, scheme: Scheme) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme.name()}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.call("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// Keeps a picture of the whole page, also of what is below the screen.
    pub(super) async fn keep_picture(&self, page: &str, scheme: Scheme) {
        let layout = self.devtools("Page.getLayoutMetrics", json!({})).await;
        let (width, height) = (layout["cssLayoutViewport"]["clientWidth"].clone(), &layout["cssContentSize"]["height"]);
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let wanted = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = self.devtools("Page.captureScreenshot", wanted).await;
        let picture = BASE64_STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        let folder = std::env::var_os("HANDFAST_TEST_PICTURES")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pictures"), PathBuf::from);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{page}-{}-{width}.png", scheme.name())), picture).unwrap();
    }

    /// A picture in each colour scheme; the page is light afterwards.
    pub(super) async fn keep_both_pictures(&self, page: &str) {
        for scheme in [Scheme::Dark, Scheme::Light] {
            self.prefer(scheme).await;
            self.keep_picture(page, scheme).await;
        }
    }

    /// What is wrong with the page that is open: labels, headings, tables, contrast, what is wider than the screen. Works also where
    /// pages may run no script of their own.
    pub(super) async fn faults(&self) -> Vec<String> {
        let wanted = json!({"expression": INSPECT, "returnByValue": true});
        let found = self.devtools("Runtime.evaluate", wanted).await;
        let list = found["result"]["value"].as_array().unwrap_or_else(|| panic!("not inspected: {found}"));
        list.iter().map(|fault| fault.as_str().unwrap().to_owned()).collect()
    }

    /// What the browser complained about since it was last asked: violations of the policy, failed requests, errors of scripts.
    pub(super) async fn complaints(&self) -> Vec<String> {
        let entries = self.call("/se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Where everything that the page loaded came from.
    pub(super) async fn loaded(&self) -> Vec<String> {
        let expression = "performance.getEntriesByType('resource').map(entry => entry.name)";
        let found = self.devtools("Runtime.evaluate", json!({"expression": expression, "returnByValue": true})).await;
        let list = found["result"]["value"].as_array().unwrap().iter();
        list.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// What has the focus, as the page's source has it.
    pub(super) async fn focused(&self) -> String {
        let expression = "document.activeElement.outerHTML.slice(0, 300)";
        let found = self.devtools("Runtime.evaluate", json!({"expression": expression, "returnByValue": true})).await;
        found["result"]["value"].as_str().unwrap_or_default().to_owned()
    }
}
