//! The private PostgreSQL: loopback TCP with a SCRAM password, no Unix socket.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use super::PairError;
use super::owner::failed;
use super::process::{GLANCE, POSTGRES, Server};
use super::site::Site;
use super::{port, process};
use crate::config::Secret;

/// Crash recovery of a busy database takes its time.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long the back ends of a killed postmaster may take to go.
const OLD_BACK_ENDS_LIMIT: Duration = Duration::from_secs(30);
const OLDEST: u32 = 15;

/// One cluster, running or not.
pub(super) struct Postgres {
    bin: PathBuf,
    port: u16,
    password: String,
    server: Mutex<Option<Server>>,
}

impl Postgres {
    /// Makes the cluster at first use and starts it on a free port.
    pub(super) async fn start(site: &Site) -> Result<Self, PairError> {
        let made_by = fs::read_to_string(site.data("postgres").join("PG_VERSION")).ok();
        let made_by = made_by.and_then(|version| version.trim().parse().ok());
        let bin = installed(Path::new("/usr/lib/postgresql"), made_by).ok_or(PairError::Missing {
            program: "PostgreSQL 15 or later",
            package: "postgresql",
            setting: "database.url",
        })?;
        make_cluster(site, &bin).await?;
        let password = site.identity().database_password.clone();
        let mut postgres = Self { bin, port: 0, password, server: Mutex::new(None) };
        for last in [false, false, false, true] {
            [postgres.port] = port::free().map_err(failed("find a port for", &site.data("postgres")))?;
            match postgres.restart(site).await {
                Err(PairError::NotReady { tail, .. }) if !last && tail.contains("could not bind") => {}
                other => return other.map(|()| postgres),
            }
        }
        Ok(postgres)
    }

    /// Starts it on its port, unless it runs.
    pub(super) async fn restart(&self, site: &Site) -> Result<(), PairError> {
        let mut slot = self.server.lock().await;
        if slot.as_mut().is_some_and(|server| server.ended().is_none()) {
            return Ok(());
        }
        let deadline = Instant::now() + OLD_BACK_ENDS_LIMIT;
        loop {
            match self.launch(site).await {
                Err(PairError::NotReady { tail, .. }) if old_back_ends(&tail) && Instant::now() < deadline => {
                    sleep(GLANCE).await;
                }
                other => return other.map(|server| *slot = Some(server)),
            }
        }
    }

    async fn launch(&self, site: &Site) -> Result<Server, PairError> {
        let data = site.data("postgres");
        let mut command = site.owner().command(self.bin.join("postgres"), &data);
        command.arg("-D").arg(&data);
        for setting in self.settings() {
            command.arg("-c").arg(setting);
        }
        let mut server = Server::start(site, POSTGRES, command).await?;
        match server.wait_until(START_LIMIT, async || self.connect("postgres").await.is_ok()).await {
            Ok(()) => Ok(server),
            Err(error) => {
                server.kill().await?;
                Err(error)
            }
        }
    }

    /// On the command line, where nothing in the data directory can override them.
    fn settings(&self) -> [String; 7] {
        [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            "unix_socket_directories=".to_owned(),
            "max_connections=200".to_owned(),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
            // Values in a refused statement are what users sent: they are not for a log.
            "log_min_error_statement=panic".to_owned(),
        ]
    }

    /// Restarts it if it has died without being told to.
    pub(super) async fn revive(&self, site: &Site) -> Result<bool, PairError> {
        let died = self.server.lock().await.as_mut().is_some_and(|server| server.ended().is_some());
        if died {
            self.restart(site).await?;
        }
        Ok(died)
    }

    /// Fast shutdown.
    pub(super) async fn stop(&self) -> Result<(), PairError> {
        match self.server.lock().await.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }

    /// SIGKILL, back ends included.
    pub(super) async fn kill(&self) -> Result<(), PairError> {
        match self.server.lock().await.take() {
            Some(server) => server.kill().await,
            None => Ok(()),
        }
    }

    /// SIGSTOP or SIGCONT, back ends included; nothing where it does not run.
    pub(super) async fn freeze(&self, frozen: bool) {
        if let Some(server) = self.server.lock().await.as_ref() {
            server.freeze(frozen);
        }
    }

    /// The postmaster's process id.
    pub(super) async fn process_id(&self) -> Option<u32> {
        self.server.lock().await.as_ref().map(Server::pid)
    }

    /// With password.
    pub(super) fn url(&self, name: &str) -> Secret {
        format!("postgres://handfast:{}@127.0.0.1:{}/{name}", self.password, self.port).into()
    }

    /// `name` must be plain.
    pub(super) async fn ensure_database(&self, name: &str) -> Result<(), PairError> {
        let client = self.connect("postgres").await?;
        if client.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name]).await?.is_some() {
            return Ok(());
        }
        // template0 has no connections, so that databases can be made side by side.
        match client.batch_execute(&format!("CREATE DATABASE \"{name}\" TEMPLATE template0")).await {
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(()),
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(()),
            other => Ok(other?),
        }
    }

    async fn connect(&self, name: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(self.url(name).reveal(), NoTls).await?;
        // Ends with the client; its error is seen there.
        tokio::spawn(connection);
        Ok(client)
    }
}

/// After a killed postmaster its back ends take a moment to notice and go; until then PostgreSQL refuses to start.
fn old_back_ends(log: &str) -> bool {
    log.contains("pre-existing shared memory block") || log.contains("lock file \"postmaster.pid\" already exists")
}

/// `initdb`, whole or not at all: a directory that was begun and not finished is begun anew.
async fn make_cluster(site: &Site, bin: &Path) -> Result<(), PairError> {
    let data = site.data("postgres");
    if data.exists() {
        return Ok(());
    }
    let fresh = site.data("postgres.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(failed("delete", &fresh))?;
    }
    site.make_data(&fresh)?;
    let password = site.write_config("password", &site.identity().database_password)?;
    let mut initdb = site.owner().command(bin.join("initdb"), &fresh);
    initdb.args(["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--username=handfast", "--no-instructions"]);
    initdb.arg("--pgdata").arg(&fresh).arg("--pwfile").arg(&password);
    let run = |source| PairError::Run { program: "initdb".to_owned(), source };
    let done = initdb.output().await.map_err(run)?;
    fs::remove_file(&password).map_err(failed("delete", &password))?;
    if !done.status.success() {
        let output = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        return Err(PairError::Failed { program: "initdb", output: process::last_lines(&output, 15) });
    }
    fs::rename(&fresh, &data).map_err(failed("rename", &fresh))
}

/// `…/15/bin`: the version that made the data if there is any (no other can read it), else the newest.
fn installed(versions: &Path, made_by: Option<u32>) -> Option<PathBuf> {
    let entries = fs::read_dir(versions).ok()?.flatten();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut found: Vec<u32> = entries
        .filter_map(number)
        .filter(|version| *version >= OLDEST && made_by.is_none_or(|made_by| made_by == *version))
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    let bins = found.iter().map(|version| versions.join(version.to_string()).join("bin"));
    bins.into_iter().find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_complete_version_is_taken_or_the_one_that_made_the_data() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(installed(root.path(), None), None);
        for version in ["9.6", "14", "15", "16", "17"] {
            let bin = root.path().join(version).join("bin");
            fs::create_dir_all(&bin).expect("made");
            // A client-only version 17 has no server.
            for program in ["initdb", "postgres"].iter().filter(|_| version != "17") {
                fs::write(bin.join(program), "").expect("written");
            }
        }
        assert_eq!(installed(root.path(), None), Some(root.path().join("16/bin")));
        assert_eq!(installed(root.path(), Some(15)), Some(root.path().join("15/bin")));
        assert_eq!(installed(root.path(), Some(18)), None);
    }
}
