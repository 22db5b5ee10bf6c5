//! What the fuzzer calls: one function a target, each beside the parsers that it is about (`…/fuzzing.rs`).
//!
//! Promises: a target panics on any bytes for which a parser breaks its word: that it does not panic, that what it made is read back
//! as it was, that what it keeps is bounded, that two readers agree. The same functions run in the ordinary tests over the seeds, so
//! a finding is kept by adding its bytes to `fuzz/seeds`. Not in any build that is shipped: compiled for tests and for the fuzzer
//! only. Leaves out everything that needs a server.

use crate::{App, cli, config, doors, homing, logins, openmsg, outbound, providers, rows, textsecure, webhooks};

/// Takes whatever bytes the fuzzer comes up with.
pub type Target = fn(&[u8]);

/// Every target by its name: that of its program in `fuzz/fuzz_targets` and of its folder in `fuzz/seeds`.
pub const TARGETS: [(&str, Target); 21] = [
    ("openmsg_requests", openmsg::fuzzing::requests),
    ("openmsg_replies", openmsg::fuzzing::replies),
    ("openmsg_words", openmsg::fuzzing::words),
    ("textsecure_frames", textsecure::fuzzing::frames),
    ("textsecure_bodies", doors::textsecure::fuzzing::bodies),
    ("textsecure_words", doors::textsecure::fuzzing::words),
    ("mesibo_requests", doors::mesibo::fuzzing::requests),
    ("homing_words", homing::fuzzing::words),
    ("homing_sealed", homing::fuzzing::sealed),
    ("homing_requests", doors::homing::fuzzing::requests),
    ("api_fields", doors::api::fuzzing::fields),
    ("api_campaigns", doors::api::fuzzing::campaigns),
    ("rows", rows::fuzzing::rows),
    ("headers", doors::fuzzing::headers),
    ("pages", doors::fuzzing::pages),
    ("outbound_targets", outbound::fuzzing::targets),
    ("provider_answers", providers::fuzzing::answers),
    ("webhooks", webhooks::fuzzing::words),
    ("logins", logins::fuzzing::typed),
    ("settings", config::fuzzing::settings),
    ("cli_answers", cli::fuzzing::answers),
];

/// Runs a target over some bytes.
///
/// # Panics
/// On an unknown name; and on a finding.
pub fn run(name: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let Some((_, target)) = found else { panic!("there is no fuzz target {name}") };
    target(data);
}

/// Settings, keys and time for parsers that ask for them; the database is never asked. One a thread.
pub(crate) fn app() -> App {
    thread_local! {
        static APP: App = {
            // What watches over connections is begun, and has none to watch.
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let entered = runtime.as_ref().ok().map(tokio::runtime::Runtime::enter);
            let app = App::for_tests("our.example");
            drop(entered);
            app
        };
    }
    APP.with(App::clone)
}

/// The bytes as text, for parsers that are never given anything else.
pub(crate) fn text(data: &[u8]) -> &str {
    match std::str::from_utf8(data) {
        Ok(text) => text,
        // Up to where it is text: what a fuzzer appends is not wasted.
        Err(error) => std::str::from_utf8(&data[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// Asserts that a value is written in one way that is read back as the same value.
pub(crate) fn read_back<T>(value: &T)
where
    T: std::str::FromStr + std::fmt::Display + PartialEq,
{
    let written = value.to_string();
    assert!(written.parse::<T>().is_ok_and(|again| again == *value), "what is written is not read back");
}

/// The same of what travels between our own processes as JSON.
pub(crate) fn carried<T>(value: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq,
{
    let written = serde_json::to_vec(value).unwrap_or_default();
    assert!(serde_json::from_slice::<T>(&written).is_ok_and(|again| again == *value), "what is carried is changed");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn names(folder: &Path) -> Vec<String> {
        files(folder).iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn every_seed_is_withstood() {
        for (name, target) in TARGETS {
            for seed in files(&folder("seeds").join(name)) {
                println!("{}", seed.display());
                target(&fs::read(&seed).unwrap());
            }
        }
    }

    /// What a fuzzer finds first.
    #[test]
    fn nothing_and_nonsense_are_withstood() {
        for (_, target) in TARGETS {
            for data in [&b""[..], b"\0", b"\xff\xfe", b"{", b"[[[[", b"\"", b"=&=", b"%", b"\r\n\r\n", &[b'9'; 400]] {
                target(data);
            }
        }
    }

    #[test]
    fn every_target_has_a_program_seeds_and_a_line_in_the_list() {
        let mut expected: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        expected.sort();
        assert_eq!(names(&folder("fuzz_targets")), expected);
        assert_eq!(names(&folder("seeds")), expected);
        let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let (manifest, list) = (read("fuzz/Cargo.toml"), read("docs/fuzzing.md"));
        for (name, _) in TARGETS {
            let seeds = files(&folder("seeds").join(name)).len();
            assert!(seeds >= 3, "{name} has {seeds} seeds");
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is not in fuzz/Cargo.toml");
            assert!(list.contains(&format!("| `{name}` |")), "{name} is not in docs/fuzzing.md");
            assert!(read(&format!("fuzz/fuzz_targets/{name}.rs")).contains(&format!("run(\"{name}\", ")), "{name}");
        }
    }

    /// The fuzzer must build what is shipped, and shares its dependencies with the other builds.
    #[test]
    fn the_fuzzer_has_the_versions_that_are_shipped() {
        let packages = |path: &str| -> Vec<(String, String)> {
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
            let lock: toml::Table = toml::from_str(&text).unwrap();
            let word = |package: &toml::Value, key: &str| package[key].as_str().unwrap().to_owned();
            let list = lock["package"].as_array().unwrap();
            list.iter().map(|package| (word(package, "name"), word(package, "version"))).collect()
        };
        let own = ["handfast-fuzz", "libfuzzer-sys", "arbitrary", "derive_arbitrary"];
        let shipped = packages("Cargo.lock");
        let others: Vec<_> = packages("fuzz/Cargo.lock")
            .into_iter()
            .filter(|package| !own.contains(&package.0.as_str()) && !shipped.contains(package))
            .collect();
        assert!(others.is_empty(), "run ops/fuzz --lock: {others:?}");
    }
}
