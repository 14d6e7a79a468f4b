//! HAProxy's signals by name, as series over a check's window.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use super::{ABOUT_A_SECOND, FRESH, History, Point, seconds, within};
use crate::policy::{Check, Policy, Signal, Source, Strategy, Window};

/// What a source says for one check.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The values of the check's window, oldest first.
    Known {
        /// When the source said so.
        at: SystemTime,
        /// Values; those that are no number are passed over.
        values: Vec<f64>,
    },
    /// Nothing: it does not answer, or has nothing to say. That is not zero.
    Unknown {
        /// Why.
        reason: String,
    },
}

impl Metric {
    /// Nothing, for this reason.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }
}

/// What HAProxy says for each check of the policy that looks at one of its signals, by the check's label.
/// Checks of the strategy `concurrency` are not among them: they are decided from the
/// [`Demand`](super::Demand).
pub fn metrics(policy: &Policy, history: &History, now: SystemTime) -> BTreeMap<String, Metric> {
    let by_signal = |check: &Check| match (&check.source, &check.strategy) {
        (_, Strategy::Concurrency(_)) => None,
        (Source::Haproxy(signal), _) => Some((check.label.clone(), history.metric(*signal, check, now))),
        _ => None,
    };
    policy.checks.iter().filter_map(by_signal).collect()
}

impl History {
    /// The signal over the check's window. `target-value` multiplies a count, so of a total it gets each
    /// instance's part.
    fn metric(&self, signal: Signal, check: &Check, now: SystemTime) -> Metric {
        let newest = match self.fresh(now) {
            Ok(newest) => newest,
            Err(reason) => return Metric::unknown(reason),
        };
        if !newest.missing.is_empty() {
            return Metric::unknown(format!("HAProxy did not answer: {}", newest.missing.join(", ")));
        }
        let each = matches!(check.strategy, Strategy::TargetValue(_)) && signal.is_total();
        let value = |point: &Point| {
            let value = value(signal, point)?;
            if each { per_instance(value, point) } else { Some(value) }
        };
        let values: Vec<f64> = self.window(check, now).into_iter().filter_map(value).collect();
        if values.is_empty() {
            return Metric::unknown(nothing_of(signal));
        }
        Metric::Known { at: newest.at, values }
    }

    fn window(&self, check: &Check, now: SystemTime) -> Vec<&Point> {
        let end = now.checked_sub(check.offset).unwrap_or(now);
        let mut until = self.points.iter().filter(|point| point.at <= end);
        match check.window {
            Window::Instant => {
                until.next_back().filter(|point| within(point.at, end, FRESH)).into_iter().collect()
            }
            Window::Span(span) => by_the_second(until.filter(|point| within(point.at, end, span.max(FRESH)))),
        }
    }
}

/// One point a second, however often HAProxy was read: `threshold` counts them.
fn by_the_second<'a>(points: impl DoubleEndedIterator<Item = &'a Point>) -> Vec<&'a Point> {
    let mut kept: Vec<&Point> = Vec::new();
    for point in points.rev() {
        if kept.last().is_none_or(|later| seconds(point.at, later.at) >= ABOUT_A_SECOND) {
            kept.push(point);
        }
    }
    kept.reverse();
    kept
}

fn value(signal: Signal, point: &Point) -> Option<f64> {
    let a_second = |count: f64| (point.seconds > 0.0).then(|| count / point.seconds);
    match signal {
        Signal::Concurrency => Some(point.sessions()),
        Signal::ConcurrencyPerServer => per_instance(point.work + point.tunnels, point),
        Signal::Queue => Some(point.queued),
        Signal::Rate => a_second(point.arrived),
        Signal::Busy => {
            per_instance(point.busy() + point.tunnels, point).and_then(|busy| Some(busy / point.slots?))
        }
        Signal::Errors => a_second(point.errors),
    }
}

fn per_instance(value: f64, point: &Point) -> Option<f64> {
    (point.serving > 0).then(|| value / point.serving as f64)
}

fn nothing_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Busy => {
            "no instance serves, or what one can do at once is unknown: set maxconn on the server lines"
        }
        Signal::ConcurrencyPerServer => "no instance serves, so there is no work per instance",
        _ => "HAProxy was not read twice yet, or no instance serves",
    }
}
