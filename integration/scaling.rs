//! Down again: what Nomad will stop is drained first, whatever happens meanwhile; and what a deployment does
//! to a count.

use std::convert::Infallible;
use std::time::Duration;

use serde_json::{Value, json};
use weir_devcluster::{Cluster, JobSpec, StopMode};

use crate::rig::balancer::Balancer;
use crate::rig::cluster::{self, KILLED};
use crate::rig::consul::Consul;
use crate::rig::weir::said;
use crate::rig::{Load, SOON, haproxy, http, wait_for};

const MINUTE: Duration = Duration::from_mins(1);
/// What keeps an instance busy for long: longer than a decrease takes to be decided.
const LONG: &str = "/slow/8000";

/// As many requests at any time as need five instances of four slots at least.
const LANES: usize = 20;

/// A job whose instances cut what they are doing the moment that they are stopped.
fn abrupt() -> JobSpec {
    let strategy = json!([{"concurrency": [{"slots": 4}]}]);
    let check = json!([{"load": [{"source": "haproxy", "strategy": strategy}]}]);
    let policy = json!({"cooldown": "4s", "check": check});
    JobSpec { policy, stop: StopMode::Cut, shutdown_delay: Duration::ZERO, ..cluster::web() }
}

/// A cluster that runs such a job, and a load balancer that leads; nothing where there is no HAProxy.
async fn ready() -> Option<(Cluster, Balancer)> {
    haproxy::binary()?;
    let cluster = cluster::start().await;
    cluster.run_job(&abrupt()).unwrap();
    let mut balancer = Balancer::start(&cluster).await;
    balancer.is_ready(2).await;
    Some((cluster, balancer))
}

async fn count(cluster: &Cluster) -> u64 {
    let reply = http::get(cluster.nomad_addr().port(), "/v1/job/web/scale").await.expect("Nomad answers");
    let status: Value = serde_json::from_str(&reply.body).expect("JSON");
    status["TaskGroups"]["app"]["Desired"].as_u64().expect("a count")
}

async fn wait_count(cluster: &Cluster, what: &str, deadline: Duration, fits: impl Fn(u64) -> bool) -> u64 {
    wait_for(what, deadline, async || Some(count(cluster).await).filter(|count| fits(*count))).await
}

/// The intents of the scaler in Consul.
async fn intents(cluster: &Cluster) -> usize {
    let consul = Consul::elsewhere(cluster.consul_addr().port());
    let keys = consul.request("GET", "/v1/kv/weir/default/intents/?keys", "").await.expect("Consul answers");
    let keys: Vec<String> = serde_json::from_str(&keys.body).unwrap_or_default();
    keys.iter().filter(|key| key.ends_with("/scaler,web_2fapp")).count()
}

/// How many requests were cut by stopped instances.
fn cut(cluster: &Cluster) -> u64 {
    cluster.instances().iter().map(|instance| instance.cut).sum()
}

/// `weir policy explain` says why.
async fn explained(balancer: &Balancer, why: &str) {
    let page = said(&balancer.explain("web/app").await);
    println!("{page}");
    assert!(page.contains(why), "{why:?} is not in\n{page}");
}

/// The counts that drains were begun for and ended with, in order.
fn drained(records: &[Value]) -> Vec<i64> {
    let kind = |one: &Value| one["kind"].as_str().unwrap_or_default().to_owned();
    let pairs = records.iter().filter(|one| ["draining", "drain_ended"].contains(&kind(one).as_str()));
    let pairs: Vec<&Value> = pairs.collect();
    let ended = pairs.windows(2).filter(|pair| kind(pair[0]) == "draining" && pair[1]["result"] == "stopped");
    ended.filter(|pair| pair[0]["to"] == pair[1]["to"]).filter_map(|pair| pair[1]["to"].as_i64()).collect()
}

/// Accepted decreases, as the count that each asked for.
fn decreases(cluster: &Cluster) -> Vec<i64> {
    let counts: Vec<i64> = [2].into_iter().chain(cluster::scaled(cluster)).collect();
    counts.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[1]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_load_is_gone_the_fewest_are_left_and_nothing_was_cut() {
    let Some((cluster, mut balancer)) = ready().await else { return };
    let long = Load::start(balancer.site.front, LONG, 3, Duration::ZERO);
    let load = Load::start(balancer.site.front, "/", LANES, Duration::ZERO);
    wait_count(&cluster, "Nomad wants five at least", MINUTE, |count| count >= 5).await;
    balancer.serves(5).await;
    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{seen:?}");

    wait_count(&cluster, "Nomad wants two again", MINUTE, |count| count == 2).await;
    wait_for("the intents are gone", MINUTE, async || (intents(&cluster).await == 0).then_some(())).await;
    let seen = long.stop().await;
    assert_eq!((seen.failed, cut(&cluster)), (0, 0), "{seen:?}");
    assert!(seen.good > 0);
    let records = balancer.weir.records().await;
    // A drain without sessions is over before anybody who polls could see it: the records tell.
    assert_eq!(drained(&records), decreases(&cluster), "{records:#?}");
    let output = balancer.explain("web/app").await;
    assert!(output.status.success() && said(&output).contains("last scale"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_in_a_drain_leaves_one_that_finishes_it() {
    let Some((cluster, mut first)) = ready().await else { return };
    let mut second = Balancer::start(&cluster).await;
    let load = Load::start(first.site.front, "/", LANES, Duration::ZERO);
    wait_count(&cluster, "Nomad wants five at least", MINUTE, |count| count >= 5).await;
    // Requests that never end hold the drain up.
    let long = Load::start(first.site.front, "/slow/3600000", 3, Duration::ZERO);
    wait_for("they are on their way", SOON, async || {
        let held = cluster.instances().iter().map(|instance| instance.in_progress).sum::<u64>();
        (held >= 3).then_some(())
    })
    .await;
    load.stop().await;
    wait_for("instances are drained", MINUTE, async || (intents(&cluster).await > 0).then_some(())).await;
    let before = cluster::scaled(&cluster).len();
    first.weir.kill().await;
    drop(long);
    second.leads(KILLED).await;
    wait_count(&cluster, "Nomad wants two again", MINUTE * 2, |count| count == 2).await;
    wait_for("the intents are gone", MINUTE, async || (intents(&cluster).await == 0).then_some(())).await;
    let counts = cluster::scaled(&cluster);
    assert!(counts.len() > before, "the second one scaled: {counts:?}");
    assert!(counts.windows(2).all(|pair| pair[0] != pair[1]), "the same scale twice: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_resets_the_count_at_peak_is_made_good_as_soon_as_nomad_lets() {
    if haproxy::binary().is_none() {
        return;
    }
    let cluster = cluster::start().await;
    cluster.run_job(&cluster::web()).unwrap();
    let mut balancer = Balancer::start(&cluster).await;
    balancer.is_ready(2).await;
    let load = Load::start(balancer.site.front, "/", LANES, Duration::ZERO);
    wait_count(&cluster, "Nomad wants five at least", MINUTE, |count| count >= 5).await;
    let settled = |policy: &Value| policy["last_decision"]["action"] == "hold";
    balancer.wait_policy("that is enough", MINUTE, settled).await;

    let slower = JobSpec { min_healthy_time: Duration::from_secs(3), slots: 5, ..cluster::web() };
    cluster.run_job(&slower).unwrap();
    assert_eq!(count(&cluster).await, 2);
    let waits = |policy: &Value| {
        let reason = policy["last_decision"]["reason"].as_str().unwrap_or_default();
        policy["last_decision"]["action"] == "blocked" && reason.contains("somebody else started")
    };
    balancer.wait_policy("the deployment is waited for", MINUTE, waits).await;
    explained(&balancer, "waits for a deployment that somebody else started").await;
    wait_count(&cluster, "the need is asked for again", MINUTE, |count| count >= 5).await;
    let metrics = balancer.weir.metrics().await;
    let blocked = metrics.lines().find(|line| line.starts_with("weir_policy_blocked_seconds_total{"));
    assert!(blocked.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    drop(load);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_waits_for_promotion_is_no_capacity_and_is_waited_for() {
    if haproxy::binary().is_none() {
        return;
    }
    let cluster = cluster::start().await;
    cluster.run_job(&cluster::web()).unwrap();
    let mut balancer = Balancer::start(&cluster).await;
    balancer.is_ready(2).await;
    cluster.run_job(&JobSpec { canaries: 1, slots: 5, ..cluster::web() }).unwrap();
    let port = cluster.nomad_addr().port();
    let deployment = async || -> Option<Value> {
        let reply = http::get(port, "/v1/job/web/deployment").await.ok()?;
        serde_json::from_str(&reply.body).ok()
    };
    let id = wait_for("the canary is healthy", MINUTE, async || {
        let found = deployment().await?;
        let waits = found["StatusDescription"].as_str()?.contains("promotion");
        let healthy = found["TaskGroups"]["app"]["HealthyAllocs"].as_u64()? > 0;
        (waits && healthy).then(|| found["ID"].as_str().unwrap_or_default().to_owned())
    })
    .await;

    let load = Load::start(balancer.site.front, "/", LANES, Duration::ZERO);
    let blocked = |policy: &Value| {
        policy["last_decision"]["action"] == "blocked" && policy["last_decision"]["to"].as_u64() > Some(2)
    };
    balancer.wait_policy("more are wanted", MINUTE, blocked).await;
    assert_eq!(count(&cluster).await, 2, "nothing was forced");
    explained(&balancer, "nomad deployment promote ").await;
    let promoted = http::send(port, "PUT", &format!("/v1/deployment/promote/{id}"), "", "{}").await.unwrap();
    assert_eq!(promoted.status, 200, "{}", promoted.body);
    wait_count(&cluster, "the need is asked for", MINUTE, |count| count >= 5).await;
    drop(load);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_some_find_room_no_more_than_these_are_asked_for() {
    if haproxy::binary().is_none() {
        return;
    }
    let cluster = cluster::start().await;
    cluster.run_job(&cluster::web()).unwrap();
    let mut balancer = Balancer::start(&cluster).await;
    balancer.is_ready(2).await;
    cluster.faults().placement_limit(Some(4));
    let load = Load::start(balancer.site.front, "/", LANES, Duration::ZERO);
    wait_count(&cluster, "Nomad wants four", MINUTE, |count| count == 4).await;
    let full = |policy: &Value| {
        let reason = policy["last_decision"]["reason"].as_str().unwrap_or_default();
        reason.contains("more than the cluster has room for, 4")
    };
    balancer.wait_policy("it says why it stays there", MINUTE, full).await;
    assert!(cluster::scaled(&cluster).iter().all(|count| *count <= 4));
    explained(&balancer, "more than the cluster has room for, 4").await;
    drop(load);
}

/// How many decisions there were about the one policy.
fn decided(policy: &Value) -> u64 {
    let all = policy["decisions"].as_object().into_iter().flatten();
    all.filter_map(|(_, count)| count.as_u64()).sum()
}

/// Two more lanes at a time, up to as many as need twice what the job may have.
async fn grow(front: u16, loads: &mut Vec<Load>) -> Infallible {
    let mut ticks = tokio::time::interval(Duration::from_millis(600));
    while loads.len() < 60 {
        ticks.tick().await;
        loads.push(Load::start(front, "/", 2, Duration::ZERO));
    }
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread")]
async fn before_a_slow_dependency_the_count_stops_where_more_would_not_help() {
    if haproxy::binary().is_none() {
        return;
    }
    let cluster = cluster::start().await;
    // Together they do what two do alone, as before a database with eight connections.
    cluster.run_job(&JobSpec { max: 16, shared_slots: Some(8), ..cluster::web() }).unwrap();
    let mut balancer = Balancer::start(&cluster).await;
    balancer.is_ready(2).await;
    let front = balancer.site.front;
    let mut loads = vec![Load::start(front, "/", 6, Duration::ZERO)];
    let alarmed = balancer
        .wait_policy("more would not help", MINUTE * 2, |policy| policy["last_decision"]["alarm"] == true);
    let policy = tokio::select! {
        policy = alarmed => policy,
        never = grow(front, &mut loads) => match never {},
    };
    let most = count(&cluster).await;
    assert!((3..=10).contains(&most), "{most} of 16");
    explained(&balancer, "no_gain: ").await;
    let enough = decided(&policy) + 5;
    balancer.wait_policy("it stays there", MINUTE, |policy| decided(policy) >= enough).await;
    // A seventh instance is worth 3 % more requests, and a busy machine may do as much more of them by chance.
    let now = count(&cluster).await;
    assert!(now <= most + 1, "{now} after {most}");
    // One more that was asked for by chance must have served for a while before it is judged in its turn.
    wait_for("the alarm is among the metrics", MINUTE * 2, async || {
        let metrics = balancer.weir.metrics().await;
        let alarm = metrics.lines().find(|line| line.starts_with("weir_policy_alarm{"))?;
        alarm.ends_with(" 1").then_some(())
    })
    .await;
    let records = balancer.weir.records().await;
    assert!(records.iter().any(|record| record["kind"] == "no_gain"), "{records:#?}");
}

/// So many tunnels, once all of them are open. Who waited for a server for too long asks again, as websockets do.
async fn tunnels(port: u16, count: usize) -> Vec<http::Tunnel> {
    let asked: Vec<_> =
        (0..count).map(|_| tokio::spawn(tokio::time::timeout(MINUTE, tunnel(port)))).collect();
    let mut open = Vec::new();
    for one in asked {
        open.push(one.await.expect("a task that does not panic").expect("a tunnel within a minute"));
    }
    open
}

async fn tunnel(port: u16) -> http::Tunnel {
    loop {
        match http::Tunnel::open(port).await {
            Ok(tunnel) => return tunnel,
            Err(error) => println!("no tunnel: {error}"),
        }
    }
}

/// The policy's load, once it shows so many tunnels.
async fn wait_tunnels(balancer: &mut Balancer, count: f64) -> Value {
    let load = |policy: &Value| policy["last_decision"]["demand"]["known"].clone();
    let fits =
        |policy: &Value| load(policy)["tunnels"].as_f64().is_some_and(|seen| (seen - count).abs() < 0.01);
    load(&balancer.wait_policy(&format!("{count} tunnels are seen"), MINUTE, fits).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_keep_their_slots_and_make_no_request_long() {
    let Some((cluster, mut balancer)) = ready().await else { return };
    let front = balancer.site.front;
    let mut open = tunnels(front, 6).await;
    let load = Load::start(front, "/", 1, Duration::from_millis(20));
    let known = |load: &Value, name: &str| load[name].as_f64().unwrap_or_default();
    let seen = wait_tunnels(&mut balancer, 6.0).await;
    assert!(known(&seen, "work") <= 3.0, "tunnels are no work: {seen}");
    assert_eq!(count(&cluster).await, 2, "8 slots are enough for 6 and a request now and then");

    open.extend(tunnels(front, 8).await);
    wait_count(&cluster, "Nomad wants four at least", MINUTE, |count| count >= 4).await;
    let seen = wait_tunnels(&mut balancer, 14.0).await;
    assert!(known(&seen, "service_time") < 1.0, "{seen}");
    explained(&balancer, "14 tunnels").await;

    // Until there were enough, some waited for too long.
    let before = load.seen().failed;
    drop(open);
    wait_count(&cluster, "Nomad wants two again", MINUTE, |count| count == 2).await;
    let seen = load.stop().await;
    assert_eq!((seen.failed, cut(&cluster)), (before, 0), "{seen:?}");
}
