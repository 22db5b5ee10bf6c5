use std::time::Duration;

use handfast::limits::{self, Verdict};

use crate::support::fresh_app;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn the_event_after_the_limit_is_over_and_a_new_window_starts_anew() {
    let app = fresh_app().await;
    let to_next_hour = 3600 - app.clock.unix_seconds().rem_euclid(3600);
    app.clock.advance(Duration::from_secs(to_next_hour as u64));
    for n in 1..=5 {
        let verdict = limits::count(&app, "wrong-code", "1000", HOUR, 3).await.unwrap();
        assert_eq!(verdict, if n <= 3 { Verdict::Within } else { Verdict::Over }, "{n}");
    }
    assert_eq!(limits::count(&app, "wrong-code", "1001", HOUR, 3).await.unwrap(), Verdict::Within);
    assert_eq!(limits::count(&app, "other", "1000", HOUR, 3).await.unwrap(), Verdict::Within);
    assert_eq!(limits::peek(&app, "wrong-code", "1000", HOUR).await.unwrap(), 5);
    app.clock.advance(HOUR);
    assert_eq!(limits::peek(&app, "wrong-code", "1000", HOUR).await.unwrap(), 0);
    assert_eq!(limits::count(&app, "wrong-code", "1000", HOUR, 3).await.unwrap(), Verdict::Within);
    assert_eq!(limits::count(&app, "wrong-code", "1000", HOUR, 0).await.unwrap(), Verdict::Over);
}

#[tokio::test]
async fn simultaneous_events_do_not_pass_together() {
    let app = fresh_app().await;
    let counts = (0..40).map(|_| limits::count(&app, "wrong-code", "1000", HOUR, 7));
    let verdicts = futures_util::future::join_all(counts).await;
    let within = verdicts.into_iter().filter(|verdict| *verdict.as_ref().unwrap() == Verdict::Within).count();
    assert_eq!(within, 7);
}

#[tokio::test]
async fn a_batch_counts_each_event_under_its_key() {
    let app = fresh_app().await;
    use Verdict::{Over, Within};
    let verdicts = limits::count_many(&app, "in", &["a", "b", "a", "a"], HOUR, 2).await.unwrap();
    assert_eq!(verdicts, [Within, Within, Within, Over]);
    let verdicts = limits::count_many(&app, "in", &["b", "b"], HOUR, 2).await.unwrap();
    assert_eq!(verdicts, [Within, Over]);
    assert_eq!(limits::count_many(&app, "in", &[], HOUR, 2).await.unwrap(), []);
}

#[tokio::test]
async fn any_text_can_be_a_key() {
    let app = fresh_app().await;
    let long = "x".repeat(100_000);
    for key in ["", "a\0b", "ü", &long] {
        assert_eq!(limits::count(&app, "in", key, HOUR, 1).await.unwrap(), Verdict::Within);
        assert_eq!(limits::peek(&app, "in", key, HOUR).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn counters_go_when_their_window_is_over() {
    let app = fresh_app().await;
    limits::count(&app, "in", "a", HOUR, 1).await.unwrap();
    assert_eq!(limits::purge(&app).await.unwrap(), 0);
    app.clock.advance(limits::LONGEST_WINDOW + HOUR);
    limits::count(&app, "in", "a", HOUR, 1).await.unwrap();
    assert_eq!(limits::purge(&app).await.unwrap(), 1);
    assert_eq!(limits::peek(&app, "in", "a", HOUR).await.unwrap(), 1);
}
