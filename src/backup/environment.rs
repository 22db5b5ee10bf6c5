//! The database's address in the variables that PostgreSQL's own programs read, and in words that scripts compare.

use std::path::Path;

use anyhow::Context;
use tokio_postgres::config::{ChannelBinding, Host, SslMode, TargetSessionAttrs};

use super::{absolute, is_private, quoted};
use crate::config::{Config, Secret};

/// What could lead PostgreSQL's programs past the variables that are set here (libpq, 34.15; PGCLUSTER is Debian's).
const MISLEADING: &str = "PGHOSTADDR PGPORT PGUSER PGPASSWORD PGPASSFILE PGSERVICE PGSERVICEFILE PGOPTIONS PGCLUSTER PGSSLROOTCERT \
                          PGSSLCERT PGSSLKEY PGREQUIRESSL PGTARGETSESSIONATTRS PGCHANNELBINDING";

/// Where systems keep the authorities that they trust: libpq has to be told, and before 16 knows no other way.
const AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// `export PGHOST=…` and so on, a line each, for `eval`; then which database and which key file that is, for whoever compares.
/// Holds the password: it is for a shell, not for a screen. `url` is that of the settings, or of the private database that runs.
///
/// # Errors
/// When the URL is none, or names no host that could be asked.
pub fn environment(config: &Config, url: &Secret) -> anyhow::Result<String> {
    anyhow::ensure!(
        !url.is_empty(),
        "database.url is not set, and `handfast up` does not run with these settings: start it first"
    );
    let parsed = parsed(url)?;
    let hosts: Vec<String> = parsed.get_hosts().iter().map(host).collect();
    anyhow::ensure!(!hosts.is_empty(), "database.url names no host");
    let addresses: Vec<String> = parsed.get_hostaddrs().iter().map(ToString::to_string).collect();
    let password = parsed.get_password().map(|bytes| std::str::from_utf8(bytes).map(str::to_owned));
    let password = password.transpose().context("the password in database.url is not UTF-8")?;
    let (ssl, authorities) = encryption(&parsed);
    let variables = [
        ("PGHOST", Some(hosts.join(","))),
        ("PGHOSTADDR", (!addresses.is_empty()).then(|| addresses.join(","))),
        ("PGPORT", Some(ports(&parsed))),
        ("PGUSER", parsed.get_user().map(str::to_owned)),
        ("PGPASSWORD", password),
        ("PGDATABASE", parsed.get_dbname().or(parsed.get_user()).map(str::to_owned)),
        ("PGOPTIONS", parsed.get_options().map(str::to_owned)),
        ("PGCONNECT_TIMEOUT", parsed.get_connect_timeout().map(|time| time.as_secs().to_string())),
        ("PGTARGETSESSIONATTRS", writable(&parsed)),
        ("PGCHANNELBINDING", binding(&parsed)),
        ("PGSSLMODE", Some(ssl.to_owned())),
        ("PGSSLROOTCERT", authorities),
        ("NODE_DATABASE", Some(database(config)?)),
        ("NODE_KEYS", Some(absolute(&config.keys_file()).display().to_string())),
    ];
    let line = |(name, value): (&str, Option<String>)| value.map(|value| format!("export {name}={}\n", quoted(&value)));
    Ok(std::iter::once(format!("unset {MISLEADING}\n")).chain(variables.into_iter().filter_map(line)).collect())
}

/// Which database the settings lead to, without its password.
///
/// # Errors
/// When the URL is none.
pub(super) fn database(config: &Config) -> anyhow::Result<String> {
    if is_private(config) {
        return Ok(format!("the private database in {}", absolute(&config.data_dir).display()));
    }
    let parsed = parsed(&config.database.url)?;
    let hosts: Vec<String> = parsed.get_hosts().iter().map(host).collect();
    let user = parsed.get_user().unwrap_or_default();
    let name = parsed.get_dbname().unwrap_or(user);
    Ok(format!("{user}@{}:{}/{name}", hosts.join(","), ports(&parsed)))
}

fn parsed(url: &Secret) -> anyhow::Result<tokio_postgres::Config> {
    // The parser's error would quote the URL, and with it the password.
    url.reveal().parse().map_err(|_| anyhow::anyhow!("database.url is not a PostgreSQL URL"))
}

fn host(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

fn ports(parsed: &tokio_postgres::Config) -> String {
    let ports: Vec<String> = parsed.get_ports().iter().map(u16::to_string).collect();
    if ports.is_empty() { "5432".into() } else { ports.join(",") }
}

/// The node never sends its password to a server whose certificate it has not verified; libpq's `require` would.
fn encryption(parsed: &tokio_postgres::Config) -> (&'static str, Option<String>) {
    match parsed.get_ssl_mode() {
        SslMode::Disable => ("disable", None),
        SslMode::Require => {
            let told = std::env::var("SSL_CERT_FILE").ok();
            let known = AUTHORITIES.into_iter().find(|file| Path::new(file).is_file()).map(str::to_owned);
            ("verify-full", Some(told.or(known).unwrap_or_else(|| "system".into())))
        }
        _ => ("prefer", None),
    }
}

fn writable(parsed: &tokio_postgres::Config) -> Option<String> {
    matches!(parsed.get_target_session_attrs(), TargetSessionAttrs::ReadWrite).then(|| "read-write".into())
}

fn binding(parsed: &tokio_postgres::Config) -> Option<String> {
    match parsed.get_channel_binding() {
        ChannelBinding::Disable => Some("disable".into()),
        ChannelBinding::Require => Some("require".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Config {
        let mut config = Config { data_dir: "/data".into(), ..Config::default() };
        config.database.url = String::from(url).into();
        config
    }

    #[test]
    fn a_url_becomes_variables_that_no_shell_misreads() {
        let config = settings("postgres://ada:it%27s$x@db.example:5433/node?connect_timeout=3&options=-c%20a%3Db");
        let text = environment(&config, &config.database.url).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first, format!("unset {MISLEADING}"));
        insta::assert_snapshot!(rest, @r"
        export PGHOST='db.example'
        export PGPORT='5433'
        export PGUSER='ada'
        export PGPASSWORD='it'\''s$x'
        export PGDATABASE='node'
        export PGOPTIONS='-c a=b'
        export PGCONNECT_TIMEOUT='3'
        export PGSSLMODE='prefer'
        export NODE_DATABASE='ada@db.example:5433/node'
        export NODE_KEYS='/data/node.keys'
        ");
        let config = settings("nonsense");
        assert!(!environment(&config, &config.database.url).unwrap_err().to_string().contains("nonsense"));
        let words = environment(&settings(""), &Secret::default()).unwrap_err().to_string();
        assert!(words.contains("`handfast up` does not run"), "{words}");
    }

    #[test]
    fn who_insists_on_encryption_verifies_the_certificate_as_the_node_does() {
        let config = settings("postgres://ada@db.example/node?sslmode=require");
        let text = environment(&config, &config.database.url).unwrap();
        assert!(text.contains("export PGSSLMODE='verify-full'\nexport PGSSLROOTCERT='"), "{text}");
    }

    #[test]
    fn a_private_database_is_known_by_its_place_since_its_port_changes() {
        let url = String::from("postgres://handfast:x@127.0.0.1:40001/handfast").into();
        let text = environment(&settings(""), &url).unwrap();
        assert!(text.contains("export PGPORT='40001'"), "{text}");
        assert!(text.contains("export NODE_DATABASE='the private database in /data'"), "{text}");
    }
}
