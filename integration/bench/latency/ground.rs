//! What is the same for all programs: Consul with N services × M instances, the probe's service `web` beside them, and
//! the change that is measured.

use std::io::BufReader;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::site::Site;
use crate::rig::{Instance, wait_for};
use crate::settings::Size;
use crate::wire;

/// Between one probe and the next.
const PROBE: Duration = Duration::from_micros(500);
/// Between one change and the next.
pub(crate) const PAUSE: Duration = Duration::from_millis(300);
/// After the change that is not measured: the file has followed.
pub(crate) const SETTLED: Duration = Duration::from_secs(3);

/// A site whose Consul is filled, and who serves the probe now.
pub(crate) struct Ground {
    pub(crate) site: Site,
    pub(crate) size: Size,
    current: Instance,
    turn: usize,
}

impl Ground {
    /// With `connections` as Consul's `http_max_conns_per_client`; its default is 200.
    pub(crate) async fn new(size: Size, connections: usize) -> Self {
        let limits = json!({"limits": {"http_max_conns_per_client": connections}});
        let mut site = Site::with_consul("", limits).await.expect("Consul and HAProxy are needed");
        site.log_level = "info";
        if let Ok(most) = std::env::var("WEIR_BENCH_MAX_CONNECTIONS") {
            site.consul_options = format!("max_connections = {most}");
        }
        let (services, instances) = size;
        for n in 0..instances {
            let entry = |service| {
                json!({"Service": format!("s{service}"), "ID": format!("s{service}-{n}"),
                    "Address": format!("10.0.{n}.1"), "Port": 2_000 + service})
            };
            site.consul.fill(&format!("n{n}"), (0..services).map(entry).collect()).await;
        }
        let current = Instance::start("turn-0").await;
        site.consul.register("web", "probe", current.port).await;
        Self { site, size, current, turn: 0 }
    }

    /// A configuration with the probe's pool and all others.
    pub(crate) fn configuration(&self, pool: impl Fn(&str) -> String) -> String {
        let backend = |n: usize| format!("backend s{n}\n    balance roundrobin\n{}", pool(&format!("s{n}")));
        let others: Vec<String> = (0..self.size.0).map(backend).collect();
        format!("{}{}", self.site.template(&pool("web")), others.concat())
    }

    /// The same with what is registered now, written out.
    pub(crate) fn written_out(&self) -> String {
        self.configuration(|service| match service.strip_prefix('s') {
            None => format!("    server probe {}\n", self.current.server()),
            Some(number) => {
                let port = 2_000 + number.parse::<usize>().expect("the names are ours");
                let server = |n| format!("    server 10.0.{n}.1:{port} 10.0.{n}.1:{port}\n");
                (0..self.size.1).map(server).collect()
            }
        })
    }

    /// Whether weir's default `max_connections` is enough for a query per service.
    pub(crate) fn has_a_connection_each(&self) -> bool {
        /// 150 less those that are kept free, and less the probe.
        const ENOUGH: usize = 133;
        self.size.0 <= ENOUGH
    }

    /// Nothing is left of the program that ran before.
    pub(crate) fn clear(&self) {
        for name in ["haproxy.cfg", "haproxy.cfg.hbs"] {
            let _ = std::fs::remove_file(self.site.path(name));
        }
        let _ = std::fs::remove_dir_all(self.site.path("state"));
    }

    /// Waits until the probe is answered by who is registered.
    pub(crate) async fn wait_answered(&self) {
        let (front, name) = (self.site.front, &self.current.name);
        wait_for("the first answer", Duration::from_mins(2), async || {
            wire::is_answered_by(front, name).then_some(())
        })
        .await;
    }

    /// From just before the `PUT` until the front answers from another port.
    pub(crate) async fn change(&mut self) -> Duration {
        self.turn += 1;
        let next = Instance::start(&format!("turn-{}", self.turn)).await;
        let (consul, front) = (self.site.consul.port, self.site.front);
        let (name, port) = (next.name.clone(), next.port);
        let measured = tokio::task::spawn_blocking(move || measure(consul, front, &name, port));
        let took = measured.await.expect("the measurement ends");
        self.current = next;
        took
    }

    /// So many changes, each some time after the one before.
    pub(crate) async fn changes(&mut self, count: usize, pause: Duration) -> Vec<Duration> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            times.push(self.change().await);
            tokio::time::sleep(pause).await;
        }
        times
    }
}

fn measure(consul: u16, front: u16, name: &str, port: u16) -> Duration {
    let mut stream = BufReader::new(wire::connect(consul).expect("Consul answers"));
    let body = json!({"Name": "web", "ID": "probe", "Address": "127.0.0.1", "Port": port}).to_string();
    let started = Instant::now();
    wire::ask(&mut stream, "PUT /v1/agent/service/register", &body).expect("Consul takes the registration");
    while !wire::is_answered_by(front, name) {
        assert!(started.elapsed() < Duration::from_mins(1), "{name} never answered");
        std::thread::park_timeout(PROBE);
    }
    started.elapsed()
}
