//! The in-process Consul and Nomad of `service/devcluster`, where a test must see every write to Nomad.

use std::time::Duration;

use serde_json::{Value, json};
use weir_devcluster::{Cluster, JobSpec, Options};

use super::consul::Consul;

/// Starts one on free ports.
pub(crate) async fn start() -> Cluster {
    Cluster::start(Options::default()).await.expect("the cluster starts")
}

/// A job `web` with two instances at first, that weir may scale up to 8 by `concurrency`; its instances do 4 requests
/// at once.
pub(crate) fn web() -> JobSpec {
    JobSpec { count: 2, min: 2, max: 8, policy: policy(), slots: 4, ..JobSpec::default() }
}

fn policy() -> Value {
    let strategy = json!([{"concurrency": [{"slots": 4}]}]);
    let check = json!([{"load": [{"source": "haproxy", "strategy": strategy}]}]);
    json!({"cooldown": "10s", "evaluation_interval": "1s", "check": check})
}

/// The counts of all accepted scaling requests so far, in order.
pub(crate) fn scaled(cluster: &Cluster) -> Vec<i64> {
    cluster.nomad_log().iter().filter_map(|write| write.scaled_to().map(|(_, count)| count)).collect()
}

/// How long a lock may stay with a holder that was killed: Consul lets a session go up to twice its TTL (10 s at least)
/// after it was last renewed, and nobody may take its locks for another 15 s (`lock-delay`).
pub(crate) const KILLED: Duration = Duration::from_mins(1);

/// Ends the registration of a weir that is gone, whose `peer` address had this port: Consul would keep it for up to two
/// minutes and a half.
pub(crate) async fn deregister(cluster: &Cluster, peer: u16) {
    let consul = Consul::elsewhere(cluster.consul_addr().port());
    let keys = consul.get("/v1/kv/weir/default/peers/?keys").await;
    for key in keys.as_array().expect("a list of keys").iter().filter_map(Value::as_str) {
        let entry = consul.request("GET", &format!("/v1/kv/{key}?raw"), "").await.expect("Consul answers");
        if entry.body.contains(&format!(":{peer}\"")) {
            consul.request("DELETE", &format!("/v1/kv/{key}"), "").await.expect("Consul answers");
        }
    }
}
