//! Checks that Python's libraries make better than ours would: they share no code with the node.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What is installed, exactly.
const REQUIREMENTS: &str = include_str!("../../../../ops/python/requirements.txt");

/// The folder of programs of the environment that `ops/install` makes beside what cargo builds.
///
/// # Panics
/// When it is not there, or is one of other requirements: a test that cannot run must not pass.
pub(crate) fn programs() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join("python");
    let installed = std::fs::read_to_string(folder.join("requirements.txt")).unwrap_or_default();
    assert!(installed == REQUIREMENTS, "{} is missing or of another time: run ops/install", folder.display());
    folder.join("bin")
}

/// Where this test's scripts are.
pub(super) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/api/described").join(name)
}

/// Runs a script, with `input` on its standard input.
///
/// # Panics
/// With what it says, unless it is content.
pub(super) fn check(name: &str, input: &Value) {
    let mut child = Command::new(programs().join("python"))
        .arg(script(name))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{name}: {said}");
}
