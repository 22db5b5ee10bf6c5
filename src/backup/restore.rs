//! The script that brings this node back.

use std::fmt::Write as _;
use std::path::Path;

use super::script::TABLES;
use super::{Site, absolute, attachments, calls, is_private, quoted_path};

/// How to bring it back, as a script with its reasons.
///
/// # Errors
/// When `database.url` is none.
pub fn restore(site: Site<'_>) -> anyhow::Result<String> {
    let (domain, command) = (&site.config.domain, site.command());
    let mut text = format!(
        "#!/bin/sh\n\
         # How to bring the node {domain} back from what `handfast backup` advised, with the settings in effect here.\n\
         #   {command} backup --restore > restore.sh && {sh} restore.sh /where/the/backup/is\n\
         # First: the old node must be off, and stay off. Two nodes with one database's past would both send what was open.\n\
         # What was delivered after the backup was taken looks undelivered, and is sent again: other handfast nodes and receivers of\n\
         # webhooks that look at ids see that they have it already.\n\
         set -eu\n\
         umask 077\n\
         from=${{1:?say where the backup is}}\n",
        sh = site.shell(),
    );
    text.push_str(&calls::functions(site));
    if is_private(site.config) {
        let data = quoted_path(&absolute(&site.config.data_dir));
        let _ = write!(
            text,
            "\n# Root's servers run as a user of their own, who must be able to pass.\n\
             (if [ \"$(id -u)\" = 0 ]; then umask 066; fi; mkdir -p -- {data})\n"
        );
    }
    keys(&mut text, site);
    files(&mut text, site);
    database(&mut text, site)?;
    let _ = write!(
        text,
        "\n# 5. Start it. A newer program first runs `{command} migrate`. The broker may be empty, or the old one: both are right.\n\
         echo 'restored; now start the node, and look at: {command} doctor'\n"
    );
    Ok(text)
}

fn keys(text: &mut String, site: Site<'_>) {
    let file = absolute(&site.config.keys_file());
    let _ = write!(
        text,
        "\n# 1. The node keys. An existing file is not replaced: it could be the only one of its kind.\n\
         keys={keys}\n\
         [ -s \"$from/node.keys\" ] || {{ echo \"$from/node.keys is missing\" >&2; exit 1; }}\n\
         if as_node test -e \"$keys\"; then\n\
         \x20   as_node cmp -s \"$keys\" - <\"$from/node.keys\" || {{\n\
         \x20       echo \"$keys is there already, and is another file. If no database was ever in use with it, as after a new\" >&2\n\
         \x20       echo 'installation, move it out of the way' >&2\n\
         \x20       exit 1\n\
         \x20   }}\n\
         else\n\
         \x20   as_node mkdir -p -- {folder}\n\
         \x20   as_node sh -euc 'umask 077; rm -f -- \"$0.new\"; set -C; cat >\"$0.new\"; sync \"$0.new\"; ln -- \"$0.new\" \"$0\"; rm -- \"$0.new\"' \\\n\
         \x20       \"$keys\" <\"$from/node.keys\"\n\
         fi\n",
        keys = quoted_path(&file),
        folder = quoted_path(file.parent().unwrap_or(Path::new("/"))),
    );
}

fn files(text: &mut String, site: Site<'_>) {
    let Some(directory) = attachments(site.config) else { return };
    let directory = quoted_path(&absolute(&directory));
    let _ = write!(
        text,
        "\n# 2. Attachments.\n\
         if [ -e \"$from/attachments.tar\" ]; then\n\
         \x20   as_node mkdir -p -- {directory}\n\
         \x20   as_node tar -x -C {directory} <\"$from/attachments.tar\"\n\
         fi\n"
    );
}

fn database(text: &mut String, site: Site<'_>) -> anyhow::Result<()> {
    text.push_str("\n# 3. The database, which must exist and be empty. The user who restores owns what is made; it is all made, or nothing.\n");
    let empty = if site.is_packaged() {
        "echo 'handfast-setup empty-database makes an empty one here, and keeps the one that is there under another name' >&2; "
    } else {
        ""
    };
    let steps = format!(
        "{database}contents=$(pg_restore --list \"$from/database.dump\")\n\
         for table in {TABLES}; do\n\
         \x20   case $contents in\n\
         \x20       *\"TABLE DATA public $table \"*) ;;\n\
         \x20       *) echo \"$from/database.dump has no table $table: it is no node's\" >&2; exit 1 ;;\n\
         \x20   esac\n\
         done\n\
         tables=$(as_node psql -XAtc \"/* backup::restore tables */ select count(*) from pg_tables where schemaname = 'public'\")\n\
         [ \"$tables\" = 0 ] || {{ echo \"$NODE_DATABASE has tables, and must be empty\" >&2; {empty}exit 1; }}\n\
         as_node pg_restore --exit-on-error --single-transaction --no-owner --no-privileges --dbname=\"$PGDATABASE\" <\"$from/database.dump\"\n\
         \n# 4. Does all of it belong together? Nothing is changed by looking.\n\
         program restore-check\n",
        database = calls::database(site)?,
    );
    if is_private(site.config) {
        private(text, site, &steps);
    } else {
        text.push_str(&steps);
    }
    Ok(())
}

/// The private database runs for the time of the restoring.
fn private(text: &mut String, site: Site<'_>, steps: &str) {
    let data = quoted_path(&absolute(&site.config.data_dir.join("pair")));
    let program = quoted_path(&absolute(site.program));
    let functions = calls::functions(site);
    let _ = write!(
        text,
        "# It is the private one of `handfast up`: it is started for these steps only.\n\
         export from\n\
         mkdir -p -- {data}\n\
         {program} pair --data {data} --keep -- sh -eu <<'STEPS'\n{functions}{steps}STEPS\n"
    );
}
