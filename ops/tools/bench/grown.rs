//! `grown-10m`: the same volume on empty books and on books that hold ten million settled deliveries.
//!
//! They are filled by SQL, with what the node would have left there: messages with content of a sealed body's length, chunks of a
//! hundred, an attempt each, an event for each chunk, and the last day's idempotency keys; half of them in past weeks, half in this one.

use std::time::Instant;

use anyhow::Context;
use serde_json::json;

use crate::Options;
use crate::books::Books;
use crate::report::Row;
use crate::round;
use crate::stage::Stage;
use crate::webhook::Volume;

pub(crate) const NAME: &str = "grown-10m";
const ROWS: u32 = 10_000_000;
/// Deliveries of a chunk.
const CHUNK: u32 = 100;
/// Chunks that a statement makes.
const AT_A_TIME: usize = 2_500;

/// Plays it.
pub(crate) async fn play(options: &Options) -> anyhow::Result<Row> {
    Stage::with(options, NAME, 1, async |stage| play_on(stage, options).await).await
}

async fn play_on(stage: &mut Stage, options: &Options) -> anyhow::Result<Row> {
    let volume = Volume::named("webhook-1").context("there is no scenario to compare with")?;
    volume.register(stage).await?;
    let empty = volume.rounds(stage, options, "grown-10m, empty books").await?;
    let rows = options.grown.unwrap_or(ROWS);
    let begun = Instant::now();
    fill(&stage.books, rows).await?;
    let took = begun.elapsed().as_secs_f64();
    eprintln!("{NAME}: {rows} rows in {took:.0} s");
    let grown = volume.rounds(stage, options, NAME).await?;
    let before = round::median(&empty).context("no round")?;
    let after = round::median(&grown).context("no round")?;
    let (kept, kept_rate) = (after.ratio / before.ratio, after.rate / before.rate);
    let mut row = Row::of(NAME, grown.clone(), stage.memory().await)?;
    row.add("empty", json!({"rate": before.rate, "ratio": before.ratio, "cpu_s_per_1000": before.cpu.total()}));
    row.add("settled_rows", json!(rows));
    row.add("fill_s", json!(took));
    row.add("ratio_kept", json!(kept));
    row.add("rate_kept", json!(kept_rate));
    row.remarks = volume.remarks();
    row.remarks.push(format!(
        "{rows} settled deliveries filled in by SQL in {took:.0} s, then vacuumed and analysed; on the empty books before: {:.0}/s, \
         ratio {:.2}, {:.3} CPU s; {:.0} % of the ratio is kept",
        before.rate,
        before.ratio,
        before.cpu.total(),
        100.0 * kept
    ));
    Ok(row)
}

/// Weeks as the node's own partition keeper would have left them, and a place for a step's chunks.
const PREPARE: &str = "
    select make_partition(parent, date_trunc('week', now() at time zone 'utc')::date - 7 * back)
    from unnest(array['messages', 'chunks', 'exceptions', 'attempts', 'arrivals']) parent, generate_series(0, 5) back;
    select make_partition_by_time('events', date_trunc('week', now() at time zone 'utc')::date - 7 * back)
    from generate_series(0, 5) back;
    create temporary table step (chunk uuid, at timestamptz);
    set synchronous_commit = off";

/// Chunks $1 to $2 of $3, the first half spread over the past five weeks, the second half over this one.
const STEP: &str = "
    with times as (
        select n, case when n < $3::bigint / 2
            then week - interval '5 weeks' * (1 - n / ($3::float8 / 2))
            else week + (now() - interval '1 minute' - week) * (n / ($3::float8 / 2) - 1) end at
        from generate_series($1::bigint, $2::bigint) n,
            (select date_trunc('week', now() at time zone 'utc') at time zone 'utc' week) monday
    ), named as (
        select at, lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
            || '8' || substr(md5(n::text), 4, 11) || '0000' chunk
        from times
    )
    insert into step select chunk::uuid, at from named";

const CHUNKS: &str = "
    insert into chunks (id, lane, destination, n, state, due_at, published_at, published_to, tries, settled_at, sender)
    select chunk, 0, 'sink-0', 100, 2, at, at, 1, 1, at + interval '1 second', 'demo' from step";

const MESSAGES: &str = "
    insert into messages (id, sender, channel, destination, content, created_at, expires_at)
    select overlay(chunk::text placing lpad(to_hex(seq), 4, '0') from 33 for 4)::uuid, 'demo', 2, 'sink-0',
        decode(repeat(md5(chunk::text || seq), 34), 'hex'), at, at + interval '3 days'
    from step, generate_series(0, 99) seq";

const ARRIVALS: &str = "
    insert into arrivals (chunk, seq, at, late, worker, seqs, ats, ms, statuses)
    select chunk, 0, at + interval '1 second', false, '01990000-0000-7000-8000-000000000000',
        array(select generate_series(0, 99)::smallint), array_fill(at + interval '1 second', array[100]),
        array_fill(3, array[100]), array_fill(204::smallint, array[100])
    from step";

const EVENTS: &str = "
    insert into events (at, kind, chunk, seqs, about)
    select at + interval '1 second', 1, chunk, array(select generate_series(0, 99)::smallint), 'sink-0' from step";

/// Keys are kept for a day.
const KEYS: &str = "
    insert into idempotency (sender, key_hash, body_hash, results, expires_at)
    select 'demo', sha256(chunk::text::bytea), sha256(at::text::bytea), (
        select string_agg(uuid_send(overlay(chunk::text placing lpad(to_hex(seq), 4, '0') from 33 for 4)::uuid), '' order by seq)
        from generate_series(0, 99) seq
    ), at + interval '1 day'
    from step where at > now() - interval '1 day'";

async fn fill(books: &Books, rows: u32) -> anyhow::Result<()> {
    let sql = books.client();
    sql.batch_execute(PREPARE).await?;
    let (chunks, step) = (i64::from(rows.div_ceil(CHUNK)), sql.prepare(STEP).await?);
    for from in (0..chunks).step_by(AT_A_TIME) {
        let to = chunks.min(from + AT_A_TIME as i64) - 1;
        sql.execute(&step, &[&from, &to, &chunks]).await?;
        for statement in [CHUNKS, MESSAGES, ARRIVALS, EVENTS, KEYS] {
            sql.batch_execute(statement).await?;
        }
        sql.batch_execute("truncate step").await?;
        eprint!("\r{NAME}: {} % filled", 100 * (to + 1) / chunks);
    }
    eprintln!();
    sql.batch_execute("drop table step; reset synchronous_commit").await?;
    sql.batch_execute("vacuum analyze").await?;
    Ok(sql.batch_execute("checkpoint").await?)
}
