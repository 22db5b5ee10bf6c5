//! What we did not write: the list of known advisories against `Cargo.lock` and against the exceptions of `deny.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
struct Known {
    looked_up: BTreeSet<String>,
    advisory: Vec<Advisory>,
}

/// One entry of `ops/advisories.toml`.
#[derive(Deserialize)]
struct Advisory {
    id: String,
    #[serde(rename = "crate")]
    name: String,
    /// The first version of each line that is not concerned; none: there is no such version.
    #[serde(default)]
    fixed: Vec<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    toml::from_str(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn versions(lock: &Lock) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &lock.package {
        found.entry(&package.name).or_default().push(&package.version);
    }
    found
}

/// The numbers of a version; what stands behind `+` or `-` does not matter here.
fn numbers(version: &str) -> Vec<u64> {
    let core = version.split(['+', '-']).next().unwrap();
    core.split('.').map(|number| number.parse().unwrap_or_else(|_| panic!("{version} is no version"))).collect()
}

/// As far as cargo takes one version for another: the first number that is not nought.
fn line(numbers: &[u64]) -> &[u64] {
    let length = numbers.iter().position(|number| *number != 0).map_or(numbers.len(), |at| at + 1);
    &numbers[..length]
}

/// A line of versions without a fix of its own is safe when it is later than every line with one.
fn concerns(fixed: &[String], version: &str) -> bool {
    let version = numbers(version);
    let fixed: Vec<Vec<u64>> = fixed.iter().map(|fixed| numbers(fixed)).collect();
    match fixed.iter().find(|fixed| line(fixed) == line(&version)) {
        Some(fixed) => version < *fixed,
        None => fixed.iter().max().is_none_or(|last| version < *last),
    }
}

#[test]
fn versions_are_compared_as_cargo_does() {
    let fixed = ["0.8.6", "0.9.4", "0.10.1"].map(str::to_owned);
    for (version, wanted) in
        [("0.8.5", true), ("0.8.6", false), ("0.9.3", true), ("0.10.3", false), ("0.7.3", true), ("1.0.0", false)]
    {
        assert_eq!(concerns(&fixed, version), wanted, "{version}");
    }
    assert!(concerns(&[], "9.9.9"));
    assert!(!concerns(&["1.11.1".to_owned()], "1.12.1+extra"));
}

#[test]
fn known_advisories_and_their_exceptions_are_those_of_the_tree() {
    let (known, lock): (Known, Lock) = (read("ops/advisories.toml"), read("Cargo.lock"));
    let deny: toml::Table = read("deny.toml");
    let excepted: BTreeSet<&str> = deny["advisories"]["ignore"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert!(entry["reason"].as_str().unwrap().len() > 40, "an exception needs a reason: {entry}");
            entry["id"].as_str().unwrap()
        })
        .collect();
    let versions = versions(&lock);
    let (mut wrong, mut needed) = (Vec::new(), BTreeSet::new());
    for Advisory { id, name, fixed } in &known.advisory {
        let Some(versions) = versions.get(name.as_str()) else {
            wrong.push(format!("{id}: {name} is not in Cargo.lock any more"));
            continue;
        };
        for version in versions.iter().filter(|version| concerns(fixed, version)) {
            needed.insert(id.as_str());
            if !excepted.contains(id.as_str()) {
                wrong.push(format!("{id} concerns {name} {version}, and deny.toml has no exception"));
            }
        }
    }
    wrong.extend(excepted.difference(&needed).map(|id| format!("{id}: an exception that nothing needs")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_direct_dependency_was_looked_up() {
    let (known, manifest): (Known, toml::Table) = (read("ops/advisories.toml"), read("Cargo.toml"));
    let direct: BTreeSet<String> = ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|table| manifest.get(*table)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect();
    assert!(direct.len() > 50, "the manifest was not read right");
    let missing: Vec<_> = direct.difference(&known.looked_up).collect();
    let gone: Vec<_> = known.looked_up.difference(&direct).collect();
    assert!(missing.is_empty(), "look for advisories on {missing:?}, then add them to ops/advisories.toml");
    assert!(gone.is_empty(), "{gone:?} stand in ops/advisories.toml and not in Cargo.toml");
}
