//! What the program can be told on its command line: all subcommands, those for a running node ([`cli`]) included.
//!
//! Help, completions, manual pages and the tests of all three are made from these definitions. Leaves out what the commands do.

mod short;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::Period;
use crate::senders::Scope;
use crate::{cli, demo};

/// Said at the end of the program's help.
const AFTER: &str = "\
Begin with `handfast config --example > handfast.toml`, set `domain`, then `handfast up`.

A command with a `list` means that when it is called alone: `handfast deliveries --state failed`.

Exit codes:
  0  done
  1  refused or failed, or not everything was done;
     `doctor` and `restore-check`: something is wrong
  2  used wrongly: nothing was begun

A command that is ended by a signal has 128 and its number: 130 for Ctrl-C, 143 for SIGTERM. Commands that follow or \
watch end with 0 at Ctrl-C, and `serve`, `work` and `up` at SIGTERM, once what is in hand is finished.";

/// A messaging node: permission-based federated messages, delivered until it is settled.
#[derive(Debug, Parser)]
#[command(name = "handfast", version, max_term_width = 110)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// The words of a command line, the program first, with what their short forms mean: to be parsed by [`Parser::parse_from`].
    pub fn completed(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
        short::completed(&mut Self::command(), words.into_iter().collect())
    }
}

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one node on this machine: database and broker included unless their URLs are set
    Up(Settings),
    /// Run the ingress: the public and the private listener (needs database.url and amqp.url)
    Serve(Settings),
    /// Run a worker: callbacks, deliveries, retries (needs database.url and amqp.url)
    Work(Settings),
    /// Bring the database's schema up to this program's
    Migrate(Settings),
    /// Check settings, database, broker, providers, certificates, reachability and clock; exit code 1 if something is wrong
    Doctor(Settings),
    /// Print the settings in effect, secrets dotted
    Config {
        /// Which settings.
        #[command(flatten)]
        settings: Settings,
        /// Print a commented example file instead
        #[arg(long)]
        example: bool,
    },
    /// The first API key, and the node keys that seal secrets at rest
    Key {
        /// Which of them.
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Print how to back this node up, as a script made from its settings
    Backup(BackupCommand),
    /// Check that a restored database, its key file and its files belong together; exit code 1 if they do not
    RestoreCheck(Settings),
    /// Print the description of the API, OpenAPI 3.1: what a node answers at /api/v1/openapi.json
    Openapi,
    /// Start two nodes, send them real orders, kill a worker, and count what arrived
    Demo(demo::DemoCommand),
    /// What talks to a running node.
    #[command(flatten)]
    Api(Box<cli::Command>),
    /// Print a script that completes commands and options in a shell
    #[command(after_help = "\
Examples:
  handfast completions bash > /etc/bash_completion.d/handfast
  handfast completions zsh > /usr/share/zsh/vendor-completions/_handfast
  handfast completions fish \\
      > /usr/share/fish/vendor_completions.d/handfast.fish")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write a page for each command into a directory
    #[command(after_help = "\
Examples:
  handfast man | man --local-file -
  handfast man --dir /usr/local/share/man/man1")]
    Man {
        /// Write handfast.1, handfast-send.1 and so on here
        #[arg(long, value_name = "DIRECTORY")]
        dir: Option<PathBuf>,
    },
    /// Run a command beside a private PostgreSQL and RabbitMQ (for tests, and for restoring a node of `handfast up`)
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

/// Keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an API key directly in the database and print it, this once
    #[command(after_help = "\
Over the API, `handfast apikey create` does the same; this is for the first one.

Example:
  handfast key create --sender operator")]
    Create {
        /// Which settings.
        #[command(flatten)]
        settings: Settings,
        /// The name limits and idempotency keys are counted under
        #[arg(long)]
        sender: String,
        /// What it may do.
        #[arg(long, default_value = "*", value_delimiter = ',', help = Scope::help())]
        scopes: Vec<String>,
    },
    /// List the node keys, and which processes hold them
    #[command(after_help = "\
Example:
  handfast key list --json")]
    List {
        /// Which settings.
        #[command(flatten)]
        settings: Settings,
        /// One JSON object instead of tables
        #[arg(long)]
        json: bool,
    },
    /// Make a new node key and let it seal from now on; old ones go on to open what they sealed
    #[command(after_help = "\
The new key is added to the key file first, and seals only when every running process has taken it up: they look every \
three seconds. Where machines have copies of the file, copy it to them while this waits. When it gives up, nothing is \
lost and nothing is broken: run it again, and it goes on with the same key. Then back up the key file.

Examples:
  handfast key rotate
  handfast key rotate --wait 10m")]
    Rotate {
        /// Which settings.
        #[command(flatten)]
        settings: Settings,
        /// How long to wait until every process has taken the new key up
        #[arg(long, value_name = "TIME", default_value = "1m")]
        wait: Period,
    },
}

impl KeyCommand {
    /// The longest wait that is taken seriously.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(86_400);
}

/// How to back up and restore.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The script says why it does what it does, and in which order. It holds no password: it asks this program for the \
database's address with --environment.

Examples:
  handfast backup > backup.sh && sh backup.sh /backups/today
  handfast backup --restore > restore.sh && sh restore.sh /backups/today")]
pub struct BackupCommand {
    /// Which settings.
    #[command(flatten)]
    pub settings: Settings,
    /// Print how to restore it instead
    #[arg(long)]
    pub restore: bool,
    /// Print the database's address as `export PGHOST=…` lines for `eval`. Holds the password
    #[arg(long, conflicts_with = "restore")]
    pub environment: bool,
}

/// Which settings to use.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// The settings file [default: ./handfast.toml, then /etc/handfast/handfast.toml]
    #[arg(long = "config", env = "HANDFAST_CONFIG", value_name = "FILE")]
    pub file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command with the words that call it, the program itself first.
    fn commands() -> Vec<(String, clap::Command)> {
        fn below(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
            found.push((path.to_owned(), command.clone()));
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                below(sub, &format!("{path} {}", sub.get_name()), found);
            }
        }
        let mut root = Arguments::command();
        root.build();
        let mut found = Vec::new();
        below(&root, "handfast", &mut found);
        assert!(found.len() > 100, "only {} commands", found.len());
        found
    }

    #[test]
    fn the_definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_every_option_has_help() {
        for (path, command) in commands() {
            assert!(command.get_about().is_some(), "{path} says nothing of itself");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(|help| help.to_string()).unwrap_or_default();
                assert!(!help.trim().is_empty(), "{path}: {} has no help", argument.get_id());
            }
        }
    }

    #[test]
    fn help_texts_fit_every_terminal() {
        for (path, command) in commands() {
            let help = command.get_after_help().map(|help| help.to_string()).unwrap_or_default();
            let lines: Vec<&str> = help.lines().collect();
            for (n, line) in lines.iter().enumerate() {
                if line.starts_with(' ') {
                    assert!(line.chars().count() < 80, "{path}: this is broken where it should not be: {line}");
                } else {
                    // A paragraph is one line, and the terminal breaks it.
                    let next = lines.get(n + 1).copied().unwrap_or_default();
                    let goes_on = !line.is_empty() && !next.is_empty() && !next.starts_with(' ');
                    assert!(!goes_on, "{path}: a paragraph is broken behind: {line}");
                }
            }
        }
    }

    /// Words in backticks of the first column of the tables in `docs/cli.md`.
    fn documented() -> std::collections::BTreeSet<String> {
        let page = include_str!("../docs/cli.md");
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.map(|line| line[1..].split(" | ").next().unwrap_or_default());
        let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).collect::<Vec<_>>());
        quoted.filter_map(|text| text.split(' ').next()).map(str::to_owned).collect()
    }

    #[test]
    fn the_page_lists_every_command_and_no_other() {
        let root = Arguments::command();
        let shown = root.get_subcommands().filter(|command| !command.is_hide_set());
        let known: std::collections::BTreeSet<String> = shown.map(|command| command.get_name().to_owned()).collect();
        let told: std::collections::BTreeSet<String> =
            documented().into_iter().filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect();
        assert_eq!(told, known);
    }

    #[test]
    fn the_page_lists_the_exit_codes_of_the_help() {
        let page = include_str!("../docs/cli.md");
        for code in ["0", "1", "2", "130", "143"] {
            assert!(page.contains(&format!("| {code} |")), "{code} is not in docs/cli.md");
            assert!(AFTER.contains(code), "{code} is not in the help");
        }
    }
}
