//! Where the private PostgreSQL of a node is that runs under `handfast up`, for commands on the same machine.

use std::fs;
use std::path::{Path, PathBuf};

use super::site::Identity;
use crate::config::Secret;

/// The URL of the private database, if it runs and we may read where: its port is another one after each start.
pub fn database(data_dir: &Path, name: &str) -> Option<Secret> {
    let pair = data_dir.join("pair");
    let identity: Identity = serde_json::from_str(&fs::read_to_string(pair.join("identity.json")).ok()?).ok()?;
    let pid_file = fs::read_to_string(cluster(data_dir)?.join("postmaster.pid")).ok()?;
    let port = port_of(&pid_file)?;
    Some(format!("postgres://handfast:{}@127.0.0.1:{port}/{name}", identity.database_password).into())
}

/// The directory of the private database, if there is one.
pub fn cluster(data_dir: &Path) -> Option<PathBuf> {
    let home = data_dir.join("pair").join("servers").canonicalize().ok()?;
    Some(home.join("postgres")).filter(|cluster| cluster.join("PG_VERSION").exists())
}

/// The programs that belong to it: another version's could not read what it writes.
pub fn programs(data_dir: &Path) -> Option<PathBuf> {
    let version = fs::read_to_string(cluster(data_dir)?.join("PG_VERSION")).ok()?;
    let bin = Path::new("/usr/lib/postgresql").join(version.trim()).join("bin");
    bin.join("pg_dump").exists().then_some(bin)
}

/// Its process id is in the first line, the port in the fourth, and in the eighth whether it is ready.
fn port_of(pid_file: &str) -> Option<u16> {
    let lines: Vec<&str> = pid_file.lines().map(str::trim).collect();
    let runs = Path::new("/proc").join(lines.first()?).exists();
    let ready = lines.get(7).is_some_and(|status| *status == "ready");
    if runs && ready { lines.get(3)?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_runs_and_is_ready_has_a_port() {
        let pid = std::process::id();
        let file = |pid: &str, status: &str| format!("{pid}\n/data\n1700000000\n5433\n\n127.0.0.1\n  1 2\n{status}\n");
        assert_eq!(port_of(&file(&pid.to_string(), "ready   ")), Some(5433));
        assert_eq!(port_of(&file(&pid.to_string(), "starting")), None);
        assert_eq!(port_of(&file("0", "ready")), None);
        assert_eq!(port_of(""), None);
    }
}
