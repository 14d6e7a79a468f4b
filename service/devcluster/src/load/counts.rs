//! What became of the requests: counters and a histogram that many tasks write and anyone may read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::request::Failure;

/// Each bucket ends this much (in per cent) above the one before: what a quantile may be off by.
const GROWTH: f64 = 1.05;
/// Up to about 300 s from 1 µs.
const BUCKETS: usize = 400;

/// What a load has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Requests sent, those beyond `max_in_flight` included.
    pub sent: u64,
    /// Answered with a status below 400.
    pub ok: u64,
    /// Failed for whatever reason: the sum of the next six.
    pub failed: u64,
    /// No connection.
    pub refused: u64,
    /// The connection ended before the answer was whole.
    pub reset: u64,
    /// A status of 400 to 499, or an answer that was not HTTP.
    pub client_error: u64,
    /// A status of 500 or above: for HAProxy mostly 503 (no server, queue time-out).
    pub server_error: u64,
    /// Took longer than the time-out.
    pub timed_out: u64,
    /// Not sent since `max_in_flight` requests were under way.
    pub overload: u64,
    /// Answered, but later than `late_after`.
    pub late: u64,
    /// Half of the answers came within this (at most 5 % above the true value, as the next two).
    pub p50: Duration,
    /// 90 % of the answers.
    pub p90: Duration,
    /// 99 % of the answers.
    pub p99: Duration,
    /// The slowest answer.
    pub max: Duration,
}

impl LoadReport {
    /// Requests under way.
    pub fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.ok + self.failed)
    }
}

pub(super) struct Counters {
    late_after: Duration,
    sent: AtomicU64,
    late: AtomicU64,
    failures: [AtomicU64; 6],
    slowest: AtomicU64,
    buckets: Vec<AtomicU64>,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The first bucket whose end is not below this time.
fn bucket(duration: Duration) -> usize {
    let exponent = (micros(duration).max(1) as f64).ln() / GROWTH.ln();
    (0..BUCKETS - 1).find(|at| *at as f64 >= exponent).unwrap_or(BUCKETS - 1)
}

impl Counters {
    pub(super) fn new(late_after: Duration) -> Self {
        Self {
            late_after,
            sent: AtomicU64::new(0),
            late: AtomicU64::new(0),
            failures: Default::default(),
            slowest: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, failure: Failure) {
        self.failures[failure as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, took: Duration) {
        self.buckets[bucket(took)].fetch_add(1, Ordering::Relaxed);
        self.slowest.fetch_max(micros(took), Ordering::Relaxed);
        self.late.fetch_add(u64::from(took > self.late_after), Ordering::Relaxed);
    }

    pub(super) fn report(&self) -> LoadReport {
        let failures = |failure: Failure| self.failures[failure as usize].load(Ordering::Relaxed);
        let counts: Vec<u64> = self.buckets.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let max = Duration::from_micros(self.slowest.load(Ordering::Relaxed));
        let within = |share: f64| quantile(&counts, share).min(max);
        LoadReport {
            ok: counts.iter().sum(),
            failed: self.failures.iter().map(|count| count.load(Ordering::Relaxed)).sum(),
            refused: failures(Failure::Refused),
            reset: failures(Failure::Reset),
            client_error: failures(Failure::ClientError),
            server_error: failures(Failure::ServerError),
            timed_out: failures(Failure::TimedOut),
            overload: failures(Failure::Overload),
            late: self.late.load(Ordering::Relaxed),
            p50: within(0.5),
            p90: within(0.9),
            p99: within(0.99),
            max,
            // Read last, so that it is never below the sum of the others.
            sent: self.sent.load(Ordering::Relaxed),
        }
    }
}

fn quantile(counts: &[u64], share: f64) -> Duration {
    let wanted = counts.iter().sum::<u64>() as f64 * share;
    let mut seen = 0;
    let reached = counts.iter().position(|count| {
        seen += count;
        seen > 0 && seen as f64 >= wanted
    });
    let end = |at: usize| Duration::from_secs_f64(GROWTH.powf(at as f64) / 1e6);
    reached.map_or(Duration::ZERO, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_the_width_of_a_bucket() {
        let counters = Counters::new(Duration::from_millis(950));
        for millis in 1..=1000 {
            counters.sent();
            counters.answered(Duration::from_millis(millis));
        }
        counters.sent();
        counters.failed(Failure::Reset);
        let report = counters.report();
        assert_eq!(
            (report.sent, report.ok, report.failed, report.reset, report.late),
            (1001, 1000, 1, 1, 50)
        );
        for (found, truth) in [(report.p50, 0.5), (report.p90, 0.9), (report.p99, 0.99)] {
            assert!((truth..truth * GROWTH).contains(&found.as_secs_f64()), "{found:?} for {truth}");
        }
        assert_eq!(report.max, Duration::from_secs(1));
        assert_eq!(report.in_flight(), 0);
    }
}
