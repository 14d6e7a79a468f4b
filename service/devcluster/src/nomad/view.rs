//! What Nomad's endpoints show of the state, as JSON.
//!
//! Pure. Inputs: the state. Outputs: JSON with Nomad's field names.

use serde_json::{Map, Value, json};

use super::job::{Group, Job};
use super::state::{Alloc, ClientStatus, Deployment, Policy, State};

/// An entry of `GET /v1/jobs`.
pub(crate) fn job_stub(job: &Job) -> Value {
    let mut stub = job.show();
    if let Some(fields) = stub.as_object_mut() {
        fields.retain(|name, _| name != "TaskGroups" && name != "Update");
    }
    stub
}

/// `GET /v1/job/:id/scale`. The `JobModifyIndex` in it is the job's modify index: so does Nomad (`Job.ScaleStatus`).
pub(crate) fn scale_status(state: &State, job: &Job) -> Value {
    let groups = job.groups.iter().map(|group| (group.name.clone(), group_status(state, job, group)));
    json!({
        "JobID": job.id,
        "Namespace": "default",
        "JobCreateIndex": job.create_index,
        "JobModifyIndex": job.modify_index,
        "JobStopped": job.stop,
        "TaskGroups": groups.collect::<Map<String, Value>>(),
    })
}

fn group_status(state: &State, job: &Job, group: &Group) -> Value {
    let living: Vec<&Alloc> = state.living(&job.id, &group.name).collect();
    let count = |fits: fn(&Alloc) -> bool| living.iter().filter(|alloc| fits(alloc)).count();
    json!({
        "Desired": group.count,
        "Placed": living.len(),
        "Running": count(|alloc| alloc.status == ClientStatus::Running),
        "Healthy": count(|alloc| alloc.healthy == Some(true)),
        "Unhealthy": count(|alloc| alloc.healthy == Some(false)),
        "Events": state.events.get(&(job.id.clone(), group.name.clone())),
    })
}

/// `PUT /v1/job/:id/plan`, as far as it tells what finds no room.
pub(crate) fn plan(state: &State, job: &Job) -> Value {
    let wanted = |group: &Group| usize::try_from(group.count).unwrap_or(0);
    let mut room = state.room();
    let mut failed = Map::new();
    for group in &job.groups {
        let missing = wanted(group).saturating_sub(state.living(&job.id, &group.name).count());
        let placed = missing.min(room);
        room -= placed;
        if placed < missing {
            failed.insert(group.name.clone(), json!({"CoalescedFailures": missing - placed - 1}));
        }
    }
    let failed = if failed.is_empty() { Value::Null } else { failed.into() };
    let index = state.jobs.get(&job.id).map_or(0, |job| job.job_modify_index);
    json!({"JobModifyIndex": index, "FailedTGAllocs": failed, "Annotations": null, "Warnings": ""})
}

/// What a blocking `GET /v1/job/:id/scale` waits on.
pub(crate) fn scale_index(state: &State, id: &str) -> u64 {
    let Some(job) = state.jobs.get(id) else { return state.index };
    let living = state.allocs_of(id).filter(|alloc| !alloc.is_terminal());
    let allocs = living.map(|alloc| alloc.modify_index).max().unwrap_or(0);
    let events = state.events_index.get(id).copied().unwrap_or(0);
    job.modify_index.max(allocs).max(events)
}

/// An allocation, as in lists and by itself; `resources` adds its ports.
pub(crate) fn alloc(alloc: &Alloc, resources: bool) -> Value {
    let mut shown = json!({
        "ID": alloc.id,
        "EvalID": alloc.eval,
        "Name": alloc.name(),
        "Namespace": "default",
        "NodeID": super::NODE_ID,
        "NodeName": "devcluster",
        "JobID": alloc.job,
        "JobType": "service",
        "JobVersion": alloc.job_version,
        "TaskGroup": alloc.group,
        "DeploymentID": alloc.deployment.as_deref().unwrap_or_default(),
        "DesiredStatus": if alloc.wanted { "run" } else { "stop" },
        "DesiredDescription": if alloc.wanted { "" } else { "alloc not needed due to job update" },
        "ClientStatus": alloc.status.name(),
        "ClientDescription": "",
        "DeploymentStatus": health(alloc),
        "TaskStates": task_states(alloc),
        "CreateIndex": alloc.create_index,
        "ModifyIndex": alloc.modify_index,
        "CreateTime": alloc.create_time,
        "ModifyTime": alloc.modify_time,
    });
    if resources {
        shown["AllocatedResources"] = json!({"Shared": {"Ports": ports(alloc)}});
    }
    shown
}

fn health(alloc: &Alloc) -> Value {
    if alloc.healthy.is_none() && !alloc.canary {
        return Value::Null;
    }
    json!({
        "Healthy": alloc.healthy, "Timestamp": null, "Canary": alloc.canary, "ModifyIndex": alloc.modify_index,
    })
}

fn task_states(alloc: &Alloc) -> Value {
    let state = match alloc.status {
        ClientStatus::Pending => "pending",
        ClientStatus::Running => "running",
        ClientStatus::Complete | ClientStatus::Failed => "dead",
    };
    let failed = alloc.status == ClientStatus::Failed;
    json!({alloc.group.clone(): {"State": state, "Failed": failed, "Restarts": 0}})
}

fn ports(alloc: &Alloc) -> Vec<Value> {
    let label = alloc.definition["Networks"][0]["DynamicPorts"][0]["Label"].as_str().unwrap_or("http");
    let port = |port| json!({"Label": label, "Value": port, "To": 0, "HostIP": "127.0.0.1"});
    alloc.port.into_iter().map(port).collect()
}

/// A deployment with the counts of its groups.
pub(crate) fn deployment(state: &State, it: &Deployment) -> Value {
    let groups = state.jobs.get(&it.job).map(|job| job.groups.as_slice()).unwrap_or_default();
    let row = |group: &Group| {
        let placed: Vec<&Alloc> = state
            .living(&it.job, &group.name)
            .filter(|alloc| alloc.deployment.as_ref() == Some(&it.id))
            .collect();
        let canaries = group.update.as_ref().map_or(0, |update| update.canaries);
        let healthy = placed.iter().filter(|alloc| alloc.healthy == Some(true)).count();
        let shown = json!({
            "AutoRevert": false, "AutoPromote": false, "Promoted": it.promoted && canaries > 0,
            "PlacedCanaries": null, "DesiredCanaries": canaries, "DesiredTotal": group.count, "PlacedAllocs": placed.len(),
            "HealthyAllocs": healthy, "UnhealthyAllocs": 0,
        });
        (group.name.clone(), shown)
    };
    json!({
        "ID": it.id,
        "Namespace": "default",
        "JobID": it.job,
        "JobVersion": it.job_version,
        "JobModifyIndex": it.job_modify_index,
        "JobSpecModifyIndex": it.job_spec_modify_index,
        "JobCreateIndex": it.job_create_index,
        "IsMultiregion": false,
        "TaskGroups": groups.iter().map(row).collect::<Map<String, Value>>(),
        "Status": it.status,
        "StatusDescription": it.description,
        "CreateIndex": it.create_index,
        "ModifyIndex": it.modify_index,
    })
}

/// An entry of `GET /v1/scaling/policies`.
pub(crate) fn policy_stub(policy: &Policy) -> Value {
    json!({
        "ID": policy.id,
        "Enabled": policy.says.enabled,
        "Type": "horizontal",
        "Target": {"Namespace": "default", "Job": policy.job, "Group": policy.group},
        "CreateIndex": policy.create_index,
        "ModifyIndex": policy.modify_index,
    })
}

/// `GET /v1/scaling/policy/:id`.
pub(crate) fn policy(policy: &Policy) -> Value {
    let mut shown = policy_stub(policy);
    shown["Policy"] = policy.says.policy.clone();
    shown["Min"] = policy.says.min.into();
    shown["Max"] = policy.says.max.into();
    shown
}
