//! Which node a command speaks to and with which key, found in the order: option, environment, configuration file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use url::{Host, Url};

use super::client::Client;
use super::output::Output;
use crate::config::{self, Config, Secret};

const HEADING: &str = "Which node, and how to answer";
const DEFAULT_FILES: [&str; 2] = ["handfast.toml", "/etc/handfast/handfast.toml"];

/// Options every command has.
#[derive(Debug, Clone, Default, Args)]
pub struct Target {
    /// Base URL of the node's private listener [default: private.listen of the configuration, else http://127.0.0.1:8081]
    #[arg(long, env = "HANDFAST_API_URL", value_name = "URL", global = true, help_heading = HEADING)]
    pub api: Option<Url>,
    /// API key. Other users of this machine can see options: prefer the variable or --key-file
    #[arg(long, env = "HANDFAST_API_KEY", hide_env_values = true, value_name = "KEY", global = true, help_heading = HEADING)]
    pub key: Option<Secret>,
    /// File with the API key; goes before --key [default: <data_dir>/api.key]
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    pub key_file: Option<PathBuf>,
    /// Configuration file [default: ./handfast.toml, then /etc/handfast/handfast.toml]
    #[arg(long, env = "HANDFAST_CONFIG", value_name = "FILE", global = true, help_heading = HEADING)]
    pub config: Option<PathBuf>,
    /// Print the API's JSON instead of tables; one object a line for lists
    #[arg(long, global = true, help_heading = HEADING)]
    pub json: bool,
}

/// Why it is not known whom to ask.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The configuration file is wrong or missing.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// No key was given and none could be found.
    #[error("no API key: give --key-file or HANDFAST_API_KEY, or name the node's configuration with --config{0}")]
    NoKey(String),
    /// The key file cannot be used.
    #[error("the API key cannot be read from {}: {why}", path.display())]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The URL is not one of a node.
    #[error("{0} is not the URL of a node; write http://HOST:PORT or https://HOST")]
    Url(Url),
}

/// Someone to ask and a way to answer: what every command works with.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) out: Output,
}

impl Target {
    /// Finds the node and the key. Nothing is asked of the node yet.
    pub(super) fn session(&self) -> Result<Session, TargetError> {
        let config = self.configuration()?;
        let base = match &self.api {
            Some(url) => url.clone(),
            None => listener_url(config.as_ref().map_or_else(default_listener, |c| c.private.listen))?,
        };
        let key = self.find_key(&base, config.as_ref())?;
        Ok(Session { client: Client::new(base, key)?, out: Output::new(self.json) })
    }

    /// A configuration that was named must be good. One that merely lies about is only needed where options leave a gap.
    fn configuration(&self) -> Result<Option<Config>, TargetError> {
        if self.api.is_some() && (self.key.is_some() || self.key_file.is_some()) {
            return Ok(None);
        }
        let found = DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.is_file());
        match self.config.clone().or(found) {
            Some(path) => Ok(Some(config::load(Some(&path))?)),
            // Settings may come from the environment alone; without any there is nothing to complain about.
            None => Ok(config::load(None).ok()),
        }
    }

    fn find_key(&self, base: &Url, config: Option<&Config>) -> Result<Secret, TargetError> {
        if let Some(path) = &self.key_file {
            return read_key(path);
        }
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let Some(config) = config else { return Err(TargetError::NoKey(String::new())) };
        // The local node's key is not shown to another machine because somebody typed its URL.
        if self.api.is_some() && !is_own(base, config.private.listen) {
            return Err(TargetError::NoKey(" (the key of the local node is not sent to another machine)".into()));
        }
        read_key(&config.data_dir.join("api.key"))
    }
}

fn default_listener() -> SocketAddr {
    Config::default().private.listen
}

/// The address to dial for a listener; one that listens everywhere is reached by loopback.
fn listener_url(listen: SocketAddr) -> Result<Url, TargetError> {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    Url::parse(&format!("http://{}", SocketAddr::new(ip, listen.port())))
        .map_err(|e| TargetError::NoKey(format!(": {e}")))
}

fn is_own(url: &Url, listen: SocketAddr) -> bool {
    let same = |ip: IpAddr| ip.is_loopback() || ip == listen.ip();
    match url.host() {
        Some(Host::Ipv4(ip)) => same(ip.into()),
        Some(Host::Ipv6(ip)) => same(ip.into()),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn read_key(path: &Path) -> Result<Secret, TargetError> {
    let wrong = |why: String| TargetError::KeyFile { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    match text.trim() {
        "" => Err(wrong("the file is empty".into())),
        key if key.contains(char::is_whitespace) => Err(wrong("the file holds more than one word".into())),
        key => Ok(Secret::from(key.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_with_key(listen: &str) -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("api.key"), "hf_local\n").unwrap();
        let mut config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        config.private.listen = listen.parse().unwrap();
        (dir, config)
    }

    #[test]
    fn a_listener_on_every_address_is_dialled_by_loopback() {
        for (listen, url) in [
            ("0.0.0.0:8081", "http://127.0.0.1:8081/"),
            ("[::]:9", "http://[::1]:9/"),
            ("10.1.2.3:80", "http://10.1.2.3/"),
        ] {
            assert_eq!(listener_url(listen.parse().unwrap()).unwrap().as_str(), url);
        }
    }

    #[test]
    fn the_local_key_stays_with_the_local_node() {
        let (_dir, config) = config_with_key("10.1.2.3:8081");
        for (url, sent) in [
            ("http://127.0.0.1:1", true),
            ("http://10.1.2.3:8081", true),
            ("http://localhost:8081", true),
            ("http://10.1.2.4:8081", false),
            ("https://other.example", false),
        ] {
            let base: Url = url.parse().unwrap();
            let target = Target { api: Some(base.clone()), ..Target::default() };
            assert_eq!(target.find_key(&base, Some(&config)).is_ok(), sent, "{url}");
        }
    }

    #[test]
    fn a_key_file_goes_before_a_key() {
        let (dir, _) = config_with_key("127.0.0.1:1");
        let base: Url = "http://far.example".parse().unwrap();
        let target = Target {
            key: Some(Secret::from("hf_option".to_owned())),
            key_file: Some(dir.path().join("api.key")),
            ..Target::default()
        };
        assert_eq!(target.find_key(&base, None).unwrap().reveal(), "hf_local");
        std::fs::write(dir.path().join("api.key"), "\n").unwrap();
        assert!(target.find_key(&base, None).unwrap_err().to_string().contains("the file is empty"));
    }
}
