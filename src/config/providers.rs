//! Settings of what carries codes and wakes devices: services of others.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Mode, Period, Secret};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fcm: Option<Fcm>,
    /// The older GCM form; used where `fcm` is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcm: Option<Gcm>,
    /// Apple's APNs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apns: Option<Apns>,
    /// Web Push and UnifiedPush.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web: Option<WebPush>,
}

/// Google's FCM, HTTP v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fcm {
    /// The service account's key, a JSON file.
    pub credentials: PathBuf,
    /// `https://fcm.googleapis.com`.
    #[serde(default = "fcm")]
    pub url: String,
}

/// The older GCM form.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gcm {
    /// Where `POST /gcm/send` is: the whole URL.
    pub url: String,
    /// Sent as `Authorization: key=…`.
    pub key: Secret,
}

/// Apple's APNs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apns {
    /// The signing key, a `.p8` file.
    pub key: PathBuf,
    /// Its id.
    pub key_id: String,
    /// The team's id.
    pub team: String,
    /// The app's bundle id.
    pub topic: String,
    /// `https://api.push.apple.com`.
    #[serde(default = "apns")]
    pub url: String,
}

/// Web Push and UnifiedPush.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebPush {
    /// VAPID's private key, a PEM file (PKCS #8, P-256).
    pub key: PathBuf,
    /// Whom a push service can reach: `mailto:…` or `https://…`.
    pub contact: String,
}

fn twilio() -> String {
    "https://api.twilio.com".into()
}

fn fcm() -> String {
    "https://fcm.googleapis.com".into()
}

fn apns() -> String {
    "https://api.push.apple.com".into()
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
            for carrier in carriers {
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
        if self.push.schedule.is_empty() {
            found.push(("providers.push.schedule".into(), "needs at least one wait".into()));
        }
        if self.push.concurrency == 0 {
            found.push(("providers.push.concurrency".into(), "must be at least 1".into()));
        }
        found
    }
}

impl Default for Push {
    fn default() -> Self {
        Self {
            schedule: [1, 2, 5, 10, 30, 60, 120, 300].map(Period::seconds).to_vec(),
            concurrency: 50,
            fcm: None,
            gcm: None,
            apns: None,
            web: None,
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
            push: Push::default(),
        }
    }
}
