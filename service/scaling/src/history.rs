//! What was measured lately: smoothed for increases, at its highest for decreases.
//!
//! An increase follows the mean of the last [`SMOOTHING`]; a decrease must be safe for the highest such mean in the
//! policy's cooldown, so that a dip does not shrink a group. Where the time is not covered without gaps, the highest
//! is unknown and nothing is taken away: after a start of Weir a full window passes first.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::demand::{Counter, Measure, Unknown};

/// The time that a gauge is averaged over. HAProxy is read once a second; three readings take the edge off a
/// moment's burst and delay an increase by one second in the mean.
pub const SMOOTHING: Duration = Duration::from_secs(3);

/// How old the newest measure may be; also the longest gap that a covered window may have.
pub const FRESH: Duration = Duration::from_secs(5);

/// The measures of one group, oldest first.
#[derive(Debug, Clone)]
pub struct History {
    keep: Duration,
    points: VecDeque<Point>,
    /// When the measures without a gap begin.
    since: Option<SystemTime>,
    newest: Option<Measure>,
    unknown: Option<Unknown>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    at: SystemTime,
    work: f64,
    queued: f64,
    /// The mean of the work in the [`SMOOTHING`] before it.
    smooth: f64,
    /// Sessions that arrived since the point before.
    arrived: u64,
}

/// What a group's load is, or why that is not known.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// It is known.
    Known(Load),
    /// It is not; nothing is taken away then.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// A group's load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    /// Work in the system, the mean of the last [`SMOOTHING`].
    pub work: f64,
    /// The part of it that waits.
    pub queued: f64,
    /// The highest such mean in the window asked for; `None` while the window is not covered, or longer than kept.
    pub peak: Option<f64>,
    /// Sessions a second; `None` with a single measure.
    pub rate: Option<f64>,
    /// Instances that take new sessions.
    pub serving: u64,
    /// What one instance can do at once by `maxconn`; `None` where a server line has none.
    pub slots: Option<f64>,
}

impl History {
    /// An empty one that can answer for windows up to `keep`.
    pub fn new(keep: Duration) -> Self {
        Self { keep, points: VecDeque::new(), since: None, newest: None, unknown: None }
    }

    /// From now on answers for windows up to `keep`, where that is more than before.
    pub fn keep_at_least(&mut self, keep: Duration) {
        if keep > self.keep {
            self.keep = keep;
            // What was forgotten does not come back.
            self.since = self.points.front().map(|oldest| oldest.at).max(self.since);
        }
    }

    /// Takes in what a reading said. A measure that is not newer than the last one is dropped, unless the clock was
    /// set back by more than [`FRESH`]: then all begins anew.
    pub fn push(&mut self, measured: Result<Measure, Unknown>) {
        match measured {
            Err(unknown) => self.unknown = Some(unknown),
            Ok(measure) => self.add(measure),
        }
    }

    fn add(&mut self, measure: Measure) {
        if let Some(last) = self.points.back() {
            if last.at.duration_since(measure.at).is_ok_and(|back| back > FRESH) {
                self.points.clear();
                self.newest = None;
            } else if measure.at <= last.at {
                return;
            }
        }
        self.note_gap(measure.at);
        let arrived = self.newest.as_ref().map_or(0, |before| arrivals(&before.totals, &measure.totals));
        let (at, work, queued) = (measure.at, measure.work, measure.queued);
        self.points.push_back(Point { at, work, queued, smooth: work, arrived });
        let smooth = self.mean(|point| point.work);
        if let Some(last) = self.points.back_mut() {
            last.smooth = smooth;
        }
        self.newest = Some(measure);
        self.unknown = None;
        self.forget(at);
    }

    /// A gap, or the first measure of all, begins a new stretch.
    fn note_gap(&mut self, at: SystemTime) {
        let follows = self.points.back().is_some_and(|last| within(last.at, at, FRESH));
        if !follows {
            self.since = Some(at);
        }
    }

    fn forget(&mut self, now: SystemTime) {
        let keep = self.keep + SMOOTHING;
        while self.points.front().is_some_and(|point| !within(point.at, now, keep)) {
            self.points.pop_front();
        }
    }

    /// The load at `now`, with its peak over the last `window`.
    pub fn demand(&self, now: SystemTime, window: Duration) -> Demand {
        let Some(newest) = &self.newest else {
            let reason =
                self.unknown.as_ref().map_or("HAProxy was not read yet".to_owned(), ToString::to_string);
            return Demand::Unknown { reason };
        };
        if !within(newest.at, now, FRESH) {
            let age = now.duration_since(newest.at).unwrap_or_default().as_secs();
            let why = self.unknown.as_ref().map(|unknown| format!(": {unknown}")).unwrap_or_default();
            return Demand::Unknown { reason: format!("the newest measure is {age} s old{why}") };
        }
        Demand::Known(Load {
            work: self.mean(|point| point.work),
            queued: self.mean(|point| point.queued),
            peak: self.peak(now, window),
            rate: self.rate(),
            serving: newest.serving,
            slots: newest.slots,
        })
    }

    fn peak(&self, now: SystemTime, window: Duration) -> Option<f64> {
        let long_enough = self.since.is_some_and(|since| window.is_zero() || !within(since, now, window));
        let covered = long_enough && window <= self.keep;
        let recent =
            self.points.iter().rev().take_while(|point| within(point.at, now, window.max(SMOOTHING)));
        covered.then(|| recent.map(|point| point.smooth).fold(0.0, f64::max))
    }

    fn mean(&self, of: impl Fn(&Point) -> f64) -> f64 {
        let values: Vec<f64> = self.latest().map(of).collect();
        if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
    }

    /// The points of the last [`SMOOTHING`], newest first.
    fn latest(&self) -> impl Iterator<Item = &Point> {
        let newest = self.points.back().map(|point| point.at);
        self.points.iter().rev().take_while(move |point| {
            newest.is_some_and(|newest| newest.duration_since(point.at).is_ok_and(|age| age < SMOOTHING))
        })
    }

    fn rate(&self) -> Option<f64> {
        let points: Vec<&Point> = self.latest().collect();
        let (newest, oldest) = (points.first()?, points.last()?);
        let seconds = newest.at.duration_since(oldest.at).ok()?.as_secs_f64();
        let arrived: u64 = points[..points.len() - 1].iter().map(|point| point.arrived).sum();
        (seconds > 0.0).then(|| arrived as f64 / seconds)
    }
}

/// Whether `then` lies at most `span` before `now`; a time to come counts as now.
fn within(then: SystemTime, now: SystemTime, span: Duration) -> bool {
    now.duration_since(then).is_ok_and(|age| age <= span) || then > now
}

/// Sessions that arrived between two readings. Only counters of one process are compared; one that went down was
/// cleared and has counted from 0 since. A counter that is new tells nothing yet: the process may be old.
fn arrivals(before: &BTreeMap<Counter, u64>, after: &BTreeMap<Counter, u64>) -> u64 {
    let since = |counter: &Counter, total: u64| match before.get(counter) {
        Some(&earlier) if earlier <= total => total - earlier,
        Some(_) => total,
        None => 0,
    };
    after.iter().map(|(counter, &total)| since(counter, total)).sum()
}

#[cfg(test)]
mod tests;
