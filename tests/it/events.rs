//! Status events: nothing missed, nothing twice, in order, whoever writes and however long it takes.

mod fed;

use std::collections::HashSet;
use std::time::Duration;

use handfast::App;
use handfast::books::{DeliveryId, Lane, tell};
use handfast::db::GenericClient;
use handfast::events::{self, Cursor, Event, Kind, Of};
use uuid::Uuid;

use crate::support::{DOMAIN, events_can_be_read, fresh_app};

/// A chunk that holds nothing.
fn chunk(app: &App) -> Uuid {
    let mut bytes = *app.new_id().as_bytes();
    bytes[14..].fill(0);
    Uuid::from_bytes(bytes)
}

fn of_chunk(chunk: Uuid, seqs: std::ops::Range<i16>) -> impl Iterator<Item = DeliveryId> {
    seqs.map(move |seq| DeliveryId { chunk, seq })
}

/// The books write that these deliveries ended.
async fn ended(
    client: &impl GenericClient,
    at: jiff::Timestamp,
    kind: tell::Kind,
    ids: impl IntoIterator<Item = DeliveryId>,
) {
    let ids: Vec<_> = ids.into_iter().map(|id| (id, Lane::Bulk)).collect();
    tell::ended(client, kind, &ids, at).await.unwrap();
}

/// Reads page after page until nothing is left.
async fn all(app: &App, after: Cursor, kinds: &[Kind], limit: usize) -> (Vec<Event>, Cursor) {
    let (mut found, mut cursor) = (Vec::new(), after);
    loop {
        let page = events::read(app, cursor, kinds, limit, None).await.unwrap();
        assert!(page.events.len() <= limit);
        found.extend(page.events);
        cursor = page.next;
        if !page.more {
            return (found, cursor);
        }
    }
}

fn deliveries(events: &[Event]) -> Vec<Uuid> {
    let delivery = |event: &Event| match event.of {
        Of::Delivery { delivery, .. } => delivery,
        _ => panic!("{event:?} is of no delivery"),
    };
    events.iter().map(delivery).collect()
}

#[tokio::test]
async fn what_a_long_transaction_wrote_is_waited_for_and_not_passed_over() {
    let app = fresh_app().await;
    let now = app.clock.now();
    let begun = events::now(&app).await.unwrap();
    let (early, late) = (chunk(&app), chunk(&app));
    let mut client = app.db.client().await.unwrap();
    let long = client.transaction().await.unwrap();
    ended(&long, now, tell::Kind::Delivered, of_chunk(early, 0..2)).await;
    let quick = app.db.client().await.unwrap();
    ended(&quick, now, tell::Kind::Delivered, of_chunk(late, 0..1)).await;
    let (seen, cursor) = all(&app, begun, &Kind::ALL, 10).await;
    assert!(seen.is_empty(), "{seen:?} would be followed by what was written before it");
    assert_eq!(events::newest(&app).await.unwrap(), None);
    long.commit().await.unwrap();
    events_can_be_read(&app).await;
    let (seen, end) = all(&app, cursor, &Kind::ALL, 10).await;
    let expected: Vec<Uuid> = of_chunk(early, 0..2).chain(of_chunk(late, 0..1)).map(DeliveryId::uuid).collect();
    assert_eq!(deliveries(&seen), expected);
    assert_eq!(seen.last().map(|event| event.id), Some(end), "an event's id is the cursor behind it");
    assert_eq!(all(&app, end, &Kind::ALL, 10).await.0.len(), 0);
    assert_eq!(all(&app, seen[0].id, &Kind::ALL, 1).await.0.len(), 2);
}

#[tokio::test]
async fn many_writers_with_long_and_short_transactions_lose_and_double_nothing() {
    const WRITERS: u64 = 6;
    const ROUNDS: u64 = 25;
    let app = fresh_app().await;
    let writers = (0..WRITERS).map(|writer| {
        let app = app.clone();
        tokio::spawn(async move {
            let mut written = Vec::new();
            for round in 0..ROUNDS {
                let mut client = app.db.client().await.unwrap();
                let tx = client.transaction().await.unwrap();
                let (one, other) = (chunk(&app), chunk(&app));
                ended(&tx, app.clock.now(), tell::Kind::Delivered, of_chunk(one, 0..3)).await;
                // Some stay open while others come and go.
                tokio::time::sleep(Duration::from_millis((writer * 7 + round * 13) % 31)).await;
                ended(&tx, app.clock.now(), tell::Kind::Failed, of_chunk(other, 0..2)).await;
                if (writer + round) % 7 == 0 {
                    tx.rollback().await.unwrap();
                } else {
                    tx.commit().await.unwrap();
                    written.extend(of_chunk(one, 0..3).chain(of_chunk(other, 0..2)).map(DeliveryId::uuid));
                }
            }
            written
        })
    });
    let writers = futures_util::future::join_all(writers.collect::<Vec<_>>());
    let reader = async {
        let (mut cursor, mut seen, mut ids) = (Cursor::START, Vec::new(), Vec::new());
        let mut read = async |cursor: &mut Cursor| {
            let page = events::read(&app, *cursor, &Kind::ALL, 4, None).await.unwrap();
            assert!(page.next >= *cursor);
            *cursor = page.next;
            ids.extend(page.events.iter().map(|event| event.id));
            seen.extend(deliveries(&page.events));
            page.more
        };
        let mut writers = std::pin::pin!(writers);
        let written = loop {
            tokio::select! {
                biased;
                written = &mut writers => break written,
                _ = read(&mut cursor) => {}
            }
        };
        events_can_be_read(&app).await;
        while read(&mut cursor).await {}
        (written, seen, ids)
    };
    let (written, seen, ids) = reader.await;
    let written: HashSet<Uuid> = written.into_iter().flat_map(Result::unwrap).collect();
    assert!(written.len() > 500);
    assert_eq!(seen.len(), written.len(), "none twice");
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), written, "none missed");
    assert!(ids.is_sorted_by(|a, b| a < b), "in order");
}

#[tokio::test]
async fn kinds_that_are_not_wanted_are_passed_over_however_many() {
    let app = fresh_app().await;
    let (wanted, now) = (chunk(&app), app.clock.now());
    let client = app.db.client().await.unwrap();
    let others = "insert into events (at, kind, chunk, seqs) select $1, 1, gen_random_uuid(), '{0}' from generate_series(1, 3000)";
    client.execute(others, &[&now]).await.unwrap();
    ended(&client, now, tell::Kind::Failed, of_chunk(wanted, 0..3)).await;
    client.execute("insert into events (at, kind, about) values ($1, 7, 'peer.test')", &[&now]).await.unwrap();
    events_can_be_read(&app).await;
    let page = events::read(&app, Cursor::START, &[Kind::Failed], 2, None).await.unwrap();
    assert_eq!((page.events.len(), page.more), (2, true));
    let page = events::read(&app, page.next, &[Kind::Failed], 2, None).await.unwrap();
    assert_eq!((deliveries(&page.events), page.more), (vec![DeliveryId { chunk: wanted, seq: 2 }.uuid()], false));
    let rest = events::read(&app, page.next, &Kind::ALL, 2, None).await.unwrap();
    assert!(rest.events.is_empty(), "what was passed over is behind the cursor");
    let (opened, _) = all(&app, Cursor::START, &[Kind::Opened], 1).await;
    assert!(matches!(&opened[0].of, Of::Destination { destination } if destination == "peer.test"));
}

#[tokio::test]
async fn an_account_sees_its_own_and_nothing_of_the_node() {
    let app = fresh_app().await;
    let client = app.db.client().await.unwrap();
    let (chunk, now) = (chunk(&app), app.clock.now());
    let own = format!("1*{DOMAIN}").parse().unwrap();
    for (seq, from) in [(0, format!("1*{DOMAIN}")), (1, format!("2*{DOMAIN}"))] {
        let id = DeliveryId { chunk, seq }.uuid();
        let sql = "insert into messages (id, sender, from_address, to_address, channel, destination, tag, content, created_at, expires_at)
            values ($1, 'tests', $2, '7*peer.test', 1, 'peer.test', 'tag', '', $3, $3)";
        client.execute(sql, &[&id, &from, &now]).await.unwrap();
        let sql = "insert into attempts (chunk, seq, at, no, ms, outcome, status, late, worker) values ($1, $2, $3, $4, 5, 0, 200, false, $1)";
        client.execute(sql, &[&chunk, &seq, &(now - Duration::from_secs(1)), &2_i16]).await.unwrap();
        // A try after the event is not what the event tells of.
        client.execute(sql, &[&chunk, &seq, &(now + Duration::from_secs(1)), &3_i16]).await.unwrap();
    }
    let others = "insert into events (at, kind, items, about) values ($1, 8, null, 'peer.test'), ($1, 9, array[$2::uuid], 'spring')";
    client.execute(others, &[&now, &chunk]).await.unwrap();
    ended(&client, now, tell::Kind::Delivered, of_chunk(chunk, 0..2)).await;
    events_can_be_read(&app).await;
    let page = events::read(&app, Cursor::START, &Kind::ALL, 10, Some(&own)).await.unwrap();
    let told = serde_json::to_value(&page.events[0]).unwrap();
    assert_eq!(page.events.len(), 1);
    assert_eq!(
        told,
        serde_json::json!({
            "id": page.events[0].id.to_string(), "type": "delivery.delivered", "at": page.events[0].at,
            "delivery": chunk, "state": "delivered", "channel": "openmsg", "destination": "peer.test",
            "from": format!("1*{DOMAIN}"), "to": "7*peer.test", "tag": "tag", "campaign": null, "reason": null,
            "attempts": 2, "status": 200,
        })
    );
    assert_eq!(all(&app, Cursor::START, &Kind::ALL, 10).await.0.len(), 4);
}

#[tokio::test]
async fn a_cursor_of_a_database_that_was_restored_begins_a_little_earlier() {
    let app = fresh_app().await;
    let client = app.db.client().await.unwrap();
    let (before, after) = (chunk(&app), chunk(&app));
    ended(&client, app.clock.now(), tell::Kind::Delivered, of_chunk(before, 0..1)).await;
    // As a dump leaves it: rows of transactions that this cluster has yet to count to.
    client.execute("update events set xid = '99999999'", &[]).await.unwrap();
    let kept: Cursor = format!("{:x}-{:x}-1-{:x}", 99_999_999, 1, app.clock.now().as_microsecond()).parse().unwrap();
    assert_eq!(all(&app, kept, &Kind::ALL, 10).await.0.len(), 0);
    assert_eq!(events::adopt(&app).await.unwrap(), 1);
    ended(&client, app.clock.now(), tell::Kind::Delivered, of_chunk(after, 0..1)).await;
    events_can_be_read(&app).await;
    let (seen, next) = all(&app, kept, &Kind::ALL, 10).await;
    let both = [before, after].map(|chunk| DeliveryId { chunk, seq: 0 }.uuid());
    assert_eq!(deliveries(&seen), both, "some come again, none is missing");
    assert_eq!(all(&app, next, &Kind::ALL, 10).await.0.len(), 0);
    assert_eq!(events::adopt(&app).await.unwrap(), 0);
}
