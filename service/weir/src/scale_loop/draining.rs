//! Drains in the loop: what they see, what their steps mean, and the intents that nobody needs any more.
//!
//! The intents in Consul are the only memory of a drain that outlives a process. Whoever leads takes back
//! those that belong to none of its drains: so it makes no difference at which moment a leader ends.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use weir_nomad::policies::Reach;
use weir_pools::intents::{Intents, Wish};
use weir_scaling::{Action, Clamp, Decision, RawPolicy, Rule};

use super::drain::{Drain, End, Left, Server, Sight, Step, lasting};
use super::instances::each;
use super::job::JobKey;
use super::wake::UNHELD;
use super::{Effect, ScaleLoop};
use crate::journal::{DrainResult, Record};

/// How long after a drain that came to nothing the next one begins at the earliest.
const REST: Duration = Duration::from_secs(5);
/// How long after intents were taken back they are looked at again: Consul tells of it a little later.
const STRUCK: Duration = Duration::from_secs(2);
/// What the owners of all intents of the scaler begin with.
const OWNER: &str = "scaler:";

/// Who owns the intents of a policy.
pub(super) fn owner(raw: &RawPolicy) -> String {
    let RawPolicy { namespace, job, group, .. } = raw;
    if namespace == "default" {
        format!("{OWNER}{job}/{group}")
    } else {
        format!("{OWNER}{job}/{group}@{namespace}")
    }
}

/// Intents to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noting {
    /// The policy's ID.
    pub(crate) policy: String,
    pub(crate) owner: String,
    pub(crate) wish: Wish,
    pub(crate) servers: BTreeSet<Server>,
    pub(crate) reason: String,
    /// When they end by themselves; never, where it is not said.
    pub(crate) lasting: Option<Duration>,
}

/// Intents to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Striking {
    pub(crate) owner: String,
    pub(crate) servers: BTreeSet<Server>,
}

/// The count that a decision wants to go down to; `from` where it wants nothing of the kind. A fall that goes
/// on is one while it is waited for: the instances leave meanwhile.
fn wanted(decision: &Decision) -> u64 {
    match (decision.action, decision.clamps.last()) {
        (Action::Scale | Action::Blocked, _) => decision.to,
        (Action::Hold, Some(Clamp { rule: Rule::Falling, from, .. })) => *from,
        (Action::Hold, _) => decision.from,
    }
}

impl ScaleLoop {
    /// Fewer: what Nomad will stop is drained first, from a reading of this moment.
    pub(super) fn take_away(&mut self, now: Instant, time: SystemTime, id: &str, decision: &Decision) {
        let Some(tracked) = self.policies.get(id) else { return };
        let rests = tracked.rest_until.is_some_and(|until| until > now);
        if tracked.drain.is_some() || rests || !self.may_ask(now, id) {
            return;
        }
        if !self.is_fresh(now, id) {
            let job = JobKey::of(&tracked.raw);
            return self.look(&job, None);
        }
        let patience = tracked.good.as_ref().map_or(Duration::ZERO, |policy| policy.drain.deadline);
        let tries = self.tries(now, time, id);
        let Some(sight) = self.sight(now, time, id, decision) else { return };
        let (drain, steps) = Drain::begin(&sight, patience, tries);
        self.effects.push(Effect::Record(began(decision, &drain)));
        self.carry_on(now, id, drain, steps, Some(decision));
    }

    /// A look at the drain that there is, if there is one.
    pub(super) fn go_on_draining(&mut self, now: Instant, time: SystemTime, id: &str, decision: &Decision) {
        if self.policies.get(id).is_none_or(|tracked| tracked.drain.is_none()) {
            return;
        }
        let Some(sight) = self.sight(now, time, id, decision) else { return };
        let Some(mut drain) = self.policies.get_mut(id).and_then(|tracked| tracked.drain.take()) else {
            return;
        };
        let steps = drain.turn(&sight);
        self.carry_on(now, id, drain, steps, Some(decision));
    }

    /// Consul took the intents, or not.
    pub(super) fn noted(&mut self, now: Instant, noting: &Noting, result: Result<(), String>) {
        let Some(tracked) = self.policies.get_mut(&noting.policy) else { return };
        if let Err(why) = &result {
            tracked.trouble = Some(why.clone());
        }
        let Some(mut drain) = tracked.drain.take_if(|drain| !drain.servers().is_disjoint(&noting.servers))
        else {
            return;
        };
        let steps = drain.noted(now, result);
        self.carry_on(now, &noting.policy, drain, steps, None);
    }

    /// How long instances are drained at least before they are stopped.
    pub(super) fn tries(&self, now: Instant, time: SystemTime, id: &str) -> Duration {
        let Some(tracked) = self.policies.get(id) else { return Duration::ZERO };
        let both = tracked.good.as_ref().zip(self.seen(now, time, tracked));
        both.map_or(Duration::ZERO, |(policy, seen)| seen.tries(policy.scale_down.window(seen.timing.block)))
    }

    fn sight(&self, now: Instant, time: SystemTime, id: &str, decision: &Decision) -> Option<Sight> {
        let tracked = self.policies.get(id)?;
        let job = self.job_of(&tracked.raw)?;
        let instances = self.instances_of(time, tracked, job.look.as_ref()?);
        let registered = self.addresses.keys().cloned().collect();
        let newest = self.newest(time);
        let unknown = Left { unknown: true, ..Left::default() };
        let drained = tracked.drain.as_ref().map(Drain::servers).unwrap_or_default();
        let pools = drained.iter().map(|server| server.backend.clone()).collect();
        Some(Sight {
            now,
            count: decision.from,
            wanted: wanted(decision),
            may_ask: decision.action == Action::Scale && self.may_ask(now, id),
            fresh: job.is_fresh(now),
            foreign: job.is_deployed_by_others(),
            servers: each(&instances, &self.addresses, |at| {
                newest.map(|all| all.names(at)).unwrap_or_default()
            }),
            left: each(&instances, &self.addresses, |at| newest.map_or(unknown, |all| all.left(at))),
            registered,
            holding: self.holding(tracked, &pools),
            standing: drained.into_iter().filter(|server| newest.is_none_or(|all| all.has(server))).collect(),
            instances,
        })
    }

    fn carry_on(
        &mut self,
        now: Instant,
        id: &str,
        drain: Drain,
        steps: Vec<Step>,
        decision: Option<&Decision>,
    ) {
        let Some(tracked) = self.policies.get_mut(id) else { return };
        let (raw, target) = (tracked.raw.clone(), drain.target);
        let spans = lasting(drain.patience);
        tracked.drain = Some(drain);
        for step in steps {
            match step {
                Step::Note(servers) => self.note(id, &raw, servers, spans, target),
                Step::Strike(servers) => self.strike(now, owner(&raw), servers),
                Step::Look => self.look(&JobKey::of(&raw), None),
                Step::Scale(count) => decision.into_iter().for_each(|why| self.ask(now, id, why, count)),
                Step::End(end) => self.end(now, id, target, &end),
            }
        }
    }

    fn note(&mut self, id: &str, raw: &RawPolicy, servers: BTreeSet<Server>, lasting: Duration, target: u64) {
        self.effects.push(Effect::Note(Noting {
            policy: id.to_owned(),
            owner: owner(raw),
            wish: Wish::Drain,
            servers,
            reason: format!("{}/{} goes down to {target}", raw.job, raw.group),
            lasting: Some(lasting),
        }));
    }

    fn strike(&mut self, now: Instant, owner: String, servers: BTreeSet<Server>) {
        if !servers.is_empty() {
            self.struck.insert(owner.clone(), now);
            self.effects.push(Effect::Strike(Striking { owner, servers }));
        }
    }

    fn end(&mut self, now: Instant, id: &str, target: u64, end: &End) {
        let Some(tracked) = self.policies.get_mut(id) else { return };
        let drain = tracked.drain.take();
        tracked.drains = drain.and_then(|drain| drain.emptied).unwrap_or(tracked.drains);
        if *end != End::Stopped {
            tracked.rest_until = Some(now + REST);
        }
        if let End::Unheld(why) = end {
            tracked.unheld = Some((why.clone(), now + UNHELD));
        }
        let record = ended(&tracked.raw, target, end);
        self.effects.push(Effect::Record(record));
    }

    /// Takes back the intents of the scaler that belong to no drain: of a leader that is gone, of a policy
    /// that is gone, or written late.
    pub(super) fn take_back_orphans(&mut self, now: Instant) {
        if !self.leads(now) || self.reach != Reach::Ok {
            return;
        }
        let owners: BTreeSet<String> = owners(&self.intents);
        for owner in owners {
            if self.struck.get(&owner).is_some_and(|at| *at + STRUCK > now) {
                continue;
            }
            let orphans = self.orphans(&owner);
            self.strike(now, owner, orphans);
        }
    }

    fn orphans(&self, of: &str) -> BTreeSet<Server> {
        let ours = || self.policies.values().filter(|tracked| owner(&tracked.raw) == of);
        // Whose they are is told by the job's reading.
        if ours().any(|tracked| self.job_of(&tracked.raw).is_none_or(|job| job.looked.is_none())) {
            return BTreeSet::new();
        }
        let drains = ours().filter_map(|tracked| tracked.drain.as_ref()).flat_map(Drain::servers);
        let needed: BTreeSet<Server> =
            drains.chain(ours().flat_map(|tracked| self.wakes_needed(tracked))).collect();
        let stand = self.intents.iter().filter(|(_, _, intent)| intent.owner == of);
        let stand =
            stand.map(|(backend, name, _)| Server { backend: backend.to_owned(), name: name.to_owned() });
        stand.filter(|server| !needed.contains(server) && !self.is_on_its_way_out(server)).collect()
    }

    /// Whether the server's instance was told to stop and is still listed: it would get sessions again.
    fn is_on_its_way_out(&self, server: &Server) -> bool {
        let at = self.servers.as_ref().map(|servers| servers.addresses_of(server)).unwrap_or_default();
        let stopped = |id: &String| {
            let looks = self.jobs.values().filter_map(|job| job.look.as_ref());
            let mut all = looks.flat_map(|look| &look.allocations);
            all.any(|one| one.id == *id && one.desired_status != "run")
        };
        let listed = self.addresses.iter().filter(|(_, addresses)| !addresses.is_disjoint(&at));
        listed.map(|(id, _)| id).any(stopped)
    }
}

fn owners(intents: &Intents) -> BTreeSet<String> {
    let owners = intents.iter().map(|(_, _, intent)| intent.owner.clone());
    owners.filter(|owner| owner.starts_with(OWNER)).collect()
}

fn began(decision: &Decision, drain: &Drain) -> Record {
    Record::Draining {
        namespace: decision.namespace.clone(),
        job: decision.job.clone(),
        group: decision.group.clone(),
        from: decision.from,
        to: drain.target,
        instances: drain.victims.values().map(|victim| victim.index).collect(),
        reason: decision.reason.clone(),
    }
}

fn ended(raw: &RawPolicy, to: u64, end: &End) -> Record {
    let (result, why) = match end {
        End::Stopped => (DrainResult::Stopped, String::new()),
        End::Spared(those) => (DrainResult::Spared, those.join(", ")),
        End::Withdrawn(why) | End::Unheld(why) => (DrainResult::Withdrawn, why.clone()),
    };
    Record::DrainEnded {
        namespace: raw.namespace.clone(),
        job: raw.job.clone(),
        group: raw.group.clone(),
        to,
        result,
        why,
    }
}

#[cfg(test)]
mod tests;
