//! One measure, and what happened since the one before.
//!
//! In: two measures. Out: a [`Point`]. What is counted is compared by counter: a process that was not seen before tells nothing
//! of what happened since.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::seconds;
use crate::demand::{Counter, Measure, Undealt};

/// What is kept of a measure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) at: SystemTime,
    pub(super) work: f64,
    pub(super) queued: f64,
    pub(super) tunnels: f64,
    pub(super) left: f64,
    pub(super) serving: u64,
    pub(super) slots: Option<f64>,
    /// The time since the point before; nothing after a gap, and then nothing happened either.
    pub(super) seconds: f64,
    pub(super) arrived: f64,
    pub(super) completed: f64,
    pub(super) errors: f64,
    /// Tunnels that began, and that ended.
    pub(super) begun: f64,
    pub(super) ended: f64,
}

impl Point {
    /// What `measure` shows, and what happened since the one `before`.
    pub(super) fn of(measure: &Measure, before: Option<&Measure>) -> Self {
        let still = Self {
            at: measure.at,
            work: measure.work,
            queued: measure.queued,
            tunnels: measure.tunnels,
            left: measure.left,
            serving: measure.serving,
            slots: measure.slots,
            seconds: 0.0,
            arrived: 0.0,
            completed: 0.0,
            errors: 0.0,
            begun: 0.0,
            ended: 0.0,
        };
        before.map_or(still, |before| still.since(before, measure))
    }

    fn since(self, before: &Measure, now: &Measure) -> Self {
        let (waiting, moved) = undealt(&before.undealt, &now.undealt);
        let arrived = (counted(&before.totals, &now.totals) + waiting).max(0.0);
        let begun = grown(&before.begun, &now.begun).max(0.0);
        let more_tunnels = now.tunnels + now.left - before.tunnels - before.left;
        Self {
            seconds: seconds(before.at, now.at),
            arrived,
            // What came and is no longer there.
            completed: (arrived + before.work + moved - now.work).max(0.0),
            errors: counted(&before.errors, &now.errors),
            begun,
            ended: (begun - more_tunnels).max(0.0),
            ..self
        }
    }

    /// Slots that requests keep.
    pub(super) fn busy(&self) -> f64 {
        (self.work - self.queued).max(0.0)
    }

    /// Everything that is in the system.
    pub(super) fn sessions(&self) -> f64 {
        self.work + self.tunnels + self.left
    }

    /// Whether there was work: also where all that came was done with before anybody looked.
    pub(super) fn is_busy(&self) -> bool {
        self.sessions() > 0.0 || self.arrived > 0.0
    }
}

/// What was counted between two readings. Only counters of one process are compared; one that went down was
/// cleared and has counted from 0 since. A counter that is new tells nothing yet: the process may be old.
fn counted(before: &BTreeMap<Counter, u64>, after: &BTreeMap<Counter, u64>) -> f64 {
    let since = |counter: &Counter, total: u64| match before.get(counter) {
        Some(&earlier) if earlier <= total => total - earlier,
        Some(_) => total,
        None => 0,
    };
    after.iter().map(|(counter, &total)| since(counter, total)).sum::<u64>() as f64
}

/// By how many more wait than at the reading before, by the part that is the group's now; and how many of those that waited
/// before are the group's only since its part has changed.
fn undealt(before: &BTreeMap<Counter, Undealt>, after: &BTreeMap<Counter, Undealt>) -> (f64, f64) {
    let both = after.iter().filter_map(|(counter, now)| Some((before.get(counter)?, now)));
    both.fold((0.0, 0.0), |(waiting, moved), (then, now)| {
        let more = (now.bound - then.bound) + (now.free - then.free) * now.part;
        (waiting + more, moved + then.free * (now.part - then.part))
    })
}

/// By how much there is more than at the reading before, where there was one.
fn grown(before: &BTreeMap<Counter, f64>, after: &BTreeMap<Counter, f64>) -> f64 {
    after.iter().filter_map(|(counter, now)| Some(now - before.get(counter)?)).sum()
}
