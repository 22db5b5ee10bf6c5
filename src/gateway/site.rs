//! The merchant's site: the settings as types, and what a login begins with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::config::homing::{Gateway, Otp};
use crate::config::{Config, Secret};
use crate::crypto::{SigningKey, random, random_below, sha256};
use crate::homing::keys::{self, KeyFile, KeyFileError};
use crate::homing::otp::{self, Parts, Sauce};
use crate::homing::scopes::Scopes;
use crate::homing::welcome::{Payload, Request};
use crate::homing::{Persona, encode};

/// The site. Made once, when the door opens.
pub struct Site {
    /// The settings as they are.
    pub settings: Gateway,
    /// What is asked for.
    pub scopes: Scopes,
    /// The merchant's persona.
    pub persona: Persona,
    /// Where browsers reach the merchant, without a slash at the end.
    pub url: String,
    /// Where users arrive after the hub.
    pub endpoint: String,
    /// The hub's origin: the only one that a login may lead to.
    pub hub_origin: String,
    /// The hub's sign keys.
    pub hub_keys: Vec<[u8; 32]>,
    key: SigningKey,
    sauce: Salt,
}

/// Why the door cannot open.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The sign key.
    #[error("homing.gateway.sign_key: {0}")]
    Key(#[from] KeyFileError),
    /// A setting that loading the settings refuses.
    #[error("homing.gateway.{0} cannot be used")]
    Setting(&'static str),
}

/// What one-time passwords are made with.
enum Salt {
    Hmac(Sauce),
    Md5(Secret),
}

/// A login that begins.
pub struct Begun {
    /// Names the attempt.
    pub n: String,
    /// Who.
    pub username: Persona,
    /// Unix seconds.
    pub ts: i64,
    /// For the cookie.
    pub state: Zeroizing<String>,
    /// For the hub: JSON.
    pub request: String,
    /// Where another device is to approve: the digits that are shown here and typed there.
    pub digits: Option<String>,
}

impl Begun {
    /// The same, to be approved on another device.
    pub fn for_another_device(self) -> Self {
        Self { digits: Some(format!("{:02}", random_below(100))), ..self }
    }
}

impl Site {
    /// By the settings.
    ///
    /// # Errors
    /// When the key file cannot be used.
    pub fn of(config: &Config) -> Result<Self, SiteError> {
        let settings = config.homing.gateway.clone();
        let wrong = SiteError::Setting;
        let url = match settings.url.trim_end_matches('/') {
            "" => format!("https://{}", config.domain),
            url => url.to_owned(),
        };
        let endpoint = match settings.endpoint.as_str() {
            "" => format!("{url}/homing/endpoint"),
            own => own.to_owned(),
        };
        let hub = url::Url::parse(&settings.hub).map_err(|_| wrong("hub"))?;
        let sauce = match settings.otp {
            Otp::Hmac => Salt::Hmac(Sauce::parse(settings.sauce.reveal()).map_err(|_| wrong("sauce"))?),
            Otp::Md5 => Salt::Md5(settings.sauce.clone()),
        };
        let hub_keys = settings.hub_keys.iter().map(|key| keys::public(key).ok_or(wrong("hub_keys")));
        Ok(Self {
            scopes: Scopes::parse(&settings.scopes).map_err(|_| wrong("scopes"))?,
            persona: Persona::parse(&settings.persona).map_err(|_| wrong("persona"))?,
            hub_origin: hub.origin().ascii_serialization(),
            hub_keys: hub_keys.collect::<Result<_, _>>()?,
            key: KeyFile::sign(&settings.sign_key)?,
            url,
            endpoint,
            sauce,
            settings,
        })
    }

    /// What the merchant calls itself.
    pub fn name(&self) -> &str {
        if self.settings.name.is_empty() { self.persona.as_str() } else { &self.settings.name }
    }

    /// Where browsers go when they are signed in.
    pub fn landing(&self) -> &str {
        if self.settings.landing.is_empty() { "/homing/" } else { &self.settings.landing }
    }

    /// Begins a login: an attempt that is nowhere kept yet, and the signed request for the hub. `lang` is the browser's.
    pub fn begin(&self, username: &Persona, ts: i64, lang: &str) -> Begun {
        let n = encode(&random::<16>());
        let state = Zeroizing::new(encode(&random::<32>()));
        let otp = self.otp(username.as_str(), ts, &n);
        let payload = Payload {
            username: username.as_str().into(),
            scopes: self.scopes.text().into(),
            endpoint: self.endpoint.clone(),
            // None of these has a character that a query would escape.
            query: format!("username={username}&ts={ts}&n={n}&otp={otp}"),
            ts,
            n: n.clone(),
            otp,
            otp_alg: matches!(self.sauce, Salt::Md5(_)).then(|| "md5".into()),
            state_hash: URL_SAFE_NO_PAD.encode(state_hash(&state)),
            lang: lang.into(),
        };
        let request = Request::signed(&self.settings.site, &payload, &self.key).to_json();
        Begun { n, username: username.clone(), ts, state, request, digits: None }
    }

    /// The one-time password of an attempt.
    pub fn otp(&self, username: &str, ts: i64, n: &str) -> String {
        match &self.sauce {
            Salt::Md5(salt) => otp::md5(username, ts, salt.reveal()),
            Salt::Hmac(sauce) => {
                let (site, endpoint, scopes) = (&self.settings.site, &self.endpoint, self.scopes.text());
                otp::hmac(sauce, &Parts { site, username, ts, n, endpoint, scopes })
            }
        }
    }
}

/// What is kept of a state cookie.
pub(super) fn state_hash(state: &str) -> [u8; 32] {
    sha256(&[state.as_bytes()])
}
