//! A batch's way to the node and back: every row gets its own end, and what the node only put off is sent again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::campaign::Message;
use super::report::{End, RowEnd};
use crate::cli::client::{Client, OnWait, Patience, growing, stopped_within};
use crate::cli::{ClientError, Failure, Problem};

/// How batches are sent.
#[derive(Clone, Copy)]
pub(super) struct Carrier<'a> {
    pub(super) client: &'a Client,
    pub(super) patience: Patience,
    /// Ends waits, not requests under way.
    pub(super) stop: &'a CancellationToken,
    pub(super) on_wait: OnWait<'a>,
}

/// What came back.
pub(super) struct Landed {
    /// Rows that the node decided on.
    pub(super) ends: Vec<RowEnd>,
    /// Rows of which nothing is known.
    pub(super) unanswered: u64,
    /// Why there are such rows.
    pub(super) failure: Option<Failure>,
}

#[derive(Serialize)]
struct Body<'a> {
    messages: &'a [Message],
}

#[derive(Deserialize)]
struct Results {
    results: Vec<RowResult>,
}

#[derive(Deserialize)]
struct RowResult {
    index: usize,
    id: Option<Uuid>,
    #[serde(default)]
    replayed: bool,
    error: Option<Problem>,
}

impl Carrier<'_> {
    /// Sends until every row has its end, or going on makes no sense.
    pub(super) async fn carry(self, batch: Vec<Message>) -> Landed {
        let mut ends = Vec::with_capacity(batch.len());
        let mut parts = vec![batch];
        let mut put_off = 0;
        while let Some(mut part) = parts.pop() {
            let failure = match self.post(&part).await {
                Ok(results) => match sort(part, results, &mut ends) {
                    Ok(again) if again.is_empty() => continue,
                    Ok(again) => {
                        part = again;
                        put_off += 1;
                        if !stopped_within(Some(self.stop), growing(put_off)).await {
                            parts.push(part);
                            continue;
                        }
                        Failure::Refused("stopped while rows were put off".into())
                    }
                    Err(lost) => {
                        part = lost;
                        Failure::Refused("the node left rows of a batch unanswered".into())
                    }
                },
                Err(Failure::Client(ClientError::Refused(problem))) if problem.status == 413 => {
                    match part.len() {
                        1 => ends.extend(part.into_iter().map(|m| refused(m, problem.clone()))),
                        n => parts.extend([part.split_off(n / 2), part]),
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            let unanswered = part.len() + parts.iter().map(Vec::len).sum::<usize>();
            return Landed { ends, unanswered: unanswered as u64, failure: Some(failure) };
        }
        Landed { ends, unanswered: 0, failure: None }
    }

    async fn post(self, messages: &[Message]) -> Result<Vec<RowResult>, Failure> {
        let body = serde_json::to_vec(&Body { messages }).map_err(|e| Failure::Refused(e.to_string()))?;
        let call = self.client.post(&["messages", "batch"]).body(Bytes::from(body));
        // Every row has its key, so a repeated batch makes no doubles.
        let call = call.idempotent().patience(self.patience).stop_with(self.stop).on_wait(self.on_wait);
        Ok(call.parse::<Results>().await?.results)
    }
}

/// Puts every row's end where it belongs and gives back the rows that were put off; or, as an error, those without any answer.
fn sort(part: Vec<Message>, results: Vec<RowResult>, ends: &mut Vec<RowEnd>) -> Result<Vec<Message>, Vec<Message>> {
    let mut rows: Vec<Option<Message>> = part.into_iter().map(Some).collect();
    let mut put_off = Vec::new();
    for result in results {
        let Some(message) = rows.get_mut(result.index).and_then(Option::take) else { continue };
        match (result.id, result.error) {
            (_, Some(problem)) if matches!(problem.status, 429 | 503) => put_off.push(message),
            // The key stands for addresses and text: another content under it can only differ in tag, lane or life.
            (_, Some(problem)) if problem.name() == "idempotency-mismatch" => {
                ends.push(accepted(message, None, true));
            }
            (_, Some(problem)) => ends.push(refused(message, problem)),
            (Some(id), None) => ends.push(accepted(message, Some(id), result.replayed)),
            (None, None) => rows[result.index] = Some(message),
        }
    }
    let lost: Vec<Message> = rows.into_iter().flatten().collect();
    if lost.is_empty() { Ok(put_off) } else { Err(lost.into_iter().chain(put_off).collect()) }
}

fn accepted(message: Message, id: Option<Uuid>, replayed: bool) -> RowEnd {
    RowEnd { row: message.row, key: message.key, end: End::Accepted { id, replayed } }
}

fn refused(message: Message, problem: Problem) -> RowEnd {
    RowEnd { row: message.row, key: message.key, end: End::Refused(problem) }
}

#[cfg(test)]
mod tests {
    use super::super::campaign::tests::messages;
    use super::*;

    fn results(json: serde_json::Value) -> Vec<RowResult> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn every_row_finds_its_end() {
        let id = Uuid::nil();
        let mut ends = Vec::new();
        let answer = results(serde_json::json!([
            {"index": 2, "id": id, "replayed": true},
            {"index": 0, "id": id},
            {"index": 1, "error": {"title": "no", "status": 422}},
            {"index": 3, "error": {"title": "later", "status": 429}},
            {"index": 4, "error": {"type": "urn:handfast:problem:idempotency-mismatch", "status": 422}},
            {"index": 99, "id": id},
        ]));
        let put_off = sort(messages(5), answer, &mut ends).unwrap();
        assert_eq!(put_off.iter().map(|m| m.row).collect::<Vec<_>>(), [4]);
        let found: Vec<_> = ends.iter().map(|end| (end.row, matches!(end.end, End::Accepted { .. }))).collect();
        assert_eq!(found, [(3, true), (1, true), (2, false), (5, true)]);
    }

    #[test]
    fn rows_without_an_answer_are_not_taken_for_sent() {
        let mut ends = Vec::new();
        let answer = results(serde_json::json!([{"index": 0, "id": Uuid::nil()}, {"index": 1}]));
        let lost = sort(messages(3), answer, &mut ends).unwrap_err();
        assert_eq!(lost.iter().map(|m| m.row).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(ends.len(), 1);
    }
}
