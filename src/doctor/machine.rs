//! What the node stands on: its disks, its broker's version.

use std::path::Path;

use super::Finding::{self, Good, Note, Wrong};
use crate::config::Config;
use crate::queue;

/// With less room than this a database stops soon.
const LEAST: u64 = 512 * 1024 * 1024;
/// With less than this it is worth a word.
const LITTLE: u64 = 5 * 1024 * 1024 * 1024;
/// Quorum queues as they are used here are there from then on.
const OLDEST: (u32, u32) = (3, 10);

/// Room below `data_dir`, where keys, attachments and the servers of `handfast up` are. A database elsewhere has a disk of its own.
pub(super) fn disk(config: &Config) -> Finding {
    let mut place = config.data_dir.as_path();
    while !place.exists() {
        let Some(parent) = place.parent() else { break };
        place = parent;
    }
    let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
    match rustix::fs::statvfs(place) {
        Ok(disk) => judge(disk.f_bavail.saturating_mul(disk.f_frsize), &config.data_dir),
        Err(error) => Note(format!("{} cannot be asked: {error}", place.display())),
    }
}

fn judge(room: u64, place: &Path) -> Finding {
    let words = format!("{:.1} GiB free for {}", room as f64 / f64::from(1 << 30), place.display());
    match room {
        ..LEAST => Wrong(format!("{words}: make room before the disk is full")),
        ..LITTLE => Note(words),
        _ => Good(words),
    }
}

/// What it says when somebody connects.
pub(super) async fn broker_version(config: &Config) -> Finding {
    if config.amqp.url.is_empty() {
        return Note("amqp.url is empty: `handfast up` brings its own".into());
    }
    match queue::version(&config.amqp).await {
        Ok(version) if is_old(&version) => Wrong(format!("{version}: 3.10 or later is needed")),
        Ok(version) => Good(version),
        Err(error) => Note(format!("not known: {error}")),
    }
}

fn is_old(version: &str) -> bool {
    let number = version.rsplit(' ').next().unwrap_or_default();
    let mut parts = number.split('.').map_while(|part| part.parse::<u32>().ok());
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => (major, minor) < OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_brokers_are_told_from_new_ones() {
        for (version, old) in [
            ("RabbitMQ 3.9.29", true),
            ("RabbitMQ 3.10.0", false),
            ("RabbitMQ 4.1.0-rc.1", false),
            ("RabbitMQ 2.8.7", true),
            ("Other", false),
        ] {
            assert_eq!(is_old(version), old, "{version}");
        }
    }

    #[test]
    fn a_full_disk_is_wrong_and_a_filling_one_worth_a_word() {
        let place = Path::new("/data");
        assert!(matches!(judge(LEAST - 1, place), Wrong(_)));
        assert!(matches!(judge(LEAST, place), Note(_)));
        assert!(matches!(judge(LITTLE, place), Good(_)));
    }
}
