//! A file of rows, from behind those that the node has.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use tokio::sync::mpsc;

use crate::cli::Failure;
pub(super) use crate::cli::send::Format;
use crate::rows::Cutter;

/// Bytes read at once.
const BLOCK: usize = 64 * 1024;
/// Where rows are cut does not depend on how long they may be.
const LONGEST: usize = 64 * 1024;

/// The file.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    gzip: bool,
}

impl Source {
    pub(super) fn new(path: PathBuf, format: Option<Format>) -> Result<Self, Failure> {
        let name = path.to_string_lossy().into_owned();
        let (name, gzip) = match name.strip_suffix(".gz") {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        let lines = name.ends_with(".ndjson") || name.ends_with(".jsonl");
        let format = format.unwrap_or(if lines { Format::Ndjson } else { Format::Csv });
        let source = Self { path, format, gzip };
        // What cannot be read is said before a campaign is made.
        source.open().map_err(|error| source.failure(error))?;
        Ok(source)
    }

    /// The file's name, for people.
    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.chars().filter(|c| !c.is_control()).take(64).collect()
    }

    /// As the API names the format.
    pub(super) fn content_type(&self) -> &'static str {
        match self.format {
            Format::Csv => "text/csv",
            Format::Ndjson => "application/x-ndjson",
        }
    }

    /// Its bytes from behind the first `taken` rows (of CSV with the header before them), read by a thread of its own.
    ///
    /// # Errors
    /// If it cannot be read, or has fewer rows.
    pub(super) fn behind(&self, taken: u64) -> Result<mpsc::Receiver<io::Result<Bytes>>, Failure> {
        let input = self.open().map_err(|error| self.failure(error))?;
        let rest = skip(input, self.format, taken).map_err(|error| self.failure(error))?;
        let (blocks, receiver) = mpsc::channel(4);
        std::thread::spawn(move || read_all(rest, &blocks));
        Ok(receiver)
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(&self.path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::other("this is a directory"));
        }
        Ok(if self.gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
    }

    fn failure(&self, source: io::Error) -> Failure {
        Failure::File { path: self.path.clone(), source }
    }
}

fn skip(mut input: Box<dyn Read + Send>, format: Format, taken: u64) -> io::Result<Box<dyn Read + Send>> {
    let (mut cutter, mut header_due) = match format {
        Format::Csv => (Cutter::records(LONGEST), true),
        Format::Ndjson => (Cutter::lines(LONGEST), false),
    };
    let mut left = taken;
    let mut before = Vec::new();
    let mut block = vec![0; BLOCK];
    while left > 0 || header_due {
        let n = input.read(&mut block)?;
        if n == 0 {
            // A last row without its line feed.
            if !header_due && left == 1 && cutter.rest().is_some() || header_due && left == 0 {
                break;
            }
            return Err(io::Error::other(format!(
                "the campaign has {taken} rows, this file has fewer: is it another?"
            )));
        }
        let mut rest = &block[..n];
        while (left > 0 || header_due) && !rest.is_empty() {
            let (read, row) = cutter.take(rest);
            if header_due {
                before.extend_from_slice(&rest[..read]);
                header_due = row.is_none();
                // A record ends with its carriage return; the line feed is the next one's to skip.
                if !header_due && before.ends_with(b"\r") {
                    before.push(b'\n');
                }
            } else {
                left -= u64::from(row.is_some());
            }
            rest = &rest[read..];
        }
        before.extend_from_slice(rest);
    }
    Ok(Box::new(Cursor::new(before).chain(input)))
}

fn read_all(mut input: Box<dyn Read + Send>, blocks: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut block = vec![0; BLOCK];
        let read = match input.read(&mut block) {
            Ok(0) => return,
            Ok(n) => {
                block.truncate(n);
                Ok(Bytes::from(block))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let last = read.is_err();
        // Nobody takes it: the upload has ended.
        if blocks.blocking_send(read).is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn behind(text: &str, format: Format, taken: u64) -> io::Result<String> {
        let mut rest = String::new();
        skip(Box::new(Cursor::new(text.as_bytes().to_vec())), format, taken)?.read_to_string(&mut rest)?;
        Ok(rest)
    }

    #[test]
    fn rows_that_were_taken_are_left_out_and_the_header_is_kept() {
        let csv = "a,b\r\n1,\"x\ny\"\n\n2,z\n3,";
        for (taken, rest) in [(0, csv), (1, "a,b\r\n\n2,z\n3,"), (2, "a,b\r\n3,"), (3, "a,b\r\n")] {
            // The carriage return's line feed may stand on either side of the cut: both readers skip it.
            let found = behind(csv, Format::Csv, taken).unwrap();
            assert_eq!(
                found.replace("\r\n", "\n").replace("\n\n", "\n"),
                rest.replace("\r\n", "\n").replace("\n\n", "\n")
            );
        }
        assert!(behind(csv, Format::Csv, 4).is_err());
        let lines = "{}\n\n{\"a\":1}\n{}";
        for (taken, rest) in [(0, lines), (1, "\n{\"a\":1}\n{}"), (2, "{}"), (3, "")] {
            assert_eq!(behind(lines, Format::Ndjson, taken).unwrap(), rest);
        }
        assert!(behind(lines, Format::Ndjson, 4).is_err());
    }

    #[test]
    fn long_files_are_cut_at_the_row() {
        let rows: String = (0..50_000).map(|n| format!("{n},\"text\n{n}\"\n")).collect();
        let rest = behind(&format!("id,text\n{rows}"), Format::Csv, 40_000).unwrap();
        assert!(rest.starts_with("id,text\n40000,\"text\n40000\"\n"), "{}", &rest[..60]);
        assert!(rest.ends_with("49999,\"text\n49999\"\n"));
    }

    #[tokio::test]
    async fn gzip_is_opened_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl.gz");
        let mut encoder = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        encoder.write_all(b"{\"a\":1}\n{\"a\":2}\n").unwrap();
        encoder.finish().unwrap();
        let source = Source::new(path, None).unwrap();
        assert_eq!(source.content_type(), "application/x-ndjson");
        let mut blocks = source.behind(1).unwrap();
        assert_eq!(blocks.recv().await.unwrap().unwrap(), "{\"a\":2}\n");
        assert!(Source::new(dir.path().join("none.csv"), None).is_err());
    }
}
