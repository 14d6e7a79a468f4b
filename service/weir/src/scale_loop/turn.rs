//! A turn: a sample is measured for every policy, each decides, and what a decision asks for is begun.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use weir_nomad::policies::Reach;
use weir_scaling::{Action, Decision, Policy, RawPolicy, Reading, decide, measure};

use super::job::{JobKey, Plan};
use super::servers::Servers;
use super::{Effect, ScaleLoop};

impl ScaleLoop {
    /// Measures the reading for every policy, and decides.
    pub(super) fn sampled(&mut self, now: Instant, time: SystemTime, reading: &Reading) {
        for id in self.policies.keys().cloned().collect::<Vec<_>>() {
            let Some(tracked) = self.policies.get(&id) else { continue };
            if self.job_of(&tracked.raw).is_none_or(|job| job.looked.is_none()) {
                continue;
            }
            let measured = measure(reading, &self.addresses_of(&tracked.raw));
            if let Some(tracked) = self.policies.get_mut(&id) {
                tracked.history.push(measured);
            }
        }
        self.servers = Some(Servers::of(reading));
        for id in self.policies.keys().cloned().collect::<Vec<_>>() {
            let known = self.policies.get(&id).and_then(|tracked| self.job_of(&tracked.raw));
            if known.is_some_and(|job| job.looked.is_some()) && self.is_due(now, &id) {
                self.ask_sources(time, &id);
                self.consider(now, time, &id);
            }
        }
        self.wish_to_hold(now);
        self.take_back_orphans(now);
        self.look_where_due(now);
    }

    /// Whether the policy's evaluation interval is over. Samples come once or twice a second, and the
    /// default is to evaluate each.
    fn is_due(&mut self, now: Instant, id: &str) -> bool {
        let Some(tracked) = self.policies.get_mut(id) else { return false };
        let interval = tracked.good.as_ref().map_or(Duration::ZERO, |policy| policy.evaluation_interval);
        let is_over = |at| now.duration_since(at) + Duration::from_millis(100) >= interval;
        let due = interval <= Policy::EVALUATION_INTERVAL || tracked.considered.is_none_or(is_over);
        if due {
            tracked.considered = Some(now);
        }
        due
    }

    /// The addresses of a group's instances.
    pub(super) fn addresses_of(&self, raw: &RawPolicy) -> BTreeSet<SocketAddr> {
        let look = self.job_of(raw).and_then(|job| job.look.as_ref());
        let allocations = look.iter().flat_map(|look| &look.allocations);
        let ours = allocations.filter(|allocation| allocation.group == raw.group);
        ours.filter_map(|allocation| self.addresses.get(&allocation.id)).flatten().copied().collect()
    }

    /// Decides for one policy, and begins what the decision asks for.
    pub(super) fn consider(&mut self, now: Instant, time: SystemTime, id: &str) {
        let Some(decision) = self.decide(now, time, id) else { return };
        let leads = self.leads(now);
        let Some(tracked) = self.policies.get_mut(id) else { return };
        self.effects.extend(tracked.note(now, &decision).map(Effect::Record));
        if !leads {
            // Whoever leads sees the intents, and goes on from them.
            tracked.drain = None;
            return;
        }
        self.go_on_draining(now, time, id, &decision);
        match decision.action {
            Action::Scale if decision.to > decision.from => self.add(now, id, &decision),
            Action::Scale => self.take_away(now, time, id, &decision),
            Action::Hold | Action::Blocked => {}
        }
    }

    pub(super) fn decide(&self, now: Instant, time: SystemTime, id: &str) -> Option<Decision> {
        let tracked = self.policies.get(id)?;
        let policy = tracked.good.as_ref()?;
        Some(decide(policy, &self.seen(now, time, tracked)?, time))
    }

    /// Whether Nomad may be asked for something now.
    pub(super) fn may_ask(&self, now: Instant, id: &str) -> bool {
        let ready = self.policies.get(id).is_some_and(|tracked| !tracked.is_waiting(now));
        ready && self.reach == Reach::Ok && self.leads(now)
    }

    pub(super) fn is_fresh(&self, now: Instant, id: &str) -> bool {
        let job = self.policies.get(id).and_then(|tracked| self.job_of(&tracked.raw));
        job.is_some_and(|job| job.is_fresh(now))
    }

    /// More: asked for at once, from a reading that says whether there is room.
    fn add(&mut self, now: Instant, id: &str, decision: &Decision) {
        if !self.may_ask(now, id) {
            return;
        }
        let Some(tracked) = self.policies.get(id) else { return };
        let (group, count) = (decision.group.clone(), decision.to);
        let planned = self.job_of(&tracked.raw).is_some_and(|job| job.is_planned(&group, count));
        if planned && self.is_fresh(now, id) {
            return self.ask(now, id, decision, count);
        }
        self.look(&JobKey::of(&tracked.raw), Some(Plan { group, count }));
    }
}
