//! A job as the demo and tests describe it, and the Nomad document that it becomes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::duration::nanos;
use crate::instance::{Behaviour, StopMode};

/// A service job with one group of instances.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// The job's ID.
    pub id: String,
    /// The group's name.
    pub group: String,
    /// How many instances at first.
    pub count: u32,
    /// The scaling policy's lower bound.
    pub min: u32,
    /// The scaling policy's upper bound.
    pub max: u32,
    /// The opaque policy block, in the form Nomad gives it: nested blocks are lists of maps with one key.
    /// `null`: the group has no scaling policy.
    pub policy: Value,
    /// The service's name in Consul.
    pub service: String,
    /// The service's tags.
    pub tags: Vec<String>,
    /// The service's metadata.
    pub meta: Vec<(String, String)>,
    /// From the start of an instance until it listens.
    pub start_time: Duration,
    /// The mean service time of a request (exponentially distributed).
    pub service_time: Duration,
    /// How many requests an instance works on at once; further ones wait in it.
    pub slots: usize,
    /// How many requests all instances of the job work on at once, as where they share a database; `None`: each is on
    /// its own.
    pub shared_slots: Option<usize>,
    /// From deregistration to the stop of the instance.
    pub shutdown_delay: Duration,
    /// What becomes of requests that are in progress at the stop.
    pub stop: StopMode,
    /// How many instances of a changed job run beside the old ones until somebody promotes them; 0: none.
    pub canaries: u32,
    /// How long checks must pass until a deployment takes an allocation for healthy.
    pub min_healthy_time: Duration,
    /// A deployment without progress for so long fails.
    pub progress_deadline: Duration,
    /// Between two runs of Consul's HTTP check.
    pub health_interval: Duration,
}

impl Default for JobSpec {
    /// Two instances of `web`, with times short enough for a laptop demo.
    fn default() -> Self {
        Self {
            id: "web".to_owned(),
            group: "app".to_owned(),
            count: 2,
            min: 1,
            max: 20,
            policy: Value::Null,
            service: "web".to_owned(),
            tags: Vec::new(),
            meta: Vec::new(),
            start_time: Duration::from_secs(1),
            service_time: Duration::from_millis(50),
            slots: 10,
            shared_slots: None,
            shutdown_delay: Duration::from_secs(1),
            stop: StopMode::Finish(Duration::from_secs(5)),
            canaries: 0,
            min_healthy_time: Duration::from_secs(1),
            progress_deadline: Duration::from_mins(10),
            health_interval: Duration::from_millis(500),
        }
    }
}

impl JobSpec {
    /// The document for `PUT /v1/jobs` (its `Job`).
    pub fn to_json(&self) -> Value {
        let behaviour = Behaviour {
            start_time: self.start_time,
            service_time: self.service_time,
            slots: self.slots,
            shared_slots: self.shared_slots,
            stop: self.stop,
        };
        let task = json!({"Name": self.group, "Driver": "devcluster", "Config": behaviour.to_config()});
        let mut group = json!({
            "Name": self.group,
            "Count": self.count,
            "ShutdownDelay": nanos(self.shutdown_delay),
            "Update": self.update(),
            "Networks": [{"DynamicPorts": [{"Label": "http"}]}],
            "Services": [self.service()],
            "Tasks": [task],
        });
        if !self.policy.is_null() {
            let (min, max) = (self.min, self.max);
            group["Scaling"] = json!({
                "Type": "horizontal", "Min": min, "Max": max, "Enabled": true, "Policy": self.policy,
            });
        }
        json!({"ID": self.id, "Name": self.id, "Type": "service", "Datacenters": ["dc1"], "TaskGroups": [group]})
    }

    fn update(&self) -> Value {
        json!({
            "MaxParallel": 1,
            "Canary": self.canaries,
            "HealthCheck": "checks",
            "MinHealthyTime": nanos(self.min_healthy_time),
            "ProgressDeadline": nanos(self.progress_deadline),
        })
    }

    fn service(&self) -> Value {
        let meta: serde_json::Map<String, Value> =
            self.meta.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        let check = json!({
            "Type": "http", "Path": "/health", "Name": format!("{} health", self.service),
            "Interval": nanos(self.health_interval), "Timeout": nanos(Duration::from_secs(2)),
        });
        json!({
            "Name": self.service, "PortLabel": "http", "Provider": "consul", "Tags": self.tags, "Meta": meta,
            "Checks": [check],
        })
    }
}
