//! The pair alone, until the whole command line is here.
use clap::Parser;

/// Subcommands.
#[derive(Parser)]
enum Command {
    /// Runs a command with a private pair.
    Pair {
        /// Where the pair lives.
        #[arg(long)]
        data: std::path::PathBuf,
        /// Keep the data.
        #[arg(long)]
        keep: bool,
        /// The command.
        #[arg(trailing_var_arg = true)]
        command: Vec<std::ffi::OsString>,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let Command::Pair { data, keep, command } = Command::parse();
    match handfast::embedded::session::run(&data, keep, &command).await {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("handfast: {error}");
            1.into()
        }
    }
}
