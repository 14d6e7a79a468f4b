//! What follows from Nomad's state as time passes: evaluations, placements, victims, health, deployments.
//!
//! Pure. Inputs: the state, the moment, and which allocations' checks pass. Outputs: effects for the client. The rules are
//! those of Nomad's scheduler (`scheduler/reconciler`): the highest name index is stopped first, a change of the job
//! updates every allocation in place and so starts a deployment, changed tasks are replaced `max_parallel` at a time.

use std::time::{Duration, Instant};

use super::job::{Group, Job, service_id};
use super::state::{Alloc, ClientStatus, Deployment, Effect, Now, State};
use crate::id::uuid;

/// What one turn did.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) effects: Vec<Effect>,
    pub(crate) changed: bool,
}

impl State {
    /// Lets time pass: due evaluations, health, deployments. `passing` says whether an allocation's checks pass.
    pub(crate) fn turn(&mut self, now: Now, passing: impl Fn(&Alloc) -> bool) -> Turn {
        let before = self.index;
        let mut effects = Vec::new();
        for (job, eval) in self.take_due(now.instant) {
            self.evaluate(&job, &eval, now, &mut effects);
        }
        self.watch_health(now, passing);
        self.watch_deployments(now);
        Turn { changed: self.index != before, effects }
    }

    /// The next moment at which an evaluation is due.
    pub(crate) fn next_evaluation(&self) -> Option<Instant> {
        self.evaluations.iter().map(|(at, _, _)| *at).min()
    }

    fn take_due(&mut self, now: Instant) -> Vec<(String, String)> {
        let due = self.evaluations.extract_if(.., |(at, _, _)| *at <= now);
        let mut due: Vec<(String, String)> = due.map(|(_, job, id)| (job, id)).collect();
        if self.room() > 0 {
            due.extend(std::mem::take(&mut self.blocked).into_iter().map(|job| (job, uuid())));
        }
        due
    }

    /// How many more allocations find room.
    pub(crate) fn room(&self) -> usize {
        let taken = self.allocs.values().filter(|alloc| !alloc.is_terminal()).count();
        self.placement_limit.map_or(usize::MAX, |limit| limit.saturating_sub(taken))
    }

    fn evaluate(&mut self, id: &str, eval: &str, now: Now, effects: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get(id).filter(|job| !job.stop).cloned() else {
            self.stop_all(id, now, effects);
            return;
        };
        self.cancel_outdated(&job);
        for group in &job.groups {
            self.stop_victims(&job, group, now, effects);
            let moved = self.update_in_place(&job, group, now);
            let deployment = self.ensure_deployment(&job, group, moved, now);
            if self.awaits_promotion(group, deployment.as_deref()) {
                self.place_canaries(&job, group, (eval, deployment.as_deref()), now, effects);
            } else {
                self.replace_changed(&job, group, now, effects);
            }
            self.place(&job, group, (eval, deployment.as_deref()), now, effects);
        }
        self.set_job_status(id);
    }

    fn stop_all(&mut self, id: &str, now: Now, effects: &mut Vec<Effect>) {
        let living = self.allocs_of(id).filter(|alloc| !alloc.is_terminal());
        let ids: Vec<String> = living.map(|alloc| alloc.id.clone()).collect();
        for alloc in ids {
            self.stop(&alloc, now, effects);
        }
        self.end_deployment(id, "cancelled", "Cancelled because job is stopped");
        self.set_job_status(id);
    }

    fn stop(&mut self, id: &str, now: Now, effects: &mut Vec<Effect>) {
        let index = self.next_index();
        if let Some(alloc) = self.allocs.get_mut(id) {
            (alloc.wanted, alloc.modify_index, alloc.modify_time) = (false, index, now.unix);
            effects.push(Effect::Stop(id.to_owned()));
        }
    }

    /// Too many: old ones whose name a newer one has go first, then those with the highest name index. Canaries are not
    /// counted; those of an earlier version go.
    fn stop_victims(&mut self, job: &Job, group: &Group, now: Now, effects: &mut Vec<Effect>) {
        let is_old = |alloc: &&Alloc| alloc.definition != group.definition;
        let (canaries, mut living): (Vec<&Alloc>, Vec<&Alloc>) =
            self.living(&job.id, &group.name).partition(|alloc| alloc.canary);
        let new: Vec<u64> = living.iter().filter(|alloc| !is_old(alloc)).map(|alloc| alloc.number).collect();
        let is_twin = |alloc: &Alloc| is_old(&alloc) && new.contains(&alloc.number);
        living.sort_by_key(|alloc| (is_twin(alloc), alloc.number));
        let spare = living.into_iter().skip(usize::try_from(group.count).unwrap_or(0));
        let doomed = spare.chain(canaries.into_iter().filter(is_old));
        let doomed: Vec<String> = doomed.map(|alloc| alloc.id.clone()).collect();
        for id in doomed {
            self.stop(&id, now, effects);
        }
    }

    /// Whether canaries of this version must be promoted before anything else is replaced.
    fn awaits_promotion(&self, group: &Group, deployment: Option<&str>) -> bool {
        let deployment = deployment.and_then(|id| self.deployments.get(id));
        group.update.as_ref().is_some_and(|update| update.canaries > 0)
            && deployment.is_some_and(|it| !it.promoted)
    }

    /// Allocations of an older version of the job, whose tasks are the same, become ones of the new version. Their health
    /// is watched anew. True when there were any of an older version at all.
    fn update_in_place(&mut self, job: &Job, group: &Group, now: Now) -> bool {
        let index = self.next_index();
        let mut moved = false;
        let of_group =
            |alloc: &&mut Alloc| alloc.job == job.id && alloc.group == group.name && !alloc.is_terminal();
        for alloc in self.allocs.values_mut().filter(of_group) {
            if alloc.job_version == job.version {
                continue;
            }
            moved = true;
            if alloc.definition == group.definition {
                (alloc.job_version, alloc.healthy) = (job.version, None);
                (alloc.watched_since, alloc.modify_index) = (now.instant, index);
                alloc.modify_time = now.unix;
            }
        }
        moved
    }

    /// A deployment, if this version of the job needs one: its first, or one that changes what runs.
    fn ensure_deployment(&mut self, job: &Job, group: &Group, moved: bool, now: Now) -> Option<String> {
        let update = group.update.as_ref()?;
        let current = self.latest_deployment(&job.id).filter(|it| it.job_version == job.version);
        let current = current.map(|it| (it.id.clone(), it.status == "running"));
        let first = self.allocs_of(&job.id).all(|alloc| alloc.job_version != job.version);
        let first_of_all = self.living(&job.id, &group.name).next().is_none();
        let needs_canaries = update.canaries > 0 && !first_of_all && self.has_changed(job, group);
        let id = match current {
            Some((id, running)) => running.then_some(id)?,
            None if group.count == 0 || !(moved || first) => return None,
            None => self.create_deployment(job, (update.progress_deadline, needs_canaries), now),
        };
        for alloc in self.allocs.values_mut().filter(|alloc| alloc.job == job.id && !alloc.is_terminal()) {
            if alloc.job_version == job.version && alloc.group == group.name {
                alloc.deployment = Some(id.clone());
            }
        }
        Some(id)
    }

    /// Whether instances run that are of other tasks than the job has now.
    fn has_changed(&self, job: &Job, group: &Group) -> bool {
        self.living(&job.id, &group.name).any(|alloc| alloc.definition != group.definition)
    }

    fn create_deployment(&mut self, job: &Job, (deadline, canaries): (Duration, bool), now: Now) -> String {
        let (id, index) = (uuid(), self.next_index());
        let waits = "Deployment is running but requires manual promotion";
        let deployment = Deployment {
            id: id.clone(),
            job: job.id.clone(),
            job_version: job.version,
            job_create_index: job.create_index,
            job_modify_index: job.modify_index,
            job_spec_modify_index: job.job_modify_index,
            status: "running",
            description: if canaries { waits } else { "Deployment is running" },
            promoted: !canaries,
            require_progress_by: now.instant + deadline,
            create_index: index,
            modify_index: index,
        };
        self.deployments.insert(id.clone(), deployment);
        id
    }

    fn cancel_outdated(&mut self, job: &Job) {
        let outdated =
            |it: &Deployment| it.job_version != job.version || it.job_create_index != job.create_index;
        if self.latest_deployment(&job.id).is_some_and(outdated) {
            self.end_deployment(&job.id, "cancelled", "Cancelled due to newer version of job");
        }
    }

    fn end_deployment(&mut self, job: &str, status: &'static str, description: &'static str) {
        let Some(id) =
            self.latest_deployment(job).filter(|it| it.status == "running").map(|it| it.id.clone())
        else {
            return;
        };
        let index = self.next_index();
        if let Some(it) = self.deployments.get_mut(&id) {
            (it.status, it.description, it.modify_index) = (status, description, index);
        }
    }

    /// Stops allocations whose tasks have changed, as many as may be away at once; [`State::place`] puts new ones there.
    fn replace_changed(&mut self, job: &Job, group: &Group, now: Now, effects: &mut Vec<Effect>) {
        let is_old = |alloc: &Alloc| alloc.definition != group.definition;
        let living = || self.living(&job.id, &group.name);
        let unsettled = living().filter(|alloc| !is_old(alloc) && alloc.healthy != Some(true)).count();
        let at_once = group.update.as_ref().map_or(usize::MAX, |update| update.max_parallel);
        let mut old: Vec<(u64, String)> =
            living().filter(|alloc| is_old(alloc)).map(|alloc| (alloc.number, alloc.id.clone())).collect();
        old.sort();
        for (_, id) in old.into_iter().take(at_once.saturating_sub(unsettled)) {
            self.stop(&id, now, effects);
        }
    }

    /// Canaries take the names of the lowest ones that they are to replace (`NextCanaries` in `reconcile_util.go`).
    fn place_canaries(
        &mut self,
        job: &Job,
        group: &Group,
        (eval, deployment): (&str, Option<&str>),
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let wanted = group.update.as_ref().map_or(0, |update| update.canaries);
        let placed = self.living(&job.id, &group.name).filter(|alloc| alloc.canary).count();
        let numbers = (placed..wanted.min(placed.saturating_add(self.room())))
            .filter_map(|number| u64::try_from(number).ok());
        for number in numbers {
            let mut alloc = self.new_alloc(job, group, number, (eval, deployment), now);
            alloc.canary = true;
            effects.push(Effect::Start(alloc.id.clone()));
            self.allocs.insert(alloc.id.clone(), alloc);
        }
    }

    /// Too few: new ones get the lowest free name indexes, as far as there is room.
    fn place(
        &mut self,
        job: &Job,
        group: &Group,
        (eval, deployment): (&str, Option<&str>),
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let counted = self.living(&job.id, &group.name).filter(|alloc| !alloc.canary);
        let taken: Vec<u64> = counted.map(|alloc| alloc.number).collect();
        let missing = usize::try_from(group.count).unwrap_or(0).saturating_sub(taken.len());
        let room = self.room();
        if missing > room {
            self.blocked.insert(job.id.clone());
        }
        let free = (0..).filter(|number| !taken.contains(number));
        for number in free.take(missing.min(room)) {
            let alloc = self.new_alloc(job, group, number, (eval, deployment), now);
            effects.push(Effect::Start(alloc.id.clone()));
            self.allocs.insert(alloc.id.clone(), alloc);
        }
    }

    fn new_alloc(
        &mut self,
        job: &Job,
        group: &Group,
        number: u64,
        (eval, deployment): (&str, Option<&str>),
        now: Now,
    ) -> Alloc {
        let (id, index) = (uuid(), self.next_index());
        Alloc {
            services: group.services.iter().map(|it| service_id(&id, &group.name, it)).collect(),
            id,
            job: job.id.clone(),
            group: group.name.clone(),
            number,
            wanted: true,
            status: ClientStatus::Pending,
            port: None,
            definition: group.definition.clone(),
            job_version: job.version,
            deployment: deployment.map(str::to_owned),
            healthy: None,
            canary: false,
            passing_since: None,
            watched_since: now.instant,
            eval: eval.to_owned(),
            create_index: index,
            modify_index: index,
            create_time: now.unix,
            modify_time: now.unix,
        }
    }

    /// An allocation is healthy when its checks have passed for `min_healthy_time` while it was watched.
    fn watch_health(&mut self, now: Now, passing: impl Fn(&Alloc) -> bool) {
        let mut healthy = Vec::new();
        for alloc in self.allocs.values_mut().filter(|alloc| !alloc.is_terminal()) {
            let passes = alloc.status == ClientStatus::Running && passing(alloc);
            alloc.passing_since = passes.then(|| alloc.passing_since.unwrap_or(now.instant));
            let update = self.jobs.get(&alloc.job).and_then(|job| job.group(&alloc.group)?.update.as_ref());
            let (Some(update), Some(since), None) = (update, alloc.passing_since, alloc.healthy) else {
                continue;
            };
            let since = since.max(alloc.watched_since);
            if alloc.deployment.is_some() && since + update.min_healthy_time <= now.instant {
                healthy.push((alloc.id.clone(), update.progress_deadline));
            }
        }
        for (id, deadline) in healthy {
            self.set_healthy(&id, deadline, now);
        }
    }

    fn set_healthy(&mut self, id: &str, deadline: Duration, now: Now) {
        let index = self.next_index();
        let Some(alloc) = self.allocs.get_mut(id) else { return };
        (alloc.healthy, alloc.modify_index, alloc.modify_time) = (Some(true), index, now.unix);
        let Some(deployment) = alloc.deployment.as_ref().and_then(|id| self.deployments.get_mut(id)) else {
            return;
        };
        deployment.require_progress_by = now.instant + deadline;
        deployment.modify_index = index;
        let job = alloc.job.clone();
        // A rolling update goes on with the next allocation.
        self.request_evaluation(&job, now);
    }

    fn watch_deployments(&mut self, now: Now) {
        let running = self.deployments.values().filter(|it| it.status == "running");
        let running: Vec<Deployment> = running.cloned().collect();
        for it in running {
            if it.promoted && self.is_complete(&it) {
                self.end_deployment(&it.job, "successful", "Deployment completed successfully");
                self.set_stable(&it.job);
            } else if it.require_progress_by <= now.instant {
                self.end_deployment(&it.job, "failed", "Failed due to progress deadline");
            }
        }
    }

    fn is_complete(&self, deployment: &Deployment) -> bool {
        let Some(job) = self.jobs.get(&deployment.job) else { return false };
        let has_all = |group: &Group| {
            let healthy = |alloc: &&Alloc| {
                alloc.deployment.as_ref() == Some(&deployment.id) && alloc.healthy == Some(true)
            };
            let healthy = self.living(&job.id, &group.name).filter(healthy).count();
            healthy >= usize::try_from(group.count).unwrap_or(0)
        };
        job.groups.iter().all(has_all)
    }

    fn set_stable(&mut self, id: &str) {
        let index = self.next_index();
        if let Some(job) = self.jobs.get_mut(id) {
            (job.stable, job.modify_index) = (true, index);
        }
    }
}
