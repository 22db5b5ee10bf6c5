//! Bytes into rows, wherever the parts they come in end.

/// What spreadsheets put before everything else: the byte order mark, which is no part of the first field.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// Most columns of a record.
const COLUMNS: usize = 1024;

/// A row as it was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// A line, without its line feed.
    Line(Vec<u8>),
    /// A CSV record.
    Record(Record),
    /// Longer than a row may be, or with more columns than a record may have; what it said is gone.
    TooLong,
}

impl Cut {
    /// Its bytes.
    pub fn length(&self) -> usize {
        match self {
            Self::Line(line) => line.len(),
            Self::Record(record) => record.text.len(),
            Self::TooLong => 0,
        }
    }
}

/// The fields of a CSV record, quotes resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Record {
    /// Its fields.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|n| {
            let start = n.checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.text[start..self.ends[n]]
        })
    }
}

/// Cuts bytes into rows. Blank lines are skipped.
pub enum Cutter {
    /// A row a line.
    Lines(Lines),
    /// CSV by RFC 4180: quotes, and line feeds within them.
    Records(Box<Records>),
}

impl Cutter {
    /// For a row a line, of at most so many bytes.
    pub fn lines(longest: usize) -> Self {
        Self::Lines(Lines { longest, line: Vec::new(), skipping: false })
    }

    /// For CSV with commas, likewise.
    pub fn records(longest: usize) -> Self {
        Self::Records(Box::new(Records::new(longest)))
    }

    /// Takes from `input` up to the end of the next row: how many bytes it took, and the row, unless all was taken before it ended.
    pub fn take(&mut self, input: &[u8]) -> (usize, Option<Cut>) {
        match self {
            Self::Lines(lines) => lines.take(input),
            Self::Records(records) => records.take(input),
        }
    }

    /// What is left when there is no more input.
    pub fn rest(&mut self) -> Option<Cut> {
        match self {
            Self::Lines(lines) => lines.judge(),
            Self::Records(records) => records.rest(),
        }
    }
}

/// Lines; see [`Cutter::lines`].
pub struct Lines {
    longest: usize,
    line: Vec<u8>,
    /// Inside a line that is already known to be too long.
    skipping: bool,
}

impl Lines {
    fn take(&mut self, input: &[u8]) -> (usize, Option<Cut>) {
        let mut taken = 0;
        while let Some(found) = input[taken..].iter().position(|byte| *byte == b'\n') {
            self.add(&input[taken..taken + found]);
            taken += found + 1;
            if let Some(line) = self.judge() {
                return (taken, Some(line));
            }
        }
        self.add(&input[taken..]);
        (input.len(), None)
    }

    fn add(&mut self, part: &[u8]) {
        if self.skipping || self.line.len() + part.len() > self.longest {
            self.skipping = true;
            self.line.clear();
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn judge(&mut self) -> Option<Cut> {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.skipping) {
            return Some(Cut::TooLong);
        }
        (!line.iter().all(u8::is_ascii_whitespace)).then_some(Cut::Line(line))
    }
}

/// Records; see [`Cutter::records`].
pub struct Records {
    reader: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    length: usize,
    columns: usize,
    skipping: bool,
    /// How much of the mark was there, until it is known whether it is one.
    mark: Option<usize>,
    /// Whether the reader has been given nothing yet.
    fresh: bool,
}

impl Records {
    fn new(longest: usize) -> Self {
        Self {
            reader: csv_core::Reader::new(),
            text: vec![0; longest],
            ends: vec![0; COLUMNS],
            length: 0,
            columns: 0,
            skipping: false,
            mark: Some(0),
            fresh: true,
        }
    }

    fn take(&mut self, input: &[u8]) -> (usize, Option<Cut>) {
        let mut taken = 0;
        while let Some(seen) = self.mark.filter(|_| taken < input.len()) {
            if input[taken] == MARK[seen] {
                taken += 1;
                self.mark = Some(seen + 1).filter(|seen| *seen < MARK.len());
            } else {
                self.begin();
            }
        }
        // To the reader an empty input is the end.
        while taken < input.len() {
            // The reader takes a mark away only if it comes in one part: it is never given one to see.
            let end = if std::mem::take(&mut self.fresh) { taken + 1 } else { input.len() };
            let (read, cut) = self.step(&input[taken..end]);
            taken += read;
            if cut.is_some() {
                return (taken, cut);
            }
        }
        (taken, None)
    }

    /// What could have been a mark was the beginning of the first field. It ends no record.
    fn begin(&mut self) {
        for byte in &MARK[..self.mark.take().unwrap_or_default()] {
            self.fresh = false;
            self.step(&[*byte]);
        }
    }

    fn rest(&mut self) -> Option<Cut> {
        self.begin();
        loop {
            let length = self.length;
            let (_, cut) = self.step(&[]);
            // At the end every step gives a record, makes room or says that nothing is left.
            if cut.is_some() || (self.length == length && !self.skipping) {
                return cut;
            }
        }
    }

    fn step(&mut self, input: &[u8]) -> (usize, Option<Cut>) {
        use csv_core::ReadRecordResult as Read;
        let (result, read, written, ended) =
            self.reader.read_record(input, &mut self.text[self.length..], &mut self.ends[self.columns..]);
        self.length += written;
        self.columns += ended;
        match result {
            Read::InputEmpty | Read::End => {
                if result == Read::End {
                    self.skipping = false;
                }
                (read, None)
            }
            Read::OutputFull | Read::OutputEndsFull => {
                self.skipping = true;
                (self.length, self.columns) = (0, 0);
                (read, None)
            }
            Read::Record => {
                let record = Record { text: self.text[..self.length].into(), ends: self.ends[..self.columns].into() };
                (self.length, self.columns) = (0, 0);
                let cut = if std::mem::take(&mut self.skipping) { Cut::TooLong } else { Cut::Record(record) };
                (read, Some(cut))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST: usize = 16 * 1024;

    fn cut(mut cutter: Cutter, parts: &[&[u8]]) -> Vec<Cut> {
        let mut rows = Vec::new();
        for part in parts {
            let mut left = *part;
            while !left.is_empty() {
                let (taken, row) = cutter.take(left);
                left = &left[taken..];
                rows.extend(row);
            }
        }
        rows.extend(std::iter::from_fn(|| cutter.rest()));
        rows
    }

    fn lines(parts: &[&[u8]]) -> Vec<Cut> {
        cut(Cutter::lines(LONGEST), parts)
    }

    fn records(parts: &[&[u8]]) -> Vec<Cut> {
        cut(Cutter::records(LONGEST), parts)
    }

    fn whole(text: &str) -> Cut {
        Cut::Line(text.into())
    }

    fn fields(cut: &Cut) -> Vec<&str> {
        match cut {
            Cut::Record(record) => record.fields().map(|field| std::str::from_utf8(field).unwrap()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_name_however_it_comes() {
        let rows = [records(&[b"\xef\xbb\xbf\"id\",b\n"]), records(&[b"\xef", b"\xbb", b"\xbf\"id\",b\n"])];
        assert_eq!(rows.map(|rows| fields(&rows[0]).join("|")), ["id|b", "id|b"]);
        assert_eq!(records(&[b"\xef\xbb", b"x,b"]), records(&[b"\xef\xbbx,b"]));
        assert_eq!(records(&[b"\xef\xbb"]), records(&[b"\xef", b"\xbb"]));
    }

    #[test]
    fn lines_are_cut_wherever_the_parts_end() {
        assert_eq!(
            lines(&[&b"a\nb\r\n\n"[..], b"c", b"d\n", b" \n", b"e"]),
            [whole("a"), whole("b\r"), whole("cd"), whole("e")]
        );
        assert_eq!(lines(&[&b""[..]]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_error_and_the_next_is_read() {
        let long = vec![b'x'; LONGEST + 1];
        assert_eq!(lines(&[&long[..], &long[..], b"\nnext\n"]), [Cut::TooLong, whole("next")]);
        assert_eq!(lines(&[&long[..]]), [Cut::TooLong]);
        let exact = "y".repeat(LONGEST);
        assert_eq!(lines(&[exact.as_bytes(), &b"\nz"[..]]), [whole(&exact), whole("z")]);
    }

    #[test]
    fn records_have_quotes_and_line_feeds_within_them() {
        let found = records(&[&b"a,\"b, \"\"c\"\"\nd\"\r\n\r\n"[..], b"1,", b"2\n", b"x"]);
        assert_eq!(found.iter().map(fields).collect::<Vec<_>>(), [vec!["a", "b, \"c\"\nd"], vec!["1", "2"], vec!["x"]]);
        assert_eq!(records(&[]), []);
    }

    #[test]
    fn a_record_that_is_too_long_or_too_wide_is_one_error() {
        let long = "x".repeat(3 * LONGEST);
        let wide = ",".repeat(3 * COLUMNS);
        for broken in [&long, &wide] {
            let found = records(&[broken.as_bytes(), b"\nnext\n"]);
            assert_eq!((found.len(), &found[0], fields(&found[1])), (2, &Cut::TooLong, vec!["next"]));
            assert_eq!(records(&[b"a\n", broken.as_bytes()])[1..], [Cut::TooLong]);
        }
        let open_quote = format!("a\n\"{long}\nb\nc\n");
        assert_eq!(records(&[open_quote.as_bytes()])[1..], [Cut::TooLong]);
    }

    proptest! {
        #[test]
        fn parts_do_not_change_the_rows(body in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'"'), Just(b','), any::<u8>()], 0..200), at in 0usize..200) {
            let at = at.min(body.len());
            prop_assert_eq!(lines(&[&body[..]]), lines(&[&body[..at], &body[at..]]));
            prop_assert_eq!(records(&[&body[..]]), records(&[&body[..at], &body[at..]]));
        }

        #[test]
        fn what_a_writer_writes_is_read_back(table in proptest::collection::vec(("[^\r\u{feff}]{1,20}", "[^\r]{0,20}"), 1..10)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            for (one, two) in &table {
                writer.write_record([one, two]).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let found = records(&[&text]);
            let found: Vec<_> = found.iter().map(fields).collect();
            prop_assert_eq!(found, table.iter().map(|(one, two)| vec![one.as_str(), two.as_str()]).collect::<Vec<_>>());
        }
    }
}
