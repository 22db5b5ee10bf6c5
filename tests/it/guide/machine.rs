//! A machine of its own for pages of the documentation.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::blocks::{Block, Way};

/// A directory, in which a script will run in namespaces of its own.
pub(super) struct Machine {
    home: tempfile::TempDir,
    /// What is there before the first page.
    before: String,
}

/// What became of it.
pub(super) struct Ran {
    /// What each block said, for those that went through.
    pub(super) outputs: Vec<String>,
    /// All that was said, the end of it.
    pub(super) log: String,
}

impl Machine {
    pub(super) fn new(before: &str) -> Self {
        Self { home: tempfile::Builder::new().prefix("handfast-guide-").tempdir().unwrap(), before: before.to_owned() }
    }

    /// Runs the blocks in one shell, one after the other, until one fails.
    pub(super) fn run(&self, blocks: &[&Block]) -> Ran {
        let home = self.home.path();
        open_to_servers(home);
        let bin = home.join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_handfast"), bin.join("handfast")).unwrap();
        fs::write(home.join("script"), self.script(blocks)).unwrap();
        let log = fs::File::create(home.join("log")).unwrap();
        let whole = Command::new("timeout")
            .args([
                "--kill-after=5",
                "300",
                "unshare",
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child",
            ])
            .args(as_ourselves())
            .args(["bash", "-euo", "pipefail"])
            .arg(home.join("script"))
            .current_dir(home)
            .env("HOME", home)
            .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
            .env_remove("HANDFAST_API_KEY")
            .env_remove("HANDFAST_API_URL")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status();
        whole.expect("`unshare` and `timeout` are there: ops/install");
        let read = |name: String| fs::read_to_string(home.join(name)).ok();
        let passed = (0..blocks.len()).take_while(|n| home.join(format!("out/{n}.passed")).exists());
        let outputs = passed.map(|n| read(format!("out/{n}")).unwrap_or_default()).collect::<Vec<_>>();
        let log =
            read(String::from("log")).unwrap_or_default() + &read(format!("out/{}", outputs.len())).unwrap_or_default();
        let from = log.char_indices().nth_back(6000).map_or(0, |(at, _)| at);
        Ran { outputs, log: log[from..].to_owned() }
    }

    fn script(&self, blocks: &[&Block]) -> String {
        let mut script = format!(
            "ip link set lo up\nout=$PWD/out; mkdir -p \"$out\"\n\
             wait_for() {{ for _ in $(seq 300); do if eval \"$1\" >/dev/null 2>&1; then return; fi; sleep 0.2; done; \
             echo \"$1: never came true\" >&2; return 1; }}\npage() {{ :; }}\n{}\n",
            self.before
        );
        let mut page = "";
        for (n, block) in blocks.iter().enumerate() {
            let text = &block.text;
            if block.page != page {
                page = &block.page;
                let _ = writeln!(script, "page {page}");
            }
            let _ = writeln!(script, "echo '== {}' >&2", block.place());
            let _ = match &block.way {
                Way::Background { until } => writeln!(
                    script,
                    "{{\n{text}\n}} >>\"$out/{n}\" 2>&1 &\nwait_for {}",
                    format_args!("'{}'", until.replace('\'', "'\\''"))
                ),
                // A stream that has said something is let go; what has nothing to say is let go after a while.
                Way::Stopped => writeln!(
                    script,
                    "(\n{text}\n) >\"$out/{n}\" 2>&1 & stream=$!\n\
                     for _ in $(seq 15); do sleep 0.2; [ ! -s \"$out/{n}\" ] || break; done\n\
                     kill -0 $stream\npkill -INT -P $stream || kill -INT $stream\nwait $stream || true"
                ),
                Way::Fails => {
                    writeln!(script, "if (\n{text}\n) >\"$out/{n}\" 2>&1; then echo 'it did not fail' >&2; exit 1; fi")
                }
                _ => writeln!(script, "{{\n{text}\n}} >\"$out/{n}\" 2>&1"),
            };
            let _ = writeln!(script, "touch \"$out/{n}.passed\"");
        }
        script
    }
}

/// The private servers run as a user of their own, who must be able to pass.
fn open_to_servers(home: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(home, fs::Permissions::from_mode(0o711)).unwrap();
}

/// Who is not root makes namespaces as the user that it is, with the rights in them that are needed to bring up loopback.
fn as_ourselves() -> &'static [&'static str] {
    match rustix::process::geteuid().is_root() {
        true => &[],
        false => &["--user", "--map-current-user", "--keep-caps"],
    }
}
