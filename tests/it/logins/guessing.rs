//! Guessing, as fast as it goes, from as many networks as there are.

use std::time::Duration;

use handfast::logins::Started;
use jiff::Timestamp;

use super::scene::{ANN, Scene, named, other_than};

const DAY: Duration = Duration::from_secs(86_400);

impl Scene {
    /// How many wrong codes were compared so far.
    async fn compared(&self) -> i32 {
        self.value("select in_a_row from login_addresses").await
    }
}

/// For days, without a moment's pause: at most 5·10⁻⁵ of the codes of any day are tried, then nothing more without an operator.
#[tokio::test]
async fn guesses_stay_below_the_odds() {
    let scene = Scene::start().await;
    let begun = scene.app.clock.now();
    let mut guesses: Vec<Timestamp> = Vec::new();
    while scene.app.clock.now() < begun + 12 * DAY {
        match scene.begin(ANN).await {
            Started::Accepted => {
                let code = scene.pending().await;
                for _ in 0..7 {
                    let before = scene.compared().await;
                    assert_eq!(named(&scene.attempt(ANN, &other_than(&code)).await), "wrong");
                    let n = scene.compared().await - before;
                    assert!((0..=1).contains(&n));
                    guesses.extend((0..n).map(|_| scene.app.clock.now()));
                }
            }
            Started::Limited { after } => scene.app.clock.advance(after),
            other => panic!("{other:?}"),
        }
    }
    let within = |from: &Timestamp| guesses.iter().filter(|at| *at >= from && **at < *from + DAY).count();
    let most = guesses.iter().map(within).max().unwrap();
    assert_eq!(most, 20, "of a million codes, in any 24 hours: 2 in 100,000");
    assert_eq!(guesses.len(), 100, "then it is locked");

    // The right code helps nobody before an operator does.
    assert!(matches!(scene.begin(ANN).await, Started::Limited { .. }));
    scene.app.clock.advance(100 * DAY);
    assert!(matches!(scene.begin(ANN).await, Started::Limited { .. }));
    assert!(scene.logins.unlock("com.example.app", "+1 800 555-1234").await.unwrap());
    assert!(!scene.logins.unlock("com.example.app", ANN).await.unwrap(), "nothing is counted any more");
    let code = scene.code(ANN).await;
    assert_eq!(named(&scene.attempt(ANN, &code).await), "token");
}

/// Also where a day's failures are allowed to be more: five for a code, ten codes a day.
#[tokio::test]
async fn codes_and_tries_alone_keep_to_the_odds() {
    let scene = Scene::with(|config| {
        super::scene::roomy(config);
        config.mesibo.failures_per_day = 10_000;
    })
    .await;
    let begun = scene.app.clock.now();
    let mut guesses = 0;
    while scene.app.clock.now() < begun + DAY {
        match scene.begin(ANN).await {
            Started::Accepted => {
                let code = scene.pending().await;
                for _ in 0..6 {
                    let before = scene.compared().await;
                    scene.attempt(ANN, &other_than(&code)).await;
                    guesses += scene.compared().await - before;
                }
            }
            Started::Limited { after } => scene.app.clock.advance(after),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(guesses, 50, "5 in 100,000");
}

#[tokio::test]
async fn many_at_once_are_no_more_than_one_after_another() {
    let scene = Scene::start().await;
    let code = scene.code(ANN).await;
    let wrong = other_than(&code);
    let answers = futures_util::future::join_all((0..40).map(|_| scene.attempt(ANN, &wrong))).await;
    assert!(answers.iter().all(|answer| named(answer) == "wrong"));
    assert_eq!(scene.compared().await, 5);
}

#[tokio::test]
async fn a_cool_down_ends_by_itself() {
    let scene = Scene::start().await;
    for _ in 0..4 {
        let code = scene.code(ANN).await;
        for _ in 0..5 {
            scene.attempt(ANN, &other_than(&code)).await;
        }
        scene.advance(601);
    }
    assert!(matches!(scene.begin(ANN).await, Started::Limited { after } if after > Duration::from_secs(85_000)));
    scene.app.clock.advance(DAY - Duration::from_secs(700));
    assert!(matches!(scene.begin(ANN).await, Started::Limited { .. }));
    scene.advance(700);
    let code = scene.code(ANN).await;
    assert_eq!(named(&scene.attempt(ANN, &code).await), "token");
    let row: i32 = scene.compared().await;
    assert_eq!(row, 0, "a right code ends the row");
}

/// A right code ends the row of wrong ones, and gives back none of the day's.
#[tokio::test]
async fn the_owner_s_logins_win_an_attacker_no_tries() {
    let scene = Scene::start().await;
    for round in 1..=5 {
        let code = scene.code(ANN).await;
        for _ in 0..4 {
            assert_eq!(named(&scene.attempt(ANN, &other_than(&code)).await), "wrong");
        }
        let expected = if round < 5 { "token" } else { "wrong" };
        assert_eq!(named(&scene.attempt(ANN, &code).await), expected, "round {round}");
        scene.advance(601);
    }
    assert!(matches!(scene.begin(ANN).await, Started::Limited { .. }));
}
