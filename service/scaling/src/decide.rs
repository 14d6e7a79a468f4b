//! From a policy and what is seen to a [`Decision`].
//!
//! Every check votes; the highest vote counts, so one check can raise the count and all must agree to lower it.
//! Cooldowns may then turn a change down, and `min` and `max` hold in any case.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::decision::{Action, Clamp, Decision, Direction, LastScale, Rule, Vote};
use crate::duration::format_duration;
use crate::history::{Demand, Load};
use crate::policy::{Check, Concurrency, OnCheckError, Policy, Strategy, TargetValue};
use crate::strategy::{instances_for, target_value};

/// What a decision is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The count that Nomad wants now.
    pub count: u64,
    /// The index of the job that `count` was read with.
    pub job_modify_index: u64,
    /// How many instances run.
    pub running: u64,
    /// Whether the job was stopped.
    pub job_stopped: bool,
    /// The group's load; its peak must be over the policy's cooldown.
    pub demand: Demand,
    /// When the count was changed last, and which way; from Nomad's events, so that it outlives a restart.
    pub last_scale: Option<LastScale>,
}

/// Decides what a group's count should be. Pure: the same inputs give the same decision.
pub fn decide(policy: &Policy, seen: &Seen, now: SystemTime) -> Decision {
    let start = |to, action, reason: String, votes, clamps| Decision {
        at: now,
        policy_id: policy.id.clone(),
        namespace: policy.namespace.clone(),
        job: policy.job.clone(),
        group: policy.group.clone(),
        from: seen.count,
        to,
        action,
        reason,
        votes,
        clamps,
        job_modify_index: seen.job_modify_index,
        running: seen.running,
        demand: seen.demand.clone(),
        last_scale: seen.last_scale,
    };
    if let Some(reason) = out_of_play(policy, seen) {
        return start(seen.count, Action::Hold, reason.to_owned(), Vec::new(), Vec::new());
    }
    let votes: Vec<Vote> = policy.checks.iter().map(|check| vote(policy, check, seen)).collect();
    let (wanted, reason) = winner(policy, seen.count, &votes);
    let clamps = clamps(policy, seen, wanted, now);
    let to = clamps.last().map_or(wanted, |clamp| clamp.to);
    let reason = sentence(policy, seen.count, to, &reason, &clamps);
    let action = if to == seen.count || policy.dry_run { Action::Hold } else { Action::Scale };
    start(to, action, reason, votes, clamps)
}

/// Why a policy is not acted on at all.
fn out_of_play(policy: &Policy, seen: &Seen) -> Option<&'static str> {
    if !policy.enabled {
        Some("the policy is disabled in the job")
    } else if seen.job_stopped {
        Some("the job is stopped")
    } else if seen.count == 0 {
        Some("the count is 0: it is left so until somebody sets it")
    } else {
        None
    }
}

fn vote(policy: &Policy, check: &Check, seen: &Seen) -> Vote {
    let (inputs, wants, reason) = match (&seen.demand, &check.strategy) {
        (Demand::Unknown { reason }, _) => (BTreeMap::new(), None, format!("its load is unknown: {reason}")),
        (Demand::Known(load), Strategy::Concurrency(options)) => {
            concurrency(policy, options, load, seen.count)
        }
        (Demand::Known(load), Strategy::TargetValue(options)) => by_target_value(options, load, seen.count),
    };
    Vote { check: check.label.clone(), strategy: check.strategy.name(), inputs, wants, reason }
}

type Opinion = (BTreeMap<&'static str, f64>, Option<u64>, String);

fn concurrency(policy: &Policy, options: &Concurrency, load: &Load, count: u64) -> Opinion {
    let mut inputs = inputs(load);
    let written = options.slots.or(policy.slots).map(|slots| slots as f64);
    let Some(slots) = written.or(load.slots).filter(|&slots| slots > 0.0) else {
        let reason = "what one instance can do at once is unknown: set slots in the policy, or maxconn on the server lines";
        return (inputs, None, reason.to_owned());
    };
    inputs.extend([("slots", slots), ("target", options.target)]);
    let wants = |work| instances_for(work, slots, options.target);
    let share = options.target * 100.0;
    let words =
        |work: f64| format!("work of {work:.1} on instances of {slots:.0} slots at {share:.0} % busy");
    let (wants, reason) = both_ways(load, count, wants(load.work), wants, words);
    (inputs, Some(wants), reason)
}

fn by_target_value(options: &TargetValue, load: &Load, count: u64) -> Opinion {
    let mut inputs = inputs(load);
    inputs.extend([("target", options.target), ("threshold", options.threshold)]);
    if load.serving == 0 {
        return (inputs, None, "no instance serves, so there is no work per instance".to_owned());
    }
    // The count that the metric is a mean over; with the wanted count, instances that start would be added twice.
    let serving = load.serving;
    let wants = |work: f64| target_value(serving, work / serving as f64, options);
    let most = options.max_scale_up.map_or(u64::MAX, |most| count.saturating_add(most));
    let least = options.max_scale_down.map_or(0, |most| count.saturating_sub(most));
    // Instances that start are part of the count already: they never turn a step up into one down, nor the reverse.
    let directed = |work: f64| match wants(work) {
        Some(new) if new > serving => new.clamp(count, most),
        Some(new) => new.clamp(least, count),
        None => count,
    };
    let words = |work: f64| {
        format!(
            "work of {:.2} per instance of {serving} for a target of {}",
            work / serving as f64,
            options.target
        )
    };
    let (wants, reason) = both_ways(load, count, directed(load.work), directed, words);
    (inputs, Some(wants), reason)
}

/// Up by the load now; down only as far as the highest load of the cooldown allows.
fn both_ways(
    load: &Load,
    count: u64,
    wanted: u64,
    wants: impl Fn(f64) -> u64,
    words: impl Fn(f64) -> String,
) -> (u64, String) {
    if wanted >= count {
        return (wanted, words(load.work));
    }
    match load.peak {
        None => (count, format!("{}, but the cooldown is not observed in full yet", words(load.work))),
        Some(peak) => {
            let highest = peak.max(load.work);
            (
                wants(highest).clamp(wanted, count),
                format!("{} at the highest of the cooldown", words(highest)),
            )
        }
    }
}

fn inputs(load: &Load) -> BTreeMap<&'static str, f64> {
    let mut inputs =
        BTreeMap::from([("work", load.work), ("queued", load.queued), ("serving", load.serving as f64)]);
    inputs.extend(load.peak.map(|peak| ("peak", peak)));
    inputs.extend(load.rate.map(|rate| ("rate", rate)));
    inputs
}

/// The count that the votes amount to, and why.
fn winner(policy: &Policy, count: u64, votes: &[Vote]) -> (u64, String) {
    let silent = votes.iter().find(|vote| vote.wants.is_none());
    let highest = votes.iter().filter(|vote| vote.wants.is_some()).max_by_key(|vote| vote.wants);
    let say = |vote: &Vote| format!("check {:?}: {}", vote.check, vote.reason);
    match (highest.and_then(|vote| vote.wants.zip(Some(vote))), silent) {
        (None, None) => (count, "there are no checks".to_owned()),
        (_, Some(silent)) if policy.on_check_error == OnCheckError::Fail => (count, say(silent)),
        (Some((wants, vote)), Some(_)) if wants > count => (wants, say(vote)),
        (_, Some(silent)) => (count, say(silent)),
        (Some((wants, vote)), None) => (wants, say(vote)),
    }
}

/// What the rules make of the wanted count, one clamp for each that changed it.
fn clamps(policy: &Policy, seen: &Seen, wanted: u64, now: SystemTime) -> Vec<Clamp> {
    let count = seen.count;
    let mut at = wanted;
    let mut clamps = Vec::new();
    let mut apply = |rule, to| {
        if to != at {
            clamps.push(Clamp { rule, from: at, to });
            at = to;
        }
        at
    };
    let to = apply(Rule::Cooldown, if cools(policy, seen, now) { wanted.max(count) } else { wanted });
    let to = apply(Rule::CooldownOnScaleUp, if heats(policy, seen, now) { to.min(count) } else { to });
    let to = apply(Rule::Min, to.max(policy.min));
    let to = apply(Rule::LastInstance, to.max(1));
    apply(Rule::Max, to.min(policy.max));
    clamps
}

fn cools(policy: &Policy, seen: &Seen, now: SystemTime) -> bool {
    seen.last_scale.is_some_and(|last| elapsed(last.at, now) < policy.cooldown)
}

fn heats(policy: &Policy, seen: &Seen, now: SystemTime) -> bool {
    let up = seen.last_scale.filter(|last| last.direction == Direction::Up);
    up.is_some_and(|last| elapsed(last.at, now) < policy.cooldown_on_scale_up)
}

/// None where Nomad's clock is ahead of ours.
fn elapsed(then: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

fn sentence(policy: &Policy, from: u64, to: u64, reason: &str, clamps: &[Clamp]) -> String {
    let head = match Direction::between(from, to) {
        None => format!("holds {from}"),
        Some(_) if policy.dry_run => format!("would go from {from} to {to} (dry-run)"),
        Some(Direction::Up) => format!("up from {from} to {to}"),
        Some(Direction::Down) => format!("down from {from} to {to}"),
    };
    clamps
        .iter()
        .fold(format!("{head}: {reason}"), |text, clamp| format!("{text}; {}", rule_words(policy, clamp)))
}

fn rule_words(policy: &Policy, clamp: &Clamp) -> String {
    let wanted = clamp.from;
    match clamp.rule {
        Rule::Cooldown => format!("{wanted} waits for the cooldown of {}", format_duration(policy.cooldown)),
        Rule::CooldownOnScaleUp => {
            format!(
                "{wanted} waits for the cooldown_on_scale_up of {}",
                format_duration(policy.cooldown_on_scale_up)
            )
        }
        Rule::Min => format!("{wanted} is below min = {}", policy.min),
        Rule::Max => format!("{wanted} is above max = {}", policy.max),
        Rule::LastInstance => "the last instance stays".to_owned(),
    }
}

#[cfg(test)]
mod tests;
