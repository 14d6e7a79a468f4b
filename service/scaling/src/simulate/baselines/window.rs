//! The highest of what was said lately.

use std::collections::VecDeque;

/// Values with their times, as old as `length` at most.
#[derive(Debug, Clone)]
pub(super) struct Window {
    length: f64,
    values: VecDeque<(f64, u64)>,
}

impl Window {
    /// An empty one over so many seconds.
    pub(super) fn new(length: f64) -> Self {
        Self { length, values: VecDeque::new() }
    }

    /// Takes in a value and gives the highest that is left. A value that is followed by a higher one never
    /// counts again, so only a falling sequence is kept.
    pub(super) fn highest(&mut self, now: f64, value: u64) -> u64 {
        while self.values.back().is_some_and(|&(_, last)| last <= value) {
            self.values.pop_back();
        }
        self.values.push_back((now, value));
        while self.values.front().is_some_and(|&(at, _)| at < now - self.length) {
            self.values.pop_front();
        }
        self.values.front().map_or(value, |&(_, highest)| highest)
    }
}
