//! What the scaler needs goes away while there is load, and comes back: nothing is taken away meanwhile, weir says
//! what it does not know, and goes on by itself.
//!
//! The load falls as soon as the part is away, so that a decrease would be decided if what is missing were taken for
//! zero, or what was seen last for what is. Each test prints what it took until weir knew, and until all was well
//! again.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use weir_devcluster::{Cluster, JobSpec};

use crate::prometheus::Fake;
use crate::rig::consul::Consul;
use crate::rig::haproxy::{self, Haproxy};
use crate::rig::line::{Fault, Line};
use crate::rig::site::Site;
use crate::rig::weir::{Weir, said};
use crate::rig::{Load, SOON, cluster, ports, wait_for};

const MINUTE: Duration = Duration::from_mins(1);
/// What it may take until everything is known again: five seconds, and what a busy machine adds.
const RECOVERY: Duration = Duration::from_secs(8);
/// As many requests at any time as need five instances of four slots at least, and as two do alone.
const LANES: [usize; 2] = [20, 3];

const SERVERS: &str = "{{#each (service \"web\")}}    server {{Server}} {{Address}}:{{Port}} maxconn 4
{{/each}}";

/// How long a part stays away once that is known: five seconds; two minutes with `WEIR_TEST_LONG=1`.
fn away() -> Duration {
    let long = std::env::var_os("WEIR_TEST_LONG").is_some();
    Duration::from_secs(if long { 120 } else { 5 })
}

/// A job whose count follows a fall of its load within seconds.
fn hasty(check: &Value) -> JobSpec {
    let policy = json!({
        "cooldown": "2s", "evaluation_interval": "1s", "scale_down": [{"stabilization": "3s"}], "check": [check],
    });
    JobSpec { policy, ..cluster::web() }
}

/// The check of HAProxy's load.
fn by_load() -> Value {
    json!({"load": [{"source": "haproxy", "strategy": [{"concurrency": [{"slots": 4}]}]}]})
}

/// A load balancer whose weir reaches Consul, Nomad and Prometheus by lines.
struct Scene {
    cluster: Cluster,
    consul: Line,
    nomad: Line,
    prometheus: Line,
    source: Fake,
    site: Site,
    weir: Weir,
    haproxy: Haproxy,
}

impl Scene {
    /// A job `web` and its leader; nothing where HAProxy is missing.
    async fn start(check: &Value) -> Option<Self> {
        haproxy::binary()?;
        let cluster = cluster::start().await;
        cluster.run_job(&hasty(check)).unwrap();
        let source = Fake::start("25").await;
        let consul = Line::to(cluster.consul_addr()).await;
        let nomad = Line::to(cluster.nomad_addr()).await;
        let prometheus = Line::to(([127, 0, 0, 1], source.port).into()).await;
        let mut site = Site::beside(Consul::elsewhere(consul.port));
        site.options = format!(
            "nomad {{\n  address = \"http://127.0.0.1:{}\"\n}}\n\
             prometheus {{\n  address = \"http://127.0.0.1:{}\"\n}}\n{}",
            nomad.port,
            prometheus.port,
            peer()
        );
        let (mut weir, haproxy) = site.up_with(&site.template(SERVERS)).await;
        weir.wait_status("it leads", SOON, leads).await;
        Some(Self { cluster, consul, nomad, prometheus, source, site, weir, haproxy })
    }

    /// Another load balancer for the same job, which both know of.
    async fn second(&mut self) -> Second {
        let mut site = Site::beside(Consul::elsewhere(self.cluster.consul_addr().port()));
        site.options =
            format!("nomad {{\n  address = \"http://{}\"\n}}\n{}", self.cluster.nomad_addr(), peer());
        let (mut weir, haproxy) = site.up_with(&site.template(SERVERS)).await;
        for one in [&mut weir, &mut self.weir] {
            one.wait_status("the other one answers", SOON, knows_the_other).await;
        }
        Second { site, weir, _haproxy: haproxy }
    }

    /// Load that needs five instances, which serve.
    async fn loaded(&mut self) -> Load {
        let load = Load::start(self.site.front, "/", LANES[0], Duration::ZERO);
        self.serves(5).await;
        load
    }

    async fn serves(&mut self, count: u64) {
        let serving = |status: &Value| decision(status)["demand"]["known"]["serving"].as_u64() >= Some(count);
        self.weir.wait_status(&format!("{count} instances serve"), MINUTE, serving).await;
    }

    /// The load falls to what two instances do.
    async fn fall(&self, load: Load) -> Load {
        load.stop().await;
        Load::start(self.site.front, "/", LANES[1], Duration::ZERO)
    }

    /// Waits until the status says that something is away, then as long as it stays away; nothing is taken away
    /// in all that time.
    async fn lasts(&mut self, what: &str, is_away: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        self.weir.wait_status(&format!("{what} is away"), MINUTE, &is_away).await;
        println!("{what}: that it is away is said after {:.1?}", began.elapsed());
        let known = Instant::now();
        wait_for("the outage is over", away() + MINUTE, async || {
            self.weir.must_run();
            assert!(!has_fallen(&self.cluster), "{:?}", cluster::scaled(&self.cluster));
            (known.elapsed() >= away()).then_some(())
        })
        .await;
        let status = self.weir.status().await.expect("weir answers");
        assert!(is_away(&status), "{status:#}");
        let servers = self.haproxy.states("web").await.expect("HAProxy answers");
        assert!(servers.values().all(|server| server.is_ready()), "some are on their way out: {servers:?}");
    }

    /// What people read of it has these words: `weir status`, and `weir policy explain`.
    async fn says(&self, words: [&str; 2]) {
        for (args, words) in [&["status"][..], &["policy", "explain", "web"]].iter().zip(words) {
            let text = said(&self.site.http_command(args).await);
            println!("weir {}:\n{text}", args.join(" "));
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
    }

    /// Waits until all is known again, and until the fall of the load is followed.
    async fn recovers(&mut self, what: &str, is_well: impl Fn(&Value) -> bool) {
        let back = Instant::now();
        self.weir.wait_status(&format!("{what} is back"), RECOVERY, is_well).await;
        println!("{what}: well again after {:.1?}", back.elapsed());
        assert!(
            !has_fallen(&self.cluster),
            "before its window was seen: {:?}",
            cluster::scaled(&self.cluster)
        );
        wait_for("the fall is followed", MINUTE, async || has_fallen(&self.cluster).then_some(())).await;
        println!("{what}: fewer instances after {:.1?}", back.elapsed());
    }
}

/// The other load balancer.
struct Second {
    site: Site,
    weir: Weir,
    _haproxy: Haproxy,
}

/// Where a weir tells others of its HAProxy.
fn peer() -> String {
    format!("peer {{\n  address = \"127.0.0.1:{}\"\n}}", ports::free())
}

/// Nothing is missed of the other load balancer.
fn knows_the_other(status: &Value) -> bool {
    let peers = status["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let missing = &decision(status)["demand"]["known"]["missing"];
    peers.len() == 1 && peers[0]["answers"] == true && *missing == json!([])
}

fn leads(status: &Value) -> bool {
    status["scaling"]["leader"]["state"] == "leading"
}

fn decision(status: &Value) -> &Value {
    &status["scaling"]["policies"][0]["last_decision"]
}

fn has_fallen(cluster: &Cluster) -> bool {
    cluster::scaled(cluster).windows(2).any(|pair| pair[1] < pair[0])
}

async fn nomad_away(fault: Fault) {
    let Some(mut scene) = Scene::start(&by_load()).await else { return };
    let load = scene.loaded().await;
    scene.nomad.fail(fault);
    let _load = scene.fall(load).await;
    let what = format!("Nomad, {fault:?}");
    let is_away = |status: &Value| status["scaling"]["nomad"]["state"] == "unreachable" && !leads(status);
    scene.lasts(&what, is_away).await;
    scene.says(["nomad    unreachable, not_seeking: ", "until Nomad answers again: "]).await;
    scene.nomad.mend().await;
    let back = jiff::Timestamp::now();
    let is_read = move |status: &Value| {
        let read = status["scaling"]["policies"][0]["read"].as_str().unwrap_or_default();
        read.parse::<jiff::Timestamp>().is_ok_and(|read| read > back)
    };
    scene
        .recovers(&what, |status| {
            status["scaling"]["nomad"]["state"] == "ok" && leads(status) && is_read(status)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nomad_that_refuses_is_waited_for() {
    nomad_away(Fault::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nomad_that_is_silent_is_waited_for() {
    nomad_away(Fault::Silent).await;
}

async fn consul_away(fault: Fault) {
    let Some(mut scene) = Scene::start(&by_load()).await else { return };
    let load = scene.loaded().await;
    scene.consul.fail(fault);
    let _load = scene.fall(load).await;
    let what = format!("Consul, {fault:?}");
    let is_away = |status: &Value| status["consul"]["state"] != "ok" && !leads(status);
    scene.lasts(&what, is_away).await;
    scene.says(["consul   unreachable since", "until Consul answers again: "]).await;
    scene.consul.mend().await;
    scene.recovers(&what, |status| status["consul"]["state"] == "ok" && leads(status)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_refuses_is_waited_for() {
    consul_away(Fault::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_is_silent_is_waited_for() {
    consul_away(Fault::Silent).await;
}

/// A fifth of what each instance may have: read as zero or as it is, it would take instances away.
async fn prometheus_away(fault: Fault) {
    let strategy = json!([{"target-value": [{"target": 10}]}]);
    let mut check = json!({"source": "prometheus", "query": "shop_load", "query_window": "instant"});
    check["strategy"] = strategy;
    let Some(mut scene) = Scene::start(&json!({"shop": [check]})).await else { return };
    wait_for("Nomad is asked for more", MINUTE, async || {
        cluster::scaled(&scene.cluster).last().is_some_and(|last| *last > 2).then_some(())
    })
    .await;
    scene.source.set("10");
    scene.serves(5).await;
    let wants = |status: &Value| decision(status)["votes"][0]["wants"].as_u64();
    let enough = |status: &Value| wants(status) == decision(status)["from"].as_u64();
    scene.weir.wait_status("as many as there are are enough", MINUTE, enough).await;
    scene.prometheus.fail(fault);
    scene.source.set("2");
    let what = format!("Prometheus, {fault:?}");
    scene.lasts(&what, |status| wants(status).is_none()).await;
    scene.says(["its value is unknown", "Prometheus at"]).await;
    scene.prometheus.mend().await;
    scene.recovers(&what, |status| wants(status).is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_refuses_is_waited_for() {
    prometheus_away(Fault::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_is_silent_is_waited_for() {
    prometheus_away(Fault::Silent).await;
}

/// The HAProxy beside it goes on with most of the load, which nobody sees then.
#[tokio::test(flavor = "multi_thread")]
async fn a_weir_that_was_killed_is_waited_for() {
    let Some(mut scene) = Scene::start(&by_load()).await else { return };
    let mut second = scene.second().await;
    let (load, _other) = both_loaded(&mut scene, &second).await;
    second.weir.kill().await;
    let _load = scene.fall(load).await;
    scene.lasts("a weir, killed", misses_the_other).await;
    scene.says(["does not answer: ", "a part of the load is not known: "]).await;
    second.weir = second.site.weir();
    scene.recovers("a weir, killed", knows_the_other).await;
    second.weir.wait_status("so does the other", RECOVERY, knows_the_other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weir_that_hangs_is_waited_for() {
    let Some(mut scene) = Scene::start(&by_load()).await else { return };
    let mut second = scene.second().await;
    let (load, _other) = both_loaded(&mut scene, &second).await;
    second.weir.signal(Signal::SIGSTOP);
    let _load = scene.fall(load).await;
    scene.lasts("a weir, stopped", misses_the_other).await;
    scene.says(["does not answer: ", "a part of the load is not known: "]).await;
    second.weir.signal(Signal::SIGCONT);
    scene.recovers("a weir, stopped", knows_the_other).await;
    second.weir.wait_status("so does the other", RECOVERY, knows_the_other).await;
}

/// Each has half of what five instances do.
async fn both_loaded(scene: &mut Scene, second: &Second) -> (Load, Load) {
    let load = |site: &Site| Load::start(site.front, "/", LANES[0] / 2, Duration::ZERO);
    let loads = (load(&scene.site), load(&second.site));
    scene.serves(5).await;
    loads
}

fn misses_the_other(status: &Value) -> bool {
    let missing = &decision(status)["demand"]["known"]["missing"];
    status["peers"][0]["answers"] == false && missing.as_array().is_some_and(|missing| !missing.is_empty())
}
