//! Completions, manual pages and exit codes, as a shell and `man` see them.

use std::process::{Command, Output, Stdio};

fn handfast(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_handfast"))
        .args(words)
        .env_remove("HANDFAST_API_KEY")
        .current_dir("/")
        .output()
        .expect("the program runs")
}

fn printed(words: &[&str]) -> String {
    let output = handfast(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Whether a program is on this machine: bash and groff must be, the others need not.
fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[test]
fn completions_are_accepted_by_their_shells() {
    let dir = tempfile::tempdir().expect("a folder");
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let file = dir.path().join(shell);
        std::fs::write(&file, printed(&["completions", shell])).expect("written");
        if shell != "bash" && !is_there(shell) {
            continue;
        }
        let read = Command::new(shell).arg(check).arg(&file).output().expect("the shell runs");
        assert!(read.status.success() && read.stderr.is_empty(), "{shell}: {}", String::from_utf8_lossy(&read.stderr));
    }
    let script = "source \"$1\"; COMP_WORDS=(handfast destination pa); COMP_CWORD=2; _handfast handfast pa destination; echo \"${COMPREPLY[@]}\"";
    let file = dir.path().join("bash");
    let completed = Command::new("bash").args(["-c", script, "-"]).arg(file).output().expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "pause", "{completed:?}");
}

#[test]
fn every_manual_page_is_read_without_a_warning() {
    let dir = tempfile::tempdir().expect("a folder");
    printed(&["man", "--dir", dir.path().to_str().expect("UTF-8")]);
    let pages: Vec<_> =
        std::fs::read_dir(dir.path()).expect("pages").map(|page| page.expect("a page").path()).collect();
    assert!(pages.len() > 100, "only {} pages", pages.len());
    let read = Command::new("groff")
        .args(["-Kutf8", "-man", "-Tutf8", "-ww", "-z"])
        .args(&pages)
        .output()
        .expect("groff runs");
    assert!(read.status.success() && read.stderr.is_empty(), "{}", String::from_utf8_lossy(&read.stderr));
    let one = printed(&["man"]);
    assert!(one.contains(".TH handfast 1") && one.contains("Exit codes"), "{}", &one[..400]);
}

#[test]
fn exit_codes_are_those_of_the_page() {
    let nobody = ["--api", "http://127.0.0.1:1", "--key", "hf_x"];
    for (words, code) in [
        (&["config", "--example"][..], 0),
        (&["no-such-command"], 2),
        (&["status", "no id"], 2),
        (&["config", "--config", "/nonexistent.toml"], 1),
        (&[&["accounts", "list"][..], &nobody].concat(), 1),
        (&[&["audit", "list", "--since", "yesterday"][..], &nobody].concat(), 2),
        (&["doctor", "--config", "/nonexistent.toml"], 1),
        (&["restore-check", "--config", "/nonexistent.toml"], 1),
    ] {
        assert_eq!(handfast(words).status.code(), Some(code), "{words:?}");
    }
}
