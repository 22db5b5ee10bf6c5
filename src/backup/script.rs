//! The scripts: how to back this node up, and how to bring it back.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Site, absolute, attachments, is_private, quoted, quoted_path};
use crate::embedded::running;

/// How to back this node up, as a script with its reasons.
pub fn backup(site: Site<'_>) -> String {
    let config = site.config;
    let mut text = format!(
        "#!/bin/sh\n\
         # How to back up the node {}, as it is set up now: read it, keep it, run it.\n\
         #   handfast backup > backup.sh && sh backup.sh /where/to/put/it\n\
         # Run it as a user who may read the key file. The node may run meanwhile.\n\
         set -eu\n\
         umask 077\n\
         to=${{1:?say where to: a directory that does not exist yet}}\n\
         mkdir -- \"$to\"\n",
        config.domain
    );
    database(&mut text, site);
    keys(&mut text, site);
    settings(&mut text, site);
    files(&mut text, site);
    text.push_str(LEFT_OUT);
    text.push_str("echo \"done: $to\"\n");
    text
}

fn environment(site: Site<'_>) -> String {
    // `eval "$(…)"` goes on when the command failed, and libpq would then take whatever database its defaults lead to.
    let (program, settings) = (quoted_path(&absolute(site.program)), with_settings(site));
    format!("database=$({program} backup --environment{settings})\neval \"$database\"\n: \"${{PGDATABASE:?}}\"\n")
}

fn with_settings(site: Site<'_>) -> String {
    site.settings_file.map(|file| format!(" --config {}", quoted_path(&absolute(file)))).unwrap_or_default()
}

fn database(text: &mut String, site: Site<'_>) {
    text.push_str(
        "\n# 1. The database: every promise the node has made. One consistent moment, taken without stopping anything.\n\
         # pg_dump must be of the server's version or newer.\n",
    );
    if is_private(site.config) {
        text.push_str("# It is the private one of `handfast up`, which must be running now.\n");
        if let Some(programs) = running::programs(&site.config.data_dir) {
            let _ = writeln!(text, "PATH={}:$PATH", quoted_path(&programs));
        }
    }
    text.push_str(&environment(site));
    text.push_str("pg_dump --format=custom --file=\"$to/database.dump\"\n");
    text.push_str(
        "# Where losing what came since the last dump is too much: continuous archiving instead (WAL), which begins with\n\
         #   pg_basebackup --pgdata=\"$to/base\" --format=tar --wal-method=stream --checkpoint=fast\n\
         # and needs a user with REPLICATION and archive_command; or a standby, which is no backup.\n",
    );
}

fn keys(text: &mut String, site: Site<'_>) {
    let file = absolute(&site.config.keys_file());
    let _ = write!(
        text,
        "\n# 2. The node keys, after the database: keys are only ever added, so this file opens whatever the dump holds.\n\
         # Without it the dump cannot be read; with it, it can: keep the two apart.\n\
         cp -L -- {} \"$to/node.keys\"\n",
        quoted_path(&file)
    );
}

fn settings(text: &mut String, site: Site<'_>) {
    text.push_str("\n# 3. The settings, and the files that they name.\nmkdir -- \"$to/settings\"\n");
    match site.settings_file {
        Some(file) => {
            let _ = writeln!(text, "cp -L -- {} \"$to/settings/handfast.toml\"", quoted_path(&absolute(file)));
        }
        None => text.push_str("# There is no settings file: all settings come from the environment.\n"),
    }
    let mut variables: Vec<String> = std::env::vars()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("HANDFAST_") && name.contains("__"))
        .collect();
    variables.sort();
    if !variables.is_empty() {
        let _ = writeln!(
            text,
            "# Set in the environment, and in no file that is copied here: {}. Keep them too.",
            variables.join(", ")
        );
    }
    for file in named_files(site) {
        let _ = writeln!(text, "cp -L -- {} \"$to/settings/\"", quoted_path(&file));
    }
}

/// Files that settings name: certificates, keys of providers.
fn named_files(site: Site<'_>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let settings = serde_json::to_value(site.config).unwrap_or_default();
    collect_files(&settings, &mut found);
    let keys = site.config.keys_file();
    found.retain(|file| *file != keys);
    found.sort();
    found.dedup();
    found.into_iter().map(|file| absolute(&file)).collect()
}

fn collect_files(value: &Value, found: &mut Vec<PathBuf>) {
    match value {
        Value::String(text) if text.contains('/') && Path::new(text).is_file() => found.push(text.into()),
        Value::Array(items) => items.iter().for_each(|item| collect_files(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect_files(field, found)),
        _ => {}
    }
}

fn files(text: &mut String, site: Site<'_>) {
    let store = &site.config.textsecure.attachments;
    match attachments(site.config) {
        Some(directory) => {
            let directory = quoted_path(&absolute(&directory));
            let _ = write!(
                text,
                "\n# 4. Attachments of the TextSecure door.\n\
                 if [ -d {directory} ]; then cp -R -- {directory} \"$to/attachments\"; fi\n"
            );
        }
        None if site.config.textsecure.enabled => {
            let _ = write!(
                text,
                "\n# 4. Attachments are in the object store, bucket {}: turn on versioning or replication there.\n",
                quoted(&store.bucket)
            );
        }
        None => {}
    }
}

const LEFT_OUT: &str = "
# Left out on purpose:
# - RabbitMQ. It holds ids only; what they stand for is in the database, and a node that finds an empty broker publishes
#   everything that is open again. A restored old broker would only bring old ids, which are void.
# - api.key: `handfast key create` makes a new one. Logs.
";

/// How to bring it back, as a script with its reasons.
pub fn restore(site: Site<'_>) -> String {
    let program = quoted_path(&absolute(site.program));
    let keys = quoted_path(&absolute(&site.config.keys_file()));
    let mut text = format!(
        "#!/bin/sh\n\
         # How to bring the node {domain} back from what `handfast backup` advised, with the settings in effect here.\n\
         #   handfast backup --restore > restore.sh && sh restore.sh /where/the/backup/is\n\
         # First: the old node must be off, and stay off. Two nodes with one database's past would both send what was open.\n\
         # What was delivered after the backup was taken looks undelivered, and is sent again: other handfast nodes and receivers of\n\
         # webhooks that look at ids see that they have it already.\n\
         set -eu\n\
         umask 077\n\
         from=${{1:?say where the backup is}}\n\
         \n\
         # 1. The node keys. An existing file is not replaced: it could be the only one of its kind.\n\
         if [ -e {keys} ]; then\n\
         \x20   cmp -s -- \"$from/node.keys\" {keys} || {{ echo {keys}' is there already, and is another file' >&2; exit 1; }}\n\
         else\n\
         \x20   mkdir -p -- {folder}\n\
         \x20   cp -- \"$from/node.keys\" {keys}\n\
         \x20   chmod 600 {keys}\n\
         fi\n",
        domain = site.config.domain,
        folder = quoted_path(absolute(&site.config.keys_file()).parent().unwrap_or(Path::new("/"))),
    );
    if let Some(directory) = attachments(site.config) {
        let directory = quoted_path(&absolute(&directory));
        let _ = write!(
            text,
            "\n# 2. Attachments.\n\
             if [ -d \"$from/attachments\" ]; then mkdir -p -- {directory}; cp -R -- \"$from/attachments/.\" {directory}; fi\n"
        );
    }
    text.push_str("\n# 3. The database, which must exist and be empty. The user who restores owns what is made.\n");
    let steps = format!(
        "{environment}pg_restore --exit-on-error --no-owner --no-privileges --dbname=\"$PGDATABASE\" \"$from/database.dump\"\n\
         \n# 4. Does all of it belong together? Nothing is changed by looking.\n\
         {program} restore-check{settings}\n",
        environment = environment(site),
        settings = with_settings(site),
    );
    if is_private(site.config) {
        private(&mut text, site, &steps);
    } else {
        text.push_str(&steps);
    }
    text.push_str(
        "\n# 5. Start it. A newer program first runs `handfast migrate`. The broker may be empty, or the old one: both are right.\n\
         echo 'restored; now start the node, and look at: handfast doctor'\n",
    );
    text
}

/// The private database runs for the time of the restoring.
fn private(text: &mut String, site: Site<'_>, steps: &str) {
    let data = quoted_path(&absolute(&site.config.data_dir.join("pair")));
    let program = quoted_path(&absolute(site.program));
    if let Some(programs) = running::programs(&site.config.data_dir) {
        let _ = writeln!(text, "PATH={}:$PATH", quoted_path(&programs));
    }
    let _ = write!(
        text,
        "# It is the private one of `handfast up`: it is started for these steps only.\n\
         export from\n\
         mkdir -p -- {data}\n\
         {program} pair --data {data} --keep -- sh -eu <<'STEPS'\n{steps}STEPS\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_scripts_hold_no_secret_and_quote_what_needs_it() {
        let mut config = Config { domain: "shop.example".into(), data_dir: "/data/it's".into(), ..Config::default() };
        config.database.url = String::from("postgres://u:hidden@db.example/node").into();
        config.textsecure.enabled = true;
        let site =
            Site { config: &config, settings_file: Some(Path::new("/etc/a b.toml")), program: Path::new("/bin/h") };
        for script in [backup(site), restore(site)] {
            assert!(!script.contains("hidden"), "{script}");
            assert!(script.contains(r"'/data/it'\''s/node.keys'"), "{script}");
            assert!(
                script.contains("database=$('/bin/h' backup --environment --config '/etc/a b.toml')\neval"),
                "{script}"
            );
            assert!(script.contains("attachments"), "{script}");
        }
    }

    #[test]
    fn a_shell_understands_them() {
        let external = |url: &str| {
            let mut config =
                Config { domain: "shop.example".into(), data_dir: "/nonexistent".into(), ..Config::default() };
            config.database.url = String::from(url).into();
            config
        };
        for config in [external("postgres://u@db.example/node"), external("")] {
            let site = Site { config: &config, settings_file: None, program: Path::new("/bin/h") };
            for script in [backup(site), restore(site)] {
                let read = std::process::Command::new("sh").args(["-n", "-c", &script]).output().unwrap();
                assert!(read.status.success(), "{}\n{script}", String::from_utf8_lossy(&read.stderr));
            }
        }
    }
}
