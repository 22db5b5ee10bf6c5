//! House rules that the compiler cannot check: which file may name what, and that the lists are whole.

use std::fs;
use std::path::{Path, PathBuf};

/// A crate, and the only places (files or folders, without ending) that may name it.
const NAMED_ONLY_IN: [(&str, &[&str]); 25] = [
    ("lapin", &["src/queue"]),
    ("reqwest", &["src/outbound", "src/cli/client"]),
    ("sodiumoxide", &["src/crypto"]),
    ("hmac", &["src/crypto"]),
    ("sha2", &["src/crypto", "src/cli/send"]),
    ("md5", &["src/crypto"]),
    ("backoff", &["src/retry"]),
    ("deadpool_postgres", &["src/db"]),
    ("refinery", &["src/db"]),
    ("hickory_resolver", &["src/outbound"]),
    ("figment", &["src/config"]),
    ("lettre", &["src/providers"]),
    ("aws_lc_rs", &["src/crypto", "src/tls"]),
    ("json5", &["src/doors/mesibo"]),
    ("jsonwebtoken", &["src/providers"]),
    ("object_store", &["src/attachments"]),
    ("metrics_exporter_prometheus", &["src/telemetry"]),
    ("opentelemetry", &["src/telemetry"]),
    ("opentelemetry_http", &["src/telemetry"]),
    ("opentelemetry_otlp", &["src/telemetry"]),
    ("opentelemetry_sdk", &["src/telemetry"]),
    ("tracing_subscriber", &["src/telemetry", "src/main"]),
    ("maud", &["src/doors/site", "src/doors/console", "src/doors/me"]),
    ("tokio_tungstenite", &["src/doors/textsecure/websocket"]),
    ("ratatui", &["src/cli/top"]),
];

const DOORS: [&str; 9] = ["api", "attachments", "openmsg", "form", "mesibo", "textsecure", "homing", "console", "me"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

/// Source files by their path inside the repository.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["src", "workers"] {
        files_below(&root().join(folder), ".rs", &mut files);
    }
    assert!(files.len() > 50, "the sources were not found");
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// Code only: a comment may say why a crate is not used.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn is_in(file: &str, place: &str) -> bool {
    file == format!("{place}.rs") || file.starts_with(&format!("{place}/"))
}

#[test]
fn a_crate_is_named_only_in_its_file() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for (name, places) in NAMED_ONLY_IN {
            let named = code_lines(&text)
                .any(|line| line.contains(&format!("{name}::")) || line.contains(&format!("use {name}")));
            if named && !places.iter().any(|place| is_in(&file, place)) {
                wrong.push(format!("{file} names {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_door_names_another() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for door in DOORS.iter().filter(|door| is_in(&file, &format!("src/doors/{door}"))) {
            for other in DOORS.iter().filter(|other| *other != door) {
                let names = [format!("doors::{other}"), format!("super::{other}::")];
                if code_lines(&text).any(|line| names.iter().any(|name| line.contains(name))) {
                    wrong.push(format!("{file} names the door {other}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_behind_the_doors_names_a_door() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let may = is_in(&file, "src/doors") || ["src/run.rs", "src/lib.rs", "src/fuzzing.rs"].contains(&file.as_str());
        if !may && code_lines(&text).any(|line| line.contains("doors::")) {
            wrong.push(file);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_ingress_makes_no_outbound_call() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|(file, text)| {
            is_in(file, "src/doors")
                && code_lines(text).any(|line| line.contains("outbound::") || line.contains("Outbound"))
        })
        .map(|(file, _)| file)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_worker_is_in_the_list() {
    let list = fs::read_to_string(root().join("workers/mod.rs")).unwrap();
    for entry in fs::read_dir(root().join("workers")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let name = name.trim_end_matches(".rs");
        assert!(name == "mod" || list.contains(&format!("pub mod {name};")), "workers/{name} is not in workers/mod.rs");
    }
}

#[test]
fn every_job_and_ask_has_a_worker() {
    let jobs = fs::read_to_string(root().join("src/jobs.rs")).unwrap();
    let handled =
        ["src/worker/run.rs", "workers/mod.rs"].map(|file| fs::read_to_string(root().join(file)).unwrap()).concat();
    for kind in ["Job", "Ask"] {
        let body = jobs.split(&format!("pub enum {kind} {{")).nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
        let variants: Vec<&str> =
            code_lines(body).filter_map(|line| line.trim().split('(').next().filter(|v| !v.is_empty())).collect();
        assert!(variants.len() >= 2, "{kind} was not read right: {variants:?}");
        for variant in variants {
            assert!(handled.contains(&format!("{kind}::{variant}(")), "{kind}::{variant} has no worker");
        }
    }
}

#[test]
fn every_table_and_column_that_needs_words_has_them() {
    let sql = fs::read_to_string(root().join("migrations/V0001__the_books.sql")).unwrap();
    for table in sql.lines().filter_map(|line| line.strip_prefix("create table ")) {
        let name = table.split_whitespace().next().unwrap();
        assert!(sql.contains(&format!("comment on table {name} is")), "{name} has no comment");
    }
}

#[test]
fn every_statement_says_where_it_stands() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for start in ["\"select ", "\"insert into ", "\"update ", "\"delete from ", "\"with "] {
            if code_lines(&text).any(|line| line.contains(start)) {
                wrong.push(format!("{file}: a statement without its function's name"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_holds_paths_of_somebodys_machine() {
    let mut files = Vec::new();
    for (folder, endings) in
        [("src", ".rs"), ("workers", ".rs"), ("tests", ".rs"), ("docs", ".md"), ("migrations", ".sql")]
    {
        files_below(&root().join(folder), endings, &mut files);
    }
    // Put together here, so that this file does not hold them.
    let places = [["/wo", "rk/"], ["/ho", "me/"], ["/ro", "ot/"]].map(|parts| parts.concat());
    let holds = |path: &&PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        places.iter().any(|place| text.contains(&format!(" {place}")) || text.contains(&format!("\"{place}")))
    };
    let wrong: Vec<&PathBuf> = files.iter().filter(holds).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_the_threat_model_points_to_is_there() {
    let text = fs::read_to_string(root().join("docs/threats.md")).unwrap();
    let mut tests = Vec::new();
    files_below(&root().join("tests"), ".rs", &mut tests);
    files_below(&root().join("src"), ".rs", &mut tests);
    let read = |path: &PathBuf| {
        let place = path.to_string_lossy().trim_end_matches(".rs").replace('/', "::");
        (place, fs::read_to_string(path).unwrap())
    };
    let all: Vec<(String, String)> = tests.iter().map(read).collect();
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(|code| code.contains("::")).collect();
    assert!(named.len() > 20, "the page was not read right: {named:?}");
    let is_there = |name: &&str| {
        let (place, test) = name.rsplit_once("::").unwrap();
        let place = place.trim_end_matches("::tests");
        all.iter().any(|(path, text)| path.ends_with(&format!("::{place}")) && text.contains(&format!("fn {test}(")))
    };
    let wrong: Vec<&str> = named.into_iter().filter(|name| !is_there(name)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for setting in ["connections_per_ip", "read_timeout", "body_limit", "wrong_codes_per_account", "refused_networks"] {
        assert!(text.contains(setting) && handfast::config::EXAMPLE.contains(&format!("{setting} =")), "{setting}");
    }
}
