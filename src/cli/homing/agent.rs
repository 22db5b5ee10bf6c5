//! The user: a space with its password opened, signed in to its hub. What the hub's pages do in a browser, without one.
//!
//! Promises: neither the password nor a key ever leaves this process, and the hub is never told the value of a scope; before an
//! approval the welcome is opened with the persona's own key and compared with what was asked, after it the place that the values
//! go to is compared with the origin that was shown. Leaves out where the space is kept (`space_file`) and the merchant's pages
//! ([`super::Visit`]).

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::hub::{Hub, NewSite, Persona, Release, Waiting};
use super::refusal::AgentError;
use crate::config::Secret;
use crate::homing::keys::{PersonaKeys, Root};
use crate::homing::scopes::Scopes;
use crate::homing::vault::{Vault, VaultError};
use crate::homing::welcome::Envelope;
use crate::homing::{decode, encode, signed, values};

/// A user, at a hub.
#[derive(Debug, Clone)]
pub struct Agent {
    hub: Hub,
    space: String,
    vault: Vault,
    sealed: String,
}

/// A welcome, opened.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// What the hub sealed for the persona.
    pub envelope: Envelope,
    /// What is asked for.
    pub scopes: Scopes,
    /// `pending`, `released`, `denied` or `expired`.
    pub state: String,
}

/// What the user gives beside what must be given.
#[derive(Debug, Clone, Default)]
pub struct Gift {
    /// Names of scopes whose values are in the space.
    pub names: Vec<String>,
    /// Values for this once, by name: they go before those in the space.
    pub values: BTreeMap<String, String>,
}

/// An approval: what to post where, within seconds.
#[derive(Clone)]
pub struct Approval {
    /// The merchant's endpoint with its whole query.
    pub action: Url,
    /// The same, byte for byte as the hub gave it.
    pub action_text: String,
    /// `sc_…` and its value.
    pub fields: Vec<(String, String)>,
}

impl std::fmt::Debug for Approval {
    // A one-time password, and what is nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Approval({}, {} fields)", self.action.origin().ascii_serialization(), self.fields.len())
    }
}

impl Agent {
    /// Makes a new space at the hub, and signs in to it.
    ///
    /// # Errors
    /// If the hub does not answer or makes no more spaces.
    pub async fn create(hub: Hub, password: &Secret) -> Result<Self, AgentError> {
        let vault = Vault { root: Root::generate(), properties: BTreeMap::new() };
        let sealed = vault.seal(password.reveal()).map_err(locked)?;
        let key = vault.root.space();
        let public = encode(key.public());
        let signature = encode(&key.sign(&signed::space(&public, &sealed)));
        let space = hub.create_space(&public, &sealed, &signature).await?;
        let mut agent = Self { hub, space, vault, sealed };
        agent.sign_in().await?;
        Ok(agent)
    }

    /// Opens a space that the hub keeps, and signs in to it.
    ///
    /// # Errors
    /// If the hub has no such space, or the password is wrong.
    pub async fn open(hub: Hub, space: &str, password: &Secret) -> Result<Self, AgentError> {
        let (sealed, _) = hub.fetch_vault(space).await?;
        Self::unlock(hub, space, sealed, password).await
    }

    /// Opens a vault that is here already, and signs in.
    ///
    /// # Errors
    /// If the password is wrong, or the hub does not let the space in.
    pub async fn unlock(hub: Hub, space: &str, sealed: String, password: &Secret) -> Result<Self, AgentError> {
        let vault = Vault::open(&sealed, password.reveal()).map_err(locked)?;
        let mut agent = Self { hub, space: space.to_owned(), vault, sealed };
        agent.sign_in().await?;
        Ok(agent)
    }

    /// A new session, by a signature over the hub's nonce.
    ///
    /// # Errors
    /// If the hub does not let the space in.
    pub async fn sign_in(&mut self) -> Result<(), AgentError> {
        let nonce = self.hub.challenge(&self.space).await?;
        let signature = self.vault.root.space().sign(&signed::space_login(&self.space, &nonce));
        self.hub.login(&self.space, &nonce, &encode(&signature)).await
    }

    /// Ends the session.
    ///
    /// # Errors
    /// If the hub does not answer.
    pub async fn sign_out(&mut self) -> Result<(), AgentError> {
        self.hub.logout().await
    }

    /// The hub, with the session.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The space's id: with the password, it opens the space anywhere.
    pub fn space(&self) -> &str {
        &self.space
    }

    /// The vault as the hub keeps it.
    pub fn sealed(&self) -> &str {
        &self.sealed
    }

    /// What the user has written down, by the scope's name.
    pub fn properties(&self) -> &BTreeMap<String, String> {
        &self.vault.properties
    }

    /// Takes the vault as it is at the hub now: another device may have written to it.
    ///
    /// # Errors
    /// If the hub does not answer, or the vault has another password now.
    pub async fn refresh(&mut self, password: &Secret) -> Result<u64, AgentError> {
        let (sealed, version) = self.hub.fetch_vault(&self.space).await?;
        if sealed != self.sealed {
            let vault = Vault::open(&sealed, password.reveal()).map_err(locked)?;
            // A hub that hands out another vault would otherwise change who signs.
            if vault.root.bytes() != self.vault.root.bytes() {
                return Err(AgentError::Suspicious("the hub's vault is another space's".into()));
            }
            (self.vault, self.sealed) = (vault, sealed);
        }
        Ok(version)
    }

    /// Writes a property down, or takes it away; at the hub, in the vault.
    ///
    /// # Errors
    /// If the value is none of that scope, or somebody else writes at the same time.
    pub async fn set(&mut self, name: &str, value: Option<&str>, password: &Secret) -> Result<(), AgentError> {
        let version = self.refresh(password).await?;
        let mut vault = self.vault.clone();
        match value {
            Some(value) => vault.properties.insert(name.to_owned(), taken(name, value)?),
            None => vault.properties.remove(name),
        };
        let sealed = vault.seal(password.reveal()).map_err(locked)?;
        self.hub.put_vault(&sealed, version + 1).await?;
        (self.vault, self.sealed) = (vault, sealed);
        Ok(())
    }

    /// The space's personas.
    ///
    /// # Errors
    /// If the hub does not answer.
    pub async fn personas(&self) -> Result<Vec<Persona>, AgentError> {
        Ok(self.hub.personas().await?.personas)
    }

    /// Takes a name.
    ///
    /// # Errors
    /// If somebody has it, or there are seven.
    pub async fn add_persona(&self, name: &str) -> Result<Persona, AgentError> {
        let index = self.hub.personas().await?.next_index;
        let keys = self.vault.root.persona(index);
        let body = json!({"name": name, "index": index, "box_pk": keys.box_public(), "sign_pk": keys.sign_public()});
        let made = self.hub.call(Method::POST, &["personas"], Some(body)).await?;
        serde_json::from_value(made).map_err(|e| AgentError::Odd(e.to_string()))
    }

    /// Gives a name up for good.
    ///
    /// # Errors
    /// If the space has no such persona.
    pub async fn delete_persona(&self, name: &str) -> Result<(), AgentError> {
        self.hub.call(Method::DELETE, &["personas", name], None).await.map(drop)
    }

    /// A persona's keys.
    ///
    /// # Errors
    /// If the space has no such persona.
    pub async fn keys(&self, persona: &str) -> Result<PersonaKeys, AgentError> {
        let personas = self.personas().await?;
        let known = personas.iter().find(|known| known.name.eq_ignore_ascii_case(persona));
        let known = known.ok_or_else(|| AgentError::NoPersona(persona.to_owned()))?;
        Ok(self.vault.root.persona(known.index))
    }

    /// The welcomes that wait and are not among the `known`; waits for one as long as told, 25 s at most.
    ///
    /// # Errors
    /// If the hub does not answer.
    pub async fn inbox(&self, wait: Duration, known: &[String]) -> Result<Vec<Waiting>, AgentError> {
        self.hub.inbox(wait, known).await
    }

    /// Opens a welcome.
    ///
    /// # Errors
    /// If it is not this space's, or not what its persona's key opens.
    pub async fn welcome(&self, challenge: &str) -> Result<Welcome, AgentError> {
        let kept = self.hub.welcome(challenge).await?;
        let keys = self.keys(&kept.persona).await?;
        let sealed = decode(&kept.sealed).ok_or_else(|| AgentError::Odd("a welcome that is no box".into()))?;
        let envelope = Envelope::open(&sealed, &keys.opening);
        let envelope =
            envelope.ok_or_else(|| AgentError::Suspicious("the welcome is not sealed for its persona".into()))?;
        if envelope.challenge != challenge || !envelope.username.eq_ignore_ascii_case(&kept.persona) {
            return Err(AgentError::Suspicious("what is sealed is another welcome".into()));
        }
        let scopes = Scopes::parse(&envelope.scopes).map_err(|e| AgentError::Suspicious(format!("the scopes {e}")))?;
        Ok(Welcome { envelope, scopes, state: kept.state })
    }

    /// Approves a welcome: gives what must be given, and of the rest what the gift names.
    ///
    /// # Errors
    /// If a value is missing, the hub refuses, or it leads elsewhere than the welcome says.
    pub async fn approve(&self, welcome: &Welcome, gift: &Gift) -> Result<Approval, AgentError> {
        let given = self.given(&welcome.scopes, gift)?;
        let Envelope { challenge, username, origin, exp, .. } = &welcome.envelope;
        if *exp < Timestamp::now().as_second() {
            return Err(AgentError::Suspicious("it has expired".into()));
        }
        let granted = welcome.scopes.granted(|name| given.contains_key(name));
        let keys = self.keys(username).await?;
        let signature = encode(&keys.sign.sign(&signed::approval(challenge, &granted)));
        let decision = json!({"persona": username, "granted": granted, "sig": signature});
        let release = self.hub.approve(challenge, decision).await?;
        addressed(release, origin, &given)
    }

    /// Whether what these scopes ask for can be given.
    ///
    /// # Errors
    /// If something is missing, or the gift names what is not asked for.
    pub fn can_give(&self, scopes: &Scopes, gift: &Gift) -> Result<(), AgentError> {
        self.given(scopes, gift).map(drop)
    }

    /// Denies a welcome.
    ///
    /// # Errors
    /// If the hub refuses.
    pub async fn deny(&self, welcome: &Welcome) -> Result<(), AgentError> {
        let Envelope { challenge, username, .. } = &welcome.envelope;
        let keys = self.keys(username).await?;
        let signature = encode(&keys.sign.sign(&signed::denial(challenge)));
        self.hub.deny(challenge, json!({"persona": username, "sig": signature})).await
    }

    /// Registers a site: its id, prefix, and the sauce, shown this once.
    ///
    /// # Errors
    /// If the hub refuses.
    pub async fn add_site(&self, site: &NewSite) -> Result<Value, AgentError> {
        let body = serde_json::to_value(site).map_err(|e| AgentError::Wrong(e.to_string()))?;
        self.hub.call(Method::POST, &["sites"], Some(body)).await
    }

    /// What is given: everything mandatory, and what the gift names of the rest.
    fn given(&self, scopes: &Scopes, gift: &Gift) -> Result<BTreeMap<String, Zeroizing<String>>, AgentError> {
        let named = gift.names.iter().chain(gift.values.keys());
        if let Some(other) = named.into_iter().find(|name| !scopes.names().any(|asked| asked == *name)) {
            return Err(AgentError::Wrong(format!("{other} is not asked for")));
        }
        let chosen =
            scopes.optional().filter(|name| gift.values.contains_key(*name) || gift.names.iter().any(|n| n == name));
        let (mut given, mut missing) = (BTreeMap::new(), Vec::new());
        for name in scopes.mandatory().chain(chosen) {
            match gift.values.get(name).or_else(|| self.vault.properties.get(name)) {
                Some(value) => {
                    given.insert(name.to_owned(), Zeroizing::new(taken(name, value)?));
                }
                None => missing.push(name.to_owned()),
            }
        }
        if missing.is_empty() { Ok(given) } else { Err(AgentError::Missing(missing)) }
    }
}

/// The values for what the hub released, if it leads to the origin that was shown and asks for nothing that was not granted.
fn addressed(
    release: Release,
    origin: &str,
    given: &BTreeMap<String, Zeroizing<String>>,
) -> Result<Approval, AgentError> {
    let elsewhere = || AgentError::Suspicious("the hub leads to another place than the welcome said".into());
    let action = Url::parse(&release.action).ok().filter(|url| url.origin().ascii_serialization() == origin);
    let action = action.ok_or_else(elsewhere)?;
    let value = |field: &String| {
        let value = field.strip_prefix("sc_").and_then(|name| given.get(name))?;
        Some((field.clone(), value.to_string()))
    };
    let fields: Option<Vec<_>> = release.fields.iter().map(value).collect();
    let fields = fields.ok_or_else(|| AgentError::Suspicious("the hub asks for what was not granted".into()))?;
    Ok(Approval { action, action_text: release.action, fields })
}

fn taken(name: &str, value: &str) -> Result<String, AgentError> {
    match values::take(name, value) {
        Ok(value) if value.is_empty() => Err(AgentError::Wrong(format!("{name} is empty"))),
        Ok(value) => Ok(value),
        Err(_) => Err(AgentError::Wrong(format!("that is not a value for {name}"))),
    }
}

fn locked(error: VaultError) -> AgentError {
    match error {
        VaultError::Password => AgentError::Locked,
        other => AgentError::Wrong(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> BTreeMap<String, Zeroizing<String>> {
        BTreeMap::from([("email".to_owned(), Zeroizing::new("a@b.example".to_owned()))])
    }

    fn release(action: &str, fields: &[&str]) -> Release {
        Release { action: action.into(), fields: fields.iter().map(|field| (*field).to_owned()).collect() }
    }

    #[test]
    fn values_go_where_the_welcome_said_and_nowhere_else() {
        let origin = "https://shop.example";
        let good = addressed(release("https://shop.example/e?a=%20&a=+b", &["sc_email"]), origin, &given()).unwrap();
        assert_eq!(good.action_text, "https://shop.example/e?a=%20&a=+b");
        assert_eq!(good.fields, [("sc_email".to_owned(), "a@b.example".to_owned())]);
        assert!(!format!("{good:?}").contains("a@b"));
        for (action, field) in [
            ("https://evil.example/e", "sc_email"),
            ("http://shop.example/e", "sc_email"),
            ("https://shop.example@evil.example/e", "sc_email"),
            ("https://shop.example:444/e", "sc_email"),
            ("javascript:alert(1)", "sc_email"),
            ("https://shop.example/e", "sc_phone1"),
            ("https://shop.example/e", "email"),
        ] {
            let error = addressed(release(action, &[field]), origin, &given()).unwrap_err();
            assert!(matches!(error, AgentError::Suspicious(_)), "{action} {field}: {error}");
        }
    }
}
