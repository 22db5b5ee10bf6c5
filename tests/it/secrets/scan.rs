//! The last check of the suite: every secret in every log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Entry, Kind, place};

/// The servers that the suite runs against; they log too.
const PAIR: &str = "HANDFAST_TEST_PAIR_DIR";
/// Words that say that six digits behind them are a code.
const CODE_WORDS: [&str; 4] = ["code", "otp", "pin", "pass"];
/// How far before the digits such a word counts, in bytes.
const CODE_CONTEXT: usize = 24;
/// Shorter secrets are looked for as words of their own.
const UNMISTAKABLE: usize = 16;
/// Bytes that secrets are looked up by.
const BEGINNING: usize = 6;

/// A secret in a log. It does not hold the secret.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    line: usize,
    kind: Kind,
}

/// All files below a folder.
pub(super) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

/// All logs below a folder.
pub(super) fn logs_below(folder: &Path) -> Vec<PathBuf> {
    let is_log = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "log");
    files_below(folder).into_iter().filter(is_log).collect()
}

/// What was looked through, and what was found.
#[derive(Debug, Default)]
struct Scan {
    logs: usize,
    secrets: BTreeMap<Kind, usize>,
    findings: Vec<Finding>,
}

impl Scan {
    fn of(registers: &Path, logs: &[PathBuf]) -> Self {
        let entries = entries(registers);
        let mut scan = Self { logs: logs.len(), ..Self::default() };
        for entry in &entries {
            *scan.secrets.entry(entry.kind).or_default() += 1;
        }
        let index = Index::new(&entries);
        for log in logs {
            let name = log.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let text = fs::read(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
            for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
                let kinds: HashSet<Kind> = index.found_in(line).collect();
                let finding = |kind| Finding { file: name.clone(), line: at + 1, kind };
                scan.findings.extend(kinds.into_iter().map(finding));
            }
        }
        scan.findings.sort();
        scan
    }
}

fn entries(folder: &Path) -> HashSet<Entry> {
    let registers = files_below(folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "secrets"));
    let texts = registers.map(|path| fs::read_to_string(path).expect("a register"));
    let read = |line: &str| serde_json::from_str::<Entry>(line).expect("an entry");
    texts.flat_map(|text| text.lines().map(read).collect::<Vec<_>>()).collect()
}

/// Secrets by their first bytes.
struct Index<'a> {
    starts: Vec<bool>,
    by_beginning: HashMap<[u8; BEGINNING], Vec<&'a Entry>>,
}

impl<'a> Index<'a> {
    fn new(entries: &'a HashSet<Entry>) -> Self {
        let mut index = Self { starts: vec![false; 1 << 16], by_beginning: HashMap::new() };
        for entry in entries {
            let bytes = entry.value.as_bytes();
            let beginning = *bytes.first_chunk::<BEGINNING>().expect("no secret is so short");
            index.starts[usize::from(bytes[0]) << 8 | usize::from(bytes[1])] = true;
            index.by_beginning.entry(beginning).or_default().push(entry);
        }
        index
    }

    fn found_in(&self, line: &[u8]) -> impl Iterator<Item = Kind> {
        let places = line.windows(BEGINNING).enumerate();
        let known = places.filter(move |(_, found)| self.starts[usize::from(found[0]) << 8 | usize::from(found[1])]);
        known.flat_map(move |(at, found)| {
            let entries = self.by_beginning.get(found).map(Vec::as_slice).unwrap_or_default();
            entries.iter().filter(move |entry| is_at(entry, line, at)).map(|entry| entry.kind)
        })
    }
}

fn is_at(entry: &Entry, line: &[u8], at: usize) -> bool {
    let value = entry.value.as_bytes();
    if !line[at..].starts_with(value) {
        return false;
    }
    let inside = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let alone = !inside(at.checked_sub(1).map(|before| &line[before])) && !inside(line.get(at + value.len()));
    match entry.kind {
        Kind::Code => alone && is_called_a_code(&line[at.saturating_sub(CODE_CONTEXT)..at]),
        _ => alone || value.len() >= UNMISTAKABLE,
    }
}

fn is_called_a_code(before: &[u8]) -> bool {
    let before = String::from_utf8_lossy(before).to_ascii_lowercase();
    CODE_WORDS.iter().any(|word| before.contains(word))
}

/// After the suite, by `ops/test`: with `HANDFAST_TEST_LOGS_WHOLE` set it was the whole suite, and must have left something of
/// everything.
#[test]
#[ignore = "looks through what the other tests have left: ops/test runs it after them"]
fn no_log_holds_a_secret() {
    let place = place().expect("HANDFAST_TEST_LOGS names the folder");
    let mut logs = logs_below(&place);
    if let Some(pair) = std::env::var_os(PAIR) {
        logs.extend(logs_below(Path::new(&pair)));
    }
    let scan = Scan::of(&place, &logs);
    println!("{} logs, secrets: {:?}", scan.logs, scan.secrets);
    assert!(scan.findings.is_empty(), "secrets are in logs:\n{:#?}", scan.findings);
    if std::env::var_os("HANDFAST_TEST_LOGS_WHOLE").is_some() {
        assert!(scan.logs > 50, "the logs were not found");
        for kind in [
            Kind::ApiKey,
            Kind::Code,
            Kind::ConnectionKey,
            Kind::Token,
            Kind::Password,
            Kind::KeyFile,
            Kind::SharedSecret,
            Kind::Text,
            Kind::PhoneNumber,
        ] {
            assert!(scan.secrets.contains_key(&kind), "no {kind:?} was registered");
        }
    }
}

#[test]
fn a_planted_leak_is_found_and_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let entries = [
        (Kind::ApiKey, "hf_0123456789abcdef"),
        (Kind::Code, "042137"),
        (Kind::Text, "Meet me at the bridge"),
        (Kind::PhoneNumber, "14155550101"),
        (Kind::Password, "open sesame"),
    ];
    let line =
        |(kind, value): (Kind, &str)| serde_json::to_string(&Entry { kind, value: value.to_owned() }).unwrap() + "\n";
    fs::write(dir.path().join("1.secrets"), entries.map(line).concat()).unwrap();
    let log = dir.path().join("serve.log");
    let found = |text: &str| {
        fs::write(&log, text).unwrap();
        let scan = Scan::of(dir.path(), &logs_below(dir.path()));
        assert_eq!((scan.logs, scan.secrets.len()), (1, 5));
        assert!(entries.iter().all(|(_, value)| !format!("{scan:?}").contains(value)), "the finding leaks too");
        scan.findings.into_iter().map(|finding| (finding.line, finding.kind)).collect::<Vec<_>>()
    };
    assert_eq!(found("all is well\nkey=hf_0123456789abcdef.\n"), [(2, Kind::ApiKey)]);
    assert_eq!(found("text=\"Meet me at the bridge\" to +14155550101"), [(1, Kind::Text), (1, Kind::PhoneNumber)]);
    assert_eq!(found("pass_code=042137 and the password is open sesame"), [(1, Kind::Code), (1, Kind::Password)]);
    for innocent in ["took 042137 us", "code=0421370", "id=914155550101", "hf_0123456789", "reopen sesames", ""] {
        assert_eq!(found(innocent), [], "{innocent}");
    }
}
