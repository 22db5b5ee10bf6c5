//! What became of every row, as CSV of any length in flat memory.

use uuid::Uuid;

use crate::App;
use crate::books::{self, BooksError, ReportRow};

/// What it is served as.
pub const REPORT_TYPE: &str = "text/csv; charset=utf-8";

const HEADER: [&str; 9] = ["row", "key", "id", "to", "state", "reason", "attempts", "accepted_at", "last_attempt_at"];

/// A report that is read piece by piece.
#[derive(Debug)]
pub struct Report {
    campaign: Uuid,
    /// The last chunk that was read; none before the first.
    after: Option<Uuid>,
    begun: bool,
}

impl Report {
    /// From the beginning.
    pub fn of(campaign: Uuid) -> Self {
        Self { campaign, after: None, begun: false }
    }

    /// The next lines, the heading before all others; `None` at the end.
    pub async fn next(&mut self, app: &App) -> Result<Option<Vec<u8>>, BooksError> {
        let rows = books::report_campaign(app, self.campaign, self.after).await?;
        self.after = rows.last().map(|row| row.id.chunk).or(self.after);
        let heading = (!self.begun).then(|| HEADER.map(str::to_owned));
        self.begun = true;
        let records: Vec<[String; 9]> = heading.into_iter().chain(rows.into_iter().map(record)).collect();
        Ok((!records.is_empty()).then(|| lines(records)))
    }
}

/// Into memory nothing fails to be written.
fn lines(records: Vec<[String; 9]>) -> Vec<u8> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for record in records {
        let _ = csv.write_record(record);
    }
    csv.into_inner().unwrap_or_default()
}

fn record(row: ReportRow) -> [String; 9] {
    [
        row.row.to_string(),
        row.key.unwrap_or_default(),
        row.id.to_string(),
        row.to.unwrap_or(row.destination),
        row.state.name().to_owned(),
        row.reason.unwrap_or_default(),
        row.attempts.to_string(),
        row.accepted_at.to_string(),
        row.last_attempt_at.map(|at| at.to_string()).unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_in_its_cell() {
        let mut record: [String; 9] = Default::default();
        (record[1], record[5]) = ("a,\"b\"\nc".into(), "=1+1".into());
        assert_eq!(String::from_utf8(lines(vec![record])).unwrap(), ",\"a,\"\"b\"\"\nc\",,,,=1+1,,,\n");
    }
}
