//! What is written of tries: those that arrived together in one row, everything else in its own, and nothing twice.

use handfast::books::{self, Held, Settle, State, Summary, Then};
use uuid::Uuid;

use super::{DELIVERED, End, NOT_FOUND, Stage, place};

impl Stage {
    /// Claims the chunk of these; to be settled as `ends` says, delivery by delivery.
    async fn held(&self, ids: &[Uuid], then: Then, ends: &[End]) -> Settle {
        let (chunk, claimed) = self.claim(ids).await.remove(0);
        assert_eq!(claimed.deliveries.len(), ids.len(), "one chunk");
        let results = ids.iter().zip(ends).map(|(id, end)| self.settled(place(*id), *end, true)).collect();
        Settle { claim: claimed.claim, held: Held::Chunk { id: chunk, then }, results, worker: self.worker }
    }

    /// Its tries: which, status, code, late.
    async fn tries(&self, id: Uuid) -> Vec<(i16, Option<i16>, Option<String>, bool)> {
        let attempts = books::delivery(&self.app, id).await.unwrap().expect("a delivery").attempts.unwrap_or_default();
        attempts.into_iter().map(|try_| (try_.no, try_.status, try_.code, try_.late)).collect()
    }

    async fn told(&self) -> i64 {
        self.count("select coalesce(sum(cardinality(seqs)), 0)::bigint from events where kind = 1").await
    }

    async fn summary(&self) -> Summary {
        books::summary(&self.app, None, None).await.unwrap()
    }
}

fn good(status: u16, code: Option<&'static str>) -> End {
    End { status: Some(status), code, ..DELIVERED }
}

#[tokio::test]
async fn chunks_that_went_well_and_others_are_settled_together() {
    let stage = Stage::new().await;
    let [a, b, c] = [3, 2, 2].map(|n| stage.open(n, "orders", "x"));
    let (a, b, c) = (a.await, b.await, c.await);
    let all = [
        stage.held(&a, Then::Done, &[good(200, None), good(201, None), good(202, None)]).await,
        stage.held(&c, Then::Done, &[good(200, None), NOT_FOUND]).await,
        stage.held(&b, Then::Done, &[good(200, None), good(200, Some("SM_001"))]).await,
    ];
    assert_eq!(books::settle_many(&stage.app, &all).await.unwrap().held, [true; 3]);
    for (n, status) in [200, 201, 202].into_iter().enumerate() {
        assert_eq!(stage.tries(a[n]).await, [(1, Some(status), None, false)]);
    }
    assert_eq!(stage.tries(b[0]).await, [(1, Some(200), None, false)]);
    assert_eq!(stage.tries(b[1]).await, [(1, Some(200), Some("SM_001".into()), false)]);
    assert_eq!(stage.tries(c[0]).await, [(1, Some(200), None, false)]);
    assert_eq!(stage.tries(c[1]).await, [(1, Some(404), Some("http-404".into()), false)]);
    assert_eq!(stage.count("select count(*) from arrivals").await, 2);
    assert_eq!(stage.count("select count(*) from attempts").await, 2);
    assert_eq!(stage.told().await, 6);
    assert_eq!((stage.state(c[0]).await, stage.state(c[1]).await), (State::Delivered, State::Failed));
    let summary = stage.summary().await;
    assert_eq!((summary.delivered, summary.failed, summary.doubles), (6, 1, 0));
}

#[tokio::test]
async fn what_is_settled_again_because_nobody_answered_is_written_and_told_once() {
    let stage = Stage::new().await;
    let (a, b) = (stage.open(3, "orders", "x").await, stage.open(1, "orders", "x").await);
    let part = stage.held(&a, Then::Stay, &[DELIVERED; 2]).await;
    books::settle_many(&stage.app, std::slice::from_ref(&part)).await.unwrap();
    // Together with something else this time.
    let other = stage.held(&b, Then::Done, &[NOT_FOUND]).await;
    let again = books::settle_many(&stage.app, &[part.clone(), other.clone()]).await.unwrap();
    assert_eq!(again.held, [true, true]);
    assert_eq!((stage.told().await, stage.count("select count(*) from tries").await), (2, 3));

    let Held::Chunk { id, .. } = part.held else { panic!("a chunk") };
    let rest = Settle {
        held: Held::Chunk { id, then: Then::Done },
        results: vec![stage.settled(place(a[2]), DELIVERED, true)],
        ..part
    };
    books::settle_many(&stage.app, std::slice::from_ref(&rest)).await.unwrap();
    assert_eq!(books::settle_many(&stage.app, &[rest, other]).await.unwrap().held, [false, false]);
    assert_eq!((stage.told().await, stage.count("select count(*) from tries").await), (3, 4));
    assert_eq!(stage.summary().await.doubles, 0);
}

#[tokio::test]
async fn a_result_of_one_who_has_lost_the_chunk_is_seen_as_a_double_and_told_to_nobody() {
    let stage = Stage::new().await;
    let ids = stage.open(2, "orders", "x").await;
    let late = stage.held(&ids, Then::Done, &[DELIVERED; 2]).await;
    stage.app.db.execute("update chunks set state = 0, claim = null, worker = null", &[]).await.unwrap();
    stage.end(&ids, DELIVERED).await;
    assert_eq!(books::settle_many(&stage.app, &[late]).await.unwrap().held, [false]);
    assert_eq!(stage.told().await, 2);
    let tries = stage.tries(ids[0]).await;
    assert_eq!(tries.iter().map(|(.., late)| *late).filter(|late| *late).count(), 1, "{tries:?}");
    assert_eq!(tries.len(), 2);
    assert_eq!(stage.summary().await.doubles, 2);
}

#[tokio::test]
async fn a_part_that_did_not_go_well_is_not_told_twice_either() {
    let stage = Stage::new().await;
    let ids = stage.open(3, "orders", "x").await;
    let part = stage.held(&ids, Then::Stay, &[DELIVERED, NOT_FOUND]).await;
    for _ in 0..2 {
        assert_eq!(books::settle_many(&stage.app, std::slice::from_ref(&part)).await.unwrap().held, [true]);
    }
    let told =
        |kind: i16| format!("select coalesce(sum(cardinality(seqs)), 0)::bigint from events where kind = {kind}");
    assert_eq!((stage.count(&told(1)).await, stage.count(&told(2)).await), (1, 1));
    assert_eq!(stage.count("select count(*) from tries").await, 2);
}

#[tokio::test]
async fn the_tries_of_many_are_looked_up_and_not_searched_for() {
    let stage = Stage::new().await;
    for sql in [
        "select a.seq from unnest('{}'::uuid[]) x(id) cross join lateral tries_of(x.id) a where a.outcome = 0",
        "select a.seq from unnest('{}'::uuid[], '{}'::smallint[]) x(id, seq) cross join lateral tries_of(x.id, x.seq) a where a.outcome = 0",
        "select not exists (select from tries_of(x.id, 1::smallint) a where a.outcome = 0) from unnest('{}'::uuid[]) x(id)",
    ] {
        let plan = stage.app.db.rows(&format!("explain (costs off) {sql}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let tables = |line: &&String| {
            ["Seq", "Heap", "Index", "Only"].iter().any(|way| line.contains(&format!("{way} Scan")))
                && [" on attempts_", " on arrivals_"].iter().any(|table| line.contains(table))
        };
        let looked_up = plan.iter().filter(|line| line.contains("Index Cond: ") && line.contains("chunk = ")).count();
        let by_bitmap = plan.iter().filter(|line| line.contains("Bitmap Index Scan")).count();
        let scanned = plan.iter().filter(tables).count() - by_bitmap;
        assert!(scanned >= 4 && looked_up == scanned, "{plan:#?}");
    }
}
