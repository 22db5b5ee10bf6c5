//! A login at a merchant's site, step by step, as a browser walks it: the form, the way to the hub, and with the hub's release to
//! the merchant's endpoint.
//!
//! Promises: the form gets a name and nothing else is changed in it; the merchant may lead to the user's own hub and nowhere else.
//! Leaves out the approval itself ([`super::Agent`]).

use url::Url;

use super::agent::Approval;
use super::browser::{Browser, From};
use super::form::{Form, forms};
use super::refusal::AgentError;
use crate::cli::client::web::WebAnswer;
use crate::homing::scopes::Scopes;

/// A merchant's page with its form.
#[derive(Debug, Clone)]
pub struct Entrance {
    browser: Browser,
    page: Url,
    form: Form,
    /// Whether the page keeps its address to itself.
    silent: bool,
}

/// A visit that has come to the hub: the merchant waits for an approval.
#[derive(Debug, Clone)]
pub struct Visit {
    /// With the cookies so far.
    pub browser: Browser,
    /// The page with the form.
    pub page: Url,
    /// Where the merchant sent the browser.
    pub welcome: Url,
    /// The welcome's id, `hsc_…`.
    pub challenge: String,
}

/// Where a login ended.
#[derive(Debug, Clone)]
pub struct Landing {
    /// The page that was reached in the end.
    pub url: Url,
    /// What it said when it was opened.
    pub status: u16,
    /// What the endpoint itself answered: 303 when it has let somebody in.
    pub endpoint_status: u16,
    /// What the last page said.
    pub body: String,
    /// The cookie that the endpoint set: its name and value.
    pub session: Option<(String, String)>,
}

impl Entrance {
    /// Opens the page.
    ///
    /// # Errors
    /// If it has no form for a persona.
    pub async fn open(mut browser: Browser, page: &Url) -> Result<Self, AgentError> {
        let opened = browser.open(page, From::Nowhere).await?;
        let form = login_form(&opened, page)?;
        let silent = opened.header("referrer-policy") == Some("no-referrer");
        Ok(Self { browser, page: page.clone(), form, silent })
    }

    /// What the form says will be asked for.
    ///
    /// # Errors
    /// If it does not say it.
    pub fn scopes(&self) -> Result<Scopes, AgentError> {
        let text = self.form.value("scopes").unwrap_or_default();
        Scopes::parse(text).map_err(|e| merchant(&format!("the form does not say what it asks for: it {e}")))
    }

    /// Fills in the name, submits, and follows to the hub at `hub`.
    ///
    /// # Errors
    /// If the merchant refuses, or leads to somewhere else.
    pub async fn enter(self, persona: &str, hub: &Url) -> Result<Visit, AgentError> {
        let Self { mut browser, page, mut form, silent } = self;
        form.fill("username", persona);
        let action = page.join(&form.action).map_err(|_| merchant("the form leads nowhere"))?;
        let from = if silent { From::SilentPage(&page) } else { From::Page(&page) };
        let sent = browser.submit(&action, &form.fields, from).await?;
        let welcome = redirection(&sent, &action).ok_or_else(|| refused_entry(&sent))?;
        let elsewhere = || AgentError::Suspicious(format!("the merchant leads to {}, not to the hub", place(&welcome)));
        let challenge = challenge_at(&welcome, hub).ok_or_else(elsewhere)?;
        Ok(Visit { browser, page, welcome, challenge })
    }
}

impl Visit {
    /// Opens the page, fills in the name, submits, and follows to the hub at `hub`.
    ///
    /// # Errors
    /// If the page has no form for a persona, the merchant refuses, or leads to somewhere else.
    pub async fn begin(browser: Browser, page: &Url, persona: &str, hub: &Url) -> Result<Self, AgentError> {
        Entrance::open(browser, page).await?.enter(persona, hub).await
    }

    /// Posts what was approved to where the hub said, and follows to the page behind it.
    ///
    /// # Errors
    /// If nothing answers there. An endpoint that refuses is no error: see [`Landing::endpoint_status`].
    pub async fn arrive(&mut self, approval: &Approval) -> Result<Landing, AgentError> {
        let host = approval.action.host_str().unwrap_or_default().to_owned();
        // The hub's pages have `Referrer-Policy: no-referrer`.
        let answer = self.browser.submit(&approval.action, &approval.fields, From::SilentPage(&self.welcome)).await?;
        let session = cookie_set(&answer).and_then(|name| {
            let value = self.browser.cookie(&host, &name)?.to_owned();
            Some((name, value))
        });
        let endpoint_status = answer.status;
        let mut without_query = approval.action.clone();
        without_query.set_query(None);
        match redirection(&answer, &approval.action) {
            None => {
                let (url, status) = (without_query, answer.status);
                Ok(Landing { url, status, endpoint_status, body: answer.text(), session })
            }
            Some(url) => {
                let page = self.browser.open(&url, From::SilentPage(&self.welcome)).await?;
                Ok(Landing { url, status: page.status, endpoint_status, body: page.text(), session })
            }
        }
    }
}

impl Landing {
    /// Whether the endpoint let somebody in.
    pub fn is_in(&self) -> bool {
        self.endpoint_status < 400 && self.status < 400
    }
}

fn login_form(page: &WebAnswer, url: &Url) -> Result<Form, AgentError> {
    if page.status != 200 {
        return Err(merchant(&format!("{} answers with status {}", place(url), page.status)));
    }
    let form = forms(&page.text()).into_iter().find(|form| form.posts && form.value("username").is_some());
    form.ok_or_else(|| merchant(&format!("{} has no form that asks for a persona", place(url))))
}

fn redirection(answer: &WebAnswer, from: &Url) -> Option<Url> {
    let follows = matches!(answer.status, 301..=303);
    answer.header("location").filter(|_| follows).and_then(|location| from.join(location).ok())
}

/// The id at the end of `<hub>/w/<id>`.
fn challenge_at(welcome: &Url, hub: &Url) -> Option<String> {
    let path = hub.path().trim_end_matches('/');
    let id = welcome.path().strip_prefix(path)?.strip_prefix("/w/")?;
    (welcome.origin() == hub.origin() && !id.is_empty() && !id.contains('/')).then(|| id.to_owned())
}

fn cookie_set(answer: &WebAnswer) -> Option<String> {
    let set = answer.headers.get_all(http::header::SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    // Others are taken away at the same time.
    let lasting = set.filter(|text| !text.to_ascii_lowercase().contains("max-age=0"));
    lasting.filter_map(|text| text.split_once('=')).map(|(name, _)| name.trim().to_owned()).next()
}

fn refused_entry(answer: &WebAnswer) -> AgentError {
    merchant(&match answer.status {
        429 => "the merchant asks for patience: too many logins were begun".to_owned(),
        503 => "the merchant cannot reach its hub now".to_owned(),
        status => format!("the merchant did not take the name (status {status})"),
    })
}

fn merchant(words: &str) -> AgentError {
    AgentError::Merchant(words.to_owned())
}

/// A place without its query, which may hold what nobody should read.
fn place(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_hub_is_followed() {
        let hub: Url = "https://hub.example/homing/hub".parse().unwrap();
        let at = |welcome: &str| challenge_at(&welcome.parse().unwrap(), &hub);
        assert_eq!(at("https://hub.example/homing/hub/w/hsc_1").as_deref(), Some("hsc_1"));
        for elsewhere in [
            "https://hub.example.evil.example/homing/hub/w/hsc_1",
            "https://hub.example:444/homing/hub/w/hsc_1",
            "http://hub.example/homing/hub/w/hsc_1",
            "https://hub.example/homing/hub/w/",
            "https://hub.example/homing/hub/w/a/b",
            "https://hub.example/homing/hub/",
            "https://hub.example/w/hsc_1",
        ] {
            assert_eq!(at(elsewhere), None, "{elsewhere}");
        }
    }
}
