//! Consul, Nomad with the job, and the load balancers.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_devcluster::{Cluster, JobSpec, StopMode};

use crate::rig::balancer::{self, Balancer};
use crate::rig::consul::Consul;
use crate::rig::nomad::Nomad;
use crate::rig::site::Site;
use crate::rig::weir::said;
use crate::rig::{SOON, cluster, haproxy, http, instance, wait_for};
use crate::settings::{Kind, Settings};

/// What an instance does at once, over all load balancers.
const SLOTS: u32 = 5;
const MIN: u32 = 2;
const MAX: u32 = 20;
/// From its start until an instance listens.
const START: Duration = Duration::from_secs(3);
const MINUTES: Duration = Duration::from_mins(3);

/// Where everything runs; it ends with its value, the load balancers first.
pub(crate) struct Ground {
    balancers: Vec<Balancer>,
    nomad: u16,
    _cluster: Below,
}

/// What the load balancers stand on.
enum Below {
    Real(Box<Real>),
    Devcluster(Cluster),
}

/// Real ones, which end in this order.
struct Real {
    nomad: Nomad,
    consul: Consul,
    _dir: TempDir,
}

impl Below {
    async fn start(kind: Kind) -> Self {
        haproxy::binary().expect("HAProxy is needed");
        match kind {
            Kind::Devcluster => {
                let cluster = cluster::start().await;
                cluster.run_job(&spec()).expect("the job is right");
                Self::Devcluster(cluster)
            }
            Kind::Real => {
                let real = Real::start().await;
                real.nomad.run(&file()).await;
                Self::Real(Box::new(real))
            }
        }
    }

    fn ports(&self) -> (u16, u16) {
        match self {
            Self::Real(real) => (real.consul.port, real.nomad.port),
            Self::Devcluster(cluster) => (cluster.consul_addr().port(), cluster.nomad_addr().port()),
        }
    }
}

impl Real {
    async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("weir-bench-").tempdir_in("/tmp").expect("made");
        let consul = Consul::start(dir.path()).await.expect("Consul is needed");
        let nomad = Nomad::start(dir.path(), &consul).await.expect("Nomad is needed");
        Self { nomad, consul, _dir: dir }
    }
}

impl Ground {
    pub(crate) async fn new(settings: &Settings) -> Self {
        let cluster = Below::start(settings.nomad).await;
        let (consul, nomad) = cluster.ports();
        let slots = SLOTS.div_ceil(settings.balancers);
        let servers = format!(
            "{{{{#each (service \"web\")}}}}    server {{{{Server}}}} {{{{Address}}}}:{{{{Port}}}} id {{{{ServerId}}}} maxconn {slots}\n{{{{/each}}}}"
        );
        let mut balancers = Vec::new();
        for _ in 0..settings.balancers {
            let mut site = Site::beside(Consul::elsewhere(consul));
            site.options = balancer::nomad(&format!("http://127.0.0.1:{nomad}"));
            site.log_level = "info";
            // Longer than a request takes.
            site.server_timeout = "1m";
            // As in `templates/haproxy.cfg.hbs`.
            site.queue_timeout = "10s";
            balancers.push(match settings.balancers {
                1 => Balancer::start_in(site, &servers).await,
                _ => Balancer::start_peer_in(site, &servers, "").await,
            });
        }
        Self { balancers, nomad, _cluster: cluster }
    }

    /// Waits until the fewest instances run and serve, and no more.
    pub(crate) async fn wait_steady(&mut self) {
        let nomad = self.nomad;
        self.balancers[0].leads(SOON).await;
        let settled = wait_for("as few run as may be", MINUTES, async || {
            let running = allocations(nomad).await?.len();
            (u32::try_from(running) == Ok(MIN)).then_some(())
        });
        tokio::select! {
            () = settled => {}
            never = self.explain_after(MINUTES.saturating_sub(SOON)) => match never {},
        }
        self.balancers[0].serves(MIN.into()).await;
    }

    /// Says why it takes so long.
    async fn explain_after(&self, patience: Duration) -> Infallible {
        tokio::time::sleep(patience).await;
        println!("{}", said(&self.balancers[0].explain("web").await));
        std::future::pending().await
    }

    /// The ports that the load comes in at.
    pub(crate) fn fronts(&self) -> Vec<u16> {
        self.balancers.iter().map(|one| one.site.front).collect()
    }

    /// Where the first load balancer's HAProxy is asked.
    pub(crate) fn stats(&self) -> std::path::PathBuf {
        self.balancers[0].site.path("stats.sock")
    }

    pub(crate) fn nomad(&self) -> u16 {
        self.nomad
    }

    /// Prints why the count is what it is, whenever that is news; never, where nobody asked for it.
    pub(crate) async fn say_reasons(&self) -> Infallible {
        if std::env::var_os("WEIR_BENCH_REASONS").is_none() {
            return std::future::pending().await;
        }
        let (begin, mut last) = (Instant::now(), String::new());
        loop {
            let status = self.balancers[0].weir.status().await.unwrap_or_default();
            let reason = reason(&status["scaling"]["policies"][0]["last_decision"]);
            if reason != last {
                println!("{:.1} s: {reason}", begin.elapsed().as_secs_f64());
                last = reason;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The processes of weir.
    pub(crate) fn weirs(&self) -> Vec<u32> {
        self.balancers.iter().map(|one| one.weir.pid()).collect()
    }

    /// Reloads by all weirs since their starts.
    pub(crate) async fn reloads(&self) -> u64 {
        let mut sum = 0;
        for one in &self.balancers {
            sum += one.weir.reloads().await;
        }
        sum
    }
}

/// The job's allocations that take up room: told to run, or not yet ended.
pub(crate) async fn allocations(nomad: u16) -> Option<Vec<Value>> {
    let reply = http::get(nomad, "/v1/job/web/allocations").await.ok()?;
    let all: Vec<Value> = serde_json::from_str(&reply.body).ok()?;
    let is_there = |one: &Value| one["ClientStatus"] == "running" || one["ClientStatus"] == "pending";
    Some(all.into_iter().filter(is_there).collect())
}

/// The count that Nomad has for the group.
pub(crate) async fn count(nomad: u16) -> Option<u64> {
    let reply = http::get(nomad, "/v1/job/web/scale").await.ok()?;
    let scale: Value = serde_json::from_str(&reply.body).ok()?;
    scale["TaskGroups"]["app"]["Desired"].as_u64()
}

fn reason(decision: &Value) -> String {
    let text = |name: &str| decision[name].as_str().unwrap_or_default();
    format!("{}: {}", text("action"), text("reason"))
}

/// The job for the devcluster.
fn spec() -> JobSpec {
    let check = json!([{"load": [{"source": "haproxy", "strategy": [{"concurrency": [{}]}]}]}]);
    JobSpec {
        count: MIN,
        min: MIN,
        max: MAX,
        policy: json!({"check": check}),
        start_time: START,
        service_time: Duration::from_millis(50),
        // HAProxy's `maxconn` is what limits it.
        slots: 1000,
        shutdown_delay: Duration::from_secs(3),
        stop: StopMode::Cut,
        min_healthy_time: Duration::from_secs(2),
        health_interval: Duration::from_secs(1),
        ..JobSpec::default()
    }
}

/// The job for a real Nomad: its instances are this very program.
fn file() -> String {
    let program = std::env::current_exe().expect("the bench's own program");
    let (port, start) = (instance::PORT, instance::START);
    format!(
        r#"job "web" {{
  datacenters = ["dc1"]
  update {{
    min_healthy_time = "2s"
  }}
  group "app" {{
    count = {MIN}
    shutdown_delay = "3s"
    scaling {{
      min = {MIN}
      max = {MAX}
      policy {{
        check "load" {{
          source = "haproxy"
          strategy "concurrency" {{}}
        }}
      }}
    }}
    network {{
      port "http" {{}}
    }}
    service {{
      name = "web"
      port = "http"
      check {{
        type = "http"
        path = "/health"
        interval = "1s"
        timeout = "1s"
      }}
    }}
    task "web" {{
      driver = "raw_exec"
      config {{
        command = {program}
      }}
      env {{
        {port} = "${{NOMAD_PORT_http}}"
        {start} = "{start_time}"
      }}
      resources {{
        cpu = 20
        memory = 32
      }}
    }}
  }}
}}
"#,
        program = json!(program),
        start_time = START.as_millis(),
    )
}
