//! How long to wait before the next try: doubling, with jitter, up to a bound.

use std::time::Duration;

/// A doubling wait with downward jitter, so that many waiters do not come at once and the bound holds.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    /// For a reload that failed: soon, since the pool is behind, and never given up.
    pub(crate) fn reload() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }

    /// For files that could not be written or checked.
    pub(crate) fn write() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(30))
    }

    /// For an edit, or a text, that HAProxy refused: only something outside can have changed.
    pub(crate) fn edit() -> Self {
        Self::new(Duration::from_secs(30), Duration::from_mins(5))
    }

    fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, tries: 0 }
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let full = self.first.saturating_mul(1 << self.tries.min(16)).min(self.most);
        self.tries += 1;
        full.mul_f64(0.75 + 0.25 * fastrand::f64())
    }

    /// After a success: the next wait is the first again.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_over() {
        let mut backoff = Backoff::reload();
        let waits: Vec<Duration> = (0..10).map(|_| backoff.next()).collect();
        assert!(waits[0] >= Duration::from_millis(375) && waits[0] <= Duration::from_millis(500));
        assert!(waits[2] >= Duration::from_millis(1500) && waits[2] <= Duration::from_secs(2));
        assert!(waits[9] >= Duration::from_millis(22_500) && waits[9] <= Duration::from_secs(30));
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(500));
    }
}
