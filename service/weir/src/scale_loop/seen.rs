//! What a decision is made from: the reading of the job, what HAProxy shows, and what was learned.
//!
//! What is not known stays at its default, which makes no decision bolder.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use weir_nomad::GroupScale;
use weir_scaling::{FRESH, Instance, Metric, Policy, Scale, Seen, Timing, metrics};

use super::ScaleLoop;
use super::instances::instances;
use super::job::{KnownJob, Look};
use super::policy::Tracked;
use super::servers::Servers;

/// Nomad's default `min_healthy_time`.
const SETTLES: Duration = Duration::from_secs(10);

impl ScaleLoop {
    /// What a decision about this policy is made from; nothing where the job has no such group, or was not
    /// read.
    pub(super) fn seen(&self, now: Instant, time: SystemTime, tracked: &Tracked) -> Option<Seen> {
        let (policy, job) = (tracked.good.as_ref()?, self.job_of(&tracked.raw)?);
        let look = job.look.as_ref()?;
        let group: Option<&GroupScale> = look.scale.groups.get(&policy.group);
        let scales = changes(group);
        let timing = timing(tracked, look);
        let raised = last_increase(&scales).map(|scale| scale.at);
        let count = *look.job.groups.get(&policy.group)?;
        Some(Seen {
            count,
            held: self.held(now, tracked, count),
            job_modify_index: look.job.job_modify_index,
            running: group.map_or(0, |group| group.running),
            job_stopped: look.job.stop,
            demand: tracked.history.demand(time),
            metrics: self.metrics(time, tracked, policy),
            memory: tracked.memory.clone(),
            last_scale: group.and_then(|group| weir_nomad::last_scale(&group.events)),
            gain: raised.and_then(|raised| tracked.history.gain(raised, timing.start, time)),
            timing,
            scales,
            instances: self.instances_of(time, tracked, look),
            draining: tracked.drain.as_ref().map(|drain| drain.target),
            drains: tracked.drains.min(policy.drain.deadline),
            placeable: look.room.as_ref().and_then(|room| room.most(&policy.group)),
            deployment: job.deployment(),
            role_changed: self.role_changed,
        })
    }

    /// What every source says for the checks that look at it.
    fn metrics(&self, time: SystemTime, tracked: &Tracked, policy: &Policy) -> BTreeMap<String, Metric> {
        let mut all = metrics(policy, &tracked.history, time);
        all.extend(self.answered(time, policy));
        all
    }

    /// The group's instances, as they are now.
    pub(super) fn instances_of(&self, time: SystemTime, tracked: &Tracked, look: &Look) -> Vec<Instance> {
        instances(&look.allocations, &tracked.raw.group, &self.addresses, self.newest(time))
    }

    /// HAProxy's servers as they were read last, while that counts.
    pub(super) fn newest(&self, time: SystemTime) -> Option<&Servers> {
        let is_new = |servers: &&Servers| time.duration_since(servers.at).unwrap_or_default() <= FRESH;
        self.servers.as_ref().filter(is_new)
    }

    /// Learns how long the instances of the last increase took until they served.
    pub(super) fn learn(&mut self, id: &str) {
        let Some(tracked) = self.policies.get(id) else { return };
        let look = self.job_of(&tracked.raw).and_then(|job: &KnownJob| job.look.as_ref());
        let group = look.and_then(|look| look.scale.groups.get(&tracked.raw.group));
        let scales = changes(group);
        let raised = last_increase(&scales);
        let took = raised.and_then(|scale| tracked.history.served_after(scale.at, scale.to));
        // None at all is a clock that differs, or instances that were there.
        let took = took.filter(|took| !took.is_zero());
        if let (Some(tracked), Some(took)) = (self.policies.get_mut(id), took) {
            tracked.start = Some(took);
        }
    }
}

fn changes(group: Option<&GroupScale>) -> Vec<Scale> {
    group.map(|group| weir_nomad::scales(&group.events)).unwrap_or_default()
}

fn last_increase(scales: &[Scale]) -> Option<&Scale> {
    scales.iter().filter(|scale| scale.to > scale.from).max_by_key(|scale| scale.at)
}

fn timing(tracked: &Tracked, look: &Look) -> Timing {
    let start = tracked.start.unwrap_or(Timing::default().start);
    let settles = look.job.settles.get(&tracked.raw.group).copied();
    let block = match settles {
        Some(Duration::ZERO) => Duration::ZERO,
        settles => start + settles.unwrap_or(SETTLES),
    };
    Timing { start, block }
}
