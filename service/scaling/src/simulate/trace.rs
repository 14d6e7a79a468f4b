//! Recorded traffic: rates at points in time, and what lies between them.
//!
//! In: a CSV file or an HAProxy log, as text. Out: a [`Trace`], from which the requests of each second are
//! expected by drawing straight lines between the middles of the recorded periods. What cannot be read is a
//! [`TraceError`] with file and line.

mod csv;
mod haproxy_log;
mod timestamp;

use thiserror::Error;

pub use csv::Unit;

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// Traffic over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Times in seconds since the epoch, rising, each with requests a second. At least two.
    points: Vec<(f64, f64)>,
}

/// A file that is no trace.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}:{line}: {message}")]
pub struct TraceError {
    /// The file's name as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// Reads a file in whichever of the formats it is. `unit` is what the numbers of a CSV file are; without it
/// the header tells.
pub fn read(file: &str, text: &str, unit: Option<Unit>) -> Result<Trace, TraceError> {
    let is_log =
        text.lines().take(haproxy_log::LINES_TO_TELL).any(|line| haproxy_log::accepted(line).is_some());
    if is_log { haproxy_log::read(file, text) } else { csv::read(file, text, unit) }
}

impl Trace {
    /// All requests a second times a factor.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        self.points.iter_mut().for_each(|(_, rate)| *rate *= factor);
        self
    }

    /// The highest rate, in requests a second.
    pub fn peak(&self) -> f64 {
        self.points.iter().map(|(_, rate)| *rate).fold(0.0, f64::max)
    }

    /// The day (UTC) with the highest rate; all of it where it is shorter than a day.
    #[must_use]
    pub fn busiest_day(self) -> Self {
        let busiest = self.points.iter().rev().max_by(|one, other| one.1.total_cmp(&other.1));
        let midnight = busiest.map_or(0.0, |(at, _)| (at / DAY).floor() * DAY);
        let of_day = |&(at, _): &(f64, f64)| (midnight..midnight + DAY).contains(&at);
        let points: Vec<_> = self.points.iter().copied().filter(of_day).collect();
        if points.len() < 2 { self } else { Self { points } }
    }

    /// Requests a second for each second from the first to the last point.
    pub fn rates(&self) -> Vec<f64> {
        let mut rates = Vec::new();
        for pair in self.points.windows(2) {
            let &[(from, low), (to, high)] = pair else { continue };
            let start = self.points[0].0 + rates.len() as f64;
            let seconds = (0..).map(|second| start + f64::from(second)).take_while(|&at| at < to);
            rates.extend(seconds.map(|at| low + (high - low) * (at - from) / (to - from)));
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_points_lies_a_line() {
        let trace = Trace { points: vec![(100.5, 0.0), (104.5, 4.0), (106.5, 4.0)] };
        assert_eq!(trace.rates(), [0.0, 1.0, 2.0, 3.0, 4.0, 4.0]);
        assert_eq!((trace.peak(), trace.scaled(2.0).peak()), (4.0, 8.0));
    }

    #[test]
    fn the_busiest_day_is_that_of_the_peak() {
        let points = (0..72).map(|hour| (f64::from(hour) * 3600.0, f64::from(hour % 30))).collect();
        let day = Trace { points }.busiest_day();
        assert_eq!((day.points.len(), day.points[0].0), (24, DAY));
    }
}
