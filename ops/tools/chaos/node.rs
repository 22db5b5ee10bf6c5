//! The node under test: `serve` and `work` as processes of their own, each started again when it has ended, as a service manager
//! would do it.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use handfast::App;
use handfast::config::{Config, Secret};
use handfast::crypto::NodeKeys;
use handfast::db::Db;
use handfast::embedded::leash::Leash;
use handfast::embedded::{Pair, signal};
use handfast::senders::{self, Scopes};
use tokio::process::Command;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::sink::{HOST, Sink};

/// What a service manager waits before it starts anew.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// The database's and vhost's name.
const NAME: &str = "handfast";
/// What a process may take beyond its grace time.
const PATIENCE: Duration = Duration::from_secs(35);
const SERVES: usize = 2;
const WORKERS: usize = 3;

/// Where the node finds its servers and the sink.
pub(crate) struct Around<'a> {
    pub(crate) pair: &'a Pair,
    pub(crate) database: SocketAddr,
    pub(crate) broker: SocketAddr,
    pub(crate) sink: &'a Sink,
}

/// The node.
pub(crate) struct Node {
    /// Its `serve` processes.
    pub(crate) serves: Vec<Process>,
    /// Its `work` processes.
    pub(crate) works: Vec<Process>,
    /// Where the ingresses' private listeners are.
    pub(crate) bases: Vec<String>,
    /// An API key that may do everything.
    pub(crate) key: Secret,
    exits: Exits,
    stop: CancellationToken,
}

/// Ends that nobody asked for, of processes that had been at work.
#[derive(Clone)]
pub(crate) struct Exits {
    begun: Instant,
    list: Arc<Mutex<Vec<String>>>,
}

/// One process, whichever life of it is running.
pub(crate) struct Process {
    life: watch::Receiver<Life>,
    asked: Arc<Mutex<Option<u32>>>,
    keeper: tokio::task::JoinHandle<()>,
}

/// Which life of a process it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) number: u32,
    /// None between two lives.
    pub(crate) pid: Option<u32>,
}

impl Node {
    /// Settings, keys, schema, API key, then all processes. They are not ready yet when this returns.
    pub(crate) async fn start(dir: &Path, program: &Path, around: Around<'_>) -> anyhow::Result<Self> {
        let direct = around.pair.database_url(NAME);
        around.pair.ensure_database(NAME).await?;
        let key = found(dir, &direct).await?;
        let ports = free(2 * SERVES)?;
        let settings = settings(dir, &ports, &around)?;
        let file = dir.join("handfast.toml");
        handfast_file(&file, &settings)?;
        std::fs::write(dir.join("ca.pem"), &around.sink.ca_pem)?;
        let leash = Arc::new(Leash::new()?);
        let exits = Exits { begun: Instant::now(), list: Arc::default() };
        let stop = CancellationToken::new();
        let start = |name: String, environment: Vec<(&'static str, String)>| {
            let what = What {
                program: program.to_owned(),
                subcommand: if name.starts_with("serve") { "serve" } else { "work" },
                settings: file.clone(),
                log: dir.join(format!("{name}.log")),
                environment,
                leash: Arc::clone(&leash),
                stop: stop.clone(),
            };
            Process::keep(name, what, exits.clone())
        };
        let at = |n: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[n]));
        let serve = |n: usize| {
            let listeners = [("HANDFAST_PUBLIC__LISTEN", 2 * n), ("HANDFAST_PRIVATE__LISTEN", 2 * n + 1)];
            start(format!("serve-{}", n + 1), listeners.map(|(name, port)| (name, at(port).to_string())).to_vec())
        };
        let serves = (0..SERVES).map(serve).collect();
        let works = (1..=WORKERS).map(|n| start(format!("work-{n}"), Vec::new())).collect();
        let bases = (0..SERVES).map(|n| format!("http://{}", at(2 * n + 1))).collect();
        Ok(Self { serves, works, bases, key, exits, stop })
    }

    /// By the number that the plan knows it by: the ingresses first.
    pub(crate) fn process(&self, number: usize) -> &Process {
        let all = self.serves.len() + self.works.len();
        let number = number % all;
        self.serves.get(number).unwrap_or_else(|| &self.works[number - self.serves.len()])
    }

    /// Processes that ended by themselves after they had begun their work, in words.
    pub(crate) fn exits(&self) -> Vec<String> {
        self.exits.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// SIGTERM for all; returns when they have gone.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for process in self.serves.iter().chain(&self.works) {
            process.signal(libc::SIGCONT);
            process.signal(libc::SIGTERM);
        }
        let gone = self.serves.into_iter().chain(self.works).map(|process| process.keeper);
        // What does not go by itself goes with its keeper.
        let _ = tokio::time::timeout(PATIENCE, futures_util::future::join_all(gone)).await;
    }
}

impl Process {
    fn keep(name: String, what: What, exits: Exits) -> Self {
        let (lives, life) = watch::channel(Life::default());
        let asked = Arc::<Mutex<Option<u32>>>::default();
        let keeper = tokio::spawn(keep(name, what, lives, Arc::clone(&asked), exits));
        Self { life, asked, keeper }
    }

    pub(crate) fn life(&self) -> Life {
        *self.life.borrow()
    }

    /// To the process that runs now, if any.
    pub(crate) fn signal(&self, number: i32) {
        if let Some(pid) = self.life().pid {
            signal(pid, number);
        }
    }

    /// A signal that ends it; returns when this life is over.
    pub(crate) async fn end(&self, number: i32) {
        let Life { number: life, pid: Some(_) } = self.life() else { return };
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(life);
        self.signal(number);
        let mut lives = self.life.clone();
        // It can fail only when the tool itself is ending.
        let _ = lives.wait_for(|now| now.number != life || now.pid.is_none()).await;
    }
}

/// How to start a process.
struct What {
    program: PathBuf,
    subcommand: &'static str,
    settings: PathBuf,
    log: PathBuf,
    environment: Vec<(&'static str, String)>,
    leash: Arc<Leash>,
    stop: CancellationToken,
}

impl What {
    async fn start(&self) -> std::io::Result<tokio::process::Child> {
        let out = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log)?;
        let err = out.try_clone()?;
        let mut command = Command::new(&self.program);
        command.arg(self.subcommand).arg("--config").arg(&self.settings);
        command.stdin(Stdio::null()).stdout(Stdio::from(out)).stderr(Stdio::from(err)).kill_on_drop(true);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HANDFAST_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.leash.spawn(command, libc::SIGTERM).await
    }

    fn log_length(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |of| of.len())
    }

    /// Whether this life had begun its work: until then an end is how it says that its database is away.
    fn had_begun(&self, since: u64) -> bool {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(log.get(since as usize..).unwrap_or_default()).into_owned();
        text.contains("serving") || text.contains("working")
    }
}

async fn keep(name: String, what: What, lives: watch::Sender<Life>, asked: Arc<Mutex<Option<u32>>>, exits: Exits) {
    for number in 1.. {
        let log = what.log_length();
        match what.start().await {
            Ok(mut child) => {
                lives.send_replace(Life { number, pid: child.id() });
                let status = child.wait().await;
                lives.send_replace(Life { number, pid: None });
                if what.stop.is_cancelled() {
                    return;
                }
                let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).take() == Some(number);
                if !asked && what.had_begun(log) {
                    exits.note(&name, &status);
                }
            }
            Err(error) => exits.note(&name, &Err(error)),
        }
        tokio::time::sleep(RESTART_AFTER).await;
    }
}

impl Exits {
    fn note(&self, name: &str, status: &std::io::Result<std::process::ExitStatus>) {
        let status = status.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        let line = format!("{name} ended by itself at {:.1} s: {status}", self.begun.elapsed().as_secs_f64());
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// Node key, schema, API key: over the database itself, not over the bad network.
async fn found(dir: &Path, database: &Secret) -> anyhow::Result<Secret> {
    let mut config = Config { domain: "chaos.test".to_owned(), data_dir: dir.to_owned(), ..Config::default() };
    config.database.url = database.clone();
    NodeKeys::create(&config.keys_file())?;
    Db::new(&config.database)?.migrate().await?;
    let app = App::open(config).await?;
    Ok(senders::create(&app, "chaos", &Scopes::everything(), None).await?.1)
}

/// The defaults, but for where things are, and for retries that come while somebody still watches.
fn settings(dir: &Path, ports: &[u16], around: &Around<'_>) -> anyhow::Result<String> {
    let through = |url: Secret, at: SocketAddr| -> anyhow::Result<String> {
        let mut url: url::Url = url.reveal().parse()?;
        url.set_port(Some(at.port())).map_err(|()| anyhow::anyhow!("a URL without a host"))?;
        Ok(quoted(url.as_str()))
    };
    Ok(format!(
        "mode = \"development\"\ndomain = \"chaos.test\"\ndata_dir = {dir}\n\n[database]\nurl = {database}\n\n[amqp]\nurl = {amqp}\n\n\
         [public]\nlisten = \"127.0.0.1:{}\"\n\n[private]\nlisten = \"127.0.0.1:{}\"\n\n[outbound]\nca_file = {ca}\n\n\
         [delivery]\nwebhook_schedule = [\"1s\", \"1s\", \"2s\", \"3s\"]\n\n\
         [development]\nallow_addresses = [\"127.0.0.1\"]\nresolve = {{ \"{HOST}\" = \"{sink}\" }}\n",
        ports[0],
        ports[1],
        dir = quoted(&dir.to_string_lossy()),
        database = through(around.pair.database_url(NAME), around.database)?,
        amqp = through(around.pair.amqp_url(NAME), around.broker)?,
        ca = quoted(&dir.join("ca.pem").to_string_lossy()),
        sink = around.sink.address(),
    ))
}

fn handfast_file(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

/// Ports below the range of outgoing connections, so that a process that is started again finds its port free.
fn free(count: usize) -> std::io::Result<Vec<u16>> {
    let from = 11_000 + (std::process::id() % 200) as u16 * 20;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports: Vec<u16> = (from..15_000).filter(free).take(count).collect();
    if ports.len() == count { Ok(ports) } else { Err(std::io::Error::other("no free ports")) }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
