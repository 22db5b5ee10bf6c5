//! What the documentation prints is run as it is printed.
//!
//! Every block marked `sh` in the README and under `docs/` is run, page after page, on a machine of its own: namespaces of mounts,
//! processes and network, so that the ports in the text are free and nothing outlives the test. The guide's pages are one journey on
//! one machine; the reference pages come after one another on a second one, where a node runs already.
//!
//! What stands behind `sh` in the fence says how a block is run, and is not shown to readers:
//!
//! | fence | run |
//! |---|---|
//! | `sh` | to its end, with success |
//! | `sh background until: COMMAND` | in the background, and waited for until the command succeeds |
//! | `sh stopped` | until it has said something, then it is interrupted: what follows a stream |
//! | `sh fails` | to its end, which is not success |
//! | `sh never: REASON` | not at all; the reason must be one of those below |
//!
//! A `text` block right behind one that runs is its output, where `…` stands for anything.

mod blocks;
mod commands;
mod machine;
mod words;

use std::path::Path;

use blocks::{Block, Way, blocks_of, pages};
use machine::{Machine, Ran};

/// The journey, in its order.
const JOURNEY: [&str; 3] = ["docs/guide/start.md", "docs/guide/campaign.md", "docs/guide/connect.md"];

/// A page with a test of its own: its programs run against a node that answers badly at first.
const CLIENTS: &str = "docs/clients.md";

/// Why a block may stay unrun: it needs something that a test cannot have.
const REASONS: [&str; 6] = [
    "takes the machine for itself",
    "installs on the machine",
    "needs an account elsewhere",
    "needs your own domain",
    "needs several machines",
    "runs in a test of its own",
];

fn run_all(machine: &Machine, files: &[String]) {
    let blocks: Vec<Block> = files.iter().flat_map(|file| blocks_of(Path::new(file))).collect();
    let runs: Vec<&Block> = blocks.iter().filter(|block| block.runs()).collect();
    assert!(!runs.is_empty(), "nothing to run was found");
    let Ran { outputs, log } = machine.run(&runs);
    for (n, block) in runs.iter().enumerate() {
        let Some(output) = outputs.get(n) else {
            panic!("{} did not go through:\n{}\n--- what it said:\n{log}", block.place(), block.text)
        };
        if let Some(expected) = &block.output {
            assert!(
                blocks::is_like(expected, output),
                "{} answers otherwise than printed:\n{output}\n--- printed:\n{expected}",
                block.place()
            );
        }
    }
}

#[test]
fn the_guide_is_a_journey_that_goes_through() {
    let machine = Machine::new("");
    run_all(&machine, &JOURNEY.map(String::from));
}

#[test]
fn what_the_reference_prints_runs() {
    let files =
        pages().into_iter().filter(|page| !JOURNEY.contains(&page.as_str()) && page != CLIENTS).collect::<Vec<_>>();
    run_all(&Machine::new(include_str!("guide/reference.sh")), &files);
}

#[test]
fn every_block_says_what_it_is() {
    for page in pages() {
        for block in blocks_of(Path::new(&page)) {
            match &block.way {
                Way::Never(reason) => {
                    assert!(REASONS.contains(&reason.as_str()), "{}: \"{reason}\" is no reason", block.place());
                }
                Way::Shown => assert!(!block.language.is_empty(), "{} has no language", block.place()),
                _ => {}
            }
        }
    }
}

#[test]
fn every_configuration_that_is_printed_is_one() {
    let mut seen = 0;
    for page in pages() {
        for block in blocks_of(Path::new(&page)).iter().filter(|block| block.language == "toml") {
            blocks::is_configuration(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.place()));
            seen += 1;
        }
    }
    assert!(seen > 5, "configurations were not found");
}
