//! The program: subcommands, no logic.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use handfast::config::Config;
use handfast::crypto::NodeKeys;
use handfast::senders::Scope;
use handfast::{
    App, cli, config, crypto, db, demo, doctor, embedded, failpoint, run, senders, supervise, telemetry, tls,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A messaging node: permission-based federated messages, delivered until it is settled.
#[derive(Parser)]
#[command(name = "handfast", version, max_term_width = 110)]
#[command(after_help = "Begin with `handfast config --example > handfast.toml`, set `domain`, then `handfast up`.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one node on this machine: database and broker included unless their URLs are set
    Up(Settings),
    /// Run the ingress: the public and the private listener (needs database.url and amqp.url)
    Serve(Settings),
    /// Run a worker: callbacks, deliveries, retries (needs database.url and amqp.url)
    Work(Settings),
    /// Bring the database's schema up to this program's
    Migrate(Settings),
    /// Check settings, database, broker, certificates, reachability and clock; exit code 1 if something is wrong
    Doctor(Settings),
    /// Print the settings in effect, secrets dotted
    Config {
        #[command(flatten)]
        settings: Settings,
        /// Print a commented example file instead
        #[arg(long)]
        example: bool,
    },
    /// Make an API key directly in the database, such as the first one
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Print the description of the API, OpenAPI 3.1: what a node answers at /api/v1/openapi.json
    Openapi,
    /// Start two nodes, send them real orders, kill a worker, and count what arrived
    Demo(demo::DemoCommand),
    #[command(flatten)]
    Api(Box<cli::Command>),
    /// Run a command beside a private PostgreSQL and RabbitMQ (for tests)
    #[command(hide = true)]
    Pair {
        /// Where the pair lives
        #[arg(long)]
        data: PathBuf,
        /// Keep its data
        #[arg(long)]
        keep: bool,
        /// The command
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make a key and print it, this once
    Create {
        #[command(flatten)]
        settings: Settings,
        /// The name limits and idempotency keys are counted under
        #[arg(long)]
        sender: String,
        #[arg(long, default_value = "*", value_delimiter = ',', help = Scope::help())]
        scopes: Vec<String>,
    },
}

#[derive(clap::Args)]
struct Settings {
    /// The settings file [default: ./handfast.toml, then /etc/handfast/handfast.toml]
    #[arg(long = "config", env = "HANDFAST_CONFIG", value_name = "FILE")]
    file: Option<PathBuf>,
}

fn main() -> ExitCode {
    tls::install_provider();
    if let Err(error) = crypto::init() {
        return failed(&error.into());
    }
    let arguments = Arguments::parse();
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
    eprintln!("handfast: {error:#}");
    ExitCode::FAILURE
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(settings) => up(settings).await?,
        Command::Serve(settings) => run::serve(open(settings).await?, run::stop_on_signal()?).await?,
        Command::Work(settings) => run::work(open(settings).await?, run::stop_on_signal()?).await?,
        Command::Migrate(settings) => migrate(settings).await?,
        Command::Doctor(settings) => return Ok(doctor::examine(load(&settings)).await),
        Command::Config { example: true, .. } => print!("{}", config::EXAMPLE),
        Command::Config { settings, .. } => print!("{}", toml::to_string_pretty(&load(&settings)?)?),
        Command::Key { command: KeyCommand::Create { settings, sender, scopes } } => {
            let app = open(settings).await?;
            let (_, text) = senders::create(&app, &sender, &scopes.join(",").parse()?, None).await?;
            println!("{}", text.reveal());
        }
        Command::Openapi => print!("{}", handfast::openapi()),
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

async fn open(settings: Settings) -> anyhow::Result<App> {
    let config = load(&settings)?;
    telemetry::start(&config.log).map_err(anyhow::Error::msg)?;
    failpoint::arm(config.mode)?;
    App::open(config).await
}

async fn migrate(settings: Settings) -> anyhow::Result<()> {
    let config = load(&settings)?;
    telemetry::start(&config.log).map_err(anyhow::Error::msg)?;
    failpoint::arm(config.mode)?;
    let applied = db::Db::new(&config.database)?.migrate().await?;
    tracing::info!(applied, "the schema is this program's");
    Ok(())
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
    let (_, text) = senders::create(&app, "operator", &"*".parse()?, None).await?;
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
