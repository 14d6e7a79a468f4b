//! The rules between the votes and the action, in order. Each may change the count, and says so.
//!
//! Hysteresis, stabilization, rates and cooldowns keep the count calm; then come reasons for which nothing is
//! taken away now, and for which nothing is added; floors and ceilings come last, so that they hold whatever
//! went before.

use std::time::{Duration, SystemTime};

use super::View;
use super::tally::Tally;
use crate::decision::{Clamp, Direction, Rule};
use crate::history::{FRESH, Gain};
use crate::instances::without_old_sessions;
use crate::policy::Behavior;

/// What the rules make of the wanted count, one clamp for each that changed it.
pub(super) fn clamps(view: &View<'_>, tally: &Tally) -> Vec<Clamp> {
    let mut chain = Chain { at: tally.wanted, clamps: Vec::new() };
    view.calm(&mut chain, tally);
    view.keep(&mut chain);
    view.cap(&mut chain, tally);
    view.bound(&mut chain);
    chain.clamps
}

/// Whether a person should look: more instances would be asked for, and would not help.
pub(super) fn alarms(clamps: &[Clamp]) -> bool {
    clamps.iter().any(|clamp| clamp.rule == Rule::NoGain)
}

struct Chain {
    at: u64,
    clamps: Vec<Clamp>,
}

impl Chain {
    fn apply(&mut self, rule: Rule, to: u64) {
        if to != self.at {
            self.clamps.push(Clamp { rule, from: self.at, to });
            self.at = to;
        }
    }

    /// Takes back an increase.
    fn no_more(&mut self, rule: Rule, count: u64) {
        self.apply(rule, self.at.min(count));
    }

    /// Takes back a decrease.
    fn no_fewer(&mut self, rule: Rule, count: u64) {
        self.apply(rule, self.at.max(count));
    }
}

impl View<'_> {
    /// What keeps the count from following every breath. In a rush only rates and `cooldown_on_scale_up` hold
    /// an increase back, which somebody wrote for that.
    fn calm(&self, chain: &mut Chain, tally: &Tally) {
        let count = self.seen.count;
        // Before the window, which has no recommendations meanwhile: this is why.
        if self.is_partial() {
            chain.no_fewer(Rule::LoadBalancerUnknown, count);
        }
        if self.seen.kept() < count && chain.at <= self.seen.kept() {
            // All this was asked before they were drained, and chance shall not call them back.
            return chain.apply(Rule::Draining, self.seen.kept());
        }
        if count > 0 {
            self.stabilize(chain, tally);
        }
        // After the window, which may leave little of a large step.
        chain.apply(Rule::Hysteresis, self.tolerated(chain.at));
        chain.apply(Rule::Rates, chain.at.clamp(self.least(), self.most()));
        if !self.is_after_cooldown() {
            chain.no_fewer(Rule::Cooldown, count);
        }
        if self.heats() {
            chain.no_more(Rule::CooldownOnScaleUp, count);
        }
    }

    /// What more must be asked for, as a share of the count, so that a deployment which brings instances is superseded by one
    /// that starts from there: the next estimate of a rush differs from the last by a tenth or two by chance.
    const WORTH: f64 = 0.2;

    fn tolerated(&self, to: u64) -> u64 {
        let count = self.seen.count;
        let tolerance = match Direction::between(count, to) {
            Some(Direction::Up) if self.may_supersede(to) => Self::WORTH,
            Some(Direction::Up) if !self.rush => self.policy.scale_up.tolerance,
            Some(Direction::Down) => self.policy.scale_down.tolerance,
            _ => 0.0,
        };
        let bound = to <= self.bounds.floor || to >= self.bounds.ceiling;
        if !bound && (to.abs_diff(count) as f64) < tolerance * count as f64 { count } else { to }
    }

    /// An increase is as small as the least recommendation of its window, a decrease as the greatest; with a
    /// window that was not watched in full there is neither.
    fn stabilize(&self, chain: &mut Chain, tally: &Tally) {
        let (policy, count) = (self.policy, self.seen.count);
        let newest = tally.stable.unwrap_or(chain.at);
        let range = |window| self.seen.memory.range(policy, self.now, window, newest);
        let up = range(policy.scale_up.stabilization);
        if chain.at > count && !self.rush && !policy.scale_up.stabilization.is_zero() {
            let least = if up.full { up.least.max(count) } else { count };
            chain.no_more(Rule::Stabilization, least);
        }
        let back = policy.scale_down.window(self.seen.timing.block);
        // The rest of it they are drained.
        let back = back.saturating_sub(self.seen.tries(back));
        let down = range(back);
        if chain.at < count {
            let greatest = if down.full { down.greatest.min(count) } else { count };
            let soon = range(back * 2 / 3).greatest.max(chain.at);
            chain.no_fewer(Rule::Stabilization, greatest);
            if self.differs(chain.at, soon) {
                chain.no_fewer(Rule::Falling, count);
            }
        }
    }

    /// Whether a decrease to `now` would soon be followed by one to `soon` that is worth its own deployment:
    /// two steps take longer than to wait for the end of the fall, as the first one blocks the second.
    fn differs(&self, now: u64, soon: u64) -> bool {
        let worth = (Behavior::TOLERANCE * self.seen.count as f64).max(1.0);
        now.saturating_sub(soon) as f64 >= worth
    }

    /// Reasons for which nothing is taken away now.
    fn keep(&self, chain: &mut Chain) {
        let count = self.seen.count;
        let window = self.policy.scale_down.window(self.seen.timing.block).max(FRESH);
        if self.rush || self.settles() {
            chain.no_fewer(Rule::Panic, count);
        }
        if self.waits() {
            chain.no_fewer(Rule::Queue, count);
        }
        if self.seen.role_changed.is_some_and(|at| self.since(at) < window) {
            chain.no_fewer(Rule::RoleChange, count);
        }
        if self.load().is_some_and(|load| load.errors_rise) {
            chain.no_fewer(Rule::Errors, count);
        }
        if chain.at < count {
            let spared = without_old_sessions(&self.seen.instances, chain.at);
            chain.no_fewer(Rule::OldWorkers, spared.min(count));
        }
    }

    /// Reasons for which no more are asked for.
    fn cap(&self, chain: &mut Chain, tally: &Tally) {
        let count = self.seen.count;
        // What an increase long ago brought says nothing of a group that has no instance.
        if count > 0 && self.seen.gain.is_some_and(Gain::is_none) {
            chain.no_more(Rule::NoGain, count);
        }
        if let Some(max_by) = self.policy.max_by {
            // What is unknown takes nothing away; then the budget only keeps the count from rising.
            let least = if tally.missing || self.is_partial() { count } else { 0 };
            chain.no_more(Rule::Budget, max_by.instances().max(least));
        }
        if let Some(placeable) = self.seen.placeable {
            chain.no_more(Rule::Placeable, placeable.max(count));
        }
    }

    fn bound(&self, chain: &mut Chain) {
        let bounds = self.bounds;
        let (min, max) = (
            if bounds.floor_by_schedule { Rule::ScheduleMin } else { Rule::Min },
            if bounds.ceiling_by_schedule { Rule::ScheduleMax } else { Rule::Max },
        );
        chain.no_fewer(min, bounds.floor);
        if !self.may_be_zero() {
            chain.no_fewer(Rule::LastInstance, 1);
        }
        chain.no_more(max, bounds.ceiling);
    }

    /// A group at zero stays so while nothing waits; another gets there after it was idle for long enough, and not sooner
    /// after it came back: what is done at zero is not seen. Neither where nothing would bring it back.
    fn may_be_zero(&self) -> bool {
        let Some(after) = self.policy.scale_to_zero else { return false };
        let idle = self.load().filter(|load| load.missing.is_empty()).and_then(|load| load.idle);
        let raised = self.seen.scales.iter().filter(|scale| scale.to > scale.from);
        let came_back = raised.map(|scale| self.since(scale.at)).any(|ago| ago < after);
        let is_idle = idle.is_some_and(|idle| idle >= after) && !came_back;
        self.seen.held == Ok(0) && (self.seen.count == 0 || is_idle)
    }

    /// Whether requests wait for a slot, or a queue has just appeared: then no slot is one too many.
    fn waits(&self) -> bool {
        self.load().is_some_and(|load| load.is_saturated() || load.surges(self.policy.panic.queue))
    }

    /// Whether a queue grew for good a moment ago.
    pub(super) fn settles(&self) -> bool {
        self.seen.memory.rushed().is_some_and(|at| self.since(at) < self.policy.panic.window)
    }

    /// Whether the cooldown has passed since the last scale.
    pub(super) fn is_after_cooldown(&self) -> bool {
        self.seen.last_scale.is_none_or(|last| self.since(last.at) >= self.cooldown(last.direction))
    }

    /// Whether nothing was scaled for the time of `cooldown`.
    pub(super) fn is_calm(&self) -> bool {
        self.seen.last_scale.is_none_or(|last| self.since(last.at) >= self.policy.cooldown)
    }

    pub(super) fn cooldown(&self, after: Direction) -> Duration {
        match after {
            Direction::Up => self.policy.cooldown,
            Direction::Down => self.policy.cooldown_on_scale_down,
        }
    }

    fn heats(&self) -> bool {
        let up = self.seen.last_scale.filter(|last| last.direction == Direction::Up);
        up.is_some_and(|last| self.since(last.at) < self.policy.cooldown_on_scale_up)
    }

    /// No time where another clock is ahead of ours.
    pub(super) fn since(&self, then: SystemTime) -> Duration {
        self.now.duration_since(then).unwrap_or_default()
    }
}
