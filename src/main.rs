//! The program: subcommands, no logic.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{CommandFactory, Parser};
use handfast::arguments::{Arguments, BackupCommand, Command, KeyCommand, Settings};
use handfast::audit::{self, Deed, Via};
use handfast::config::Config;
use handfast::crypto::NodeKeys;
use handfast::{
    App, backup, config, crypto, db, doctor, embedded, failpoint, keyring, run, senders, supervise, telemetry, tls,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Database of the embedded pair.
const PRIVATE_DATABASE: &str = "handfast";
/// While processes take up a new key.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    tls::install_provider();
    if let Err(error) = crypto::init() {
        return failed(&error.into());
    }
    let arguments = Arguments::parse_from(Arguments::completed(std::env::args_os()));
    // One current-thread runtime a process: measured to cost a quarter less than several threads, and processes are how it scales.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    runtime.block_on(async {
        match dispatch(arguments.command).await {
            Ok(code) => code,
            Err(error) => failed(&error),
        }
    })
}

fn failed(error: &anyhow::Error) -> ExitCode {
    telemetry::failed(error);
    ExitCode::FAILURE
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(settings) => up(settings).await?,
        Command::Serve(settings) => run::serve(open(settings).await?, run::stop_on_signal()?).await?,
        Command::Work(settings) => run::work(open(settings).await?, run::stop_on_signal()?).await?,
        Command::Migrate(settings) => migrate(settings).await?,
        Command::Doctor(settings) => return Ok(doctor::examine(load(&settings).map(with_private_database)).await),
        Command::Config { example: true, .. } => print!("{}", config::EXAMPLE),
        Command::Config { settings, .. } => print!("{}", toml::to_string_pretty(&load(&settings)?)?),
        Command::Key { command } => return key(command).await,
        Command::Backup(command) => print!("{}", advice(&command)?),
        Command::RestoreCheck(settings) => {
            return Ok(doctor::report(&backup::check(&with_private_database(load(&settings)?)).await));
        }
        Command::Openapi => print!("{}", handfast::openapi()),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "handfast", &mut std::io::stdout());
        }
        Command::Man { dir: None } => clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout())?,
        Command::Man { dir: Some(dir) } => clap_mangen::generate_to(Arguments::command(), dir)?,
        Command::Demo(command) => return Ok(command.run().await),
        Command::Api(command) => return Ok(command.run().await),
        Command::Pair { data, keep, command } => {
            tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
            return Ok(embedded::session::run(&data, keep, &command).await?.into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn settings_file(settings: &Settings) -> Option<PathBuf> {
    let places = ["handfast.toml", "/etc/handfast/handfast.toml"].map(PathBuf::from);
    settings.file.clone().or_else(|| places.into_iter().find(|place| place.is_file()))
}

fn load(settings: &Settings) -> anyhow::Result<Config> {
    Ok(config::load(settings_file(settings).as_deref())?)
}

/// The database of `handfast up` is at another port after each start: it is looked for where it runs.
fn with_private_database(mut config: Config) -> Config {
    if config.database.url.is_empty() {
        config.database.url = embedded::running::database(&config.data_dir, PRIVATE_DATABASE).unwrap_or_default();
    }
    config
}

async fn open(settings: Settings) -> anyhow::Result<App> {
    let config = load(&settings)?;
    telemetry::start(&config.log).map_err(anyhow::Error::msg)?;
    failpoint::arm(config.mode)?;
    App::open(config).await
}

/// For commands that are run beside the node, on its machine.
async fn open_beside(settings: &Settings) -> anyhow::Result<App> {
    let config = with_private_database(load(settings)?);
    if config.database.url.is_empty() {
        anyhow::bail!("database.url is not set, and `handfast up` does not run with these settings: start it first");
    }
    App::open(config).await
}

async fn migrate(settings: Settings) -> anyhow::Result<()> {
    let config = load(&settings)?;
    telemetry::start(&config.log).map_err(anyhow::Error::msg)?;
    failpoint::arm(config.mode)?;
    let db = db::Db::new(&config.database)?;
    let applied = db.migrate().await?;
    if applied > 0 {
        let actor = audit::local_actor();
        audit::record(&db, &local(&actor, "migrate", format!("{applied} migrations")), 200).await?;
    }
    tracing::info!(applied, "the schema is this program's");
    Ok(())
}

/// What is done on the node's own machine.
fn local<'a>(actor: &'a str, action: &'static str, subject: String) -> Deed<'a> {
    Deed { via: Via::Local, actor, key: None, action, subject }
}

/// Does something with a row before it and its end after it.
async fn audited<T>(
    app: &App,
    action: &'static str,
    subject: String,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let actor = audit::local_actor();
    let row = audit::begin(app, &local(&actor, action, subject)).await?;
    let done = work.await;
    audit::end(app, row, if done.is_ok() { 200 } else { 500 }).await?;
    done
}

async fn key(command: KeyCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeyCommand::Create { settings, sender, scopes } => {
            let app = open_beside(&settings).await?;
            let text = make_key(&app, &sender, &scopes.join(",")).await?;
            println!("{}", text.reveal());
        }
        KeyCommand::List { settings, json } => list_keys(&open_beside(&settings).await?, json).await?,
        KeyCommand::Rotate { settings, wait } => {
            let app = open_beside(&settings).await?;
            let until = Instant::now() + wait.duration().min(KeyCommand::LONGEST_WAIT);
            audited(&app, "key rotate", app.config.keys_file().display().to_string(), rotate(&app, until)).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn make_key(app: &App, sender: &str, scopes: &str) -> anyhow::Result<config::Secret> {
    let made = async { Ok(senders::create(app, sender, &scopes.parse()?, None).await?.1) };
    audited(app, "key create", format!("{sender} {scopes}"), made).await
}

async fn list_keys(app: &App, json: bool) -> anyhow::Result<()> {
    let (keys, holders) = (keyring::list(app).await?, keyring::holders(app).await?);
    if json {
        println!("{}", serde_json::json!({"file": app.config.keys_file(), "keys": keys, "processes": holders}));
        return Ok(());
    }
    println!("key file {}", app.config.keys_file().display());
    for key in keys {
        let since = key.added_at.map_or("not taken up yet".to_owned(), |at| format!("since {at:.0}"));
        println!("  {:>5}  {}  {since}", key.number, if key.seals { "seals" } else { "opens" });
    }
    for holder in holders {
        let numbers: Vec<String> = holder.numbers.iter().map(i32::to_string).collect();
        println!("{} {} on {} holds {}", holder.kind, holder.pid, holder.host, numbers.join(", "));
    }
    Ok(())
}

async fn rotate(app: &App, until: Instant) -> anyhow::Result<()> {
    let number = keyring::begin(app).await?;
    eprintln!("key {number} is in {}: waiting until every process holds it", app.config.keys_file().display());
    loop {
        let lacking = keyring::lacking(app, number).await?;
        if lacking.is_empty() {
            if keyring::finish(app, number).await? {
                break;
            }
        } else if Instant::now() > until {
            anyhow::bail!(
                "key {number} does not seal yet: {} did not take it up. Copy the key file there, and run this again",
                named(&lacking)
            );
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    eprintln!("key {number} seals. Old keys stay in the file: they open what they sealed. Back the file up now");
    let behind = followed(app, number).await?;
    if !behind.is_empty() {
        eprintln!(
            "these still seal with an older key: {}. They open everything; copy the key file there too",
            named(&behind)
        );
    }
    Ok(())
}

/// Who still seals with another key when all on this machine have had their time.
async fn followed(app: &App, number: u16) -> anyhow::Result<Vec<keyring::Holder>> {
    let until = Instant::now() + 3 * keyring::REPORT_EVERY;
    loop {
        let behind = keyring::behind(app, number).await?;
        if behind.is_empty() || Instant::now() > until {
            return Ok(behind);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn named(holders: &[keyring::Holder]) -> String {
    let names: Vec<String> = holders.iter().map(|h| format!("{} {} on {}", h.kind, h.pid, h.host)).collect();
    names.join(", ")
}

fn advice(command: &BackupCommand) -> anyhow::Result<String> {
    let config = load(&command.settings)?;
    if command.environment {
        let url = with_private_database(config.clone()).database.url;
        return backup::environment(&config, &url);
    }
    let (program, file) =
        (std::env::current_exe().context("the program's own file")?, settings_file(&command.settings));
    let site = backup::Site { config: &config, settings_file: file.as_deref(), program: &program };
    if command.restore { backup::restore(site) } else { backup::backup(site) }
}

async fn up(settings: Settings) -> anyhow::Result<()> {
    let config = load(&settings)?;
    telemetry::start(&config.log).map_err(anyhow::Error::msg)?;
    let executable = std::env::current_exe().context("the program's own file")?;
    let file = settings_file(&settings);
    let node = supervise::Node { config: &config, executable: &executable, config_file: file.as_deref() };
    supervise::up(node, make_keys, make_api_key).await?;
    Ok(())
}

fn make_keys(config: &Config) -> anyhow::Result<()> {
    let file = config.keys_file();
    if !file.exists() {
        NodeKeys::create(&file)?;
        tracing::info!(file = %file.display(), "made the node's key: without it the database cannot be read; keep a copy");
    }
    Ok(())
}

async fn make_api_key(config: &Config) -> anyhow::Result<()> {
    let file = config.data_dir.join("api.key");
    if file.exists() {
        return Ok(());
    }
    let app = App::open(config.clone()).await?;
    let text = make_key(&app, "operator", "*").await?;
    write_secret(&file, text.reveal()).with_context(|| format!("{} cannot be written", file.display()))?;
    tracing::info!(file = %file.display(), "made the first API key, which may do everything");
    Ok(())
}

fn write_secret(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{text}")
}
