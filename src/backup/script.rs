//! The script that backs this node up.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Site, absolute, attachments, calls, is_private, quoted, quoted_path};

/// What every node's database has, whatever doors are open; partitions have names of their own.
pub(super) const TABLES: &str = "node node_keys accounts connections workers";

/// How to back this node up, as a script with its reasons.
///
/// # Errors
/// When `database.url` is none.
pub fn backup(site: Site<'_>) -> anyhow::Result<String> {
    let (domain, command) = (&site.config.domain, site.command());
    let mut text = format!(
        "#!/bin/sh\n\
         # How to back up the node {domain}, as it is set up now: read it, keep it, run it.\n\
         #   {command} backup > backup.sh && {sh} backup.sh /where/to/put/it\n\
         # Run it as a user who may read the key file. The node may run meanwhile.\n\
         set -eu\n\
         umask 077\n\
         to=${{1:?say where to: a directory that does not exist yet}}\n",
        sh = site.shell(),
    );
    text.push_str(&calls::functions(site));
    text.push_str("mkdir -- \"$to\"\n");
    database(&mut text, site)?;
    keys(&mut text, site);
    settings(&mut text, site);
    files(&mut text, site);
    text.push_str(LEFT_OUT);
    text.push_str("echo \"done: $to\"\n");
    Ok(text)
}

fn database(text: &mut String, site: Site<'_>) -> anyhow::Result<()> {
    text.push_str(
        "\n# 1. The database: every promise the node has made. One consistent moment, taken without stopping anything.\n\
         # pg_dump must be of the server's version or newer.\n",
    );
    if is_private(site.config) {
        text.push_str("# It is the private one of `handfast up`, which must be running now.\n");
    }
    text.push_str(&calls::database(site)?);
    let _ = write!(
        text,
        "as_node pg_dump --format=custom >\"$to/unchecked.dump\"\n\
         # It gets its name when it holds what a node's database holds.\n\
         contents=$(pg_restore --list \"$to/unchecked.dump\")\n\
         for table in {TABLES}; do\n\
         \x20   case $contents in\n\
         \x20       *\"TABLE DATA public $table \"*) ;;\n\
         \x20       *) echo \"$NODE_DATABASE has no table $table: it is no node's database\" >&2; exit 1 ;;\n\
         \x20   esac\n\
         done\n\
         mv -- \"$to/unchecked.dump\" \"$to/database.dump\"\n"
    );
    text.push_str(
        "# Where losing what came since the last dump is too much: continuous archiving instead (WAL), which begins with\n\
         #   pg_basebackup --pgdata=\"$to/base\" --format=tar --wal-method=stream --checkpoint=fast\n\
         # and needs a user with REPLICATION and archive_command; or a standby, which is no backup.\n",
    );
    Ok(())
}

fn keys(text: &mut String, site: Site<'_>) {
    let file = absolute(&site.config.keys_file());
    let _ = write!(
        text,
        "\n# 2. The node keys, after the database: keys are only ever added, so this file opens whatever the dump holds.\n\
         # Without it the dump cannot be read; with it, it can: keep the two apart.\n\
         as_node cat {} >\"$to/node.keys\"\n",
        quoted_path(&file)
    );
}

fn settings(text: &mut String, site: Site<'_>) {
    text.push_str(
        "\n# 3. The settings, and the files that they name, below their whole paths.\nmkdir -- \"$to/settings\"\n",
    );
    match site.settings_file {
        Some(file) => {
            let _ = writeln!(text, "cp -L -- {} \"$to/settings/handfast.toml\"", quoted_path(&absolute(file)));
        }
        None => text.push_str("# There is no settings file: all settings come from the environment.\n"),
    }
    if site.is_packaged() {
        text.push_str("[ ! -e /etc/handfast/environment ] || cp -L -- /etc/handfast/environment \"$to/settings/\"\n");
    } else {
        variables(text);
    }
    for file in named_files(site) {
        let folder = file.parent().unwrap_or(Path::new("/"));
        let _ = write!(
            text,
            "mkdir -p -- \"$to/settings/files\"{}\nas_node cat {file} >\"$to/settings/files\"{file}\n",
            quoted_path(folder),
            file = quoted_path(&file),
        );
    }
}

fn variables(text: &mut String) {
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
}

/// Files that settings name: certificates, keys of providers.
fn named_files(site: Site<'_>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let settings = serde_json::to_value(site.config).unwrap_or_default();
    collect_files(&settings, &mut found);
    let keys = site.config.keys_file();
    found.retain(|file| *file != keys);
    let mut found: Vec<PathBuf> = found.into_iter().map(|file| absolute(&file)).collect();
    found.sort();
    found.dedup();
    found
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
                "\n# 4. Attachments of the TextSecure door. Where a file came or went meanwhile, tar says 1.\n\
                 if as_node test -d {directory}; then\n\
                 \x20   as_node tar -c -C {directory} . >\"$to/attachments.tar\" || [ $? -eq 1 ]\n\
                 fi\n"
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
