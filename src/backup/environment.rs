//! The database's address in the variables that PostgreSQL's own programs read.

use anyhow::Context;
use tokio_postgres::config::{Host, SslMode};

use super::quoted;
use crate::config::Config;

/// `export PGHOST=…` and so on, a line each, for `eval`. Holds the password: it is for a shell, not for a screen.
///
/// # Errors
/// When the URL is none, or names no host that could be asked.
pub fn environment(config: &Config) -> anyhow::Result<String> {
    let parsed: tokio_postgres::Config =
        config.database.url.reveal().parse().map_err(|_| anyhow::anyhow!("database.url is not a PostgreSQL URL"))?;
    let hosts: Vec<String> = parsed.get_hosts().iter().map(host).collect();
    anyhow::ensure!(!hosts.is_empty(), "database.url names no host");
    let ports: Vec<String> = parsed.get_ports().iter().map(u16::to_string).collect();
    let password = parsed.get_password().map(|bytes| std::str::from_utf8(bytes).map(str::to_owned));
    let password = password.transpose().context("the password in database.url is not UTF-8")?;
    let ssl = match parsed.get_ssl_mode() {
        SslMode::Disable => "disable",
        SslMode::Require => "require",
        _ => "prefer",
    };
    let variables = [
        ("PGHOST", Some(hosts.join(","))),
        ("PGPORT", (!ports.is_empty()).then(|| ports.join(","))),
        ("PGUSER", parsed.get_user().map(str::to_owned)),
        ("PGPASSWORD", password),
        ("PGDATABASE", parsed.get_dbname().or(parsed.get_user()).map(str::to_owned)),
        ("PGSSLMODE", Some(ssl.to_owned())),
    ];
    let line = |(name, value): (&str, Option<String>)| value.map(|value| format!("export {name}={}\n", quoted(&value)));
    Ok(variables.into_iter().filter_map(line).collect())
}

fn host(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_variables_that_no_shell_misreads() {
        let mut config = Config::default();
        config.database.url = String::from("postgres://ada:it%27s$x@db.example:5433/node?sslmode=require").into();
        insta::assert_snapshot!(environment(&config).unwrap(), @r"
        export PGHOST='db.example'
        export PGPORT='5433'
        export PGUSER='ada'
        export PGPASSWORD='it'\''s$x'
        export PGDATABASE='node'
        export PGSSLMODE='require'
        ");
        config.database.url = String::from("nonsense").into();
        assert!(!environment(&config).unwrap_err().to_string().contains("nonsense"));
    }
}
