//! A process dies exactly between two steps, at each place that `src/failpoint.rs` names; each test says which promise holds then.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use tokio::process::Command;

use super::application::Way;
use super::stage::Stage;
use crate::node::eventually;
use crate::secrets;
use crate::support::fresh_database;

/// More than a chunk of the stage holds.
const MESSAGES: usize = 30;
const KILL: i32 = 9;

/// A's ingress dies there, is started again, and the application, which does not give up, has every message accepted once.
async fn ingress_dies(at: &str) {
    let mut stage = Stage::new(1, |options| options).await;
    stage.a.kill_serve().await;
    stage.a.start_serve_to_die(at);
    stage.a.ready().await;
    // An ingress that has just begun leaves publishing to the scheduler.
    let stream = stage.application.stream(&stage.routes, 2, 400);
    let ended = stage.a.serve.take().expect("started").ended().await;
    assert_eq!(ended.signal(), Some(KILL), "it did not die at {at}: {ended}");
    stage.a.start_serve();
    stage.a.ready().await;
    stream.stop().await;
    stage.exactly_once().await;
}

/// A's worker dies there, another one is started, and everything arrives once.
async fn worker_dies(at: &str) {
    let mut stage = Stage::new(1, |options| options).await;
    stage.a.kill_work().await;
    stage.a.start_work_to_die(at);
    stage.a.ready().await;
    stage.application.hand_over(&stage.rows("message", MESSAGES), Way::Batch).await;
    let ended = stage.a.work.remove(0).ended().await;
    assert_eq!(ended.signal(), Some(KILL), "it did not die at {at}: {ended}");
    stage.a.start_work();
    stage.exactly_once().await;
}

#[tokio::test]
async fn what_was_committed_and_never_answered_is_not_accepted_again_under_its_key_and_is_published_by_others() {
    ingress_dies("after-commit").await;
}

#[tokio::test]
async fn what_was_published_without_a_confirm_is_published_again_and_delivered_once() {
    ingress_dies("after-publish").await;
}

#[tokio::test]
async fn what_was_confirmed_without_a_mark_is_delivered_once() {
    ingress_dies("after-confirm").await;
}

#[tokio::test]
async fn what_was_claimed_by_one_who_never_knew_is_handed_on() {
    worker_dies("after-claim").await;
}

#[tokio::test]
async fn what_was_claimed_and_never_acknowledged_is_handed_out_again_and_run_once() {
    worker_dies("before-ack").await;
}

#[tokio::test]
async fn what_was_answered_and_not_written_down_is_sent_again_and_known_as_a_copy() {
    worker_dies("after-response:5").await;
}

#[tokio::test]
async fn what_was_written_down_and_told_to_nobody_is_not_sent_again() {
    worker_dies("after-settle").await;
}

#[tokio::test]
async fn a_worker_that_dies_while_it_stops_leaves_nothing_behind() {
    let mut stage = Stage::new(1, |options| options).await;
    stage.a.kill_work().await;
    stage.a.start_work_to_die("while-draining");
    stage.a.ready().await;
    stage.application.hand_over(&stage.rows("message", MESSAGES), Way::Batch).await;
    // Readiness may still speak of the worker before: a message that went shows that this one is at work and will hear the signal.
    stage.arrive_or_done(1).await;
    stage.a.work[0].signal("TERM").await;
    assert_eq!(stage.a.work.remove(0).ended().await.signal(), Some(KILL), "it stopped in peace");
    stage.a.start_work();
    stage.exactly_once().await;
}

#[tokio::test]
async fn a_worker_that_dies_between_two_partitions_leaves_the_rest_to_the_next() {
    let mut stage = Stage::new(1, |options| options).await;
    stage.a.kill_work().await;
    let there = "select count(*) from pg_inherits join pg_class on oid = inhrelid where relkind = 'r'";
    let before: i64 = stage.a.value(there).await;
    let last = "select substr(max(relname), 9) from pg_class where relname ~ '^messages_[0-9]+$'";
    let week: String = stage.a.value(last).await;
    stage.a.execute(&format!("drop table messages{week}, chunks{week}")).await;
    stage.a.start_work_to_die("while-rotating");
    assert_eq!(stage.a.work.remove(0).ended().await.signal(), Some(KILL), "nothing was missing");
    assert_eq!(stage.a.value::<i64>(there).await, before - 1, "one of two is made");
    stage.a.start_work();
    eventually("both are there", async || stage.a.value::<i64>(there).await == before).await;
    stage.application.hand_over(&stage.rows("message", MESSAGES), Way::Batch).await;
    stage.exactly_once().await;
}

#[tokio::test]
async fn a_migration_that_dies_half_way_is_taken_up_where_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let url = fresh_database().await;
    let migrate = async |mode: &str, at: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handfast"));
        command.arg("migrate").env("HANDFAST_MODE", mode).env("HANDFAST_DOMAIN", "node.test").current_dir(dir.path());
        command.env("HANDFAST_DATA_DIR", dir.path()).env("HANDFAST_DATABASE__URL", url.reveal());
        command.envs(at.map(|at| ("HANDFAST_FAILPOINT", at))).stdin(Stdio::null());
        let output = command.output().await.expect("it runs");
        secrets::said("migrate", &output.stderr);
        output
    };
    let refused = migrate("production", Some("while-migrating")).await;
    assert_eq!(refused.status.code(), Some(1), "production does not die on purpose");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("HANDFAST_FAILPOINT"), "and says why");
    assert_eq!(migrate("development", Some("while-migrating")).await.status.signal(), Some(KILL));
    assert!(migrate("development", None).await.status.success(), "the rest");
    let mut settings = handfast::config::Database { url: url.clone(), ..Default::default() };
    settings.pool = 4;
    let db = handfast::db::Db::new(&settings).expect("a pool");
    db.check_schema().await.expect("this program's");
    assert_eq!(db.migrate().await.expect("nothing left to do"), 0);
}
