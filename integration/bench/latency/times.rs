//! Times of many changes, and what is said of them.

use std::time::Duration;

/// Times, the shortest first.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The time within which so many percent of the changes were in force; 99 % of 30 are all.
    pub(crate) fn at(&self, percent: usize) -> Duration {
        self.within(percent * 10)
    }

    /// The time within which so many of a thousand were.
    pub(crate) fn within(&self, permille: usize) -> Duration {
        let count = (self.0.len() * permille).div_ceil(1000).max(1);
        self.0.get(count - 1).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(50).as_secs_f64()
    }

    /// Cells of a table: median, p90, p99, and the median as a multiple of the floor's.
    pub(crate) fn cells(&self, floor: Option<f64>) -> String {
        let [median, p90, p99] = [50, 90, 99].map(|percent| millis(self.at(percent)));
        let ratio = floor.map_or_else(String::new, |floor| format!("{:.2}", self.median() / floor));
        format!("{median} | {p90} | {p99} | {ratio}")
    }
}

/// A duration as a number of milliseconds.
pub(crate) fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 20.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}
