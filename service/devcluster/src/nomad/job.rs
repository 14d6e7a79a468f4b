//! Nomad jobs: what this cluster understands of a job's JSON.
//!
//! Pure. Inputs: the `Job` of `PUT /v1/jobs`. Outputs: its groups, or the text of a 400. Everything else in the
//! document is kept as it came and shown again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::duration;

/// Nomad's `update` block, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) max_parallel: usize,
    /// How many instances of a changed job run beside the old ones until they are promoted.
    pub(crate) canaries: usize,
    pub(crate) min_healthy_time: Duration,
    pub(crate) progress_deadline: Duration,
}

/// A `scaling` block. The policy is opaque to Nomad.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaling {
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) enabled: bool,
    pub(crate) policy: Value,
}

/// A task group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) count: i64,
    pub(crate) scaling: Option<Scaling>,
    /// `None`: no deployments (`max_parallel = 0`, or not a service job).
    pub(crate) update: Option<Update>,
    pub(crate) shutdown_delay: Duration,
    pub(crate) services: Vec<Value>,
    /// What makes an allocation another one when it changes: tasks and networks.
    pub(crate) definition: Value,
}

/// A job with Nomad's three indexes.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "Nomad's own name for the index that the fence compares")]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) spec: Value,
    pub(crate) groups: Vec<Group>,
    pub(crate) version: u64,
    pub(crate) stop: bool,
    pub(crate) stable: bool,
    pub(crate) status: &'static str,
    pub(crate) submit_time: u64,
    pub(crate) create_index: u64,
    /// Moves with every change, those of status and stability included.
    pub(crate) modify_index: u64,
    /// Moves when the job is registered or scaled: what the fence compares.
    pub(crate) job_modify_index: u64,
}

impl Job {
    /// Reads a job; indexes and times are the caller's to set.
    pub(crate) fn read(spec: &Value) -> Result<Self, String> {
        let id = text(spec, "ID").ok_or("Job ID hasn't been provided")?;
        let kind = text(spec, "Type").unwrap_or_else(|| "service".to_owned());
        let listed = spec["TaskGroups"].as_array().filter(|groups| !groups.is_empty());
        let listed = listed.ok_or("1 error occurred:\n\t* Missing job task groups\n\n")?;
        let read = |group: &Value| read_group(group, &spec["Update"], &kind);
        let groups = listed.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self {
            id,
            groups,
            spec: spec.clone(),
            version: 0,
            stop: spec["Stop"].as_bool().unwrap_or(false),
            stable: false,
            status: "pending",
            submit_time: 0,
            create_index: 0,
            modify_index: 0,
            job_modify_index: 0,
            kind,
        })
    }

    pub(crate) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    pub(crate) fn set_count(&mut self, group: &str, count: i64) {
        for entry in self.groups.iter_mut().filter(|entry| entry.name == group) {
            entry.count = count;
        }
    }

    /// `GET /v1/job/:id`: the document as it came, with what Nomad adds.
    pub(crate) fn show(&self) -> Value {
        let mut shown = self.spec.clone();
        for (entry, group) in shown["TaskGroups"].as_array_mut().into_iter().flatten().zip(&self.groups) {
            entry["Count"] = group.count.into();
        }
        let added = json!({
            "ID": self.id,
            "Name": text(&self.spec, "Name").unwrap_or_else(|| self.id.clone()),
            "Namespace": "default",
            "Type": self.kind,
            "Priority": 50,
            "Stop": self.stop,
            "Status": self.status,
            "StatusDescription": "",
            "Stable": self.stable,
            "Version": self.version,
            "SubmitTime": self.submit_time,
            "CreateIndex": self.create_index,
            "ModifyIndex": self.modify_index,
            "JobModifyIndex": self.job_modify_index,
        });
        for (name, value) in added.as_object().into_iter().flatten() {
            shown[name] = value.clone();
        }
        shown
    }
}

fn text(body: &Value, name: &str) -> Option<String> {
    body[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn read_group(body: &Value, job_update: &Value, kind: &str) -> Result<Group, String> {
    let name = text(body, "Name").ok_or("Task group missing name")?;
    let count = body["Count"].as_i64().unwrap_or(1);
    let update = if body["Update"].is_object() { &body["Update"] } else { job_update };
    Ok(Group {
        scaling: read_scaling(&body["Scaling"], &name, count, kind)?,
        update: if kind == "service" { read_update(update) } else { None },
        shutdown_delay: duration::from_json(&body["ShutdownDelay"]).unwrap_or_default(),
        services: body["Services"].as_array().cloned().unwrap_or_default(),
        definition: json!({"Tasks": body["Tasks"], "Networks": body["Networks"]}),
        name,
        count,
    })
}

/// The defaults are Nomad's (`api/jobs.go`, `DefaultUpdateStrategy`).
fn read_update(body: &Value) -> Option<Update> {
    let max_parallel = body["MaxParallel"].as_u64().unwrap_or(1);
    let length =
        |name: &str, default| duration::from_json(&body[name]).unwrap_or(Duration::from_secs(default));
    (max_parallel > 0).then(|| Update {
        max_parallel: usize::try_from(max_parallel).unwrap_or(usize::MAX),
        canaries: body["Canary"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0),
        min_healthy_time: length("MinHealthyTime", 10),
        progress_deadline: length("ProgressDeadline", 600),
    })
}

fn read_scaling(body: &Value, group: &str, count: i64, kind: &str) -> Result<Option<Scaling>, String> {
    if !body.is_object() {
        return Ok(None);
    }
    if kind == "system" {
        return Err("Task groups with job type system do not support scaling blocks".to_owned());
    }
    let invalid = |what: &str| {
        format!(
            "1 error occurred:\n\t* Task group {group} validation failed: 1 error occurred:\n\t* {what}\n\n\n\n"
        )
    };
    let max = body["Max"].as_i64().ok_or_else(|| invalid("Missing maximum count for scaling policy"))?;
    let min = body["Min"].as_i64().unwrap_or(count);
    if min < 0 || max < min {
        return Err(invalid("Scaling policy invalid: maximum count must not be less than minimum count"));
    }
    let enabled = body["Enabled"].as_bool().unwrap_or(true);
    Ok(Some(Scaling { min, max, enabled, policy: body["Policy"].clone() }))
}

/// The ID under which Nomad registers a group's service (`MakeAllocServiceID`).
pub(crate) fn service_id(alloc: &str, group: &str, service: &Value) -> String {
    let text = |name: &str| service[name].as_str().unwrap_or_default();
    format!("_nomad-task-{alloc}-group-{group}-{}-{}", text("Name"), text("PortLabel"))
}

/// What Nomad registers with Consul's agent for a service of an allocation that listens on `port`.
pub(crate) fn registration(alloc: &str, group: &str, service: &Value, port: u16) -> Value {
    let checks = service["Checks"].as_array().into_iter().flatten();
    let check = |check: &Value| {
        let mut shown =
            json!({"Name": check["Name"], "Interval": check["Interval"], "Timeout": check["Timeout"]});
        let path = check["Path"].as_str().unwrap_or("/");
        if check["Type"] == "tcp" {
            shown["TCP"] = format!("127.0.0.1:{port}").into();
        } else {
            shown["HTTP"] = format!("http://127.0.0.1:{port}{path}").into();
        }
        shown
    };
    let mut meta = service["Meta"].as_object().cloned().unwrap_or_default();
    meta.insert("external-source".to_owned(), "nomad".into());
    json!({
        "ID": service_id(alloc, group, service),
        "Name": service["Name"],
        "Tags": service["Tags"],
        "Meta": meta,
        "Address": "127.0.0.1",
        "Port": port,
        "Checks": checks.map(check).collect::<Vec<_>>(),
    })
}
