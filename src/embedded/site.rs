//! The directory a pair lives in: who owns what in it, and the secrets made with it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::PairError;
use super::leash::Leash;
use super::owner::{Owner, failed, make_dir, write_file};

/// Where root's servers live when their user cannot pass to the directory asked for (below `/root`, say).
const ELSEWHERE: &str = "/var/lib/handfast/pairs";

/// The directory, its owner, its secrets, and the leash of what runs in it.
pub(super) struct Site {
    dir: PathBuf,
    home: PathBuf,
    owner: Owner,
    identity: Identity,
    leash: Leash,
}

/// Made at first start and never changed: RabbitMQ finds its data by its node's name. No `Debug`: all of it is secret.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Erlang node name.
    pub(super) node: String,
    /// Erlang cookie.
    pub(super) cookie: String,
    /// PostgreSQL password of the user `handfast`.
    pub(super) database_password: String,
    /// RabbitMQ password of the user `handfast`.
    pub(super) broker_password: String,
}

impl Site {
    /// Makes what is missing below `dir`.
    pub(super) fn open(dir: &Path) -> Result<Self, PairError> {
        let dir = dir.canonicalize().map_err(failed("find", dir))?;
        let owner = Owner::find()?;
        let identity = Identity::of(&dir)?;
        let home = settle(&dir, owner)?;
        let leash = Leash::new().map_err(|source| PairError::Run { program: "a thread".to_owned(), source })?;
        let site = Self { dir, home, owner, identity, leash };
        make_dir(&site.etc(), 0o750)?;
        owner.share(&site.etc())?;
        make_dir(&site.log(), 0o700)?;
        make_dir(&site.run(), 0o700)?;
        Ok(site)
    }

    /// As [`Site::open`], for the `number`-th of several servers that share `identity`'s secrets.
    pub(super) fn open_member(dir: &Path, identity: &Identity, number: usize) -> Result<Self, PairError> {
        make_dir(dir, 0o711)?;
        let path = dir.join("identity.json");
        if !path.exists() {
            let name = identity.node.trim_end_matches("@localhost");
            let own = Identity { node: format!("{name}_{number}@localhost"), ..identity.clone() };
            own.write(&path)?;
        }
        Self::open(dir)
    }

    /// Deletes all of it, and the directory if nothing else is in it.
    pub(super) fn remove(&self) -> Result<(), PairError> {
        fs::remove_dir_all(&self.home).map_err(failed("delete", &self.home))?;
        for file in ["servers", "identity.json", "lock"] {
            let _ = fs::remove_file(self.dir.join(file));
        }
        let _ = fs::remove_dir(&self.dir);
        Ok(())
    }

    /// The user the servers run as.
    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// What was made at first start.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What ties the servers' lives to ours.
    pub(super) fn leash(&self) -> &Leash {
        &self.leash
    }

    /// Configuration: ours to write, the servers' to read.
    pub(super) fn etc(&self) -> PathBuf {
        self.home.join("etc")
    }

    /// Logs: ours alone, the servers only hold them open.
    pub(super) fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Process ids: ours alone.
    pub(super) fn run(&self) -> PathBuf {
        self.home.join("run")
    }

    /// A server's own directory.
    pub(super) fn data(&self, server: &str) -> PathBuf {
        self.home.join(server)
    }

    /// Writes a file that the servers may read.
    pub(super) fn write_config(&self, name: &str, content: &str) -> Result<PathBuf, PairError> {
        let path = self.etc().join(name);
        write_file(&path, content, 0o640)?;
        self.owner.share(&path)?;
        Ok(path)
    }

    /// Makes a directory that belongs to the servers.
    pub(super) fn make_data(&self, path: &Path) -> Result<(), PairError> {
        make_dir(path, 0o700)?;
        self.owner.give(path)
    }
}

impl Identity {
    fn of(dir: &Path) -> Result<Self, PairError> {
        let path = dir.join("identity.json");
        if path.exists() {
            let text = fs::read_to_string(&path).map_err(failed("read", &path))?;
            return serde_json::from_str(&text).map_err(std::io::Error::from).map_err(failed("understand", &path));
        }
        let new = Self {
            node: format!("handfast_{}@localhost", &secret()[..8]),
            cookie: secret(),
            database_password: secret(),
            broker_password: secret(),
        };
        new.write(&path)?;
        Ok(new)
    }

    fn write(&self, path: &Path) -> Result<(), PairError> {
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::from).map_err(failed("write", path))?;
        write_file(path, &text, 0o600)
    }
}

/// The directory of the servers: `dir/servers`, or what this name points to.
fn settle(dir: &Path, owner: Owner) -> Result<PathBuf, PairError> {
    let home = dir.join("servers");
    if !home.exists() && !owner.reaches(dir) {
        let elsewhere = Path::new(ELSEWHERE).join(&secret()[..16]);
        make_dir(&elsewhere, 0o711)?;
        let _ = fs::remove_file(&home);
        symlink(&elsewhere, &home).map_err(failed("link", &home))?;
        tracing::info!(
            "the servers' user cannot pass to {}: their files are in {}",
            dir.display(),
            elsewhere.display()
        );
    }
    make_dir(&home, 0o711)?;
    home.canonicalize().map_err(failed("find", &home))
}

/// 244 random bits in 64 characters that need quoting nowhere.
fn secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Identity::of(dir.path()).expect("made");
        let again = Identity::of(dir.path()).expect("read");
        assert_eq!((first.node, first.cookie), (again.node, again.cookie));
        assert_ne!(first.database_password, first.broker_password);
    }
}
