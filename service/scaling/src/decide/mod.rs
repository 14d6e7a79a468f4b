//! From a policy and what is seen to a [`Decision`].
//!
//! Every check votes; the votes of a group, then those of the groups, amount to a count; rules may hold it
//! back, one after another, each with its reason; floors and ceilings hold in any case. Pure: nothing is
//! read, nothing is kept. What later decisions look back on is in the decision itself, for
//! [`Memory`](crate::Memory).

mod bounds;
mod rates;
mod rules;
mod tally;
mod votes;
mod words;

use std::time::SystemTime;

use crate::decision::{Action, Decision, Vote};
use crate::history::{Demand, Load};
use crate::instances::victims;
use crate::policy::{Check, Policy};
use crate::schedule::Schedule;
use crate::seen::{Deployment, Seen};
use bounds::Bounds;

/// Decides what a group's count should be. Pure: the same inputs give the same decision.
pub fn decide(policy: &Policy, seen: &Seen, now: SystemTime) -> Decision {
    if let Some(reason) = out_of_play(policy, seen) {
        return record(policy, seen, now, reason);
    }
    let view = View { policy, seen, now, bounds: bounds::bounds(policy, now), rush: rush(policy, seen) };
    let votes = view.votes();
    let tally = tally::tally(&view, &votes);
    let clamps = rules::clamps(&view, &tally);
    let to = clamps.last().map_or(tally.wanted, |clamp| clamp.to);
    let supersede = view.may_supersede(to);
    Decision {
        to,
        action: view.action(to, supersede),
        reason: words::sentence(&view, to, &tally.reason, &clamps),
        stable: tally.stable.filter(|_| !view.is_partial()),
        rush: view.rush,
        alarm: rules::alarms(&clamps),
        words: clamps.iter().map(|clamp| words::rule(&view, clamp)).collect(),
        victims: victims(&seen.instances, to).into_iter().map(|one| one.id.clone()).collect(),
        votes,
        clamps,
        supersede,
        ..record(policy, seen, now, "")
    }
}

/// A decision that leaves everything.
fn record(policy: &Policy, seen: &Seen, now: SystemTime, reason: &str) -> Decision {
    Decision {
        at: now,
        policy_id: policy.id.clone(),
        namespace: policy.namespace.clone(),
        job: policy.job.clone(),
        group: policy.group.clone(),
        from: seen.count,
        to: seen.count,
        action: Action::Hold,
        reason: reason.to_owned(),
        votes: Vec::new(),
        clamps: Vec::new(),
        words: Vec::new(),
        stable: None,
        rush: false,
        alarm: false,
        supersede: false,
        victims: Vec::new(),
        job_modify_index: seen.job_modify_index,
        running: seen.running,
        demand: seen.demand.clone(),
        last_scale: seen.last_scale,
    }
}

/// Why a policy is not acted on at all.
fn out_of_play(policy: &Policy, seen: &Seen) -> Option<&'static str> {
    if !policy.enabled {
        Some("the policy is disabled in the job")
    } else if seen.job_stopped {
        Some("the job is stopped")
    } else if seen.count == 0 && seen.held.is_err() {
        Some("the count is 0: it is left so until somebody sets it")
    } else {
        None
    }
}

fn rush(policy: &Policy, seen: &Seen) -> bool {
    matches!(&seen.demand, Demand::Known(load) if load.rushes(policy.panic.queue))
}

/// Everything that one decision looks at.
struct View<'a> {
    policy: &'a Policy,
    seen: &'a Seen,
    now: SystemTime,
    bounds: Bounds,
    /// Whether a queue grows for good.
    rush: bool,
}

impl View<'_> {
    fn load(&self) -> Option<&Load> {
        match &self.seen.demand {
            Demand::Known(load) => Some(load),
            Demand::Unknown { .. } => None,
        }
    }

    /// Whether a load balancer did not answer, so that there is more work than is known.
    fn is_partial(&self) -> bool {
        self.load().is_some_and(|load| !load.missing.is_empty())
    }

    /// The votes of the checks that vote now.
    fn votes(&self) -> Vec<Vote> {
        let gates: Vec<&Schedule> = self.policy.schedules.iter().filter(|one| one.is_gate()).collect();
        if !gates.is_empty() && !gates.iter().any(|gate| gate.is_open(self.now)) {
            return Vec::new();
        }
        self.policy
            .checks
            .iter()
            .filter(|check| self.votes_now(check))
            .map(|check| self.vote(check))
            .collect()
    }

    fn votes_now(&self, check: &Check) -> bool {
        check.schedules.is_empty() || check.schedules.iter().any(|schedule| schedule.is_open(self.now))
    }

    /// Only a deployment of our own, only in a rush, only for more, and only where all of it is known to run.
    fn may_supersede(&self, to: u64) -> bool {
        self.seen.deployment == Deployment::Own && self.rush && to > self.seen.count && self.is_started()
    }

    /// Whether Nomad knows all instances to run. An allocation that a client has started and not yet told of is taken into the
    /// next deployment as one that has not started: its health is never found again, and the deployment hangs until its
    /// `healthy_deadline` (`client/allocrunner/health_hook.go` begins to watch anew, with the server's copy; seen on a 2.0.6-dev
    /// in 8 of 8 tries half a second after a scale, and in none of 14 once all were known to run).
    fn is_started(&self) -> bool {
        self.seen.running >= self.seen.count
    }

    fn action(&self, to: u64, supersede: bool) -> Action {
        let blocked = self.seen.deployment != Deployment::None && !supersede;
        match to == self.seen.count || self.policy.dry_run {
            true => Action::Hold,
            false if blocked => Action::Blocked,
            false => Action::Scale,
        }
    }
}

#[cfg(test)]
mod tests;
