//! Two weirs and one lock: only the leader scales, and another one takes over.

use std::time::{Duration, Instant};

use serde_json::Value;
use weir_devcluster::Cluster;

use crate::rig::balancer::{Balancer, leader};
use crate::rig::cluster::{self, KILLED};
use crate::rig::{Load, SOON, haproxy, wait_for};

/// No accepted write repeats the one before: two leaders at once would.
fn nobody_scaled_twice(cluster: &Cluster) {
    let counts = cluster::scaled(cluster);
    assert!(counts.windows(2).all(|pair| pair[0] != pair[1]), "the same scale twice: {counts:?}");
}

async fn scaled_past(cluster: &Cluster, count: i64) {
    wait_for(&format!("Nomad is told more than {count}"), Duration::from_mins(1), async || {
        cluster::scaled(cluster).last().is_some_and(|last| *last > count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_scales_and_sigterm_hands_over_at_once() {
    if haproxy::binary().is_none() {
        return;
    }
    let cluster = cluster::start().await;
    cluster.run_job(&cluster::web()).unwrap();
    let mut first = Balancer::start(&cluster).await;
    first.leads(SOON).await;
    let mut second = Balancer::start(&cluster).await;
    second.weir.wait_status("the second follows", SOON, |status| leader(status) == "following").await;

    let loads = [8, 8].map(|lanes| Load::start(first.site.front, "/", lanes, Duration::ZERO));
    let other = Load::start(second.site.front, "/", 8, Duration::ZERO);
    scaled_past(&cluster, 2).await;
    first.wait_scaled().await;
    assert!(!second.has_scaled().await, "a follower has scaled");
    nobody_scaled_twice(&cluster);

    let asked = Instant::now();
    assert!(first.weir.terminate().await.success());
    second.leads(Duration::from_secs(8)).await;
    assert!(asked.elapsed() < Duration::from_secs(8), "it took {:?}", asked.elapsed());
    nobody_scaled_twice(&cluster);
    assert!(first.haproxy.servers("web").await.is_some_and(|servers| !servers.is_empty()));
    drop((loads, other));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_within_the_bound_of_consul() {
    if haproxy::binary().is_none() {
        return;
    }
    let cluster = cluster::start().await;
    cluster.run_job(&cluster::web()).unwrap();
    let mut first = Balancer::start(&cluster).await;
    first.leads(SOON).await;
    let mut second = Balancer::start(&cluster).await;
    first.weir.kill().await;
    second.leads(KILLED).await;

    let load = Load::start(second.site.front, "/", 12, Duration::ZERO);
    scaled_past(&cluster, 2).await;
    second.wait_scaled().await;
    nobody_scaled_twice(&cluster);
    drop(load);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_reach_nomad_lets_go() {
    if haproxy::binary().is_none() {
        return;
    }
    let cluster = cluster::start().await;
    cluster.run_job(&cluster::web()).unwrap();
    let mut only = Balancer::start(&cluster).await;
    only.leads(SOON).await;
    cluster.faults().nomad_down(true);
    only.weir
        .wait_status("it lets go", Duration::from_mins(1), |status| leader(status) == "not_seeking")
        .await;
    cluster.faults().nomad_down(false);
    only.leads(Duration::from_mins(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nomad_that_hangs_is_said_to_be_away() {
    if haproxy::binary().is_none() {
        return;
    }
    let cluster = cluster::start().await;
    cluster.run_job(&cluster::web()).unwrap();
    let mut only = Balancer::start(&cluster).await;
    only.leads(SOON).await;
    cluster.faults().nomad_hang(true);
    // A blocking query that hangs would tell after a minute.
    let away = |status: &Value| status["scaling"]["nomad"]["state"] == "unreachable";
    let status = only.weir.wait_status("it is away", Duration::from_secs(30), away).await;
    assert!(status["scaling"]["nomad"]["error"].is_string(), "{status:#}");
    assert!(only.weir.log().contains("Nomad does not answer"));
    cluster.faults().nomad_hang(false);
    only.leads(Duration::from_mins(1)).await;
}
