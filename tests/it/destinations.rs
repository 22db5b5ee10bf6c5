//! Limits, breakers and rates over several processes, which here are gates with leases of their own on one database.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use handfast::App;
use handfast::books;
use handfast::destinations::pace::{Breaker, Told};
use handfast::destinations::{self, Filter, Setting, Want};
use handfast::worker::Lease;
use handfast::worker::gate::{Admits, Gate, Shut, Sign};
use rand::RngExt as _;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::node::eventually;
use crate::support::{fresh_app, fresh_app_with};

const NAME: &str = "shop.test";

struct Process {
    gate: Gate,
    lease: Lease,
    _stop: DropGuard,
}

impl Process {
    async fn start(app: &App) -> Self {
        let stop = CancellationToken::new();
        let lease = Lease::start(app, stop.clone()).await.unwrap();
        Self { gate: Gate::start(app, &lease, stop.clone()), lease, _stop: stop.drop_guard() }
    }

    /// One call, as soon as it may be made.
    async fn call(&self, sign: Sign) -> Result<(), Shut> {
        self.gate.hold(NAME).slot().await?.finish(sign, Duration::from_millis(1));
        Ok(())
    }
}

async fn set(app: &App, concurrency: u32, rate: Option<f32>) {
    let setting = Setting { concurrency: Some(Some(concurrency)), rate: Some(rate), schedule: None };
    destinations::set(app, NAME, &setting).await.unwrap();
}

async fn events(app: &App) -> Vec<i16> {
    let rows = app.db.rows("select kind from events where about = $1 order by xid, n", &[&NAME]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn breaker(app: &App) -> Breaker {
    destinations::find(app, NAME).await.unwrap().unwrap().breaker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_of_the_living_never_add_up_to_more_than_the_limit() {
    const LIMIT: u32 = 7;
    let app = fresh_app().await;
    let names: Vec<String> = (0..5).map(|n| format!("{n}.test")).collect();
    for name in &names {
        let setting = Setting { concurrency: Some(Some(LIMIT)), ..Setting::default() };
        destinations::set(&app, name, &setting).await.unwrap();
    }
    // What each destination is being called, as those who call see it.
    let calls: Arc<Vec<AtomicUsize>> = Arc::new(names.iter().map(|_| AtomicUsize::new(0)).collect());
    let lives = (0..6).map(|_| tokio::spawn(live(app.clone(), names.clone(), Arc::clone(&calls), LIMIT)));
    for life in futures_util::future::join_all(lives).await {
        assert!(life.unwrap() > 0, "everybody was given something");
    }
}

/// Workers one after the other, each asking, calling, and dying in the midst of it; answers how many slots it was given.
async fn live(app: App, names: Vec<String>, calls: Arc<Vec<AtomicUsize>>, limit: u32) -> u32 {
    let mut ever = 0;
    for _ in 0..4 {
        let worker = app.new_id();
        books::renew(&app, worker, true, Duration::from_secs(60)).await.unwrap();
        let mut mine: HashMap<String, u32> = HashMap::new();
        for _ in 0..15 {
            let (wants, used): (Vec<Want>, Vec<usize>) = {
                let mut rng = rand::rng();
                let picked = names.iter().enumerate().filter(|_| rng.random_bool(0.6)).collect::<Vec<_>>();
                picked.into_iter().map(|(n, name)| (want(name, &mine, rand::rng().random_range(0..12)), n)).unzip()
            };
            for (want, n) in wants.iter().zip(&used) {
                let had = mine.insert(want.destination.clone(), want.slots_held).unwrap_or(0);
                calls[*n].fetch_sub((had - want.slots_held) as usize, Ordering::SeqCst);
            }
            let given = destinations::sync(&app, worker, &wants).await.unwrap().expect("it is alive");
            for ((want, n), given) in wants.iter().zip(&used).zip(given) {
                let more = given.slots.max(want.slots_held) - want.slots_held;
                ever += more;
                mine.insert(want.destination.clone(), want.slots_held + more);
                let sum = calls[*n].fetch_add(more as usize, Ordering::SeqCst) + more as usize;
                assert!(sum <= limit as usize, "{sum} calls at once to {}", want.destination);
            }
            assert_sums(&app, i64::from(limit)).await;
        }
        // It dies: its calls end with it, and what it had is free.
        for (n, name) in names.iter().enumerate() {
            calls[n].fetch_sub(mine.get(name).copied().unwrap_or(0) as usize, Ordering::SeqCst);
        }
        books::die(&app, worker).await.unwrap();
    }
    ever
}

fn want(name: &str, mine: &HashMap<String, u32>, wanted: u32) -> Want {
    let had = mine.get(name).copied().unwrap_or(0);
    // Enough successes that the limit is what is set.
    let told = Told { ok: 50, ..Told::default() };
    Want { destination: name.to_owned(), slots_held: had.min(wanted), slots_wanted: wanted, tokens_wanted: 0, told }
}

async fn assert_sums(app: &App, limit: i64) {
    let sql = "select coalesce(max(sum), 0)::bigint from (
        select sum(slots) from shares s where exists (select from workers w where w.id = s.worker) group by destination) x";
    let most: i64 = app.db.rows(sql, &[]).await.unwrap()[0].get(0);
    assert!(most <= limit, "{most} slots given of {limit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_a_destination_fairly_and_keep_its_limit() {
    let app = fresh_app().await;
    set(&app, 6, None).await;
    let processes = [Process::start(&app).await, Process::start(&app).await, Process::start(&app).await];
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let until = Instant::now() + Duration::from_secs(3);
    let run = async |process: &Process| {
        let done = AtomicUsize::new(0);
        let one = async |_: usize| {
            while Instant::now() < until {
                let held = process.gate.hold(NAME);
                let Ok(slot) = held.slot().await else { continue };
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                slot.finish(Sign::Good, Duration::from_millis(5));
                done.fetch_add(1, Ordering::SeqCst);
            }
        };
        futures_util::future::join_all((0..20).map(one)).await;
        done.load(Ordering::SeqCst)
    };
    let done = futures_util::future::join_all(processes.iter().map(run)).await;
    let (least, all) = (done.iter().min().unwrap(), done.iter().sum::<usize>());
    assert!((5..=6).contains(&most.load(Ordering::SeqCst)), "{most:?} at once of 6");
    assert!(least * 6 >= all, "{done:?}: each has at least half of a third");
}

#[tokio::test]
async fn the_breaker_holds_in_all_processes_and_one_call_probes() {
    let app = fresh_app_with(|config| config.destinations.open_for = handfast::config::Period::seconds(1)).await;
    let (a, b) = (Process::start(&app).await, Process::start(&app).await);
    b.call(Sign::Good).await.unwrap();
    let other = b.gate.hold(NAME);
    let mut failures = 0;
    while a.call(Sign::Failed).await.is_ok() {
        failures += 1;
        assert!(failures <= 10, "it is called on and on");
    }
    assert_eq!(failures, 10);
    eventually("the other process has heard", async || matches!(b.gate.admits(NAME, 1), Admits::Away(_))).await;
    assert!(matches!(other.slot().await, Err(Shut::Away(left)) if left <= Duration::from_secs(1)));
    assert_eq!(events(&app).await, [7]);
    let open = |process: &Process| !matches!(process.gate.admits(NAME, 1), Admits::Away(_));
    eventually("it may be probed", async || open(&a) && open(&b)).await;
    let held = a.gate.hold(NAME);
    let probe = tokio::select! {
        slot = held.slot() => slot.unwrap(),
        slot = other.slot() => slot.unwrap(),
    };
    for process in [&a, &b] {
        let second = tokio::time::timeout(Duration::from_millis(700), process.gate.hold(NAME).slot()).await;
        assert!(second.is_err(), "a second probe: {:?}", second.map(|slot| slot.err()));
    }
    probe.finish(Sign::Good, Duration::from_millis(1));
    eventually("it is closed", async || breaker(&app).await == Breaker::Closed).await;
    assert_eq!(events(&app).await, [7, 8]);
    let all = futures_util::future::join_all((0..20).map(|n| [&a, &b][n % 2].call(Sign::Good))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}

#[tokio::test]
async fn a_pause_that_is_asked_for_holds_in_all_processes_until_it_is_over_or_resumed() {
    let app = fresh_app().await;
    let (a, b) = (Process::start(&app).await, Process::start(&app).await);
    b.call(Sign::Good).await.unwrap();
    a.call(Sign::Overloaded { retry_after: Some(Duration::from_secs(2)) }).await.unwrap();
    let begun = Instant::now();
    assert!(matches!(a.call(Sign::Good).await, Err(Shut::Away(_))), "here at once");
    let told = Duration::from_millis(50);
    eventually("it is told", async || destinations::find(&app, NAME).await.unwrap().unwrap().closed_until.is_some())
        .await;
    assert!(begun.elapsed() < told * 10, "{:?}", begun.elapsed());
    eventually("heard", async || matches!(b.gate.admits(NAME, 1), Admits::Away(_))).await;
    eventually("over", async || b.gate.admits(NAME, 1) == Admits::Now).await;
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
    b.call(Sign::Good).await.unwrap();
    let found = destinations::find(&app, NAME).await.unwrap().unwrap();
    assert_eq!((found.breaker, found.trips), (Breaker::Closed, 0));

    b.call(Sign::Overloaded { retry_after: Some(Duration::from_secs(3600)) }).await.unwrap();
    eventually("it is told", async || destinations::find(&app, NAME).await.unwrap().unwrap().state == "retry_after")
        .await;
    assert!(destinations::resume(&app, NAME).await.unwrap());
    eventually("resumed", async || a.gate.admits(NAME, 1) == Admits::Now && b.gate.admits(NAME, 1) == Admits::Now)
        .await;
    assert!(a.call(Sign::Good).await.is_ok() && b.call(Sign::Good).await.is_ok());
}

#[tokio::test]
async fn a_rate_holds_over_all_processes() {
    let app = fresh_app().await;
    set(&app, 50, Some(40.0)).await;
    let processes = [Process::start(&app).await, Process::start(&app).await];
    let made = AtomicUsize::new(0);
    let begun = Instant::now();
    let until = begun + Duration::from_secs(3);
    let one = async |n: usize| {
        while Instant::now() < until {
            if processes[n % 2].call(Sign::Good).await.is_ok() && Instant::now() < until {
                made.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    futures_util::future::join_all((0..40).map(one)).await;
    let made = made.load(Ordering::SeqCst);
    assert!((100..=132).contains(&made), "{made} calls in 3 s at 40 a second");
}

#[tokio::test]
async fn a_paused_destination_waits_until_it_is_resumed() {
    let app = fresh_app().await;
    let process = Process::start(&app).await;
    process.call(Sign::Good).await.unwrap();
    let held = process.gate.hold(NAME);
    destinations::pause(&app, NAME).await.unwrap();
    eventually("paused", async || matches!(process.gate.admits(NAME, 1), Admits::Away(_))).await;
    assert!(matches!(held.slot().await, Err(Shut::Away(_))));
    let paused = Filter { state: Some("paused".into()), limit: 10, ..Filter::default() };
    assert_eq!(destinations::list(&app, &paused).await.unwrap().len(), 1);
    destinations::resume(&app, NAME).await.unwrap();
    eventually("resumed", async || held.slot().await.is_ok()).await;
    assert!(destinations::list(&app, &paused).await.unwrap().is_empty());
    assert!(!destinations::resume(&app, "nobody.test").await.unwrap());
}

#[tokio::test]
async fn settings_are_set_one_by_one_and_reach_those_who_call() {
    let app = fresh_app().await;
    let process = Process::start(&app).await;
    let setting = Setting { schedule: Some(Some(vec![1, 60])), ..Setting::default() };
    destinations::set(&app, NAME, &setting).await.unwrap();
    set(&app, 3, Some(1.5)).await;
    process.call(Sign::Good).await.unwrap();
    let waits = process.gate.schedule_of(NAME).unwrap();
    assert_eq!(*waits, [Duration::from_secs(1), Duration::from_secs(60)]);
    let found = destinations::find(&app, NAME).await.unwrap().unwrap();
    assert_eq!((found.concurrency, found.rate, found.concurrency_in_effect), (Some(3), Some(1.5), 3));
    let back = Setting { concurrency: Some(None), ..Setting::default() };
    destinations::set(&app, NAME, &back).await.unwrap();
    let found = destinations::find(&app, NAME).await.unwrap().unwrap();
    assert_eq!((found.concurrency, found.rate, found.schedule), (None, Some(1.5), Some(vec![1, 60])));
}

#[tokio::test]
async fn a_worker_that_was_declared_dead_starts_over() {
    let app = fresh_app_with(|config| config.delivery.lease = handfast::config::Period::seconds(1)).await;
    let process = Process::start(&app).await;
    process.call(Sign::Good).await.unwrap();
    let before: Uuid = process.lease.hold().worker;
    app.db.execute("delete from workers where id = $1", &[&before]).await.unwrap();
    eventually("it has another name", async || process.lease.hold().worker != before).await;
    books::hand_on_dead(&app).await.unwrap();
    // It hears of it within its next look around.
    let under_the_new_name = async || {
        process.call(Sign::Good).await.unwrap();
        let rows = app.db.rows("select worker from shares", &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, Uuid>(0)).eq([process.lease.hold().worker])
    };
    eventually("it has a share of its own again", under_the_new_name).await;
}
