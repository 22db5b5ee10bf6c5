//! How a script calls: the program with this node's settings, other programs as the node's user, and the database as one that is known
//! to be the node's.

use std::fmt::Write as _;
use std::path::Path;

use super::{Site, absolute, environment, is_private, quoted, quoted_path};
use crate::embedded::running;

/// Settings that need no section, which a command line often has in its environment; none of them is secret.
const OUTSIDE_OF_SECTIONS: [&str; 3] = ["HANDFAST_MODE", "HANDFAST_DOMAIN", "HANDFAST_DATA_DIR"];

/// Two functions, `program` and `as_node`.
pub(super) fn functions(site: Site<'_>) -> String {
    if site.is_packaged() {
        return PACKAGED.to_owned();
    }
    let mut text = String::from("\n# The program with this node's settings, and whatever else is run for it.\n");
    for name in OUTSIDE_OF_SECTIONS {
        if let Ok(value) = std::env::var(name) {
            let _ = writeln!(text, "export {name}={}", quoted(&value));
        }
    }
    let settings =
        site.settings_file.map(|file| format!(" --config {}", quoted_path(&absolute(file)))).unwrap_or_default();
    // Relative paths in the settings hold from here on too.
    let _ = writeln!(
        text,
        "program() {{ (cd {} && exec {} \"$@\"{settings}); }}\nas_node() {{ \"$@\"; }}",
        quoted_path(&absolute(Path::new("."))),
        quoted_path(&absolute(site.program)),
    );
    if is_private(site.config)
        && let Some(programs) = running::programs(&site.config.data_dir)
    {
        let _ = writeln!(text, "PATH={}:$PATH", quoted_path(&programs));
    }
    text
}

/// The caller's environment is no setting of the services.
const PACKAGED: &str = r#"
# Root's work. The program runs as the services do, as the user handfast and with /etc/handfast/environment; so does what touches
# the database and the node's own files.
[ "$(id -u)" = 0 ] || { echo 'only root can run this' >&2; exit 1; }
program() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin /usr/sbin/handfast-run "$@"; }
as_node() { (cd / && exec setpriv --reuid=handfast --regid=handfast --init-groups --inh-caps=-all --no-new-privs "$@"); }
"#;

/// The variables of PostgreSQL's programs, or the end of the script when they would lead anywhere else than it was written for.
pub(super) fn database(site: Site<'_>) -> anyhow::Result<String> {
    let keys = absolute(&site.config.keys_file());
    let node = quoted(&format!("{} with {}", environment::database(site.config)?, keys.display()));
    // `eval "$(…)"` goes on when the command failed, and libpq would then take whatever database its defaults lead to.
    Ok(format!(
        "database=$(program backup --environment)\n\
         eval \"$database\"\n\
         : \"${{PGHOST:?}}\" \"${{PGDATABASE:?}}\"\n\
         node={node}\n\
         [ \"$NODE_DATABASE with $NODE_KEYS\" = \"$node\" ] || {{\n\
         \x20   printf 'this was written for %s; the settings lead to %s with %s: write it anew\\n' \\\n\
         \x20       \"$node\" \"$NODE_DATABASE\" \"$NODE_KEYS\" >&2\n\
         \x20   exit 1\n\
         }}\n"
    ))
}
