//! What was recommended lately: the part of a decision that later decisions look back on.
//!
//! In: each decision. Out: the least and the greatest recommendation of a window, whether it was watched
//! without a gap, and when the last rush was. A decision that could not tell leaves a gap, so that a full
//! window follows it before anything is taken away. What a rush asked for is not among them: paying for it
//! until the window is over cost three times the instance hours, for nothing.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use crate::decision::Decision;
use crate::history::FRESH;
use crate::policy::{Behavior, Policy};

/// The recommendations of one policy, oldest first. Empty after a start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    entries: VecDeque<(SystemTime, u64)>,
    rush: Option<SystemTime>,
}

/// The recommendations of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) least: u64,
    pub(crate) greatest: u64,
    /// Whether the window was watched from its beginning, without a gap.
    pub(crate) full: bool,
}

impl Memory {
    /// Takes a decision in. One that is older than the newest is dropped, unless the clock was set back.
    pub fn note(&mut self, decision: &Decision, policy: &Policy) {
        let newest = self.entries.back().map(|(at, _)| *at);
        if newest.is_some_and(|newest| newest > decision.at + FRESH) {
            *self = Self::default();
        } else if newest.is_some_and(|newest| newest > decision.at) {
            return;
        }
        if decision.rush {
            self.rush = Some(decision.at);
        }
        self.entries.extend(decision.stable.map(|count| (decision.at, count)));
        let windows = [&policy.scale_up, &policy.scale_down].map(Behavior::longest_window);
        let keep = windows[0].max(windows[1]) + gap(policy);
        let old = |at: SystemTime| decision.at.duration_since(at).is_ok_and(|age| age > keep);
        while self.entries.front().is_some_and(|(at, _)| old(*at)) {
            self.entries.pop_front();
        }
    }

    /// The last time that a queue grew for good.
    pub(crate) fn rushed(&self) -> Option<SystemTime> {
        self.rush
    }

    /// What was recommended in the `window` before `now`, with `newest`, which is recommended now.
    pub(crate) fn range(&self, policy: &Policy, now: SystemTime, window: Duration, newest: u64) -> Range {
        let mut range = Range { least: newest, greatest: newest, full: window.is_zero() };
        let mut later = now;
        for &(at, count) in self.entries.iter().rev() {
            let apart = later.duration_since(at).unwrap_or_default();
            if apart > gap(policy) || range.full {
                break;
            }
            let age = now.duration_since(at).unwrap_or_default();
            range.full = age >= window;
            if age <= window {
                range.least = range.least.min(count);
                range.greatest = range.greatest.max(count);
            }
            later = at;
        }
        range
    }
}

/// The longest time between two recommendations that is no gap.
fn gap(policy: &Policy) -> Duration {
    policy.evaluation_interval * 2 + FRESH
}
