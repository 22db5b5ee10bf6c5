//! PostgreSQL fails over: the primary dies while messages flow, its synchronous standby becomes the primary, and a name leads there.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use handfast::db::Db;
use handfast::embedded::Pair;
use tokio::process::{Child, Command};

use super::dice::Dice;
use super::ledger;
use super::stage::{self, Stage};
use super::story::proxy::Proxy;
use crate::node::{Port, eventually};

/// As `primary_conninfo` and `synchronous_standby_names` call it.
const NAME: &str = "standby";

// The proxy must go on while a node that is dropped takes its database away.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_missing_after_a_failover_to_a_synchronous_standby() {
    let mut dice = Dice::new();
    let dir = stage::servers();
    let pair = Pair::start(dir.path()).await.expect("a pair");
    let primary = address(&pair);
    let proxy = Proxy::start(vec![primary]).await.expect("a proxy");
    let standby = Standby::start(&pair, dir.path()).await;
    let mut stage = Stage::on_database(&pair, proxy.address(), 2, |options| options).await;
    let stream = stage.application.stream(&stage.routes, 4, 600);
    stage.arrive(dice.from(20..80)).await;
    pair.kill_database().await.expect("killed");
    standby.promote().await;
    proxy.lead_to(vec![standby.address]);
    stage.arrive_or_done(40).await;
    stream.stop().await;
    ledger::worked_off(&stage.a).await;
    stage.a.unharmed().await;
    stage.b.unharmed().await;
    stage.exactly_once().await;
}

fn address(pair: &Pair) -> SocketAddr {
    let url = url::Url::parse(pair.database_url("postgres").reveal()).expect("a URL");
    SocketAddr::from(([127, 0, 0, 1], url.port().expect("a port")))
}

/// A copy of the pair's database that follows it, and holds what it acknowledges.
struct Standby {
    address: SocketAddr,
    /// Of the copy's own `postgres` database.
    url: String,
    // Both go with this.
    _port: Port,
    _server: Child,
}

impl Standby {
    /// Copies the primary, follows it, and has it wait for the copy from then on.
    async fn start(pair: &Pair, dir: &Path) -> Self {
        let home = fs::canonicalize(dir.join("servers")).expect("the servers' directory");
        let (primary, copy) = (home.join("postgres"), home.join("postgres-standby"));
        let server = Programs::of(&primary);
        fs::DirBuilder::new().mode(0o700).create(&copy).expect("made");
        chown(&copy, Some(server.user), Some(server.group)).expect("handed over");
        let mut from = url::Url::parse(pair.database_url("postgres").reveal()).expect("a URL");
        from.query_pairs_mut().append_pair("application_name", NAME);
        let mut backup = server.command("pg_basebackup", &home);
        backup.args(["--checkpoint=fast", "--write-recovery-conf", "--dbname", from.as_str()]);
        let done = backup.arg("--pgdata").arg(&copy).output().await.expect("pg_basebackup runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

        let port = Port::free();
        let address = port.socket();
        let mut command = server.command("postgres", &home);
        command.arg("-D").arg(&copy).kill_on_drop(true).stdin(Stdio::null());
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"] {
            command.args(["-c", setting]);
        }
        command.args(["-c", &format!("port={}", address.port())]);
        let log = fs::File::create(dir.join("standby.log")).expect("a log");
        command.stdout(Stdio::null()).stderr(log);
        let server = command.spawn().expect("postgres runs");

        let books = database(pair.database_url("postgres").reveal());
        eventually("the standby follows", async || {
            number(&books, "select count(*) from pg_stat_replication").await == 1
        })
        .await;
        // Only now: the copy must not wait for a standby of its own when it has become the primary.
        for statement in [&format!("alter system set synchronous_standby_names = '{NAME}'"), "select pg_reload_conf()"]
        {
            books.execute(statement, &[]).await.expect("set");
        }
        let waits = "select count(*) from pg_stat_replication where sync_state = 'sync' and state = 'streaming'";
        eventually("the primary waits for it", async || number(&books, waits).await == 1).await;
        let mut url = url::Url::parse(pair.database_url("postgres").reveal()).expect("a URL");
        url.set_port(Some(address.port())).expect("a host");
        Self { address, url: url.into(), _port: port, _server: server }
    }

    async fn promote(&self) {
        let books = database(&self.url);
        assert_eq!(number(&books, "select pg_promote()::int::bigint").await, 1, "the standby stays one");
    }
}

fn database(url: &str) -> Db {
    let settings = handfast::config::Database { url: url.to_owned().into(), pool: 1, ..Default::default() };
    Db::new(&settings).expect("a pool")
}

async fn number(books: &Db, sql: &str) -> i64 {
    let client = books.client().await.expect("the server answers");
    client.query_one(sql, &[]).await.expect("an answer").get(0)
}

/// The server's programs, of the version that made some data and with its owner's rights: root's servers are not root.
struct Programs {
    bin: PathBuf,
    user: u32,
    group: u32,
}

impl Programs {
    fn of(data: &Path) -> Self {
        let version = fs::read_to_string(data.join("PG_VERSION")).expect("a version");
        let owner = fs::metadata(data).expect("there");
        let bin = Path::new("/usr/lib/postgresql").join(version.trim()).join("bin");
        Self { bin, user: owner.uid(), group: owner.gid() }
    }

    fn command(&self, program: &str, home: &Path) -> Command {
        // It dies with this test, however that ends.
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=KILL");
        if fs::metadata("/proc/self").expect("there").uid() != self.user {
            command.args([
                format!("--reuid={}", self.user),
                format!("--regid={}", self.group),
                "--clear-groups".into(),
            ]);
        }
        command.arg(self.bin.join(program));
        command.current_dir(home).env_clear();
        command
    }
}
