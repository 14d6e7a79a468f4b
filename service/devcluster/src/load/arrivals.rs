//! When requests arrive: a Poisson process whose rate changes over time.
//!
//! Inputs: a rate function and a length. Outputs: the arrival times, in order.

use std::sync::Arc;
use std::time::Duration;

/// The rate is taken as constant for so long: short enough for any demo, long enough to cost nothing.
const STEP: f64 = 0.02;

type RateFunction = dyn Fn(Duration) -> f64 + Send + Sync;

/// Requests per second as a function of the time since the start.
#[derive(Clone)]
pub struct Rate(Arc<RateFunction>);

impl Rate {
    /// Any function. Negative rates count as none.
    pub fn new(rate: impl Fn(Duration) -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(rate))
    }

    /// The same rate all the time.
    pub fn constant(rate: f64) -> Self {
        Self::new(move |_| rate)
    }

    /// From each time on (in order) the rate beside it; before the first none.
    pub fn steps(steps: Vec<(Duration, f64)>) -> Self {
        Self::new(move |at| steps.iter().rev().find(|(from, _)| *from <= at).map_or(0.0, |(_, rate)| *rate))
    }

    /// The rate at a time.
    pub fn at(&self, at: Duration) -> f64 {
        (self.0)(at).max(0.0)
    }
}

pub(super) struct Arrivals {
    rate: Rate,
    now: f64,
    end: f64,
}

impl Arrivals {
    pub(super) fn new(rate: Rate, length: Duration) -> Self {
        Self { rate, now: 0.0, end: length.as_secs_f64() }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // The next arrival is where the integral of the rate has grown by an exponentially distributed amount.
        let mut left = -(1.0 - fastrand::f64()).ln();
        while self.now < self.end {
            let expected = self.rate.at(Duration::from_secs_f64(self.now)) * STEP;
            if expected > left {
                self.now += STEP * left / expected;
                break;
            }
            left -= expected;
            self.now += STEP;
        }
        (self.now < self.end).then(|| Duration::from_secs_f64(self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_as_many_as_the_rate_says_and_in_order() {
        let second = Duration::from_secs(1);
        let rate = Rate::steps(vec![(second, 2000.0), (second * 3, 0.0), (second * 4, 500.0)]);
        let all: Vec<Duration> = Arrivals::new(rate, second * 6).collect();
        assert!(all.is_sorted());
        let between = |from: f64, to: f64| {
            all.iter().filter(|at| at.as_secs_f64() >= from && at.as_secs_f64() < to).count()
        };
        // The rate at the beginning of a step holds for the whole of it.
        assert_eq!((between(0.0, 1.0), between(3.0 + STEP, 4.0)), (0, 0));
        // Six standard deviations around 4,000 and 1,000.
        assert!((3600..4400).contains(&between(1.0, 3.0)), "{}", between(1.0, 3.0));
        assert!((800..1200).contains(&between(4.0, 6.0)), "{}", between(4.0, 6.0));
    }
}
