//! What became of the rows: counted, written to the error file, told at the end.

use std::fs::File;
use std::path::PathBuf;

use serde_json::json;
use uuid::Uuid;

use super::progress::{Progress, count};
use crate::cli::output::{Output, harmless};
use crate::cli::{Failure, Problem};

/// So many mistakes are shown while the run goes on; the error file holds all.
const SHOWN: u64 = 10;

/// One row's end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RowEnd {
    pub(super) row: u64,
    /// Empty if the row never became a message.
    pub(super) key: String,
    pub(super) end: End,
}

/// How a row ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    /// The node has it; `replayed` if it had it before this run.
    Accepted {
        /// The message; not told for one that an earlier run had sent with another tag, lane or life.
        id: Option<Uuid>,
        /// Whether an earlier run had sent it.
        replayed: bool,
    },
    /// The node, or we, refused it.
    Refused(Problem),
}

/// How many rows ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Rows read.
    pub(super) rows: u64,
    /// Accepted in this run.
    pub(super) accepted: u64,
    /// Accepted by an earlier run.
    pub(super) replayed: u64,
    /// Refused by the node or never fit to be sent.
    pub(super) refused: u64,
    /// Read, and the node has not said what it did with them.
    pub(super) unanswered: u64,
}

/// Takes every row's end.
pub(super) struct Report {
    pub(super) tally: Tally,
    errors: Option<(PathBuf, csv::Writer<File>)>,
    out: Output,
}

impl Report {
    /// Starts a report; the error file is emptied now, so that it never shows the mistakes of another run.
    ///
    /// # Errors
    /// If the error file cannot be written.
    pub(super) fn new(errors: Option<PathBuf>, out: Output) -> Result<Self, Failure> {
        let errors = match errors {
            None => None,
            Some(path) => {
                let file = File::create(&path).map_err(|source| Failure::File { path: path.clone(), source })?;
                let mut writer = csv::Writer::from_writer(file);
                writer.write_record(["row", "key", "error"]).map_err(|e| broken(&path, e))?;
                Some((path, writer))
            }
        };
        Ok(Self { tally: Tally::default(), errors, out })
    }

    /// Counts and writes one row's end.
    ///
    /// # Errors
    /// If the error file or standard output cannot be written.
    pub(super) fn take(&mut self, end: RowEnd, progress: &Progress) -> Result<(), Failure> {
        self.tally.rows += 1;
        match &end.end {
            End::Accepted { replayed: false, .. } => self.tally.accepted += 1,
            End::Accepted { replayed: true, .. } => self.tally.replayed += 1,
            End::Refused(problem) => {
                self.tally.refused += 1;
                let words = problem.one_line();
                match self.tally.refused {
                    n if n <= SHOWN => progress.say(&format!("row {}: {}", end.row, harmless(&words))),
                    n if n == SHOWN + 1 => progress.say(match self.errors {
                        Some(_) => "… further mistakes go to the error file",
                        None => "… further mistakes are only counted; --errors FILE keeps them all",
                    }),
                    _ => {}
                }
                if let Some((path, writer)) = &mut self.errors {
                    let record = [end.row.to_string(), end.key.clone(), words];
                    writer.write_record(record).map_err(|e| broken(path, e))?;
                }
            }
        }
        if self.out.json { self.out.line(&end.json()) } else { Ok(()) }
    }

    /// Closes the error file and tells the numbers.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(super) fn finish(&mut self, tag: &str) -> Result<(), Failure> {
        if let Some((path, writer)) = &mut self.errors {
            writer.flush().map_err(|source| Failure::File { path: path.clone(), source })?;
        }
        let words = format!("{}{:<16}{tag}\n", self.tally.words(), "tag");
        if self.out.json {
            eprint!("{words}");
            return Ok(());
        }
        self.out.line(&words)
    }
}

impl Tally {
    fn words(&self) -> String {
        let lines = [
            ("rows", self.rows, true),
            ("accepted", self.accepted, true),
            ("accepted before", self.replayed, self.replayed > 0),
            ("refused", self.refused, true),
            ("unanswered", self.unanswered, self.unanswered > 0),
        ];
        let shown = lines.iter().filter(|(_, _, shown)| *shown);
        shown.map(|(name, n, _)| format!("{name:<16}{:>12}\n", count(*n))).collect()
    }
}

impl RowEnd {
    /// A row that never became a message.
    pub(super) fn unfit(row: u64, why: String) -> Self {
        Self { row, key: String::new(), end: End::Refused(Problem::local(why)) }
    }

    fn json(&self) -> String {
        let Self { row, key, end } = self;
        match end {
            End::Accepted { id, replayed } => json!({"row": row, "key": key, "id": id, "replayed": replayed}),
            End::Refused(problem) => json!({"row": row, "key": key, "error": problem}),
        }
        .to_string()
    }
}

fn broken(path: &std::path::Path, error: csv::Error) -> Failure {
    Failure::File { path: path.to_owned(), source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_and_mistakes_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("errors.csv");
        let mut report = Report::new(Some(path.clone()), Output::new(false)).unwrap();
        let progress = Progress::new(None, "rows");
        let accepted = |row, replayed| RowEnd {
            row,
            key: format!("k{row}"),
            end: End::Accepted { id: Some(Uuid::nil()), replayed },
        };
        let refused = RowEnd { row: 3, key: "k3".into(), end: End::Refused(Problem::local("no, \"never\"")) };
        for end in [accepted(1, false), accepted(2, true), refused, RowEnd::unfit(4, "too short".into())] {
            report.take(end, &progress).unwrap();
        }
        report.tally.unanswered = 1234;
        insta::assert_snapshot!(report.tally.words(), @r"
        rows                       4
        accepted                   1
        accepted before            1
        refused                    2
        unanswered             1,234
        ");
        report.finish("t").unwrap();
        insta::assert_snapshot!(std::fs::read_to_string(path).unwrap(), @r#"
        row,key,error
        3,k3,"no, ""never"""
        4,,too short
        "#);
    }

    #[test]
    fn programs_get_a_line_a_row() {
        let end = RowEnd { row: 7, key: "k".into(), end: End::Accepted { id: Some(Uuid::nil()), replayed: true } };
        insta::assert_snapshot!(end.json(), @r#"{"id":"00000000-0000-0000-0000-000000000000","key":"k","replayed":true,"row":7}"#);
        let unfit = RowEnd::unfit(8, "why".into()).json();
        insta::assert_snapshot!(unfit, @r#"{"error":{"detail":"why","errors":[],"status":0,"title":"not sent","type":""},"key":"","row":8}"#);
    }
}
