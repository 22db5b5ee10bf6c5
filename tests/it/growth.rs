//! Partitions: made ahead, dropped in time, and what is still open outlives its week.

use std::time::Duration;

use handfast::App;
use handfast::clock::uuid_at;
use handfast::workers::keep_partitions;
use jiff::Timestamp;
use uuid::Uuid;

use crate::support::fresh_app;

const DAY: Duration = Duration::from_secs(86_400);

/// A chunk made at that moment.
fn chunk(app: &App, at: Timestamp) -> Uuid {
    let mut bytes = *app.new_id().as_bytes();
    bytes[..6].copy_from_slice(&uuid_at(at).as_bytes()[..6]);
    bytes[14..].fill(0);
    Uuid::from_bytes(bytes)
}

/// Its rows: `n` deliveries, the chunk in this state, an attempt of each, and one row of arrivals.
async fn fill(app: &App, chunk: Uuid, n: i16, state: i16) {
    let client = app.db.client().await.unwrap();
    let sql = "insert into chunks (id, lane, destination, n, state, due_at, settled_at)
        values ($1, 1, 'peer.test', $2, $3, $4, case when $3::int2 = 2 then $4::timestamptz end)";
    client.execute(sql, &[&chunk, &n, &state, &app.clock.now()]).await.unwrap();
    let sql = "insert into messages (id, sender, channel, destination, content, created_at, expires_at)
        select delivery_id($1, seq::int2), 'tests', 2, 'orders', '', $3, $3 from generate_series(0, $2::int2 - 1) seq";
    client.execute(sql, &[&chunk, &n, &app.clock.now()]).await.unwrap();
    let sql = "insert into attempts (chunk, seq, at, no, ms, outcome, late, worker)
        select $1, seq::int2, $3, 1, 1, 1, false, $1 from generate_series(0, $2::int2 - 1) seq";
    client.execute(sql, &[&chunk, &n, &app.clock.now()]).await.unwrap();
    let sql = "insert into arrivals (chunk, seq, at, late, worker, seqs, ats, ms)
        values ($1, 0, $2, false, $1, array[0]::smallint[], array[$2::timestamptz], array[1])";
    client.execute(sql, &[&chunk, &app.clock.now()]).await.unwrap();
}

async fn except(app: &App, chunk: Uuid, seq: i16, state: i16) {
    let sql = "insert into exceptions (chunk, seq, lane, destination, state, due_at, updated_at)
        values ($1, $2, 1, 'orders', $3, case when $3::int2 = 1 then $4::timestamptz end, $4)";
    app.db.execute(sql, &[&chunk, &seq, &state, &app.clock.now()]).await.unwrap();
}

async fn stand(app: &App, chunk: Uuid, seq: i16, place: i64) {
    let sql = "insert into turns (destination, key, place, chunk, seq, skip) values ('orders', 'k', $1, $2, $3, false)";
    app.db.execute(sql, &[&place, &chunk, &seq]).await.unwrap();
}

async fn count(app: &App, table: &str, chunk: Uuid) -> i64 {
    let id = if matches!(table, "messages" | "chunks") { "id" } else { "chunk" };
    let sql = format!("select count(*) from {table} where {id} between $1 and delivery_id($1, 32767::int2)");
    app.db.row(&sql, &[&chunk]).await.unwrap().unwrap().get(0)
}

const BOOKS: [&str; 5] = ["messages", "chunks", "exceptions", "attempts", "arrivals"];

/// Rows in each of the [`BOOKS`].
async fn counts(app: &App, chunk: Uuid) -> [i64; 5] {
    let mut found = [0; 5];
    for (n, table) in BOOKS.into_iter().enumerate() {
        found[n] = count(app, table, chunk).await;
    }
    found
}

async fn weeks(app: &App, parent: &str) -> Vec<String> {
    let sql = "select c.relname::text from pg_class c where c.relkind = 'r' and c.relname ~ ('^' || $1::text || '_[0-9]{8}$') order by 1";
    app.db.rows(sql, &[&parent]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_week_past_retention_goes_and_what_is_open_in_it_stays() {
    let app = fresh_app().await;
    let now = app.clock.now();
    let [ended, open, line, mixed] = [0, 1, 2, 3].map(|_| chunk(&app, now));
    fill(&app, ended, 3, 2).await;
    except(&app, ended, 1, 5).await;
    fill(&app, open, 2, 3).await;
    // Lines have no chunk: one that failed and holds its line, one that waits for it.
    for (seq, state) in [(0, 5), (1, 9)] {
        except(&app, line, seq, state).await;
        stand(&app, line, seq, i64::from(seq)).await;
    }
    fill(&app, mixed, 4, 2).await;
    except(&app, mixed, 2, 1).await;
    let week = weeks(&app, "messages").await;
    keep_partitions::round(&app).await.unwrap();
    assert_eq!(weeks(&app, "messages").await, week, "nothing is due yet");

    app.clock.advance(130 * DAY);
    keep_partitions::round(&app).await.unwrap();
    for parent in BOOKS {
        let left = weeks(&app, parent).await;
        assert!(week.iter().all(|week| !left.contains(&week.replace("messages", parent))), "{left:?}");
        assert_eq!(left.len(), 4, "the weeks ahead: {left:?}");
    }
    assert_eq!(counts(&app, ended).await, [0; 5]);
    assert_eq!(counts(&app, open).await, [2, 1, 0, 2, 1]);
    assert_eq!(counts(&app, line).await, [0, 0, 2, 0, 0]);
    assert_eq!(counts(&app, mixed).await, [1, 1, 1, 1, 1], "the one that is due again");

    // Once they have ended too, they are deleted from the default partitions.
    app.db.execute("update chunks set state = 2, settled_at = $2 where id = $1", &[&open, &now]).await.unwrap();
    app.db.execute("update exceptions set state = 7, due_at = null where chunk = $1", &[&mixed]).await.unwrap();
    keep_partitions::round(&app).await.unwrap();
    assert_eq!(counts(&app, open).await, [0; 5]);
    assert_eq!(counts(&app, mixed).await, [0; 5]);
    assert_eq!(counts(&app, line).await, [0, 0, 2, 0, 0], "the line is still held");
}

#[tokio::test]
async fn a_week_that_lacks_a_table_loses_nothing_that_is_open() {
    let app = fresh_app().await;
    let [ended, open] = [0, 1].map(|_| chunk(&app, app.clock.now()));
    // As if rows of this week had come before its partitions could be made.
    for table in ["arrivals", "exceptions"] {
        for week in weeks(&app, table).await {
            app.db.execute(&format!("drop table {week}"), &[]).await.unwrap();
        }
    }
    fill(&app, ended, 3, 2).await;
    fill(&app, open, 2, 2).await;
    except(&app, open, 1, 1).await;
    app.clock.advance(130 * DAY);
    keep_partitions::round(&app).await.unwrap();
    assert_eq!(counts(&app, ended).await[..3], [0; 3]);
    assert_eq!(counts(&app, open).await, [1, 1, 1, 1, 1], "the one that is due again");
}

#[tokio::test]
async fn events_and_empty_weeks_of_the_inbox_go_in_their_own_time() {
    let app = fresh_app().await;
    let now = app.clock.now();
    let client = app.db.client().await.unwrap();
    for at in [now, now - 300 * DAY] {
        client.execute("insert into events (at, kind, about) values ($1, 7, 'peer.test')", &[&at]).await.unwrap();
    }
    let left = "select count(*) from events";
    keep_partitions::round(&app).await.unwrap();
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 1, "the default partition is swept");
    let (events, inbox) = (weeks(&app, "events").await, weeks(&app, "inbox").await);
    app.clock.advance(70 * DAY);
    keep_partitions::round(&app).await.unwrap();
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert!(weeks(&app, "events").await.iter().all(|week| !events.contains(week)));
    let kept = weeks(&app, "inbox").await;
    assert!(inbox.iter().all(|week| kept.contains(week)), "the inbox is kept for longer: {kept:?}");
    app.clock.advance(60 * DAY);
    keep_partitions::round(&app).await.unwrap();
    assert!(weeks(&app, "inbox").await.iter().all(|week| !inbox.contains(week)));
}

#[tokio::test]
async fn an_accept_does_not_stand_behind_a_drop_that_has_to_wait() {
    let app = fresh_app().await;
    let (old, now) = (chunk(&app, app.clock.now()), app.clock.now());
    fill(&app, old, 1, 2).await;
    app.clock.advance(100 * DAY);
    // Somebody reads the books for long.
    let mut reader = app.db.client().await.unwrap();
    let reading = reader.transaction().await.unwrap();
    reading.query("select count(*) from messages where id > $1", &[&uuid_at(now)]).await.unwrap();
    let round = tokio::spawn({
        let app = app.clone();
        async move { keep_partitions::round(&app).await }
    });
    // Accepts go on while the drop waits, tries and waits again.
    let (mut slowest, began) = (Duration::ZERO, std::time::Instant::now());
    while began.elapsed() < Duration::from_secs(3) {
        let one = std::time::Instant::now();
        let next = chunk(&app, app.clock.now());
        fill(&app, next, 1, 2).await;
        slowest = slowest.max(one.elapsed());
        // Who is silent within a transaction is taken for lost.
        reading.query("select 1", &[]).await.unwrap();
    }
    assert!(slowest < Duration::from_secs(2), "an accept waited {slowest:?}");
    assert_eq!(counts(&app, old).await[0], 1, "nothing was dropped under the reader's eyes");
    reading.commit().await.unwrap();
    round.await.unwrap().unwrap();
    assert_eq!(counts(&app, old).await, [0; 5]);
}
