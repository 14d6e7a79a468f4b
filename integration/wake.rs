//! To zero and back: what comes while a group has no instance is held, wakes it, and is answered.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use weir_devcluster::{Cluster, JobSpec};

use crate::rig::consul::Consul;
use crate::rig::haproxy::{self, Haproxy};
use crate::rig::http::{self, Kept, Reply};
use crate::rig::site::Site;
use crate::rig::weir::{Weir, said};
use crate::rig::{Load, SOON, cluster, ports, wait_for};

const MINUTE: Duration = Duration::from_mins(1);
const SERVERS: &str = "{{#each (service \"web\")}}    server {{Server}} {{Address}}:{{Port}} maxconn 4
{{/each}}";
/// The same with HAProxy's own checks.
const CHECKED: &str = "    option httpchk GET /health
{{#each (service \"web\")}}    server {{Server}} {{Address}}:{{Port}} maxconn 4 check inter 200ms rise 2 fall 2
{{/each}}";
const WAKE: &str = "wake {}\n";

/// One load balancer.
struct Balancer {
    site: Site,
    weir: Weir,
    haproxy: Haproxy,
}

impl Balancer {
    async fn start(cluster: &Cluster, servers: &str, options: &str) -> Self {
        let mut site = Site::beside(Consul::elsewhere(cluster.consul_addr().port()));
        site.options = format!("nomad {{\n  address = \"http://{}\"\n}}\n{options}", cluster.nomad_addr());
        // An idle connection of a client outlives the way to zero.
        let template = site.template(servers).replace("timeout client 20s", "timeout client 2m");
        site.write_template(&template);
        let mut weir = site.weir();
        let haproxy = site.haproxy().await;
        weir.wait_ready().await;
        Self { site, weir, haproxy }
    }

    async fn get(&self, path: &str) -> std::io::Result<Reply> {
        http::get(self.site.front, path).await
    }

    /// Its one pool has no server but the one that holds requests.
    async fn holds(&self) {
        self.haproxy.wait_servers("web", &["weir-wake".to_owned()], MINUTE).await;
        self.haproxy.wait_status("web", "weir-wake", "no check", MINUTE).await;
    }

    async fn holds_no_more(&self) {
        wait_for("the instances have the pool for themselves", MINUTE, async || {
            let servers = self.haproxy.servers("web").await?;
            (!servers.is_empty() && !servers.contains_key("weir-wake")).then_some(())
        })
        .await;
    }

    /// A value of weir's metrics for the pool.
    async fn metric(&self, name: &str) -> u64 {
        let metrics = self.weir.metrics().await;
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
    }

    async fn decides(&mut self, what: &str, predicate: impl Fn(&str) -> bool) {
        let reason = |status: &Value| {
            let reason = &status["scaling"]["policies"][0]["last_decision"]["reason"];
            reason.as_str().unwrap_or_default().to_owned()
        };
        self.weir.wait_status(what, MINUTE, |status| predicate(&reason(status))).await;
    }
}

/// A job with one instance that goes to zero after it was idle for five seconds.
fn job() -> JobSpec {
    let strategy = json!([{"concurrency": [{"slots": 4}]}]);
    let check = json!([{"load": [{"source": "haproxy", "strategy": strategy}]}]);
    let policy = json!({
        "cooldown": "1s", "stabilization": "1s", "check": check,
        "scale_to_zero": true, "scale_to_zero_after": "5s",
    });
    JobSpec { count: 1, min: 0, policy, ..cluster::web() }
}

async fn count(cluster: &Cluster) -> u64 {
    let reply = http::get(cluster.nomad_addr().port(), "/v1/job/web/scale").await.expect("Nomad answers");
    let status: Value = serde_json::from_str(&reply.body).expect("JSON");
    status["TaskGroups"]["app"]["Desired"].as_u64().expect("a count")
}

async fn wait_count(cluster: &Cluster, wanted: u64) {
    let what = format!("Nomad wants {wanted}");
    wait_for(&what, MINUTE, async || (count(cluster).await == wanted).then_some(())).await;
}

async fn started(servers: &str, options: &str) -> Option<(Cluster, Balancer)> {
    haproxy::binary()?;
    let cluster = cluster::start().await;
    cluster.run_job(&job()).unwrap();
    let balancer = Balancer::start(&cluster, servers, options).await;
    let serves = async || balancer.get("/").await.ok().filter(|reply| reply.status == 200).map(|_| ());
    wait_for("its instance serves", MINUTE, serves).await;
    Some((cluster, balancer))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_to_zero_and_the_first_request_brings_it_back_and_is_answered() {
    let Some((cluster, mut balancer)) = started(CHECKED, WAKE).await else { return };
    let load = Load::start(balancer.site.front, "/", 2, Duration::from_millis(50));
    balancer.decides("it decides by load", |reason| reason.contains("work of")).await;
    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{seen:?}");
    wait_count(&cluster, 0).await;
    balancer.holds().await;
    let is_empty = async || balancer.site.rendered_servers().is_empty().then_some(());
    wait_for("the file names no server, nor the one that holds requests", SOON, is_empty).await;
    let before = balancer.weir.generation(&balancer.haproxy).await;

    let (reply, ()) = tokio::join!(balancer.get("/first"), async {
        wait_for("it is held", SOON, async || (balancer.metric("weir_wake_held").await == 1).then_some(()))
            .await;
    });
    assert_eq!(reply.expect("an answer").status, 200);
    assert_eq!(count(&cluster).await, 1);
    balancer.holds_no_more().await;
    let totals =
        [balancer.metric("weir_wake_woken_total").await, balancer.metric("weir_wake_expired_total").await];
    assert_eq!(
        (totals, balancer.weir.generation(&balancer.haproxy).await),
        ([1, 0], before),
        "without a reload"
    );
    let status = balancer.weir.status().await.expect("a status");
    assert_eq!((&status["wake"][0]["backend"], &status["wake"][0]["held"]), (&json!("web"), &json!(0)));
    assert_eq!(status["intents"], json!([]), "nothing is wished any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_on_the_way_to_zero_is_answered_at_every_moment_of_it() {
    let Some((cluster, mut balancer)) = started(SERVERS, WAKE).await else { return };
    for stage in ["preparing", "waiting", "stopping", "zero"] {
        // A browser keeps its connection meanwhile.
        let mut kept = Kept::open(balancer.site.front).await.expect("a connection");
        assert_eq!(kept.get("/").await.expect("an answer").status, 200);
        if stage == "zero" {
            balancer.holds().await;
        } else {
            let is_there =
                |status: &Value| status["scaling"]["policies"][0]["drain"]["stage"].as_str() == Some(stage);
            balancer.weir.wait_status(&format!("the drain is {stage}"), MINUTE, is_there).await;
        }
        let load = Load::start(balancer.site.front, "/", 3, Duration::from_millis(20));
        let reply = kept.get("/").await;
        let seen = load.stop().await;
        assert_eq!(reply.map(|reply| reply.status).ok(), Some(200), "{stage}: {}", balancer.weir.log());
        assert_eq!(seen.failed, 0, "{stage}: {seen:?}");
    }
    assert!(cluster::scaled(&cluster).contains(&0));
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_and_restarts_at_zero_change_nothing() {
    let Some((cluster, mut balancer)) = started(SERVERS, WAKE).await else { return };
    wait_count(&cluster, 0).await;
    balancer.holds().await;
    let output = balancer.site.ask(&["reload"]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        balancer.haproxy.servers("web").await.map(|servers| servers.len()),
        Some(1),
        "it has it at once"
    );
    balancer.haproxy.reload().await;
    balancer.holds().await;

    balancer.weir.kill().await;
    balancer.weir = balancer.site.weir();
    balancer.weir.wait_ready().await;
    balancer
        .weir
        .wait_status("requests are held", MINUTE, |status| status["wake"][0]["state"] == "in_force")
        .await;
    let leads = |status: &Value| status["scaling"]["leader"]["state"] == "leading";
    balancer.weir.wait_status("it leads again", cluster::KILLED, leads).await;
    assert_eq!(count(&cluster).await, 0);
    assert_eq!(balancer.get("/").await.expect("an answer").status, 200);
    balancer.holds_no_more().await;
}

/// Asks every two milliseconds while `meanwhile` goes on. Out: when those asked that were refused, the others are held.
async fn refused_during(front: u16, meanwhile: impl Future<Output = ()>) -> Vec<Instant> {
    let refused = Arc::new(Mutex::new(Vec::new()));
    let mut asking = JoinSet::new();
    let ask = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        loop {
            ticks.tick().await;
            let (at, refused) = (Instant::now(), refused.clone());
            asking.spawn(async move {
                if http::get(front, "/").await.is_ok_and(|reply| reply.status == 503) {
                    refused.lock().unwrap().push(at);
                }
            });
        }
    };
    tokio::select! {
        () = meanwhile => {}
        () = ask => {}
    }
    asking.shutdown().await;
    let mut refused = refused.lock().unwrap().clone();
    refused.sort();
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reload_at_zero_requests_are_held_again() {
    let Some((cluster, balancer)) = started(SERVERS, WAKE).await else { return };
    wait_count(&cluster, 0).await;
    balancer.holds().await;
    cluster.faults().placement_limit(Some(0));
    let mut gaps = Vec::new();
    for _ in 0..9 {
        let refused = refused_during(balancer.site.front, async {
            let output = balancer.site.ask(&["reload"]).await;
            assert!(output.status.success(), "{}", said(&output));
        })
        .await;
        gaps.push(refused.first().zip(refused.last()).map_or(Duration::ZERO, |(first, last)| *last - *first));
    }
    // How long that is depends on how busy the machine is: it is shown, and not judged.
    gaps.sort();
    println!("refused for {gaps:?} after nine reloads");
    cluster.faults().placement_limit(None);
    assert_eq!(balancer.get("/").await.expect("an answer").status, 200, "what comes now is held");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_bound_are_refused_at_once_and_counted_and_none_waits_for_ever() {
    let options = "wake {\n  max_connections = 2\n  deadline = \"4s\"\n}\n";
    let Some((cluster, balancer)) = started(SERVERS, options).await else { return };
    wait_count(&cluster, 0).await;
    balancer.holds().await;
    cluster.faults().placement_limit(Some(0));
    let statuses = futures_util::future::join_all((0..4).map(|_| balancer.get("/"))).await;
    let statuses: Vec<u16> = statuses.into_iter().map(|reply| reply.expect("an answer").status).collect();
    assert!(statuses.iter().all(|status| [502, 503].contains(status)), "{statuses:?}");
    let counts =
        [balancer.metric("weir_wake_refused_total").await, balancer.metric("weir_wake_expired_total").await];
    assert!(counts[0] >= 2 && counts[1] == 2, "{counts:?}");
    let records = balancer.weir.records().await;
    let why: Vec<&str> = records
        .iter()
        .filter(|one| one["kind"] == "not_held")
        .filter_map(|one| one["why"].as_str())
        .collect();
    assert_eq!(why, ["more came than `max_connections`"], "once a minute");
    cluster.faults().placement_limit(None);
    assert_eq!(balancer.get("/").await.expect("an answer").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_instance_stays_where_requests_would_not_be_held_and_the_decision_says_why() {
    let Some((cluster, mut balancer)) = started(SERVERS, "").await else { return };
    balancer
        .decides("it names the block", |reason| reason.contains("its weir.hcl has no block `wake`"))
        .await;
    let explained = balancer.site.http_command(&["policy", "explain", "web"]).await;
    assert!(said(&explained).contains("no block `wake`"), "{}", said(&explained));
    assert_eq!((count(&cluster).await, cluster::scaled(&cluster)), (1, vec![]));

    let sorry = format!("{SERVERS}    server sorry 127.0.0.1:{} backup\n", ports::free());
    let mut other = Balancer::start(&cluster, &sorry, WAKE).await;
    balancer.weir.terminate().await;
    other
        .decides("it names the servers of others", |reason| reason.contains("has servers of others too"))
        .await;
    let https = SERVERS.replace("maxconn 4", "maxconn 4 send-proxy");
    other.site.write_template(&other.site.template(&https));
    other
        .decides("it names the option", |reason| reason.contains("`send-proxy` stands on its server lines"))
        .await;
    assert_eq!((count(&cluster).await, cluster::scaled(&cluster)), (1, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_load_balancer_holds_wakes_the_group_for_both() {
    if haproxy::binary().is_none() {
        return;
    }
    let cluster = cluster::start().await;
    cluster.run_job(&job()).unwrap();
    let peer = |port| format!("peer {{\n  address = \"127.0.0.1:{port}\"\n}}\n");
    let mut leader = Balancer::start(&cluster, SERVERS, &format!("{WAKE}{}", peer(ports::free()))).await;
    let leads = |status: &Value| status["scaling"]["leader"]["state"] == "leading";
    leader.weir.wait_status("it leads", SOON, leads).await;
    let address = ports::free();
    let without = Balancer::start(&cluster, SERVERS, &peer(address)).await;
    leader.decides("the other one has none", |reason| reason.contains("): HAProxy would not hold")).await;
    assert_eq!(count(&cluster).await, 1);
    drop(without);
    cluster::deregister(&cluster, address).await;

    let other = Balancer::start(&cluster, CHECKED, &format!("{WAKE}{}", peer(ports::free()))).await;
    wait_count(&cluster, 0).await;
    leader.holds().await;
    other.holds().await;
    assert_eq!(other.get("/").await.expect("an answer").status, 200);
    leader.holds_no_more().await;
    other.holds_no_more().await;
}
