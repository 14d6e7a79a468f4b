//! Which way of watching a thousand services is cheapest for Consul.
//!
//! The same services (`WEIR_BENCH_SIZES=1000x5`) on few nodes and on many (`WEIR_BENCH_NODES=5,100`), followed by weir's
//! own client in each of its ways: one blocking query per service; one per node, and reading only the services that changed
//! there; two for everything, and reading every service when either wakes. `nobody` watches in the first row, which is what
//! the changes themselves cost. Prints a table in Markdown: CPU time of the Consul process per change (an instance gets another
//! port) and idle, and how long a change takes to arrive. Linux only, as CPU times come from `/proc`.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench ends at the first thing that does not work, and prints its result"
)]

#[path = "../../rig/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use more of the rig")]
mod rig;
#[path = "../usage.rs"]
mod usage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rig::consul::Consul;
use rig::wait_closely;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use usage::{Cpu, resident};
use weir_consul::{Client, Health, Options};
use weir_pools::{Catalogue, Query};

/// Changes whose CPU time is measured, and from one to the next.
const CHANGES: usize = 100;
const EVERY: Duration = Duration::from_millis(150);
/// Changes whose arrival is waited for.
const ARRIVALS: usize = 15;
/// How long Consul is left alone before anything is measured, and for how long idle is measured.
const REST: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(15);

/// A way of watching; weir takes it by itself, by how many connections it may have.
struct Way {
    name: &'static str,
    /// `None`: nobody watches.
    max_connections: Option<usize>,
}

const WAYS: [Way; 4] = [
    Way { name: "nobody", max_connections: None },
    Way { name: "one per service", max_connections: Some(1500) },
    Way { name: "one per node, reading what changed", max_connections: Some(150) },
    Way { name: "two for all, reading everything", max_connections: Some(8) },
];

#[tokio::main]
async fn main() {
    println!(
        "| services × instances | nodes | watched by | connections | CPU of Consul per change | idle, per second | its memory | arrives after: median | most |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let (services, instances) = size();
    for nodes in nodes() {
        for way in &WAYS {
            let dir = tempfile::tempdir().expect("a directory is made");
            let ground = Ground::new(dir.path(), services, instances, nodes).await;
            ground.measure(way).await;
        }
    }
}

fn size() -> (usize, usize) {
    let text = std::env::var("WEIR_BENCH_SIZES").unwrap_or_else(|_| "1000x5".to_owned());
    let (services, instances) = text.split_once('x').expect("WEIR_BENCH_SIZES is like 1000x5");
    let number = |text: &str| text.parse().expect("WEIR_BENCH_SIZES is like 1000x5");
    (number(services), number(instances))
}

fn nodes() -> Vec<usize> {
    let text = std::env::var("WEIR_BENCH_NODES").unwrap_or_else(|_| "5,100".to_owned());
    text.split(',').map(|number| number.trim().parse().expect("WEIR_BENCH_NODES is like 5,100")).collect()
}

/// A Consul with all services.
struct Ground {
    consul: Consul,
    services: usize,
    instances: usize,
    nodes: usize,
}

/// Who watches.
struct Watching {
    catalogue: watch::Receiver<Arc<Catalogue>>,
    health: watch::Receiver<Arc<Health>>,
    _wanted: watch::Sender<BTreeSet<Query>>,
    _end: DropGuard,
}

impl Ground {
    async fn new(dir: &std::path::Path, services: usize, instances: usize, nodes: usize) -> Self {
        let limits = json!({"limits": {"http_max_conns_per_client": 5000}});
        let consul = Consul::start_with(dir, "", limits).await.expect("Consul is needed");
        let ground = Self { consul, services, instances, nodes };
        for node in 0..nodes {
            let all = (0..services).flat_map(|service| (0..instances).map(move |n| (service, n)));
            let here = all.filter(|(service, n)| ground.node(*service, *n) == node);
            let entries = here.map(|(service, n)| Self::entry(service, n, 2_000)).collect();
            ground.consul.fill(&format!("node{node}"), entries).await;
        }
        ground
    }

    fn pid(&self) -> u32 {
        self.consul.pid().expect("Consul runs")
    }

    fn node(&self, service: usize, n: usize) -> usize {
        (service * self.instances + n) % self.nodes
    }

    fn entry(service: usize, n: usize, port: usize) -> Value {
        json!({"Service": format!("s{service}"), "ID": format!("s{service}-{n}"),
            "Address": format!("10.0.{n}.1"), "Port": port})
    }

    /// The first instance of a service gets this port.
    async fn change(&self, service: usize, port: usize) {
        let node = format!("node{}", self.node(service, 0));
        self.consul.register_elsewhere(&node, Self::entry(service, 0, port)).await;
    }

    async fn measure(&self, way: &Way) {
        let watching = match way.max_connections {
            Some(most) => Some(self.watch(most).await),
            None => None,
        };
        tokio::time::sleep(REST).await;
        let idle = self.spent(tokio::time::sleep(IDLE)).await;
        let memory =
            resident(self.pid()).map_or_else(|| "not known".to_owned(), |mib| format!("{mib:.0} MiB"));
        let begin = Instant::now();
        let busy = self.spent(self.changes()).await;
        let over = begin.elapsed();
        let arrivals = match &watching {
            Some(watching) => self.arrivals(watching).await,
            None => " | ".to_owned(),
        };
        let queries = watching.as_ref().map_or(0, |watching| watching.health.borrow().watches);
        let idle = idle.div_f64(IDLE.as_secs_f64());
        let per_change = busy.saturating_sub(idle.mul_f64(over.as_secs_f64()))
            / u32::try_from(CHANGES).expect("a small number");
        println!(
            "| {} × {} | {} | {} | {queries} | {} | {} | {memory} | {arrivals} |",
            self.services,
            self.instances,
            self.nodes,
            way.name,
            millis(per_change),
            millis(idle)
        );
    }

    /// What Consul uses while `work` is done.
    async fn spent(&self, work: impl Future<Output = ()>) -> Duration {
        let cpu = || Cpu::of(self.pid()).expect("there is /proc");
        let before = cpu();
        work.await;
        cpu().since(before).own
    }

    async fn changes(&self) {
        let begin = tokio::time::Instant::now();
        for change in 0..CHANGES {
            tokio::time::sleep_until(begin + EVERY * u32::try_from(change).expect("a small number")).await;
            self.change(change * 7 % self.services, 3_000 + change).await;
        }
        tokio::time::sleep(REST).await;
    }

    /// Watches everything, and waits until all of it is known.
    async fn watch(&self, max_connections: usize) -> Watching {
        let options = Options { address: self.consul.address(), max_connections, ..Options::default() };
        let client = Client::new(options).expect("the options are right");
        let queries: BTreeSet<Query> = (0..self.services).map(query).collect();
        let (wanted, receiver) = watch::channel(queries.clone());
        let cancel = CancellationToken::new();
        let (catalogue, health) = weir_consul::watch(client, receiver, cancel.clone());
        let watching = Watching { catalogue, health, _wanted: wanted, _end: cancel.drop_guard() };
        wait_closely("all services are known", Duration::from_mins(2), async || {
            let known = watching.catalogue.borrow().clone();
            queries.iter().all(|query| known.get(query).is_some()).then_some(())
        })
        .await;
        watching
    }

    /// Cells: the median and the longest time until a change is in the catalogue.
    async fn arrivals(&self, watching: &Watching) -> String {
        let mut times = Vec::with_capacity(ARRIVALS);
        for turn in 0..ARRIVALS {
            let (service, port) = (turn * 13 % self.services, 4_000 + turn);
            let begin = Instant::now();
            self.change(service, port).await;
            let mut catalogue = watching.catalogue.clone();
            let is_there = |known: &Arc<Catalogue>| {
                known
                    .instances(&query(service))
                    .is_some_and(|all| all.iter().any(|one| usize::from(one.port) == port))
            };
            catalogue.wait_for(is_there).await.expect("the watch goes on");
            times.push(begin.elapsed());
            tokio::time::sleep(EVERY).await;
        }
        times.sort();
        format!("{} | {}", millis(times[times.len() / 2]), millis(times[times.len() - 1]))
    }
}

fn query(service: usize) -> Query {
    Query::Service { name: format!("s{service}"), datacenter: None }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
