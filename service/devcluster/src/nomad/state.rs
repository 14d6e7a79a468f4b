//! Nomad's state: jobs, allocations, deployments, scaling policies and events, with their indexes.
//!
//! Pure. Inputs: writes of the API, what the client reports of its allocations, and the passing of time. Outputs:
//! answers or refusals with Nomad's status codes and texts, and the effects (start, stop) that follow.
//! What an evaluation does stands in [`super::evaluate`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::job::{Job, Scaling};
use crate::id::uuid;

/// Nomad keeps so many scaling events per group (`JobTrackedScalingEvents`).
const EVENTS_KEPT: usize = 20;

/// What the client is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Start(String),
    Stop(String),
}

/// A write that was not taken: status code and Nomad's plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }
}

/// Where an allocation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientStatus {
    Pending,
    Running,
    Complete,
    Failed,
}

impl ClientStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }
}

/// One allocation.
#[derive(Debug, Clone)]
pub(crate) struct Alloc {
    pub(crate) id: String,
    pub(crate) job: String,
    pub(crate) group: String,
    /// The number in `job.group[number]`.
    pub(crate) number: u64,
    pub(crate) wanted: bool,
    pub(crate) status: ClientStatus,
    pub(crate) port: Option<u16>,
    pub(crate) definition: Value,
    /// The IDs of its services in Consul.
    pub(crate) services: Vec<String>,
    pub(crate) job_version: u64,
    pub(crate) deployment: Option<String>,
    pub(crate) healthy: Option<bool>,
    /// Beside the count, until it is promoted.
    pub(crate) canary: bool,
    /// Since when it runs with passing checks.
    pub(crate) passing_since: Option<Instant>,
    /// Since when its health is watched: the time of its placement or last update in place.
    pub(crate) watched_since: Instant,
    pub(crate) eval: String,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
    pub(crate) create_time: u64,
    pub(crate) modify_time: u64,
}

impl Alloc {
    /// Will not run (again), by wish or by fact.
    pub(crate) fn is_terminal(&self) -> bool {
        !self.wanted || matches!(self.status, ClientStatus::Complete | ClientStatus::Failed)
    }

    pub(crate) fn name(&self) -> String {
        format!("{}.{}[{}]", self.job, self.group, self.number)
    }
}

/// A deployment: it blocks scaling while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) job: String,
    pub(crate) job_version: u64,
    pub(crate) job_create_index: u64,
    pub(crate) job_modify_index: u64,
    pub(crate) job_spec_modify_index: u64,
    pub(crate) status: &'static str,
    pub(crate) description: &'static str,
    /// Its canaries, if it needs some, were promoted.
    pub(crate) promoted: bool,
    pub(crate) require_progress_by: Instant,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
}

/// A scaling policy's identity and indexes; what it says stands in the job.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) id: String,
    pub(crate) job: String,
    pub(crate) group: String,
    pub(crate) says: Scaling,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
}

/// The target and the wish of `PUT /v1/job/:id/scale`.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScaleRequest {
    pub(crate) group: String,
    pub(crate) count: Option<i64>,
    pub(crate) message: String,
    pub(crate) error: bool,
    pub(crate) meta: Value,
    pub(crate) job_modify_index: u64,
}

/// A moment: for timers, and in nanoseconds since 1970 for what is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) unix: u64,
}

impl Now {
    pub(crate) fn get() -> Self {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self { instant: Instant::now(), unix: unix.map_or(0, crate::duration::nanos) }
    }
}

/// Everything a Nomad server knows.
pub(crate) struct State {
    pub(crate) jobs: BTreeMap<String, Job>,
    pub(crate) allocs: BTreeMap<String, Alloc>,
    pub(crate) deployments: BTreeMap<String, Deployment>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) policies_index: u64,
    /// By job and group, newest first.
    pub(crate) events: BTreeMap<(String, String), VecDeque<Value>>,
    pub(crate) events_index: BTreeMap<String, u64>,
    pub(crate) placement_limit: Option<usize>,
    /// Evaluations that are due at some time: job, ID.
    pub(crate) evaluations: Vec<(Instant, String, String)>,
    /// Jobs that wait for room.
    pub(crate) blocked: BTreeSet<String>,
    pub(crate) index: u64,
    pub(crate) evaluation_delay: Duration,
}

impl State {
    pub(crate) fn new(evaluation_delay: Duration) -> Self {
        Self {
            jobs: BTreeMap::new(),
            allocs: BTreeMap::new(),
            deployments: BTreeMap::new(),
            policies: Vec::new(),
            policies_index: 1,
            events: BTreeMap::new(),
            events_index: BTreeMap::new(),
            placement_limit: None,
            evaluations: Vec::new(),
            blocked: BTreeSet::new(),
            index: 10,
            evaluation_delay,
        }
    }

    pub(crate) fn next_index(&mut self) -> u64 {
        self.index += 1;
        self.index
    }

    /// `PUT /v1/jobs`; `fence` is the index the caller insists on (0: the job must be new).
    pub(crate) fn register(
        &mut self,
        mut job: Job,
        fence: Option<u64>,
        keep_counts: bool,
        now: Now,
    ) -> Result<Value, Refusal> {
        let old = self.jobs.get(&job.id).cloned();
        check_fence(old.as_ref(), fence).map_err(|text| Refusal::new(500, text))?;
        if keep_counts {
            for group in old.iter().flat_map(|old| &old.groups) {
                job.set_count(&group.name, group.count);
            }
        }
        let (id, index) = (job.id.clone(), self.store_job(job, now));
        let (eval, eval_index) = self.request_evaluation(&id, now);
        Ok(json!({
            "EvalID": eval, "EvalCreateIndex": eval_index, "JobModifyIndex": index, "Warnings": "",
            "Index": eval_index, "LastContact": 0, "KnownLeader": false,
        }))
    }

    /// Stores a new version of a job with its policies; returns its new index.
    fn store_job(&mut self, mut job: Job, now: Now) -> u64 {
        let index = self.next_index();
        let old = self.jobs.get(&job.id);
        job.create_index = old.map_or(index, |old| old.create_index);
        job.version = old.map_or(0, |old| old.version + 1);
        job.status = old.map_or("pending", |old| old.status);
        (job.modify_index, job.job_modify_index, job.stable) = (index, index, false);
        job.submit_time = now.unix;
        self.store_policies(&job, index);
        self.jobs.insert(job.id.clone(), job);
        index
    }

    /// A policy keeps its identity as long as its group lives, and moves only when it says something else.
    fn store_policies(&mut self, job: &Job, index: u64) {
        let says = |group: &str| {
            let scaling = job.group(group).and_then(|group| group.scaling.clone());
            scaling.map(|scaling| Scaling { enabled: scaling.enabled && !job.stop, ..scaling })
        };
        let before = self.policies.len();
        self.policies.retain(|policy| policy.job != job.id || says(&policy.group).is_some());
        let mut moved = self.policies.len() != before;
        for group in &job.groups {
            let Some(says) = says(&group.name) else { continue };
            let known =
                self.policies.iter_mut().find(|policy| policy.job == job.id && policy.group == group.name);
            match known {
                Some(policy) if policy.says == says => continue,
                Some(policy) => (policy.says, policy.modify_index) = (says, index),
                None => self.policies.push(new_policy(job, &group.name, says, index)),
            }
            moved = true;
        }
        if moved {
            self.policies_index = index;
        }
    }

    /// `DELETE /v1/job/:id`: stops the job; with `purge` forgets it too. An unknown job is no error, as in Nomad.
    pub(crate) fn deregister(&mut self, id: &str, purge: bool, now: Now) -> Value {
        let index = self.next_index();
        if let Some(mut job) = self.jobs.get(id).cloned() {
            job.stop = true;
            self.store_job(job, now);
        }
        if purge {
            self.jobs.remove(id);
            self.events.retain(|(job, _), _| job != id);
            let before = self.policies.len();
            self.policies.retain(|policy| policy.job != id);
            if self.policies.len() != before {
                self.policies_index = self.index;
            }
        }
        let (eval, eval_index) = self.request_evaluation(id, now);
        json!({
            "EvalID": eval, "EvalCreateIndex": eval_index, "JobModifyIndex": index,
            "VolumeEvalID": "", "VolumeEvalIndex": 0, "Index": eval_index, "LastContact": 0, "KnownLeader": false,
        })
    }

    /// `PUT /v1/job/:id/scale`, with the checks in the order of Nomad's `Job.Scale`.
    pub(crate) fn scale(&mut self, id: &str, request: &ScaleRequest, now: Now) -> Result<Value, Refusal> {
        validate(request)?;
        let job = self.jobs.get(id).ok_or_else(|| Refusal::new(404, format!("job {id:?} not found")))?;
        let group = job.group(&request.group).ok_or_else(|| {
            let text = format!("task group {:?} specified for scaling does not exist in job", request.group);
            Refusal::new(400, text)
        })?;
        let previous = group.count;
        let mut answer = json!({
            "EvalID": "", "EvalCreateIndex": 0, "JobModifyIndex": job.modify_index, "Warnings": "",
            "Index": 0, "LastContact": 0, "KnownLeader": false,
        });
        if let Some(count) = request.count {
            self.may_scale(id, request, count)?;
            let mut job = job.clone();
            job.set_count(&request.group, count);
            answer["JobModifyIndex"] = self.store_job(job, now).into();
            let (eval, eval_index) = self.request_evaluation(id, now);
            (answer["EvalID"], answer["EvalCreateIndex"]) = (eval.into(), eval_index.into());
        }
        answer["Index"] = self.store_event(id, request, previous, &answer["EvalID"], now).into();
        Ok(answer)
    }

    fn may_scale(&self, id: &str, request: &ScaleRequest, count: i64) -> Result<(), Refusal> {
        let Some(job) = self.jobs.get(id) else { return Ok(()) };
        let scaling = job.group(&request.group).and_then(|group| group.scaling.as_ref());
        if let Some(scaling) = scaling.filter(|scaling| count < scaling.min) {
            let text = format!("group count was less than scaling policy minimum: {count} < {}", scaling.min);
            return Err(Refusal::new(400, text));
        }
        if let Some(scaling) = scaling.filter(|scaling| count > scaling.max) {
            let text =
                format!("group count was greater than scaling policy maximum: {count} > {}", scaling.max);
            return Err(Refusal::new(400, text));
        }
        let latest = self.latest_deployment(id);
        if latest.is_some_and(|it| it.status == "running" && it.job_create_index == job.create_index) {
            return Err(Refusal::new(400, "job scaling blocked due to active deployment"));
        }
        let fence = Some(request.job_modify_index).filter(|index| *index > 0);
        check_fence(Some(job), fence).map_err(|text| Refusal::new(500, text))
    }

    fn store_event(
        &mut self,
        id: &str,
        request: &ScaleRequest,
        previous: i64,
        eval: &Value,
        now: Now,
    ) -> u64 {
        let index = self.next_index();
        let mut event = json!({
            "Time": now.unix,
            "Count": request.count,
            "PreviousCount": previous,
            "Message": request.message,
            "Error": request.error,
            "Meta": request.meta,
            "CreateIndex": index,
        });
        event["EvalID"] = if eval == "" { Value::Null } else { eval.clone() };
        let events = self.events.entry((id.to_owned(), request.group.clone())).or_default();
        events.push_front(event);
        events.truncate(EVENTS_KEPT);
        self.events_index.insert(id.to_owned(), index);
        index
    }

    /// `PUT /v1/deployment/promote/:id`: the canaries become instances like all others.
    pub(crate) fn promote(&mut self, id: &str, now: Now) -> Result<Value, Refusal> {
        let found = self.deployments.get(id).filter(|it| it.status == "running");
        let found = found.ok_or_else(|| Refusal::new(404, "deployment not found"))?;
        let (job, index) = (found.job.clone(), self.next_index());
        let mut canaries: Vec<&mut Alloc> =
            self.allocs.values_mut().filter(|alloc| alloc.canary && alloc.job == job).collect();
        if canaries.is_empty() || canaries.iter().any(|alloc| alloc.healthy != Some(true)) {
            return Err(Refusal::new(400, "Task group has unhealthy canaries"));
        }
        for alloc in &mut canaries {
            (alloc.canary, alloc.modify_index) = (false, index);
        }
        if let Some(it) = self.deployments.get_mut(id) {
            (it.promoted, it.modify_index, it.description) = (true, index, "Deployment is running");
        }
        let (eval, eval_index) = self.request_evaluation(&job, now);
        Ok(
            json!({"EvalID": eval, "EvalCreateIndex": eval_index, "DeploymentModifyIndex": index, "Index": eval_index}),
        )
    }

    /// Asks for an evaluation of a job; returns its ID and index.
    pub(crate) fn request_evaluation(&mut self, job: &str, now: Now) -> (String, u64) {
        let (id, index) = (uuid(), self.next_index());
        self.evaluations.push((now.instant + self.evaluation_delay, job.to_owned(), id.clone()));
        (id, index)
    }

    pub(crate) fn latest_deployment(&self, job: &str) -> Option<&Deployment> {
        self.deployments.values().filter(|it| it.job == job).max_by_key(|it| it.create_index)
    }

    pub(crate) fn allocs_of<'a>(&'a self, job: &'a str) -> impl Iterator<Item = &'a Alloc> {
        self.allocs.values().filter(move |alloc| alloc.job == job)
    }

    /// The allocations of a group that run or shall run.
    pub(crate) fn living<'a>(&'a self, job: &'a str, group: &'a str) -> impl Iterator<Item = &'a Alloc> {
        self.allocs_of(job).filter(move |alloc| alloc.group == group && !alloc.is_terminal())
    }

    /// The client started an allocation on this port.
    pub(crate) fn started(&mut self, alloc: &str, port: u16, now: Now) {
        let index = self.next_index();
        let Some(alloc) = self.allocs.get_mut(alloc) else { return };
        (alloc.status, alloc.port) = (ClientStatus::Running, Some(port));
        (alloc.modify_index, alloc.modify_time) = (index, now.unix);
        let job = alloc.job.clone();
        self.set_job_status(&job);
    }

    /// An allocation ended, by wish or by itself; the latter is replaced.
    pub(crate) fn ended(&mut self, alloc: &str, now: Now) {
        let index = self.next_index();
        let Some(alloc) = self.allocs.get_mut(alloc) else { return };
        let failed = alloc.wanted;
        alloc.status = if failed { ClientStatus::Failed } else { ClientStatus::Complete };
        (alloc.modify_index, alloc.modify_time) = (index, now.unix);
        let job = alloc.job.clone();
        self.set_job_status(&job);
        if failed {
            self.request_evaluation(&job, now);
        }
    }

    /// A job's status follows from its allocations; a change of it moves the modify index only.
    pub(crate) fn set_job_status(&mut self, id: &str) {
        let runs = self.allocs_of(id).any(|alloc| !alloc.is_terminal());
        let Some(job) = self.jobs.get(id) else { return };
        let idle = job.stop || job.groups.iter().all(|group| group.count == 0);
        let status = if runs {
            "running"
        } else if idle {
            "dead"
        } else {
            "pending"
        };
        if status != job.status {
            let index = self.next_index();
            if let Some(job) = self.jobs.get_mut(id) {
                (job.status, job.modify_index) = (status, index);
            }
        }
    }
}

fn new_policy(job: &Job, group: &str, says: Scaling, index: u64) -> Policy {
    let (job, group) = (job.id.clone(), group.to_owned());
    Policy { id: uuid(), job, group, says, create_index: index, modify_index: index }
}

/// `JobScaleRequest.Validate`.
fn validate(request: &ScaleRequest) -> Result<(), Refusal> {
    let text = match request.count {
        _ if request.group.is_empty() => "missing task group name for scaling action",
        Some(count) if count < 0 => "scaling action count can't be negative",
        Some(_) if request.error => "scaling action should not contain count if error is true",
        _ => return Ok(()),
    };
    Err(Refusal::new(400, text))
}

fn check_fence(job: Option<&Job>, fence: Option<u64>) -> Result<(), String> {
    let Some(fence) = fence else { return Ok(()) };
    let at = job.map(|job| job.job_modify_index);
    let why = match at {
        Some(at) if at == fence => return Ok(()),
        None if fence == 0 => return Ok(()),
        Some(_) if fence == 0 => "job already exists".to_owned(),
        None => "job does not exist".to_owned(),
        Some(at) => format!("job exists with conflicting job modify index: {at}"),
    };
    Err(format!("Enforcing job modify index {fence}: {why}"))
}
