//! The scale loop: keeps the number of instances equal to what the traffic needs.
//!
//! [`ScaleLoop::handle`] is synchronous: events in, effects out. Every sample is measured for every policy; a decision
//! to scale is made a second time from a fresh reading of the job, and the write is fenced with the index of that
//! reading. Only the holder of the lock writes. What is unknown holds.

mod join;
mod report;
mod runner;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value};
use weir_consul::Leadership;
use weir_nomad::policies::{Policies, Reach};
use weir_nomad::{Allocation, Error, GroupScale, Job, JobScale, ScaleRequest};
use weir_pools::Catalogue;
use weir_scaling::{
    Action, Decision, History, Memory, Policy, RawPolicy, Reading, Seen, Timing, decide, measure, metrics,
};

pub(crate) use join::{allocation, allocations};
pub(crate) use runner::{Inputs, run};

use crate::chain::chain;
use crate::journal::{Record, ScaleResult};
use crate::metric_sources::{Answer, Ledger, Question};

/// How old what is known of a job may be before it is read again although nothing is to do.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How old it may be when a decision to scale is made from it.
const LOOK_FRESH: Duration = Duration::from_millis(500);
/// How long after a refusal the same is asked again: a deployment takes seconds to minutes.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long after any other failure.
const FAILED_AGAIN: Duration = Duration::from_secs(5);

/// What can happen to the scale loop.
#[derive(Debug)]
pub(crate) enum Event {
    Policies(Arc<Policies>),
    /// Why Nomad does not answer a probe, or that it does again.
    Hung(Option<String>),
    Leadership(Leadership),
    Catalogue(Arc<Catalogue>),
    /// HAProxy's processes were read.
    Sampled(Reading),
    /// A job was read.
    Looked {
        job: JobKey,
        look: Result<Look, Error>,
    },
    /// A source was asked.
    Answered {
        question: Question,
        answer: Answer,
    },
    /// Nomad answered a scale.
    Scaled {
        policy: String,
        request: Box<ScaleRequest>,
        from: u64,
        result: Result<(), Error>,
    },
}

/// What the outside shall do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Read a job.
    Look(JobKey),
    /// Ask a source.
    Ask(Question),
    /// Ask Nomad for another count.
    Scale {
        policy: String,
        request: Box<ScaleRequest>,
        from: u64,
    },
    Record(Record),
}

/// A job, by namespace and ID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobKey {
    pub(crate) namespace: String,
    pub(crate) id: String,
}

/// One reading of a job.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) job: Job,
    pub(crate) scale: JobScale,
    pub(crate) allocations: Vec<Allocation>,
}

/// All policies, and what is known for them.
#[derive(Debug)]
pub(crate) struct ScaleLoop {
    policies: BTreeMap<String, Tracked>,
    jobs: BTreeMap<JobKey, KnownJob>,
    /// How the policies' own watch reaches Nomad.
    watched: Reach,
    /// Why Nomad does not answer a probe.
    hung: Option<String>,
    /// Both together.
    reach: Reach,
    leadership: Leadership,
    leading: bool,
    /// When connections last went from one load balancer to another, or this weir began to lead.
    role_changed: Option<SystemTime>,
    /// What other sources than HAProxy answered.
    ledger: Ledger,
    addresses: join::Addresses,
    effects: Vec<Effect>,
}

/// One policy with its history.
#[derive(Debug)]
struct Tracked {
    raw: RawPolicy,
    parsed: Result<Policy, Vec<String>>,
    history: History,
    memory: Memory,
    last: Option<Decision>,
    /// When it was last decided from a sample.
    considered: Option<Instant>,
    /// A scale is on its way.
    in_flight: bool,
    /// Nothing is asked before this.
    not_before: Option<Instant>,
    /// The last refusal that was recorded, so that one state is recorded once.
    refused: Option<(u64, ScaleResult)>,
}

/// What is known of one job.
#[derive(Debug, Default)]
struct KnownJob {
    look: Option<Look>,
    /// When that was; nothing while it is known to be out of date.
    looked: Option<Instant>,
    in_flight: bool,
    /// What is on its way was asked for before the job was found to be out of date.
    outdated: bool,
}

impl Default for ScaleLoop {
    fn default() -> Self {
        Self {
            policies: BTreeMap::new(),
            jobs: BTreeMap::new(),
            watched: Reach::Pending,
            hung: None,
            reach: Reach::Pending,
            leadership: Leadership::Following { holder: None },
            leading: false,
            role_changed: None,
            ledger: Ledger::default(),
            addresses: join::Addresses::new(),
            effects: Vec::new(),
        }
    }
}

impl ScaleLoop {
    /// Takes one event in and says what to do. `now` and `time` are one moment on two clocks.
    pub(crate) fn handle(&mut self, now: Instant, time: SystemTime, event: Event) -> Vec<Effect> {
        match event {
            Event::Policies(policies) => self.take_policies(time, &policies),
            Event::Hung(problem) => {
                self.hung = problem;
                self.take_reach(time);
            }
            Event::Leadership(leadership) => self.leadership = leadership,
            Event::Catalogue(catalogue) => self.take_catalogue(now, &catalogue),
            Event::Sampled(reading) => self.sampled(now, time, &reading),
            Event::Looked { job, look } => self.looked(now, time, &job, look),
            Event::Answered { question, answer } => self.ledger.note(now, &question, answer),
            Event::Scaled { policy, request, from, result } => {
                self.scaled(now, &policy, &request, from, result);
            }
        }
        self.note_leadership(now, time);
        std::mem::take(&mut self.effects)
    }

    /// Nomad answers where the policies' watch and the probe say so: a blocking query that hangs tells only after a
    /// minute.
    fn take_reach(&mut self, time: SystemTime) {
        let since = if let Reach::Unreachable { since, .. } = &self.reach { *since } else { time };
        let reach = match (&self.watched, &self.hung) {
            (Reach::Ok | Reach::Pending, Some(error)) => Reach::Unreachable { since, error: error.clone() },
            (watched, _) => watched.clone(),
        };
        if reach != self.reach {
            self.note_reach(&reach);
            self.reach = reach;
        }
    }

    fn take_policies(&mut self, time: SystemTime, now: &Policies) {
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
        self.ledger.keep(self.policies.values().filter_map(|tracked| tracked.parsed.as_ref().ok()));
        for job in jobs {
            self.jobs.entry(job).or_default();
        }
    }

    fn take_policy(&mut self, id: &str, raw: &RawPolicy) {
        let parsed = weir_scaling::parse(raw)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>());
        if let Err(problems) = &parsed {
            self.effects.push(Effect::Record(Record::PolicyProblem {
                namespace: raw.namespace.clone(),
                job: raw.job.clone(),
                group: raw.group.clone(),
                problems: problems.clone(),
            }));
        }
        let keep = parsed.as_ref().map_or(Duration::ZERO, Policy::looks_back);
        // A policy with a mistake keeps its history: the next edit mends it.
        let tracked = self.policies.entry(id.to_owned()).or_insert_with(|| Tracked {
            raw: raw.clone(),
            parsed: Err(Vec::new()),
            history: History::new(keep),
            memory: Memory::default(),
            last: None,
            considered: None,
            in_flight: false,
            not_before: None,
            refused: None,
        });
        tracked.history.keep_at_least(keep);
        tracked.raw = raw.clone();
        tracked.parsed = parsed;
    }

    /// An allocation that registers is work that no look knows whose it is: its job is read before the next sample is
    /// measured, or its servers would count as somebody else's.
    fn take_catalogue(&mut self, now: Instant, catalogue: &Catalogue) {
        let addresses = join::addresses(catalogue);
        let new: Vec<&String> = addresses.keys().filter(|id| !self.addresses.contains_key(*id)).collect();
        let groups: Vec<Option<String>> = new.into_iter().map(|id| join::group_of(catalogue, id)).collect();
        self.addresses = addresses;
        for (key, job) in &mut self.jobs {
            let named = |group: &Option<String>| {
                let of_job = |tracked: &&Tracked| JobKey::of(&tracked.raw) == *key;
                let mut ours = self.policies.values().filter(of_job);
                // A service of a task names no group: it may be anybody's.
                ours.any(|tracked| group.as_ref().is_none_or(|group| group.starts_with(&tracked.raw.group)))
            };
            if groups.iter().any(named) {
                job.looked = None;
                job.outdated = job.in_flight;
            }
        }
        self.look_where_due(now);
    }

    fn note_reach(&mut self, reach: &Reach) {
        let (up, error) = match reach {
            Reach::Ok => (true, None),
            Reach::Unreachable { error, .. } => (false, Some(error.clone())),
            Reach::Pending => return,
        };
        if !matches!((&self.reach, up), (Reach::Unreachable { .. }, false)) {
            self.effects.push(Effect::Record(Record::Nomad { up, error }));
        }
    }

    /// Takes in when connections last went from one load balancer to another.
    pub(crate) fn note_role_change(&mut self, at: Option<SystemTime>) {
        self.role_changed = self.role_changed.max(at);
    }

    fn note_leadership(&mut self, now: Instant, time: SystemTime) {
        let leading = self.leads(now);
        if leading != self.leading {
            self.leading = leading;
            if leading {
                self.note_role_change(Some(time));
            }
            self.effects.push(Effect::Record(Record::Leader { leading }));
        }
    }

    fn leads(&self, now: Instant) -> bool {
        self.leadership.leads_at(now.into())
    }

    /// Measures the reading for every policy, and decides.
    fn sampled(&mut self, now: Instant, time: SystemTime, reading: &Reading) {
        for id in self.policies.keys().cloned().collect::<Vec<_>>() {
            let Some(tracked) = self.policies.get(&id) else { continue };
            if self.jobs.get(&JobKey::of(&tracked.raw)).is_none_or(|job| job.looked.is_none()) {
                continue;
            }
            let instances = self.instances(&tracked.raw);
            let measured = measure(reading, &instances);
            if let Some(tracked) = self.policies.get_mut(&id) {
                tracked.history.push(measured);
            }
            if self.is_due(now, &id) {
                self.ask_sources(now, &id);
                self.consider(now, time, &id);
            }
        }
        self.look_where_due(now);
    }

    /// Whether the policy's evaluation interval is over. Samples come once a second, give or take.
    fn is_due(&mut self, now: Instant, id: &str) -> bool {
        let Some(tracked) = self.policies.get_mut(id) else { return false };
        let interval = tracked.parsed.as_ref().map_or(Duration::ZERO, |policy| policy.evaluation_interval);
        let due = tracked
            .considered
            .is_none_or(|at| now.duration_since(at) + Duration::from_millis(100) >= interval);
        if due {
            tracked.considered = Some(now);
        }
        due
    }

    /// The addresses of a group's instances.
    fn instances(&self, raw: &RawPolicy) -> BTreeSet<SocketAddr> {
        let look = self.jobs.get(&JobKey::of(raw)).and_then(|job| job.look.as_ref());
        let allocations = look.iter().flat_map(|look| &look.allocations);
        let ours = allocations.filter(|allocation| allocation.group == raw.group);
        ours.filter_map(|allocation| self.addresses.get(&allocation.id)).flatten().copied().collect()
    }

    /// Asks what the checks look at besides HAProxy; the answers count for the next decision.
    fn ask_sources(&mut self, now: Instant, id: &str) {
        let policy = self.policies.get(id).and_then(|tracked| tracked.parsed.as_ref().ok());
        let due = policy.map(|policy| self.ledger.due(now, policy)).unwrap_or_default();
        self.effects.extend(due.into_iter().map(Effect::Ask));
    }

    /// Decides for one policy, and begins what the decision asks for.
    fn consider(&mut self, now: Instant, time: SystemTime, id: &str) {
        let Some(decision) = self.decide(now, time, id) else { return };
        let wants = decision.action == Action::Scale;
        let (leads, reached) = (self.leads(now), self.reach == Reach::Ok);
        let Some(tracked) = self.policies.get_mut(id) else { return };
        if let Ok(policy) = &tracked.parsed {
            tracked.memory.note(&decision, policy);
        }
        tracked.last = Some(decision.clone());
        let job = JobKey::of(&tracked.raw);
        let waits = tracked.in_flight || tracked.not_before.is_some_and(|then| then > now);
        if !wants {
            tracked.refused = None;
            return;
        }
        if !leads || !reached || waits {
            return;
        }
        let fresh = self.jobs.get(&job).and_then(|job| job.looked).is_some_and(|at| at + LOOK_FRESH > now);
        if fresh {
            self.ask(id, &decision);
        } else {
            self.look(&job);
        }
    }

    fn decide(&self, now: Instant, time: SystemTime, id: &str) -> Option<Decision> {
        let tracked = self.policies.get(id)?;
        let policy = tracked.parsed.as_ref().ok()?;
        let look = self.jobs.get(&JobKey::of(&tracked.raw))?.look.as_ref()?;
        let mut seen = Seen { role_changed: self.role_changed, ..seen(policy, look, tracked, time)? };
        seen.metrics.extend(self.ledger.metrics(policy, now, time));
        Some(decide(policy, &seen, time))
    }

    fn ask(&mut self, id: &str, decision: &Decision) {
        let Some(tracked) = self.policies.get_mut(id) else { return };
        tracked.in_flight = true;
        let request = Box::new(request(decision));
        self.effects.push(Effect::Scale { policy: id.to_owned(), request, from: decision.from });
    }

    fn look_where_due(&mut self, now: Instant) {
        let due = |job: &KnownJob| job.looked.is_none_or(|at| at + LOOK_EVERY <= now);
        let due: Vec<JobKey> =
            self.jobs.iter().filter(|(_, job)| due(job)).map(|(key, _)| key.clone()).collect();
        if self.reach == Reach::Ok {
            for job in &due {
                self.look(job);
            }
        }
    }

    fn look(&mut self, key: &JobKey) {
        if let Some(job) = self.jobs.get_mut(key).filter(|job| !job.in_flight) {
            job.in_flight = true;
            self.effects.push(Effect::Look(key.clone()));
        }
    }

    fn looked(&mut self, now: Instant, time: SystemTime, key: &JobKey, look: Result<Look, Error>) {
        let Some(job) = self.jobs.get_mut(key) else { return };
        job.in_flight = false;
        match look {
            Ok(look) => {
                job.look = Some(look);
                if std::mem::take(&mut job.outdated) {
                    return self.look(key);
                }
                job.looked = Some(now);
            }
            Err(error) => {
                // The policies' own watch says whether Nomad is away; here the last look stays, and ages.
                tracing::debug!("job {}: {}", key.id, chain(&error));
                if matches!(error, Error::NotFound { .. }) {
                    job.look = None;
                }
                return;
            }
        }
        let of_job = |tracked: &&Tracked| JobKey::of(&tracked.raw) == *key;
        let ids: Vec<String> =
            self.policies.values().filter(of_job).map(|tracked| tracked.raw.id.clone()).collect();
        for id in ids {
            self.consider(now, time, &id);
        }
    }

    fn scaled(
        &mut self,
        now: Instant,
        id: &str,
        request: &ScaleRequest,
        from: u64,
        result: Result<(), Error>,
    ) {
        let Some(tracked) = self.policies.get_mut(id) else { return };
        tracked.in_flight = false;
        let job = JobKey::of(&tracked.raw);
        let record = match result {
            Ok(()) => {
                tracked.refused = None;
                Some(Record::Scaled {
                    namespace: request.namespace.clone(),
                    job: request.job.clone(),
                    group: request.group.clone(),
                    from,
                    to: request.count,
                    reason: request.message.clone(),
                })
            }
            Err(error) => refusal(now, tracked, request, &error),
        };
        self.effects.extend(record.map(Effect::Record));
        // What was known of the job is out of date either way.
        if let Some(known) = self.jobs.get_mut(&job) {
            known.looked = None;
            known.outdated = known.in_flight;
        }
        self.look(&job);
    }
}

impl JobKey {
    fn of(raw: &RawPolicy) -> Self {
        Self { namespace: raw.namespace.clone(), id: raw.job.clone() }
    }
}

/// Takes note of a refusal. A state is recorded once, not each time it is met.
fn refusal(now: Instant, tracked: &mut Tracked, request: &ScaleRequest, error: &Error) -> Option<Record> {
    let (result, wait) = match error {
        Error::DeploymentActive { .. } => (ScaleResult::Blocked, ASK_AGAIN),
        Error::IndexConflict { .. } => (ScaleResult::Conflict, Duration::ZERO),
        _ => (ScaleResult::Failed, FAILED_AGAIN),
    };
    tracked.not_before = Some(now + wait);
    if tracked.refused.replace((request.count, result)) == Some((request.count, result)) {
        return None;
    }
    Some(Record::ScaleFailed {
        namespace: request.namespace.clone(),
        job: request.job.clone(),
        group: request.group.clone(),
        to: request.count,
        result,
        error: chain(error),
    })
}

/// What a decision is made from; nothing where the job has no such group.
fn seen(policy: &Policy, look: &Look, tracked: &Tracked, time: SystemTime) -> Option<Seen> {
    let count = *look.job.groups.get(&policy.group)?;
    let group: Option<&GroupScale> = look.scale.groups.get(&policy.group);
    let scales = group.map(|group| weir_nomad::scales(&group.events)).unwrap_or_default();
    let timing = Timing::default();
    let raised = scales.iter().filter(|scale| scale.to > scale.from).map(|scale| scale.at).max();
    Some(Seen {
        count,
        job_modify_index: look.job.job_modify_index,
        running: group.map_or(0, |group| group.running),
        job_stopped: look.job.stop,
        demand: tracked.history.demand(time),
        metrics: metrics(policy, &tracked.history, time),
        memory: tracked.memory.clone(),
        last_scale: group.and_then(|group| weir_nomad::last_scale(&group.events)),
        gain: raised.and_then(|raised| tracked.history.gain(raised, timing.start, time)),
        timing,
        scales,
        ..Seen::default()
    })
}

fn request(decision: &Decision) -> ScaleRequest {
    ScaleRequest {
        namespace: decision.namespace.clone(),
        job: decision.job.clone(),
        group: decision.group.clone(),
        count: decision.to,
        message: format!("weir: {}", decision.reason),
        meta: meta(decision),
        job_modify_index: decision.job_modify_index,
    }
}

/// What explains the decision to whoever looks at the job in Nomad.
fn meta(decision: &Decision) -> Map<String, Value> {
    let mut meta = Map::new();
    meta.insert("weir.policy_id".into(), decision.policy_id.clone().into());
    meta.insert("weir.from".into(), decision.from.into());
    meta.insert("weir.votes".into(), serde_json::to_value(&decision.votes).unwrap_or_default());
    meta.insert("weir.clamps".into(), serde_json::to_value(&decision.clamps).unwrap_or_default());
    meta
}

#[cfg(test)]
mod tests;
