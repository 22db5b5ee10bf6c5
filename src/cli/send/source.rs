//! Rows of a file, CSV with a header or a JSON object a line, read in flat memory however long the file is.
//!
//! A row that cannot be read is that row's mistake; only a file that cannot be read on (or a row without end, such as one quote
//! left open) ends the run. Rows count from 1, the first below the header.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::rows::{self, Values};

/// Largest row. Bounds the memory that a broken file can take.
const LARGEST_ROW: u64 = 1 << 20;
/// How far the readers may read ahead of the row they are giving out.
const READ_AHEAD: u64 = 64 << 10;

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Format {
    /// Comma-separated values with a header
    Csv,
    /// A JSON object a line
    Ndjson,
}

/// One row: its values, or what is wrong with it.
pub(super) type Row = Result<Values, String>;

/// Rows with the header, where the format has one.
pub(super) struct Source {
    /// Column names; `None` where every row brings its own.
    pub(super) header: Option<Vec<String>>,
    rows: Rows,
    budget: Budget,
}

enum Rows {
    Csv { reader: csv::Reader<Bounded>, record: csv::ByteRecord, header: Vec<String> },
    Ndjson { reader: BufReader<Bounded> },
}

impl Source {
    /// Opens the rows of `input`; reads the header if there is one.
    ///
    /// # Errors
    /// If the input cannot be read, or the header is empty, not UTF-8 or names a column twice.
    pub(super) fn open(input: Box<dyn Read + Send>, format: Format, delimiter: u8) -> io::Result<Self> {
        let budget = Budget::default();
        budget.refill();
        let bounded = Bounded { input, budget: budget.clone() };
        if format == Format::Ndjson {
            return Ok(Self { header: None, rows: Rows::Ndjson { reader: BufReader::new(bounded) }, budget });
        }
        let mut reader = csv::ReaderBuilder::new().flexible(true).delimiter(delimiter).from_reader(bounded);
        let header = rows::header(reader.byte_headers()?.iter())
            .map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))?;
        let rows = Rows::Csv { reader, record: csv::ByteRecord::new(), header: header.clone() };
        Ok(Self { header: Some(header), rows, budget })
    }

    /// The next row, or `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read on.
    pub(super) fn next(&mut self) -> io::Result<Option<Row>> {
        self.budget.refill();
        match &mut self.rows {
            Rows::Csv { reader, record, header } => {
                Ok(reader.read_byte_record(record)?.then(|| rows::of_record(header, record.iter())))
            }
            Rows::Ndjson { reader } => ndjson_row(reader),
        }
    }

    /// Bytes taken from the file so far, a little more than the rows given out.
    pub(super) fn position(&self) -> u64 {
        self.budget.read.load(Relaxed)
    }
}

fn ndjson_row(reader: &mut BufReader<Bounded>) -> io::Result<Option<Row>> {
    loop {
        let mut line = Vec::new();
        let read = reader.by_ref().take(LARGEST_ROW + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if line.len() as u64 > LARGEST_ROW {
            return Err(too_long());
        }
        if !line.trim_ascii().is_empty() {
            return Ok(Some(rows::of_object(&line)));
        }
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a row is longer than 1 MiB: is a quote left open?")
}

/// Bytes that may still be read for the current row (the csv reader itself knows no limit), and bytes read in all.
#[derive(Clone, Default)]
struct Budget {
    left: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
}

impl Budget {
    fn refill(&self) {
        self.left.store(LARGEST_ROW + READ_AHEAD, Relaxed);
    }
}

struct Bounded {
    input: Box<dyn Read + Send>,
    budget: Budget,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.left.load(Relaxed);
        if left == 0 {
            return Err(too_long());
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.input.read(&mut buffer[..most])?;
        self.budget.left.store(left - read as u64, Relaxed);
        self.budget.read.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: impl Into<Vec<u8>>, format: Format) -> io::Result<Vec<Row>> {
        let mut source = Source::open(Box::new(io::Cursor::new(text.into())), format, b',')?;
        let mut rows = Vec::new();
        while let Some(row) = source.next()? {
            rows.push(row);
        }
        Ok(rows)
    }

    fn values(pairs: &[(&str, &str)]) -> Row {
        Ok(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn a_spreadsheets_export_is_understood() {
        let text = "\u{feff}order_id, customer\r\n7,\"Ada, \"\"the\"\" first\"\r\n\r\n8,\r\n9\r\n";
        let expected = [
            values(&[("order_id", "7"), ("customer", "Ada, \"the\" first")]),
            values(&[("order_id", "8"), ("customer", "")]),
            Err("the row has 1 columns, the header 2".into()),
        ];
        assert_eq!(rows(text, Format::Csv).unwrap(), expected);
    }

    #[test]
    fn bad_bytes_are_the_rows_mistake() {
        let found = rows(b"a\nok\n\xff\xfe\nok\n".to_vec(), Format::Csv).unwrap();
        assert_eq!(found[1], Err("the column \"a\" is not UTF-8".into()));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn headers_must_make_sense() {
        for (text, words) in [("", "no header"), ("a,b,a\n", "\"a\" twice"), (" , \n", "no header")] {
            assert!(rows(text, Format::Csv).unwrap_err().to_string().contains(words), "{text}");
        }
    }

    #[test]
    fn objects_bring_their_own_columns() {
        let text = "{\"a\":\"x\",\"n\":7,\"b\":true,\"z\":null,\"l\":[1]}\n\n[1]\n{\"a\":\"last\"}";
        let found = rows(text, Format::Ndjson).unwrap();
        assert_eq!(found[0], values(&[("a", "x"), ("n", "7"), ("b", "true")]));
        assert!(found[1].as_ref().unwrap_err().contains("not a JSON object"));
        assert_eq!(found[2], values(&[("a", "last")]));
    }

    #[test]
    fn a_row_without_end_stops_the_run_and_not_the_machine() {
        let open_quote = format!("a,b\n1,2\n3,\"{}", "x\n".repeat(2 << 20));
        assert!(rows(open_quote, Format::Csv).unwrap_err().to_string().contains("quote left open"));
        assert!(rows("x".repeat(2 << 20), Format::Ndjson).unwrap_err().to_string().contains("1 MiB"));
        let many_rows = format!("a\n{}", "0123456789\n".repeat(300_000));
        assert_eq!(rows(many_rows, Format::Csv).unwrap().len(), 300_000);
    }

    proptest! {
        #[test]
        fn what_a_writer_writes_is_read_back(table in proptest::collection::vec(("[^\r]{1,20}", "[^\r]{0,20}"), 0..10)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["one", "two"]).unwrap();
            for (one, two) in &table {
                writer.write_record([one, two]).unwrap();
            }
            let expected: Vec<Row> = table.iter().map(|(one, two)| values(&[("one", one), ("two", two)])).collect();
            prop_assert_eq!(rows(writer.into_inner().unwrap(), Format::Csv).unwrap(), expected);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = rows(bytes.clone(), Format::Csv);
            let _ = rows(bytes, Format::Ndjson);
        }
    }
}
