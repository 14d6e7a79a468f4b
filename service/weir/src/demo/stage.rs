//! Everything that runs in the demo, started and ended in order.
//!
//! In: the HAProxy, the plan. Out: a show that is ready to begin. A start that does not succeed in time is an error that
//! names the log. The end is bounded: weir first, while its Consul still answers, then HAProxy, then the cluster.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use weir_devcluster::{Cluster, InstanceState, JobSpec, Options, StopMode};

use super::curve::Plan;
use super::following;
use super::live::{Screen, Show};
use super::process::Process;
use super::site::Site;
use crate::show;
use crate::status::Status;

/// The fewest and the most instances.
pub(super) const BOUNDS: (u32, u32) = (2, 8);
/// What an instance does at once.
pub(super) const SLOTS: usize = 5;
/// The mean time of a request.
const SERVICE_TIME: Duration = Duration::from_millis(100);
/// How long an instance takes to start.
const START_TIME: Duration = Duration::from_secs(2);
/// Each step of the start; a machine that needs longer cannot show anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Weir's own bound for its end is 5 s.
const WEIR_ENDS: Duration = Duration::from_secs(5);
const HAPROXY_ENDS: Duration = Duration::from_secs(2);
const CLUSTER_ENDS: Duration = Duration::from_secs(2);

/// What runs.
pub(super) struct Stage {
    pub(super) site: Site,
    cluster: Option<Cluster>,
    weir: Option<Process>,
    haproxy: Option<Process>,
    /// For what is asked of weir and of Consul.
    pub(super) client: reqwest::Client,
}

impl Stage {
    pub(super) fn new(haproxy: std::path::PathBuf) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build()?;
        Ok(Self { site: Site::new(haproxy)?, cluster: None, weir: None, haproxy: None, client })
    }

    /// Starts it all, in the order that the guide recommends: weir writes the configuration, then HAProxy starts.
    pub(super) async fn start(&mut self, plan: &Plan, screen: &mut Screen) -> anyhow::Result<Show> {
        screen.line("weir demo: starting a Consul, a Nomad and two instances in this process");
        let cluster = Cluster::start(Options::default()).await.context("the cluster does not start")?;
        let (consul, nomad) = (cluster.consul_addr(), cluster.nomad_addr());
        cluster.run_job(&job(plan.cooldown()))?;
        self.cluster = Some(cluster);
        let passing = async || following::passing(&self.client, consul).await == Some(BOUNDS.0 as usize);
        until("the first instances pass their checks", passing).await?;
        self.site.write(consul, nomad, SLOTS)?;
        self.weir = Some(Process::start("`weir run`", &mut self.site.weir()?, &self.site.path("weir.log"))?);
        self.wait("weir writes haproxy.cfg", |_| true).await?;
        let log = self.site.path("haproxy.log");
        self.haproxy = Some(Process::start("HAProxy", &mut self.site.haproxy(), &log)?);
        self.wait("weir is ready and holds the lock", |status| {
            let leads = status.scaling.as_ref().is_some_and(|it| it.leader.state == "leading");
            status.ready && leads && servers(status) == u64::from(BOUNDS.0)
        })
        .await?;
        screen.line(&format!(
            "weir demo: HAProxy listens on http://{}/, weir on {}; files and logs are in {}",
            self.site.front,
            self.site.http,
            self.site.dir().display()
        ));
        Ok(Show::begin(self, plan.clone(), consul))
    }

    /// Waits until haproxy.cfg is there and weir's status is as wanted.
    async fn wait(&mut self, what: &str, wanted: impl Fn(&Status) -> bool) -> anyhow::Result<()> {
        let step = async {
            loop {
                self.must_run()?;
                let written = self.site.path("haproxy.cfg").is_file();
                if written && self.status().await.is_ok_and(|status| wanted(&status)) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited: Result<anyhow::Result<()>, _> = timeout(PATIENCE, step).await;
        let log = self.site.path("weir.log");
        waited.unwrap_or_else(|_| bail!("not within {PATIENCE:?}: {what}; weir's log is {}", log.display()))
    }

    /// An error where weir or HAProxy has ended.
    pub(super) fn must_run(&mut self) -> anyhow::Result<()> {
        self.weir.iter_mut().chain(&mut self.haproxy).try_for_each(Process::must_run)
    }

    /// Weir's status.
    pub(super) async fn status(&self) -> anyhow::Result<Status> {
        show::fetch(&self.site.http.to_string()).await
    }

    /// Instances that start just now.
    pub(super) fn starting(&self) -> u64 {
        let instances = self.cluster.as_ref().map_or_else(Vec::new, Cluster::instances);
        instances.iter().filter(|instance| instance.state == InstanceState::Starting).count() as u64
    }

    /// Ends everything; the directory, which goes when it is dropped.
    pub(super) async fn end(self) -> TempDir {
        if let Some(weir) = self.weir {
            weir.end(WEIR_ENDS).await;
        }
        if let Some(haproxy) = self.haproxy {
            haproxy.end(HAPROXY_ENDS).await;
        }
        if let Some(cluster) = self.cluster {
            let _ = timeout(CLUSTER_ENDS, cluster.shutdown()).await;
        }
        self.site.into_dir()
    }
}

/// How many servers of the pool serve.
pub(super) fn servers(status: &Status) -> u64 {
    let servers = status.haproxy.iter().flat_map(|haproxy| &haproxy.pools).flat_map(|pool| &pool.servers);
    servers.filter(|server| server.state.is_some_and(weir_scaling::ServerState::serves)).count() as u64
}

async fn until(what: &str, reached: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let step = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, step).await.with_context(|| format!("not within {PATIENCE:?}: {what}"))
}

/// The job `web`, with a scaling policy that weir's defaults make complete.
fn job(cooldown: Duration) -> JobSpec {
    JobSpec {
        count: BOUNDS.0,
        min: BOUNDS.0,
        max: BOUNDS.1,
        policy: policy(cooldown),
        start_time: START_TIME,
        service_time: SERVICE_TIME,
        slots: SLOTS,
        // Longer than weir needs to take it out of the pool: a request that is on its way still finds it.
        shutdown_delay: Duration::from_secs(3),
        stop: StopMode::Finish(Duration::from_secs(5)),
        min_healthy_time: Duration::from_millis(500),
        ..JobSpec::default()
    }
}

/// As Nomad gives it: `check "load" { source = "haproxy" strategy "concurrency" {} }` and a short cooldown.
fn policy(cooldown: Duration) -> Value {
    let check = json!([{"load": [{"source": "haproxy", "strategy": [{"concurrency": [{}]}]}]}]);
    json!({"cooldown": format!("{}s", cooldown.as_secs()), "check": check})
}
