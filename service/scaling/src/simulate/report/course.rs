//! A course in as many columns as a plot has room for.

use crate::simulate::{Outcome, Second};

/// Columns of a plot; a day has more seconds than a screen has pixels.
pub(super) const COLUMNS: usize = 700;

/// Some seconds of a course as one column. Means show the load, the highest shows what hurt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Column {
    /// The middle of it, in seconds since the beginning.
    pub(super) at: f64,
    /// Requests a second that arrived, in the mean.
    pub(super) rate: f64,
    /// Requests at work, in the mean.
    pub(super) busy: f64,
    /// The longest queue.
    pub(super) queued: f64,
    /// The count that Nomad wanted, at its highest.
    pub(super) count: f64,
    /// Instances that took requests, in the mean.
    pub(super) up: f64,
}

/// The columns of an outcome.
pub(super) fn columns(outcome: &Outcome) -> Vec<Column> {
    let width = outcome.course.len().div_ceil(COLUMNS).max(1);
    outcome.course.chunks(width).enumerate().map(|(at, seconds)| column(at * width, seconds)).collect()
}

fn column(first: usize, seconds: &[Second]) -> Column {
    let length = seconds.len() as f64;
    let mean =
        |of: fn(&Second) -> u32| seconds.iter().map(|second| f64::from(of(second))).sum::<f64>() / length;
    let highest =
        |of: fn(&Second) -> u32| seconds.iter().map(|second| f64::from(of(second))).fold(0.0, f64::max);
    Column {
        at: first as f64 + length / 2.0,
        rate: mean(|second| second.arrived),
        busy: mean(|second| second.busy),
        queued: highest(|second| second.queued),
        count: highest(|second| second.count),
        up: mean(|second| second.up),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_means_of_the_load_and_the_highest_queue() {
        let second = |n: u32| Second { arrived: n, busy: n, queued: n, count: n, up: n };
        let course = (0..1400).map(|n| second(n % 2 * 10)).collect();
        let columns = columns(&Outcome { course, ..Outcome::default() });
        assert_eq!(columns.len(), 700);
        let Column { at, rate, busy, queued, count, up } = columns[1];
        let wanted = [3.0, 5.0, 5.0, 10.0, 10.0, 5.0];
        for (found, wanted) in [at, rate, busy, queued, count, up].into_iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
        }
    }
}
