//! One policy with all that is known for it, and how policies come and go.
//!
//! A version with mistakes is reported, on the job's page in Nomad too, and the last good one stays in force.
//! What Nomad itself reads of a policy (`min`, `max`, `enabled`) is always the newest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use weir_nomad::Notice;
use weir_nomad::policies::Policies;
use weir_scaling::{Decision, Demand, History, Memory, Policy, RawPolicy};

use super::drain::Drain;
use super::job::JobKey;
use super::scale::LastScale;
use super::{Effect, ScaleLoop};
use crate::journal::{Record, ScaleResult};

/// How long an alarm must have been over until it is recorded anew: around its bound it comes and goes.
const ALARM_AGAIN: Duration = Duration::from_mins(1);

/// One policy with its history.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) raw: RawPolicy,
    /// The last version without a mistake.
    pub(super) good: Option<Policy>,
    /// The mistakes of the newest version.
    pub(super) problems: Vec<String>,
    /// These mistakes stand on the job's page.
    told: bool,
    pub(super) history: History,
    pub(super) memory: Memory,
    pub(super) last: Option<Decision>,
    /// When it was last decided from a sample.
    pub(super) considered: Option<Instant>,
    /// A scale is on its way.
    pub(super) in_flight: bool,
    /// Nothing is asked before this.
    pub(super) not_before: Option<Instant>,
    /// The last refusal that was recorded, so that one state is recorded once.
    pub(super) refused: Option<(u64, ScaleResult)>,
    /// What came of the last scale that was asked for.
    pub(super) last_scale: Option<LastScale>,
    /// How long the instances of the last increase took until they served.
    pub(super) start: Option<Duration>,
    /// How long sessions had to be waited for when instances were drained last.
    pub(super) drains: Duration,
    /// Instances on their way out.
    pub(super) drain: Option<Drain>,
    /// No drain begins before this.
    pub(super) rest_until: Option<Instant>,
    /// Why its requests cannot be held, and until when that is not tried again.
    pub(super) unheld: Option<(String, Instant)>,
    /// When it was wished last that they are.
    pub(super) wished: Option<Instant>,
    /// Why nothing can be taken away now, although it should.
    pub(super) trouble: Option<String>,
    pub(super) tally: Tally,
    /// When a decision last said that a person should look.
    alarmed: Option<Instant>,
}

/// What is counted over all decisions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Decisions, by what they ask for.
    pub(super) decisions: BTreeMap<&'static str, u64>,
    /// How long more was needed and Nomad refused to scale.
    pub(super) blocked: Duration,
    blocked_since: Option<Instant>,
}

impl Tally {
    fn note(&mut self, now: Instant, decision: &Decision) {
        *self.decisions.entry(word(decision)).or_default() += 1;
        let since = self.blocked_since.take();
        self.blocked += since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if decision.action == weir_scaling::Action::Blocked && decision.to > decision.from {
            self.blocked_since = Some(now);
        }
    }
}

/// What a decision asks for, in a word.
fn word(decision: &Decision) -> &'static str {
    use weir_scaling::Action;
    match decision.action {
        Action::Blocked => "blocked",
        Action::Scale if decision.to > decision.from => "up",
        Action::Scale => "down",
        Action::Hold if matches!(decision.demand, Demand::Unknown { .. }) => "unknown",
        Action::Hold => "hold",
    }
}

impl Tracked {
    fn new(raw: RawPolicy) -> Self {
        Self {
            raw,
            good: None,
            problems: Vec::new(),
            told: true,
            history: History::new(Duration::ZERO),
            memory: Memory::default(),
            last: None,
            considered: None,
            in_flight: false,
            not_before: None,
            refused: None,
            last_scale: None,
            start: None,
            drains: Duration::ZERO,
            drain: None,
            rest_until: None,
            unheld: None,
            wished: None,
            trouble: None,
            tally: Tally::default(),
            alarmed: None,
        }
    }

    /// The policy changed in Nomad. With a mistake, what was good stays, within the bounds that Nomad keeps
    /// now.
    fn take(&mut self, raw: &RawPolicy) {
        self.raw = raw.clone();
        match weir_scaling::parse(raw) {
            Ok(policy) => {
                self.history.keep_at_least(policy.looks_back());
                (self.good, self.problems, self.told) = (Some(policy), Vec::new(), true);
            }
            Err(problems) => {
                self.problems = problems.iter().map(ToString::to_string).collect();
                self.told = false;
                self.bound();
            }
        }
    }

    fn bound(&mut self) {
        let Some(good) = &mut self.good else { return };
        good.enabled = self.raw.enabled;
        if self.raw.min <= self.raw.max {
            (good.min, good.max) = (self.raw.min, self.raw.max);
        }
    }

    /// Takes note of a decision; what is to be recorded of it.
    pub(super) fn note(&mut self, now: Instant, decision: &Decision) -> Option<Record> {
        if let Some(policy) = &self.good {
            self.memory.note(decision, policy);
        }
        self.tally.note(now, decision);
        if decision.action != weir_scaling::Action::Scale {
            self.refused = None;
        }
        if decision.to >= decision.from {
            self.trouble = None;
        }
        self.last = Some(decision.clone());
        self.alarm(now, decision)
    }

    fn alarm(&mut self, now: Instant, decision: &Decision) -> Option<Record> {
        let before = if decision.alarm { self.alarmed.replace(now) } else { return None };
        let is_new = before.is_none_or(|at| at + ALARM_AGAIN < now);
        is_new.then(|| Record::NoGain {
            namespace: decision.namespace.clone(),
            job: decision.job.clone(),
            group: decision.group.clone(),
            count: decision.from,
            reason: decision.reason.clone(),
        })
    }

    pub(super) fn is_waiting(&self, now: Instant) -> bool {
        self.in_flight || self.not_before.is_some_and(|then| then > now)
    }

    /// Whether the newest version has mistakes and an earlier one is in force.
    pub(super) fn is_last_good(&self) -> bool {
        !self.problems.is_empty() && self.good.is_some()
    }

    fn problem(&self) -> Record {
        Record::PolicyProblem {
            namespace: self.raw.namespace.clone(),
            job: self.raw.job.clone(),
            group: self.raw.group.clone(),
            problems: self.problems.clone(),
            last_good: self.is_last_good(),
        }
    }

    fn notice(&self) -> Notice {
        let what =
            if self.is_last_good() { "its last good version stays in force" } else { "it is not acted on" };
        Notice {
            namespace: self.raw.namespace.clone(),
            job: self.raw.job.clone(),
            group: self.raw.group.clone(),
            message: format!("weir: the scaling policy has mistakes, {what}: {}", self.problems.join("; ")),
            error: true,
        }
    }
}

impl ScaleLoop {
    pub(super) fn take_policies(&mut self, time: SystemTime, now: &Policies) {
        self.watched = now.reach.clone();
        self.take_reach(time);
        self.policies.retain(|id, _| now.policies.contains_key(id));
        for (id, raw) in &now.policies {
            if self.policies.get(id).is_none_or(|tracked| tracked.raw != *raw) {
                self.take_policy(id, raw);
            }
        }
        let jobs: BTreeSet<JobKey> = self.policies.values().map(|tracked| JobKey::of(&tracked.raw)).collect();
        self.jobs.retain(|job, _| jobs.contains(job));
        for job in jobs {
            self.jobs.entry(job).or_default();
        }
        self.forget_sources();
    }

    fn take_policy(&mut self, id: &str, raw: &RawPolicy) {
        let tracked = self.policies.entry(id.to_owned()).or_insert_with(|| Tracked::new(raw.clone()));
        tracked.take(raw);
        if !tracked.problems.is_empty() {
            self.effects.push(Effect::Record(tracked.problem()));
        }
    }

    /// Shows a policy's mistakes on its job's page, once: also where another weir did, or this one before a
    /// restart.
    pub(super) fn tell(&mut self, now: Instant, id: &str) {
        let leads = self.leads(now);
        let Some(tracked) = self.policies.get_mut(id).filter(|tracked| !tracked.told && leads) else {
            return;
        };
        let Some(look) = self.jobs.get(&JobKey::of(&tracked.raw)).and_then(|job| job.look.as_ref()) else {
            return;
        };
        tracked.told = true;
        let notice = tracked.notice();
        let events = look.scale.groups.get(&notice.group).map(|group| group.events.as_slice());
        let stands = events.unwrap_or_default().iter().any(|event| event.message == notice.message);
        if !stands && look.job.kind != "system" {
            self.effects.push(Effect::Notify(notice));
        }
    }
}
