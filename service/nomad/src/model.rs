//! What is read from and written to Nomad, freed of the shapes that its JSON has.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value};

use weir_scaling::{Direction, LastScale, Scale};

use crate::generated::types;

/// A job, as far as scaling cares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// Its ID.
    pub id: String,
    /// The index that moves when somebody changes the job; it fences a scale. (Not `ModifyIndex`, which also
    /// moves when only the job's status does.)
    pub job_modify_index: u64,
    /// `pending`, `running` or `dead`; a service job that is scaled to 0 is `dead` too.
    pub status: String,
    /// Whether it was stopped.
    pub stop: bool,
    /// `service`, `batch` or `system`.
    pub kind: String,
    /// The wanted count of each group.
    pub groups: BTreeMap<String, u64>,
    /// How long an instance of each group must be healthy until a deployment takes it for good
    /// (`min_healthy_time`); zero where the group is not deployed at all, absent where the job does not say.
    pub settles: BTreeMap<String, Duration>,
}

/// The counts and scaling events of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobScale {
    /// Whether the job was stopped.
    pub stopped: bool,
    /// Its groups.
    pub groups: BTreeMap<String, GroupScale>,
}

/// The counts and scaling events of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupScale {
    /// How many instances are wanted.
    pub desired: u64,
    /// How many have a node.
    pub placed: u64,
    /// How many run.
    pub running: u64,
    /// The last events, newest first; Nomad keeps 20.
    pub events: Vec<ScaleEvent>,
}

/// One scale, or a note about one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScaleEvent {
    /// When.
    pub at: SystemTime,
    /// The count it set; `None` for a mere note.
    pub count: Option<u64>,
    /// The count before.
    pub previous: u64,
    /// Whether it tells of an error.
    pub error: bool,
    /// What its writer said.
    pub message: String,
    /// What else its writer said.
    pub meta: BTreeMap<String, Value>,
}

/// One allocation: an instance of a group, from placement to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Allocation {
    /// Its ID.
    pub id: String,
    /// Its name, such as `web.app[3]`.
    pub name: String,
    /// The number in the name; Nomad stops the highest first.
    pub index: Option<u64>,
    /// Its namespace.
    pub namespace: String,
    /// Its job.
    pub job: String,
    /// Its group.
    pub group: String,
    /// `pending`, `running`, `complete`, `failed`, `lost` or `unknown`.
    pub client_status: String,
    /// `run`, `stop` or `evict`.
    pub desired_status: String,
    /// When it was made.
    pub create_time: SystemTime,
    /// What its deployment makes of it; `None` while undecided. Every scale resets it, so it says nothing
    /// about capacity.
    pub deployment_healthy: Option<bool>,
    /// Whether it is a canary that nobody has promoted: it is on top of the count.
    pub canary: bool,
    /// Whether its node is drained, so that it is replaced elsewhere.
    pub migrating: bool,
}

/// A job's newest deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// Its ID.
    pub id: String,
    /// Its status, such as `running` or `successful`.
    pub status: String,
    /// The status in words.
    pub description: String,
    /// The `JobModifyIndex` of the job it deploys: equal to that of a [`ScaleOutcome`] where the scale made
    /// it.
    pub job_modify_index: u64,
}

impl Deployment {
    /// Whether Nomad refuses to scale while it is so (`structs/deployment.go`, `Active`).
    pub fn blocks_scaling(&self) -> bool {
        matches!(
            self.status.as_str(),
            "running" | "paused" | "blocked" | "unblocking" | "initializing" | "pending"
        )
    }
}

/// A change of one group's count.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleRequest {
    /// The job's namespace.
    pub namespace: String,
    /// The job.
    pub job: String,
    /// The group.
    pub group: String,
    /// The count it shall have.
    pub count: u64,
    /// Why, in a sentence for Nomad's own pages.
    pub message: String,
    /// Why, in numbers.
    pub meta: Map<String, Value>,
    /// The index of the job that the decision was made from; Nomad refuses where it has moved.
    pub job_modify_index: u64,
}

/// A scaling event that changes nothing: it is shown on the job's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The job's namespace.
    pub namespace: String,
    /// The job. Never a system job: Nomad's server fails at a notice for one (`Job.Scale` reads the count).
    pub job: String,
    /// The group.
    pub group: String,
    /// What is to be told.
    pub message: String,
    /// Whether it is about a mistake.
    pub error: bool,
}

/// What a scale brought about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScaleOutcome {
    /// The evaluation that places or stops instances.
    pub eval_id: String,
    /// The job's new index.
    pub job_modify_index: u64,
    /// Nomad's warnings; usually empty.
    pub warnings: String,
}

impl From<types::Job> for Job {
    fn from(job: types::Job) -> Self {
        let groups = job.task_groups.unwrap_or_default();
        let settles = groups.iter().filter_map(|group| Some((group.name.clone(), settles(group)?))).collect();
        Self {
            settles,
            id: job.id,
            job_modify_index: job.job_modify_index,
            status: job.status,
            stop: job.stop.unwrap_or(false),
            kind: job.type_,
            groups: groups.into_iter().map(|g| (g.name, count(g.count.unwrap_or(1)))).collect(),
        }
    }
}

impl From<types::JobScaleStatus> for JobScale {
    fn from(status: types::JobScaleStatus) -> Self {
        let groups = status.task_groups.unwrap_or_default();
        Self {
            stopped: status.job_stopped,
            groups: groups.into_iter().map(|(name, group)| (name, group.into())).collect(),
        }
    }
}

impl From<types::TaskGroupScaleStatus> for GroupScale {
    fn from(group: types::TaskGroupScaleStatus) -> Self {
        Self {
            desired: count(group.desired),
            placed: count(group.placed),
            running: count(group.running),
            events: group.events.unwrap_or_default().into_iter().map(Into::into).collect(),
        }
    }
}

impl From<types::ScalingEvent> for ScaleEvent {
    fn from(event: types::ScalingEvent) -> Self {
        Self {
            at: UNIX_EPOCH + Duration::from_nanos(event.time),
            count: event.count.map(count),
            previous: count(event.previous_count),
            error: event.error,
            message: event.message,
            meta: event.meta.into_iter().flatten().collect(),
        }
    }
}

/// Nomad makes no deployments where `max_parallel` is 0 (`UpdateStrategy.IsEmpty`,
/// `nomad/structs/structs.go`).
fn settles(group: &types::TaskGroup) -> Option<Duration> {
    let update = group.update.as_ref()?;
    if update.max_parallel == Some(0) {
        return Some(Duration::ZERO);
    }
    Some(Duration::from_nanos(count(update.min_healthy_time?)))
}

impl From<types::Allocation> for Allocation {
    fn from(allocation: types::Allocation) -> Self {
        let health = allocation.deployment_status;
        let transition = allocation.desired_transition;
        Self {
            canary: health.as_ref().is_some_and(|health| health.canary),
            migrating: transition.and_then(|transition| transition.migrate).unwrap_or_default(),
            index: name_index(&allocation.name),
            id: allocation.id,
            name: allocation.name,
            namespace: allocation.namespace,
            job: allocation.job_id,
            group: allocation.task_group,
            client_status: allocation.client_status,
            desired_status: allocation.desired_status,
            create_time: UNIX_EPOCH + Duration::from_nanos(count(allocation.create_time)),
            deployment_healthy: health.and_then(|health| health.healthy),
        }
    }
}

impl From<types::Deployment> for Deployment {
    fn from(deployment: types::Deployment) -> Self {
        Self {
            id: deployment.id,
            status: deployment.status,
            description: deployment.status_description,
            job_modify_index: deployment.job_spec_modify_index,
        }
    }
}

impl From<&ScaleRequest> for types::ScaleBody {
    fn from(request: &ScaleRequest) -> Self {
        let target = [("Namespace", &request.namespace), ("Job", &request.job), ("Group", &request.group)];
        Self {
            count: Some(i64::try_from(request.count).unwrap_or(i64::MAX)),
            error: false,
            job_modify_index: Some(request.job_modify_index),
            message: request.message.clone(),
            meta: request.meta.clone(),
            target: target.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect(),
        }
    }
}

impl From<&Notice> for types::ScaleBody {
    fn from(notice: &Notice) -> Self {
        let target = [("Namespace", &notice.namespace), ("Job", &notice.job), ("Group", &notice.group)];
        Self {
            count: None,
            error: notice.error,
            job_modify_index: None,
            message: notice.message.clone(),
            meta: Map::new(),
            target: target.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect(),
        }
    }
}

impl From<types::ScaleReply> for ScaleOutcome {
    fn from(reply: types::ScaleReply) -> Self {
        Self { eval_id: reply.eval_id, job_modify_index: reply.job_modify_index, warnings: reply.warnings }
    }
}

/// Nomad's counts are signed and never negative.
fn count(signed: i64) -> u64 {
    u64::try_from(signed).unwrap_or(0)
}

/// The newest event that changed the count, which a cooldown is counted from: by Nomad's memory it outlives a
/// restart of Weir, and counts what people did too.
pub fn last_scale(events: &[ScaleEvent]) -> Option<LastScale> {
    let changes = events.iter().filter_map(|event| {
        let direction = Direction::between(event.previous, event.count?)?;
        Some(LastScale { at: event.at, direction })
    });
    changes.max_by_key(|last| last.at)
}

/// Every event that changed the count.
pub fn scales(events: &[ScaleEvent]) -> Vec<Scale> {
    let changes = events.iter().filter_map(|event| Some((event, event.count?)));
    let scales = changes.map(|(event, to)| Scale { at: event.at, from: event.previous, to });
    scales.filter(|scale| scale.from != scale.to).collect()
}

/// The number at the end of an allocation's name: 3 for `web.app[3]`.
pub fn name_index(name: &str) -> Option<u64> {
    name.strip_suffix(']')?.rsplit_once('[')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_index() {
        assert_eq!(name_index("web.app[3]"), Some(3));
        assert_eq!(name_index("we[b].app[12]"), Some(12));
        assert_eq!((name_index("web"), name_index("web.app[]")), (None, None));
    }

    #[test]
    fn the_last_scale_is_the_newest_event_that_changed_the_count() {
        let event = |time: u64, count: Option<i64>, previous: i64| -> ScaleEvent {
            let json =
                serde_json::json!({"Time": time, "Count": count, "PreviousCount": previous, "Meta": null});
            serde_json::from_value::<types::ScalingEvent>(json).unwrap().into()
        };
        let events = [event(9, None, 5), event(8, Some(5), 5), event(7, Some(3), 5), event(6, Some(5), 2)];
        let expected = LastScale { at: UNIX_EPOCH + Duration::from_nanos(7), direction: Direction::Down };
        assert_eq!(last_scale(&events), Some(expected));
        assert_eq!(last_scale(&events[..2]), None);
    }

    #[test]
    fn null_lists_are_empty() {
        let job: types::Job =
            serde_json::from_str(r#"{"ID":"web","JobModifyIndex":7,"Stop":null,"TaskGroups":null}"#).unwrap();
        let job = Job::from(job);
        assert_eq!((job.groups.len(), job.stop, job.kind.as_str()), (0, false, "service"));
    }

    #[test]
    fn a_group_settles_as_its_update_block_says() {
        let update = |update: &str| {
            let text = format!(
                r#"{{"ID":"web","JobModifyIndex":7,"TaskGroups":[{{"Name":"app","Update":{update}}}]}}"#
            );
            let job: types::Job = serde_json::from_str(&text).unwrap();
            Job::from(job).settles.get("app").copied()
        };
        assert_eq!(update("null"), None);
        let three = r#"{"MaxParallel":1,"MinHealthyTime":3000000000,"Canary":0}"#;
        assert_eq!(update(three), Some(Duration::from_secs(3)));
        assert_eq!(
            update(r#"{"MaxParallel":0,"MinHealthyTime":3000000000}"#),
            Some(Duration::ZERO),
            "no deployments"
        );
    }

    #[test]
    fn what_is_not_known_of_a_job_survives_being_written_back() {
        let groups = serde_json::json!([{"Name": "app", "Count": 2, "Tasks": [{"Name": "t"}]}]);
        let job = serde_json::json!({
            "ID": "web", "JobModifyIndex": 7, "Meta": {"a": "1"}, "TaskGroups": groups,
        });
        let job: types::Job = serde_json::from_value(job).unwrap();
        let back = serde_json::to_value(&job).unwrap();
        assert_eq!(
            (&back["Meta"]["a"], &back["TaskGroups"][0]["Tasks"][0]["Name"]),
            (&"1".into(), &"t".into())
        );
    }

    #[test]
    fn canaries_and_migrating_allocations_are_told_apart() {
        let read = |more: &str| -> Allocation {
            let text = format!(r#"{{"ID":"a","Name":"web.app[0]"{more}}}"#);
            serde_json::from_str::<types::Allocation>(&text).unwrap().into()
        };
        let marks = |one: Allocation| (one.canary, one.migrating, one.deployment_healthy);
        assert_eq!(marks(read("")), (false, false, None));
        assert_eq!(
            marks(read(r#","DeploymentStatus":{"Healthy":true,"Canary":true}"#)),
            (true, false, Some(true))
        );
        let leaves = r#","DeploymentStatus":null,"DesiredTransition":{"Migrate":true,"Reschedule":null}"#;
        assert_eq!(marks(read(leaves)), (false, true, None));
    }
}
