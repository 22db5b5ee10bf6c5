//! One run over a file: read, send a few batches at a time, count, and end in order whatever happens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::batch::{Carrier, Landed};
use super::campaign::{Campaign, Message};
use super::progress::{Progress, count};
use super::report::{Report, RowEnd, Tally};
use super::source::Source;
use crate::cli::Failure;
use crate::cli::client::{ClientError, Patience, stopped_within};
use crate::cli::status::Summary;
use crate::cli::target::Session;

/// Rows in one request, at most.
const BATCH: usize = 500;
/// Requests under way at once.
const IN_FLIGHT: usize = 4;
/// How long following a run outlasts a node that is away.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(120);

/// What there is to do.
pub(super) struct Job<'a> {
    pub(super) file: &'a Path,
    pub(super) campaign: Campaign,
    pub(super) source: Source,
    /// Bytes of the file, if that is known.
    pub(super) length: Option<u64>,
    pub(super) errors: Option<PathBuf>,
    /// How long to try again while the node is away.
    pub(super) patience: Duration,
}

/// What the reading thread hands over.
enum Read {
    /// A row, how far into the file it ends (bytes, roughly), and its message or what is wrong with it.
    Row { row: u64, position: u64, message: Result<Message, String> },
    /// The file cannot be read on.
    Broken(std::io::Error),
}

/// Sends the file; with `follow`, waits until the run's messages are settled.
pub(super) async fn run(
    session: &Session,
    job: Job<'_>,
    follow: bool,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let Job { file, campaign, source, length, errors, patience } = job;
    let tag = campaign.tag.clone();
    // A node that is away or a key that is wrong should be told at once, not after the patience of a long run.
    Summary::of(&session.client, Some(&tag), Patience::SHORT).await?;
    let mut report = Report::new(errors, session.out)?;
    let progress = Progress::new(length, "bytes");
    let halt = stop.child_token();
    let on_wait =
        |wait: Duration, why: &ClientError| progress.say_sometimes(&format!("waiting {} s: {why}", wait.as_secs()));
    let patience = Patience::long(patience);
    let carrier = Carrier { client: &session.client, patience, stop: &halt, on_wait: &on_wait };
    let sent = send_rows(carrier, read(source, campaign), &halt, &mut report, &progress).await;
    progress.end();
    report.finish(&tag)?;
    let finished = end_of(sent, file, &report.tally);
    if follow && !stop.is_cancelled() && finished.is_ok() {
        follow_tag(session, &tag, report.tally.accepted, stop).await?;
    }
    if finished.is_ok() && report.tally.refused > 0 { Err(Failure::Silent) } else { finished }
}

/// Says what an early end means, and how to go on.
fn end_of(sent: Result<bool, Failure>, file: &Path, tally: &Tally) -> Result<(), Failure> {
    let go_on = "run the same command again to go on: what was accepted is not sent twice (within 24 hours)";
    match sent {
        Ok(true) => Ok(()),
        Ok(false) => {
            let rows = count(tally.rows);
            Err(Failure::Refused(format!("stopped after {rows} rows of {}; {go_on}", file.display())))
        }
        Err(failure @ Failure::Output(_)) => Err(failure),
        Err(failure) => Err(Failure::Refused(format!("{failure}\n{go_on}"))),
    }
}

/// Rows come from a thread of their own: reading blocks, and a pipe may be silent for hours.
fn read(mut source: Source, campaign: Campaign) -> mpsc::Receiver<Read> {
    let (rows, receiver) = mpsc::channel(2 * BATCH);
    std::thread::spawn(move || {
        for row in 1.. {
            let item = match source.next() {
                Ok(None) => return,
                Ok(Some(values)) => Read::Row {
                    row,
                    position: source.position(),
                    message: values.and_then(|values| campaign.message(row, &values)),
                },
                Err(error) => Read::Broken(error),
            };
            let last = matches!(item, Read::Broken(_));
            // The run has ended before the file when nobody takes the row.
            if rows.blocking_send(item).is_err() || last {
                return;
            }
        }
    });
    receiver
}

/// Takes what has been read, a batch at most, whenever there is room for a request. After a failure or a stop nothing more is taken,
/// and what is under way is waited for. Whether the file came to its end, or the first failure.
async fn send_rows(
    carrier: Carrier<'_>,
    mut rows: mpsc::Receiver<Read>,
    halt: &CancellationToken,
    report: &mut Report,
    progress: &Progress,
) -> Result<bool, Failure> {
    let mut under_way = FuturesUnordered::new();
    let mut failure = None;
    let (mut open, mut complete) = (true, false);
    let mut position = 0;
    loop {
        let mut taken = Vec::new();
        tokio::select! {
            biased;
            () = halt.cancelled(), if open => open = false,
            Some(landed) = under_way.next(), if !under_way.is_empty() => {
                note(land(landed, report, progress), &mut failure);
            }
            n = rows.recv_many(&mut taken, BATCH), if open && under_way.len() < IN_FLIGHT => {
                complete = n == 0;
                open = !complete;
                let mut batch = Vec::with_capacity(n);
                for item in taken {
                    note(sorted(item, &mut batch, &mut position, report, progress), &mut failure);
                }
                if !batch.is_empty() {
                    under_way.push(carrier.carry(batch));
                }
            }
            else => break,
        }
        if failure.is_some() {
            halt.cancel();
        }
        progress.at(position, |seconds| words(&report.tally, seconds));
    }
    failure.map_or(Ok(complete), Err)
}

fn note(result: Result<(), Failure>, failure: &mut Option<Failure>) {
    if let (Err(error), None) = (result, &failure) {
        *failure = Some(error);
    }
}

fn sorted(
    item: Read,
    batch: &mut Vec<Message>,
    position: &mut u64,
    report: &mut Report,
    progress: &Progress,
) -> Result<(), Failure> {
    match item {
        Read::Row { message: Ok(message), position: at, .. } => {
            *position = at;
            batch.push(message);
            Ok(())
        }
        Read::Row { row, message: Err(why), .. } => report.take(RowEnd::unfit(row, why), progress),
        Read::Broken(error) => Err(Failure::Refused(format!("the file cannot be read on: {error}"))),
    }
}

fn land(landed: Landed, report: &mut Report, progress: &Progress) -> Result<(), Failure> {
    report.tally.unanswered += landed.unanswered;
    report.tally.rows += landed.unanswered;
    for end in landed.ends {
        report.take(end, progress)?;
    }
    landed.failure.map_or(Ok(()), Err)
}

fn words(tally: &Tally, seconds: f64) -> String {
    let done = tally.rows - tally.unanswered;
    let speed = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
    let accepted = tally.accepted + tally.replayed;
    format!(
        "{} rows, {} accepted, {} refused, {speed:.0} rows/s",
        count(tally.rows),
        count(accepted),
        count(tally.refused)
    )
}

/// Waits until no message of the tag is open. `accepted`: how many this run has added, at least.
async fn follow_tag(session: &Session, tag: &str, accepted: u64, stop: &CancellationToken) -> Result<(), Failure> {
    let progress = Progress::new(Some(accepted), "messages");
    let summary = loop {
        let (summary, _) = Summary::of(&session.client, Some(tag), Patience::long(FOLLOW_PATIENCE)).await?;
        progress.total(summary.accepted);
        progress.at(summary.accepted.saturating_sub(summary.open()), |_| {
            format!(
                "{} delivered, {} not, {} open",
                count(summary.delivered),
                count(summary.missed()),
                count(summary.open())
            )
        });
        let known = summary.accepted >= accepted;
        if known && summary.open() == 0 {
            break summary;
        }
        if stopped_within(Some(stop), Duration::from_secs(1)).await {
            progress.end();
            let how = format!("handfast status --summary --tag {tag}");
            return Err(Failure::Refused(format!("{} messages are still open: {how}", count(summary.open()))));
        }
    };
    progress.end();
    if session.out.json {
        eprint!("{}", summary.words())
    } else {
        session.out.line(&summary.words())?
    }
    if summary.missed() == 0 { Ok(()) } else { Err(Failure::Silent) }
}
