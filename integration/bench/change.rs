//! What one change of Consul costs until it is known what should be in force: render, sections, checks, pools.
//!
//! N services × M instances in one template, written out service by service and as one loop over all services. Each
//! change replaces one instance of one service. Prints, per change, the whole and its two largest parts by themselves,
//! in µs; `WEIR_BENCH_SIZES=10x10,1000x5`, `WEIR_BENCH_CHANGES=100` and `WEIR_BENCH_TEMPLATE="one loop"` change what is measured. It is built with the
//! template crate, and takes the daemon's pure modules in by their files, so that it needs nothing of the daemon.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench ends at the first thing that does not work, and prints its result"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haproxy_cfg::Sections;
use weir_pools::guard::{Guard, Pools};
use weir_pools::places::OutputKind;
use weir_pools::{Answer, Catalogue, Check, Instance, Query, ServiceEntry, Status, Weights};
use weir_template::Template;

use wanted::{Choice, Inputs, Outcome, Renderer};

#[path = "../../service/weir/src/pool_loop/culprits.rs"]
#[allow(dead_code, unused_imports)]
mod culprits;
#[path = "../../service/weir/src/pool_loop/servers.rs"]
#[allow(dead_code, unused_imports)]
mod servers;
#[path = "../../service/weir/src/pool_loop/wanted.rs"]
#[allow(dead_code, unused_imports)]
mod wanted;

/// What those modules want of the daemon's configuration.
mod config {
    pub(crate) type Environment = std::collections::BTreeMap<String, String>;
}

/// What they want of its status.
mod status {
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct LeftOut {
        pub(crate) service: String,
        pub(crate) instance: String,
        pub(crate) node: String,
        pub(crate) place: String,
        pub(crate) reason: String,
    }
}

fn main() {
    println!("| services × instances | template | parse | first | change | least | render | sections | RSS |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let form = std::env::var("WEIR_BENCH_TEMPLATE").ok();
    let form = form.as_deref();
    for (services, instances) in sizes() {
        let written = one_by_one(services);
        let forms = [("one by one", &written), ("one loop", &one_loop())];
        for (name, source) in forms.into_iter().filter(|(name, _)| form.is_none_or(|form| form == name)) {
            measure(services, instances, name, source);
        }
    }
}

fn sizes() -> Vec<(usize, usize)> {
    let sizes =
        std::env::var("WEIR_BENCH_SIZES").unwrap_or_else(|_| "10x10,100x10,1000x5,200x100".to_owned());
    let parse = |size: &str| -> Option<(usize, usize)> {
        let (services, instances) = size.trim().split_once('x')?;
        Some((services.parse().ok()?, instances.parse().ok()?))
    };
    sizes.split(',').map(|size| parse(size).expect("WEIR_BENCH_SIZES is like 10x10,100x5")).collect()
}

fn changes() -> usize {
    std::env::var("WEIR_BENCH_CHANGES").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

const HEAD: &str = "global\n    maxconn 20000\n\ndefaults base\n    mode http\n    timeout connect 2s\n    timeout client 30s\n    \
                    timeout server 30s\n\nfrontend web from base\n    bind :80\n    default_backend s0\n\n";
const SERVER: &str = "    server {{Server}} {{Address}}:{{Port}} id {{ServerId}} check inter 2s\n";

fn one_by_one(services: usize) -> String {
    let backend = |n: usize| {
        format!(
            "backend s{n} from base\n    balance leastconn\n{{{{#each (service \"s{n}\")}}}}{SERVER}{{{{/each}}}}\n"
        )
    };
    std::iter::once(HEAD.to_owned()).chain((0..services).map(backend)).collect()
}

fn one_loop() -> String {
    format!(
        "{HEAD}{{{{#each (services)}}}}\nbackend {{{{Name}}}} from base\n    balance leastconn\n\
         {{{{#each (service Name)}}}}{SERVER}{{{{/each}}}}\n{{{{/each}}}}\n"
    )
}

/// The outside of the renderer: what Consul says, and what is in force.
struct World {
    template: Arc<Template>,
    catalogue: Arc<Catalogue>,
    last_good: Arc<Catalogue>,
    in_force: Arc<Pools>,
    renderer: Renderer,
    guard: Guard,
}

impl World {
    /// One turn; what is wanted comes into force at once. Returns the text.
    fn turn(&mut self) -> Arc<str> {
        let choices = [Choice {
            destination: Path::new("/etc/haproxy/haproxy.cfg"),
            kind: OutputKind::Haproxy,
            template: Some(&self.template),
            edited: false,
            in_force: &self.in_force,
        }];
        let environment = BTreeMap::new();
        let inputs = Inputs {
            choices: &choices,
            catalogue: &self.catalogue,
            last_good: &self.last_good,
            environment: &environment,
            may_be_empty: &|_| false,
        };
        let mut wanted = self.renderer.want(&inputs, &mut self.guard);
        self.last_good = wanted.effective;
        let Some(Outcome::Text { text, pools, .. }) = wanted.outcomes.pop() else { panic!("no text") };
        self.in_force = pools;
        text
    }

    /// What came in from Consul: a new list for one service.
    fn change(&mut self, services: usize, instances: usize, turn: usize) {
        let service = turn * 7 % services;
        let mut list: Vec<Instance> = (0..instances).map(|n| instance(service, n)).collect();
        let changed = turn % instances;
        list[changed].address = format!("10.200.{}.{}", turn / 250, turn % 250);
        list.sort_by(|a, b| (&a.address, a.port).cmp(&(&b.address, b.port)));
        let mut catalogue = Catalogue::clone(&self.catalogue);
        catalogue.insert(query(service), Answer::Instances(list.into()));
        self.catalogue = Arc::new(catalogue);
    }
}

fn measure(services: usize, instances: usize, name: &str, source: &str) {
    let parse = || Arc::new(Template::parse("t.hbs", source).expect("a template"));
    let (parsing, template) = timed(parse);
    let catalogue = Arc::new(catalogue(services, instances));
    let mut world = World {
        template,
        last_good: catalogue.clone(),
        catalogue,
        in_force: Arc::default(),
        renderer: Renderer::default(),
        guard: Guard::default(),
    };
    let alone = parse();
    let (first, mut text) = timed(|| world.turn());
    alone.render(&world.catalogue, &BTreeMap::new()).expect("a text");
    let mut sections = Sections::parse(text.clone());
    let (mut whole, mut render, mut parsed) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..changes() {
        let before = text.clone();
        let (time, new) = timed(|| {
            world.change(services, instances, turn);
            world.turn()
        });
        assert!(before != new, "a change that changes nothing");
        whole.push(time);
        text = new;
        let (time, rendered) = timed(|| alone.render(&world.catalogue, &BTreeMap::new()).expect("a text"));
        assert!(*rendered.text == *text, "two ways to one text");
        render.push(time);
        let (time, again) = timed(|| sections.parse_again(text.clone()));
        sections = again;
        parsed.push(time);
    }
    let [(whole, least), (render, _), (parsed, _)] = [whole, render, parsed].map(middle);
    println!(
        "| {services} × {instances} | {name} | {} | {} | {whole} | {least} | {render} | {parsed} | {} MiB |",
        parsing.as_micros(),
        first.as_micros(),
        rss().map_or_else(|| "?".to_owned(), |kib| (kib / 1024).to_string())
    );
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let result = work();
    (started.elapsed(), result)
}

/// Median and tenth percentile, in µs: the machine may have other things to do.
fn middle(mut times: Vec<Duration>) -> (u128, u128) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_micros();
    (at(50), at(10))
}

/// What this process has in memory, in KiB.
fn rss() -> Option<usize> {
    let own = std::process::id().to_string();
    let output = Command::new("ps").args(["-o", "rss=", "-p", &own]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn query(service: usize) -> Query {
    Query::Service { name: format!("s{service}"), datacenter: None }
}

fn catalogue(services: usize, instances: usize) -> Catalogue {
    let list = |service: usize| -> Vec<Instance> { (0..instances).map(|n| instance(service, n)).collect() };
    let answers = (0..services).map(|service| (query(service), Answer::Instances(list(service).into())));
    let names: BTreeSet<String> = (0..services).map(|service| format!("s{service}")).collect();
    let entries: Vec<ServiceEntry> =
        names.into_iter().map(|name| ServiceEntry { name, tags: vec!["http".into()] }).collect();
    answers.chain([(Query::Services { datacenter: None }, Answer::Services(entries.into()))]).collect()
}

/// As Nomad registers it.
fn instance(service: usize, n: usize) -> Instance {
    let check = |id: &str| Check { check_id: id.into(), name: id.into(), status: Status::Passing };
    Instance {
        id: format!("_nomad-task-0b4d3c2e-{service}-{n}-group-web-s{service}-http"),
        name: format!("s{service}"),
        address: format!("10.{}.{}.{}", 100 + n / 250, service / 250, service % 250),
        port: u16::try_from(2_000 + n).expect("a port"),
        tags: vec!["blue".into(), "http".into()],
        service_meta: BTreeMap::from([
            ("external-source".into(), "nomad".into()),
            ("version".into(), "1".into()),
        ]),
        service_tagged_addresses: BTreeMap::from([("lan_ipv4".into(), "10.0.0.1:80".into())]),
        weights: Weights::default(),
        node: format!("node-{}", n % 20),
        node_id: "f2e1a9c4-9d0e-4e0f-8a59-3f5f0f0d7c55".into(),
        node_address: format!("10.0.0.{}", n % 20),
        node_meta: BTreeMap::from([("consul-network-segment".into(), String::new())]),
        node_tagged_addresses: BTreeMap::from([
            ("lan".into(), "10.0.0.1".into()),
            ("wan".into(), "10.0.0.1".into()),
        ]),
        datacenter: "dc1".into(),
        status: Status::Passing,
        checks: vec![check("serfHealth"), check("_nomad-check-4e1b0a")],
    }
}
