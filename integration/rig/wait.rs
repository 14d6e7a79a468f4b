//! Waiting for a predicate, with a deadline.

use std::time::{Duration, Instant};

/// For what normally takes well under a second; long, because the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

const PAUSE: Duration = Duration::from_millis(15);
const SHORT_PAUSE: Duration = Duration::from_millis(1);

/// Asks `probe` until it gives something; a panic names `what` if it has not by the deadline.
pub(crate) async fn wait_for<T>(what: &str, deadline: Duration, probe: impl AsyncFnMut() -> Option<T>) -> T {
    wait(what, deadline, PAUSE, probe).await
}

/// The same, asking often: where it is told how long something took.
pub(crate) async fn wait_closely<T>(
    what: &str,
    deadline: Duration,
    probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    wait(what, deadline, SHORT_PAUSE, probe).await
}

async fn wait<T>(
    what: &str,
    deadline: Duration,
    pause: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(started.elapsed() < deadline, "{what}: not within {deadline:?}");
        tokio::time::sleep(pause).await;
    }
}
