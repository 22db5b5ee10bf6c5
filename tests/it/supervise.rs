//! What `up` does with its children, shown with a script in the place of our own program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use handfast::config::Config;
use handfast::supervise::{Node, UpError, up_until};
use tokio_util::sync::CancellationToken;

/// Notes every start; `work` dies the first time; the others stay until SIGTERM, which they note too.
const CHILD: &str = r#"#!/bin/sh
cd "${0%/*}"
echo "$1 $HANDFAST_DATABASE__URL" >> log
case $1 in migrate) exit "$(cat migrate)" ;; esac
if [ "$1" = work ] && [ ! -e died ]; then touch died; exit 3; fi
trap 'kill $!; echo "$1 finished" >> log; exit 0' TERM
sleep 600 & wait $!
"#;

#[tokio::test]
async fn children_are_started_after_the_migration_started_again_and_finish_on_stop() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = settings(dir.path(), "0");
    let stop = CancellationToken::new();
    let executable = dir.path().join("child");
    let node = Node { config: &config, executable: &executable, config_file: None };
    let (log, data_dir) = (dir.path().join("log"), config.data_dir.clone());
    let prepare = |config: &Config| {
        assert!(config.data_dir.is_dir(), "made before");
        Ok(())
    };
    let migrated = async |config: &Config| {
        assert_eq!(read(&log), format!("migrate {}\n", config.database.url.reveal()));
        Ok(())
    };
    let watch = async {
        wait_for(&log, |log| count(log, "work postgres://") == 2 && count(log, "serve postgres://") == 1).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(up_until(node, &stop, prepare, migrated), watch);
    ended.expect("stopped as told");
    let log = read(&log);
    assert_eq!((count(&log, "serve finished"), count(&log, "work finished")), (1, 1), "{log}");
    assert!(!data_dir.join("pair").exists(), "both URLs were set: no private server");
}

#[tokio::test]
async fn nothing_is_started_on_a_schema_that_does_not_migrate() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = settings(dir.path(), "4");
    let executable = dir.path().join("child");
    let node = Node { config: &config, executable: &executable, config_file: None };
    let stop = CancellationToken::new();
    let ended = up_until(node, &stop, |_| Ok(()), async |_| panic!("it did not migrate")).await;
    assert!(matches!(ended, Err(UpError::Child { command: "migrate", status }) if status.code() == Some(4)));
    assert_eq!(read(&dir.path().join("log")).lines().count(), 1);
}

fn settings(dir: &Path, migrate_exits: &str) -> Config {
    let child = dir.join("child");
    fs::write(&child, CHILD).expect("written");
    fs::write(dir.join("migrate"), migrate_exits).expect("written");
    fs::set_permissions(&child, fs::Permissions::from_mode(0o755)).expect("executable");
    let mut config = Config { data_dir: dir.join("data"), ..Config::default() };
    config.database.url = "postgres://nobody@127.0.0.1:1/none".to_owned().into();
    config.amqp.url = "amqp://nobody@127.0.0.1:1/none".to_owned().into();
    // Nothing listens there: `up` must not need the node to be ready in order to stop.
    config.private.listen = ([127, 0, 0, 1], 1).into();
    config
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn count(log: &str, start: &str) -> usize {
    log.lines().filter(|line| line.starts_with(start)).count()
}

async fn wait_for(path: &Path, holds: impl Fn(&str) -> bool) {
    let begun = Instant::now();
    while !holds(&read(path)) {
        assert!(begun.elapsed() < Duration::from_secs(30), "in vain; the log says:\n{}", read(path));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
