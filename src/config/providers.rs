//! Settings of what carries codes and wakes devices: services of others.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Mode, Period, Secret};
use crate::providers::carriers;

/// Providers: of each kind in the order in which they are tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Providers {
    /// Who sends short messages.
    pub sms: Vec<Carrier>,
    /// Who calls and speaks.
    pub voice: Vec<Carrier>,
    /// Who sends mail.
    pub email: Vec<Carrier>,
    /// How long one of them may take.
    pub timeout: Period,
    /// How long one that failed is tried after the others.
    pub rest: Period,
    /// Waits between the tries of a code; the last one repeats for as long as the code lives.
    pub schedule: Vec<Period>,
    /// Who wakes devices.
    pub push: Push,
}

/// Carries a code to somebody.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Carrier {
    /// Twilio's REST API, or one that speaks it: SMS and voice.
    Twilio {
        /// What it is called in `providers` and in logs.
        name: String,
        /// `https://api.twilio.com`.
        #[serde(default = "twilio")]
        url: String,
        /// Account.
        account: String,
        /// Its token.
        token: Secret,
        /// The number it comes from.
        from: String,
    },
    /// One's own: an HTTPS endpoint, signed by the Standard Webhooks convention.
    Webhook {
        /// What it is called in `providers` and in logs.
        name: String,
        /// Where.
        url: Secret,
        /// `whsec_…`.
        secret: Secret,
    },
    /// A mail server: e-mail only.
    Smtp {
        /// What it is called in `providers` and in logs.
        name: String,
        /// `smtps://user:password@host:465`, or `smtp://…?tls=required` for STARTTLS.
        url: Secret,
        /// The sender's mailbox.
        from: String,
    },
    /// Writes to a file instead of sending: development only.
    Recording {
        /// What it is called in `providers` and in logs.
        name: String,
        /// One JSON object a line.
        file: PathBuf,
    },
}

/// Who wakes devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Push {
    /// Waits between the attempts to wake a device; the last one repeats until the message's life ends.
    pub schedule: Vec<Period>,
    /// Calls at once to one push service, over all worker processes, where its destination has no setting of its own.
    pub concurrency: u32,
    /// Google's FCM, HTTP v1.
    pub fcm: Fcm,
    /// The older GCM form; used where `fcm` is not set.
    pub gcm: Gcm,
    /// Apple's APNs.
    pub apns: Apns,
    /// Web Push and UnifiedPush.
    pub web: WebPush,
}

/// Google's FCM, HTTP v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Fcm {
    /// The service account's key, a JSON file. Empty: not used.
    pub credentials: PathBuf,
    /// Where the service is.
    pub url: String,
}

/// The older GCM form.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gcm {
    /// Where `POST /gcm/send` is: the whole URL. Empty: not used.
    pub url: String,
    /// Sent as `Authorization: key=…`.
    pub key: Secret,
}

/// Apple's APNs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Apns {
    /// The signing key, a `.p8` file. Empty: not used.
    pub key: PathBuf,
    /// Its id.
    pub key_id: String,
    /// The team's id.
    pub team: String,
    /// The app's bundle id.
    pub topic: String,
    /// Where the service is.
    pub url: String,
}

/// Web Push and UnifiedPush.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WebPush {
    /// VAPID's private key, a PEM file (PKCS #8, P-256). Empty: not used.
    pub key: PathBuf,
    /// Whom a push service can reach: `mailto:…` or `https://…`.
    pub contact: String,
}

impl Fcm {
    /// Whether it is to be used.
    pub fn is_set(&self) -> bool {
        !self.credentials.as_os_str().is_empty()
    }
}

impl Gcm {
    /// Whether it is to be used.
    pub fn is_set(&self) -> bool {
        !self.url.is_empty()
    }
}

impl Apns {
    /// Whether it is to be used.
    pub fn is_set(&self) -> bool {
        !self.key.as_os_str().is_empty()
    }
}

impl WebPush {
    /// Whether it is to be used.
    pub fn is_set(&self) -> bool {
        !self.key.as_os_str().is_empty()
    }
}

impl Default for Fcm {
    fn default() -> Self {
        Self { credentials: PathBuf::new(), url: "https://fcm.googleapis.com".into() }
    }
}

impl Default for Apns {
    fn default() -> Self {
        Self {
            key: PathBuf::new(),
            key_id: String::new(),
            team: String::new(),
            topic: String::new(),
            url: "https://api.push.apple.com".into(),
        }
    }
}

fn twilio() -> String {
    "https://api.twilio.com".into()
}

impl Carrier {
    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Self::Twilio { name, .. }
            | Self::Webhook { name, .. }
            | Self::Smtp { name, .. }
            | Self::Recording { name, .. } => name,
        }
    }
}

impl Providers {
    /// What is wrong, each with the setting's name.
    pub(super) fn mistakes(&self, mode: Mode) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (kind, carriers) in [("sms", &self.sms), ("voice", &self.voice), ("email", &self.email)] {
            let mut wrong = |what: &str| found.push((format!("providers.{kind}"), what.to_owned()));
            for (n, carrier) in carriers.iter().enumerate() {
                if carriers[..n].iter().any(|other| other.name() == carrier.name()) {
                    wrong(&format!("two are called \"{}\"", carrier.name()));
                }
                if let Some(mistake) = carriers::mistake(carrier) {
                    wrong(&mistake);
                }
                match carrier {
                    Carrier::Recording { .. } if mode == Mode::Production => {
                        wrong("kind = \"recording\" is refused with mode = \"production\"");
                    }
                    Carrier::Smtp { .. } if kind != "email" => wrong("kind = \"smtp\" sends mail only"),
                    Carrier::Twilio { .. } if kind == "email" => wrong("kind = \"twilio\" sends no mail"),
                    _ => {}
                }
            }
        }
        if self.schedule.is_empty() {
            found.push(("providers.schedule".to_owned(), "needs at least one wait".to_owned()));
        }
        if self.timeout < Period::millis(100) {
            found.push(("providers.timeout".to_owned(), "must be at least 100ms".to_owned()));
        }
        found.extend(self.push.mistakes());
        found
    }
}

impl Push {
    fn mistakes(&self) -> Vec<(String, String)> {
        let Self { apns, gcm, web, .. } = self;
        let contact = ["mailto:", "https://"].iter().any(|scheme| web.contact.starts_with(scheme));
        let all = [
            ("schedule", !self.schedule.is_empty(), "needs at least one wait"),
            ("concurrency", self.concurrency > 0, "must be at least 1"),
            ("gcm.key", !gcm.is_set() || !gcm.key.is_empty(), "is needed with gcm.url"),
            ("apns.key_id", !apns.is_set() || !apns.key_id.is_empty(), "is needed with apns.key"),
            ("apns.team", !apns.is_set() || !apns.team.is_empty(), "is needed with apns.key"),
            ("apns.topic", !apns.is_set() || !apns.topic.is_empty(), "is needed with apns.key"),
            ("web.contact", !web.is_set() || contact, "mailto:… or https://… is needed with web.key"),
        ];
        let wrong = all.into_iter().filter(|(_, good, _)| !good);
        wrong.map(|(name, _, what)| (format!("providers.push.{name}"), what.to_owned())).collect()
    }
}

impl Default for Push {
    fn default() -> Self {
        Self {
            schedule: [1, 2, 5, 10, 30, 60, 120, 300, 900].map(Period::seconds).to_vec(),
            concurrency: 50,
            fcm: Fcm::default(),
            gcm: Gcm::default(),
            apns: Apns::default(),
            web: WebPush::default(),
        }
    }
}

impl Default for Providers {
    fn default() -> Self {
        Self {
            sms: Vec::new(),
            voice: Vec::new(),
            email: Vec::new(),
            timeout: Period::seconds(10),
            rest: Period::seconds(30),
            schedule: [1, 2, 5, 10].map(Period::seconds).to_vec(),
            push: Push::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(mode: Mode, toml: &str) -> Vec<String> {
        let providers: Providers = toml::from_str(toml).unwrap();
        providers.mistakes(mode).into_iter().map(|(key, what)| format!("{key}: {what}")).collect()
    }

    #[test]
    fn a_recording_is_refused_in_production_only() {
        let recording = r#"sms = [{ kind = "recording", name = "file", file = "/tmp/codes" }]"#;
        assert_eq!(mistakes(Mode::Development, recording), Vec::<String>::new());
        assert_eq!(
            mistakes(Mode::Production, recording),
            [r#"providers.sms: kind = "recording" is refused with mode = "production""#]
        );
    }

    #[test]
    fn what_cannot_carry_is_named_and_no_secret_is_shown() {
        let twilio = r#"kind = "twilio", name = "t", account = "AC1", token = "s3cret", from = "+1""#;
        let smtp = r#"kind = "smtp", name = "m", url = "smtp://u:s3cret@mail.example", from = "a@b.example""#;
        let own = r#"kind = "webhook", name = "own", url = "https://own.example/?k=s3cret", secret = "s3cret""#;
        let found = mistakes(
            Mode::Production,
            &format!(
                "schedule = []\ntimeout = \"1ms\"\nsms = [{{ {twilio} }}, {{ {twilio} }}, {{ {own} }}]\nvoice = [{{ {smtp} }}]\nemail = [{{ {twilio} }}]"
            ),
        );
        for word in [
            "providers.sms: two are called \"t\"",
            "providers.sms: \"own\": secret must be",
            "providers.voice: \"m\": url: without TLS",
            "providers.voice: kind = \"smtp\" sends mail only",
            "providers.email: kind = \"twilio\" sends no mail",
            "providers.schedule: ",
            "providers.timeout: ",
        ] {
            assert!(found.iter().any(|one| one.starts_with(word)), "{word} in {found:#?}");
        }
        assert!(!found.concat().contains("s3cret"));
    }
}
