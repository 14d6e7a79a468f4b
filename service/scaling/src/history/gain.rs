//! What the last increase brought.
//!
//! In: when the count was raised, and how long an instance takes to serve. Out: what was done before and
//! since. `None` where either was not watched, or it is too early to tell. It is forgotten with the measures
//! from before the increase, five minutes later: then another one may be tried.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{History, Point, mean, within};

/// The time before an increase, and the time now, that are compared.
const SPAN: Duration = Duration::from_secs(10);

/// What was done before an increase and since.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gain {
    /// How many times as many instances serve.
    pub instances: f64,
    /// How many times as many requests are done.
    pub completions: f64,
    /// By how much chance may move that: its standard error.
    pub error: f64,
    /// How many times as much work there is.
    pub work: f64,
}

impl Gain {
    /// Whether more instances did next to nothing for more work: less than a fifth of what as many would do alone, and less
    /// than half of it for sure. One more of twenty says nothing: chance moves the completions of ten seconds as much.
    pub fn is_none(self) -> bool {
        const NOTHING: f64 = 0.2;
        const HALF: f64 = 0.5;
        /// Standard errors: one of fifteen is beyond by chance.
        const SURE: f64 = 1.5;
        let (more, brought) = (self.instances - 1.0, self.completions - 1.0);
        let nothing = brought < NOTHING * more && brought + SURE * self.error < HALF * more;
        more > 0.0 && nothing && self.work > 1.0
    }
}

impl History {
    /// What the increase at `raised` brought.
    pub fn gain(&self, raised: SystemTime, start: Duration, now: SystemTime) -> Option<Gain> {
        let serves = raised + start;
        if now < serves + SPAN {
            return None;
        }
        let before: Vec<&Point> = self.span(raised);
        let after: Vec<&Point> = self.span(now);
        if tunnels_took_it(&before, &after) {
            return None;
        }
        let ratio = |of: &dyn Fn(&[&Point]) -> f64| {
            let before = of(&before);
            (before > 0.0).then(|| of(&after) / before)
        };
        Some(Gain {
            instances: ratio(&|points| averaged(points, |point| point.serving as f64))?,
            completions: ratio(&completed)?,
            error: error(&before, &after)?,
            work: ratio(&|points| averaged(points, |point| point.work))?,
        })
    }

    /// How long it took from the increase at `raised` until `count` instances served; `None` while they do
    /// not, or where it was not watched from the increase on.
    pub fn served_after(&self, raised: SystemTime, count: u64) -> Option<Duration> {
        self.since.filter(|since| *since <= raised)?;
        let serves = |point: &&Point| point.at >= raised && point.serving >= count;
        self.points.iter().find(serves).and_then(|point| point.at.duration_since(raised).ok())
    }

    /// The points of the time up to a moment; none where it was not watched.
    fn span(&self, end: SystemTime) -> Vec<&Point> {
        let watched = self.since.is_some_and(|since| since + SPAN <= end)
            && self.points.front().is_some_and(|oldest| oldest.at + SPAN <= end);
        let inside = |point: &&Point| watched && point.at <= end && within(point.at, end, SPAN);
        self.points.iter().filter(inside).collect()
    }
}

fn averaged(points: &[&Point], of: fn(&Point) -> f64) -> f64 {
    mean(&points.iter().map(|point| of(point)).collect::<Vec<_>>())
}

/// Whether tunnels hold a good part of the slots that an increase brought: what they leave says nothing of how requests fare.
fn tunnels_took_it(before: &[&Point], after: &[&Point]) -> bool {
    const PART: f64 = 0.2;
    let more = |of: fn(&Point) -> f64| averaged(after, of) - averaged(before, of);
    let slots = after.last().and_then(|point| point.slots).unwrap_or(1.0);
    let brought = slots * more(|point| point.serving as f64).max(0.0);
    let tunnels = more(|point| point.tunnels);
    tunnels > 0.5 && tunnels >= PART * brought
}

/// The standard error of the ratio of two counts.
fn error(before: &[&Point], after: &[&Point]) -> Option<f64> {
    let done = |points: &[&Point]| points.iter().map(|point| point.completed).sum::<f64>();
    let ratio = completed(after) / completed(before);
    let error = ratio * (1.0 / done(before) + 1.0 / done(after).max(1.0)).sqrt();
    error.is_finite().then_some(error)
}

/// Requests that were done in a second: the points before an increase may be twice as far apart as those since, or half.
fn completed(points: &[&Point]) -> f64 {
    let (done, time) =
        points.iter().fold((0.0, 0.0), |(done, time), point| (done + point.completed, time + point.seconds));
    if time > 0.0 { done / time } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chance_explains_is_not_told_from_a_gain() {
        // Ten seconds of 300 a second, before and since.
        let brought = |instances, completions| Gain { instances, completions, error: 0.026, work: 1.1 };
        assert!(!brought(1.05, 1.0).is_none(), "one more of twenty");
        assert!(brought(1.5, 1.0).is_none(), "half as many again");
        assert!(!brought(1.5, 1.2).is_none());
        assert!(!Gain { error: 0.4, ..brought(1.5, 1.0) }.is_none(), "a dozen requests tell nothing");
    }
}
