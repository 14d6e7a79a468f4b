//! The jobs that have policies, and when they are read.
//!
//! A job is read every few seconds, before a decision is carried out, and as soon as an allocation registers
//! that nobody knows. Where a reading fails, the last one stays and ages.

use std::time::{Duration, Instant, SystemTime};

use weir_nomad::policies::Reach;
use weir_nomad::{Allocation, Deployment, Error, Job, JobScale};
use weir_pools::Catalogue;
use weir_scaling::RawPolicy;

use super::policy::Tracked;
use super::{Effect, ScaleLoop, join};
use crate::chain::chain;

/// How old what is known of a job may be before it is read again although nothing is to do.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while something is going on: instances leave, or a deployment is waited for.
const LOOK_OFTEN: Duration = Duration::from_secs(1);
/// How old it may be when a decision to scale is made from it.
const LOOK_FRESH: Duration = Duration::from_millis(500);

/// A job, by namespace and ID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobKey {
    pub(crate) namespace: String,
    pub(crate) id: String,
}

impl JobKey {
    pub(super) fn of(raw: &RawPolicy) -> Self {
        Self { namespace: raw.namespace.clone(), id: raw.job.clone() }
    }
}

/// A count that is about to be asked for: is there room for it?
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) group: String,
    pub(crate) count: u64,
}

/// What Nomad said to a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) plan: Plan,
    /// How many instances find room: the planned count, where all do.
    pub(crate) finds: u64,
}

impl Room {
    /// Whether it answers for a count of a group too.
    fn covers(&self, group: &str, count: u64) -> bool {
        self.plan.group == group && self.plan.count >= count
    }

    /// The most that the group can have, where that is fewer than planned.
    pub(super) fn most(&self, group: &str) -> Option<u64> {
        (self.plan.group == group && self.finds < self.plan.count).then_some(self.finds)
    }
}

/// One reading of a job.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) job: Job,
    pub(crate) scale: JobScale,
    pub(crate) allocations: Vec<Allocation>,
    pub(crate) deployment: Option<Deployment>,
    /// Whether what was about to be asked for finds room; nothing where nothing was.
    pub(crate) room: Option<Room>,
}

/// What is known of one job.
#[derive(Debug, Default)]
pub(super) struct KnownJob {
    pub(super) look: Option<Look>,
    /// When that was; nothing while it is known to be out of date.
    pub(super) looked: Option<Instant>,
    /// When that was, by the clock.
    pub(super) looked_at: Option<SystemTime>,
    pub(super) in_flight: bool,
    /// What is on its way was asked for before the job was found to be out of date.
    pub(super) outdated: bool,
    /// The job's index after weir's own last change: a deployment of it is weir's own.
    pub(super) own: Option<u64>,
    /// Nomad does not let weir register the job, so that no deployment can be superseded.
    pub(super) may_not_register: bool,
}

impl KnownJob {
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.looked.is_some_and(|at| at + LOOK_FRESH > now)
    }

    /// Whether it is known how many of so many instances find room.
    pub(super) fn is_planned(&self, group: &str, count: u64) -> bool {
        let room = self.look.as_ref().and_then(|look| look.room.as_ref());
        room.is_some_and(|room| room.covers(group, count))
    }

    /// The deployment that Nomad would refuse to scale in.
    fn blocking(&self) -> Option<&Deployment> {
        let deployment = self.look.as_ref()?.deployment.as_ref()?;
        Some(deployment).filter(|deployment| deployment.blocks_scaling())
    }

    pub(super) fn deployment(&self) -> weir_scaling::Deployment {
        let Some(blocking) = self.blocking() else { return weir_scaling::Deployment::None };
        let own = self.own == Some(blocking.job_modify_index) && !self.may_not_register;
        if own { weir_scaling::Deployment::Own } else { weir_scaling::Deployment::Foreign }
    }

    /// The deployment that Nomad would refuse to scale in, in words, and what ends it.
    pub(super) fn deployment_words(&self) -> Option<String> {
        let Deployment { id, status, description, .. } = self.blocking()?;
        let short = id.get(..8).unwrap_or(id);
        let (what, ends) = if description.contains("manual promotion") {
            (
                "its canaries wait for promotion",
                format!("`nomad deployment promote {short}`, or `fail`, ends it"),
            )
        } else {
            let what = if description.is_empty() { status } else { description };
            (what.as_str(), format!("`nomad deployment status {short}` shows how far it is"))
        };
        Some(format!("{short}: {what}; Nomad sets no count before it is over: {ends}"))
    }

    /// Whether the deployment under way is not one of weir's scales.
    pub(super) fn is_deployed_by_others(&self) -> bool {
        self.blocking().is_some_and(|blocking| self.own != Some(blocking.job_modify_index))
    }

    /// What is known is out of date.
    pub(super) fn outdate(&mut self) {
        self.looked = None;
        self.outdated = self.in_flight;
    }
}

impl ScaleLoop {
    pub(super) fn job_of(&self, raw: &RawPolicy) -> Option<&KnownJob> {
        self.jobs.get(&JobKey::of(raw))
    }

    fn policies_of(&self, key: &JobKey) -> impl Iterator<Item = &Tracked> {
        self.policies.values().filter(move |tracked| JobKey::of(&tracked.raw) == *key)
    }

    /// An allocation that registers is work that no look knows whose it is: its job is read before the next
    /// sample is measured, or its servers would count as somebody else's.
    pub(super) fn take_catalogue(&mut self, now: Instant, catalogue: &Catalogue) {
        let addresses = join::addresses(catalogue);
        let new: Vec<&String> = addresses.keys().filter(|id| !self.addresses.contains_key(*id)).collect();
        let groups: Vec<Option<String>> = new.into_iter().map(|id| join::group_of(catalogue, id)).collect();
        self.addresses = addresses;
        // A service of a task names no group: it may be anybody's.
        let named = |group: &Option<String>, tracked: &Tracked| {
            group.as_ref().is_none_or(|group| group.starts_with(&tracked.raw.group))
        };
        let of_new =
            |key: &JobKey| self.policies_of(key).any(|one| groups.iter().any(|group| named(group, one)));
        let outdated: Vec<JobKey> = self.jobs.keys().filter(|key| of_new(key)).cloned().collect();
        for key in outdated {
            self.jobs.entry(key).or_default().outdate();
        }
        self.look_where_due(now);
    }

    pub(super) fn look_where_due(&mut self, now: Instant) {
        if self.reach != Reach::Ok {
            return;
        }
        let due: Vec<JobKey> = self.jobs.keys().filter(|key| self.is_look_due(now, key)).cloned().collect();
        for job in &due {
            self.look(job, None);
        }
    }

    fn is_look_due(&self, now: Instant, key: &JobKey) -> bool {
        let Some(job) = self.jobs.get(key) else { return false };
        let waits = job.blocking().is_some() || self.policies_of(key).any(|one| one.drain.is_some());
        let often = if waits { LOOK_OFTEN } else { LOOK_EVERY };
        job.looked.is_none_or(|at| at + often <= now)
    }

    /// Reads a job, unless it is being read.
    pub(super) fn look(&mut self, key: &JobKey, plan: Option<Plan>) {
        if let Some(job) = self.jobs.get_mut(key).filter(|job| !job.in_flight) {
            job.in_flight = true;
            self.effects.push(Effect::Look { job: key.clone(), plan });
        }
    }

    /// What was asked before Nomad went away may be lost, and would be waited for although it is back.
    pub(super) fn give_up_looks(&mut self) {
        self.jobs.values_mut().for_each(|job| job.in_flight = false);
    }

    pub(super) fn looked(&mut self, now: Instant, time: SystemTime, key: &JobKey, look: Result<Look, Error>) {
        if !self.keep_look(now, time, key, look) {
            return;
        }
        let ids: Vec<String> = self.policies_of(key).map(|tracked| tracked.raw.id.clone()).collect();
        for id in ids {
            self.learn(&id);
            self.tell(now, &id);
            self.consider(now, time, &id);
        }
        self.wish_to_hold(now);
    }

    /// Takes a reading in; whether decisions can be made from it.
    fn keep_look(&mut self, now: Instant, time: SystemTime, key: &JobKey, look: Result<Look, Error>) -> bool {
        let Some(job) = self.jobs.get_mut(key) else { return false };
        job.in_flight = false;
        match look {
            Ok(look) => {
                job.look = Some(look);
                if std::mem::take(&mut job.outdated) {
                    self.look(key, None);
                    return false;
                }
                (job.looked, job.looked_at) = (Some(now), Some(time));
                true
            }
            Err(error) => {
                // The policies' own watch says whether Nomad is away; here the last look stays, and ages.
                tracing::debug!("job {}: {}", key.id, chain(&error));
                if matches!(error, Error::NotFound { .. }) {
                    job.look = None;
                }
                false
            }
        }
    }
}
