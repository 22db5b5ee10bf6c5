//! A worker's lease and clocks that go wrong.

use std::time::Duration;

use handfast::books;
use handfast::worker::Lease;
use tokio_util::sync::CancellationToken;

use crate::node::eventually;
use crate::support::fresh_app_with;

#[tokio::test]
async fn a_clock_that_jumps_ends_no_lease_and_a_worker_buried_by_mistake_starts_anew() {
    let app = fresh_app_with(|config| config.delivery.lease = handfast::config::Period::seconds(2)).await;
    let stop = CancellationToken::new();
    let lease = Lease::start(&app, stop.clone()).await.unwrap();
    let before = lease.hold();

    // The wall clock goes back by a day: the lease is judged by a clock that nobody can set.
    let right = app.clock.now();
    app.clock.follow(right - Duration::from_secs(86_400));
    assert!(lease.covers(&before));
    app.clock.follow(right);

    // Somebody with a clock an hour ahead buries everybody.
    let mut ahead = app.clone();
    ahead.clock = handfast::clock::Clock::system();
    ahead.clock.advance(Duration::from_secs(3600));
    assert_eq!(books::hand_on_dead(&ahead).await.unwrap(), 1);
    eventually("it starts anew", async || lease.hold().worker != before.worker).await;
    assert!(!lease.covers(&before), "what it held is another's now");
    assert!(lease.covers(&lease.hold()));
    stop.cancel();
}
