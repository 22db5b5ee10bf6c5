//! What a backup of this very node is, and whether what was restored belongs together.
//!
//! Promises: the advice is a shell script made from the settings in effect, complete and safe to run while the node runs; it holds no
//! password, and ends with words before it touches another database than the one it was made for. Leaves out doing it: schedules,
//! places and retention are the operator's.

mod calls;
mod environment;
mod restore;
mod restored;
mod script;
#[cfg(test)]
mod tests;

pub use environment::environment;
pub use restore::restore;
pub use restored::check;
pub use script::backup;

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::config::textsecure::Store;

/// What the scripts are made for.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// The settings in effect.
    pub config: &'a Config,
    /// The file that they came from, if there is one.
    pub settings_file: Option<&'a Path>,
    /// This program.
    pub program: &'a Path,
}

impl Site<'_> {
    /// Whether it is the package's node, which has a user and an environment of its own.
    fn is_packaged(&self) -> bool {
        self.program == Path::new("/usr/bin/handfast")
            && self.settings_file == Some(Path::new("/etc/handfast/handfast.toml"))
    }

    /// How somebody calls the program with this node's settings.
    fn command(&self) -> &'static str {
        if self.is_packaged() { "sudo handfast-run" } else { "handfast" }
    }

    /// And a script.
    fn shell(&self) -> &'static str {
        if self.is_packaged() { "sudo sh" } else { "sh" }
    }
}

/// A word that a shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A path that holds wherever the script is started.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Whether the database is the one that `handfast up` brings.
fn is_private(config: &Config) -> bool {
    config.database.url.is_empty()
}

/// The directory of attachments, if this node keeps files in one.
fn attachments(config: &Config) -> Option<PathBuf> {
    let settings = &config.textsecure;
    let here = settings.enabled && settings.attachments.store == Store::Local;
    here.then(|| settings.attachments.directory.clone().unwrap_or_else(|| config.data_dir.join("attachments")))
}
