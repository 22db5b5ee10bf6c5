//! What the operating system knows of this process, under the names that Prometheus' own clients use.

use std::fmt::Write as _;
use std::fs;
use std::sync::OnceLock;

/// The kernel's unit of time in `/proc`: the same on every Linux.
const TICKS: f64 = 100.0;

/// What this machine is called, also where `/proc/sys` is hidden from a service.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Adds it to the text; what cannot be read is left out.
pub(super) fn write(text: &mut String) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let known = [
        ("process_cpu_seconds_total", "counter", "CPU time, of user and system together.", cpu(&stat)),
        ("process_resident_memory_bytes", "gauge", "Memory in use.", resident(&status)),
        ("process_open_fds", "gauge", "Open file descriptors.", open_files()),
        ("process_max_fds", "gauge", "File descriptors that may be open.", most_files(&limits)),
        ("process_start_time_seconds", "gauge", "When it started, in seconds since 1970.", started(&stat)),
    ];
    for (name, kind, help, value) in known {
        if let Some(value) = value {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    }
}

/// Fields after the name, which may hold anything: the first one here is the third of the file.
fn field(stat: &str, n: usize) -> Option<f64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(n - 3)?.parse().ok()
}

fn cpu(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS)
}

/// `/proc/stat` would say when the machine was started, and a service may be kept from reading it. Asked once: when somebody sets the
/// clock, this process has not started anew.
fn started(stat: &str) -> Option<f64> {
    static BOOTED: OnceLock<f64> = OnceLock::new();
    let booted = BOOTED.get_or_init(|| crate::clock::booted().as_microsecond() as f64 / 1e6);
    Some(booted + field(stat, 22)? / TICKS)
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

fn open_files() -> Option<f64> {
    // One of them is this look.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn most_files(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 5 0 300 1000 200";
        assert_eq!(cpu(stat), Some(2.0));
        let booted = crate::clock::booted().as_microsecond() as f64 / 1e6;
        assert!((started(stat).unwrap() - booted - 3.0).abs() < 1.0);
    }

    #[test]
    fn this_process_is_known() {
        let mut text = String::new();
        write(&mut text);
        let names = [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ];
        for name in names {
            assert!(text.lines().any(|line| line.starts_with(&format!("{name} "))), "{text}");
        }
        assert!(!host().is_empty());
    }
}
