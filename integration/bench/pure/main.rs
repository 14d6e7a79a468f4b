//! What a change costs before any socket or file: parse, plan, render.
//!
//! One template with so many pools × servers (`check inter 2s maxconn 20`), a catalogue to match, and an HAProxy that runs
//! what is rendered. Each step is taken from nothing, as at a start, and again after one change (one instance more in one
//! service), as in a normal turn. Prints a table in Markdown: the median CPU time of so many repetitions,
//! fewer where they take long.
//! `WEIR_BENCH_SIZES=10x10,5000x1` and `WEIR_BENCH_REPEAT=101` change what is measured.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench ends at the first thing that does not work, and prints its result"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use haproxy_cfg::{Document, Sections};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use weir_pools::plan::{
    Admin, Can, Cause, CheckState, Memory, Observed, ObservedServer, Options, Plan, Situation, WakeServers,
    Wishes, plan, plan_touched,
};
use weir_pools::{Answer, Catalogue, Instance, Query};
use weir_template::Template;

fn main() {
    println!("| step | {} |", heads().join(" | "));
    println!("|---|{}", "---|".repeat(sizes().len()));
    let columns: Vec<Vec<(&str, Duration)>> =
        sizes().into_iter().map(|size| World::new(size).measure()).collect();
    let Some(first) = columns.first() else { return };
    for (row, (step, _)) in first.iter().enumerate() {
        let cells: Vec<String> = columns.iter().map(|column| shown(column[row].1)).collect();
        println!("| {step} | {} |", cells.join(" | "));
    }
}

fn sizes() -> Vec<(usize, usize)> {
    let text = std::env::var("WEIR_BENCH_SIZES").unwrap_or_else(|_| "10x10,100x10,1000x5,200x100".to_owned());
    let parse = |size: &str| -> Option<(usize, usize)> {
        let (pools, servers) = size.trim().split_once('x')?;
        Some((pools.parse().ok()?, servers.parse().ok()?))
    };
    text.split(',').map(|size| parse(size).expect("WEIR_BENCH_SIZES is like 10x10,100x5")).collect()
}

fn heads() -> Vec<String> {
    sizes().iter().map(|(pools, servers)| format!("{pools} × {servers}")).collect()
}

fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1000.0 { format!("{micros:.0} µs") } else { format!("{:.2} ms", micros / 1000.0) }
}

/// CPU time of this thread: what else the machine does counts for little.
fn used() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a thread has a clock");
    Duration::from(time)
}

/// How long one step is repeated at most, after the first few times.
const PATIENCE: Duration = Duration::from_secs(3);
const FEW: usize = 5;

/// The median time of a piece of work; what it needs is made anew each time, outside of the measured time.
fn median<T, R>(mut prepare: impl FnMut() -> T, mut work: impl FnMut(&T) -> R) -> Duration {
    let most = std::env::var("WEIR_BENCH_REPEAT").ok().and_then(|text| text.parse().ok()).unwrap_or(101);
    let mut times = Vec::new();
    let started = Instant::now();
    while times.len() < FEW || (times.len() < most && started.elapsed() < PATIENCE) {
        let given = black_box(prepare());
        let begin = used();
        let result = black_box(work(&given));
        times.push(used().saturating_sub(begin));
        drop(result);
    }
    times.sort();
    times[times.len() / 2]
}

/// Everything of one size, before and after the change.
struct World {
    template: String,
    before: Catalogue,
    after: Catalogue,
    text: Arc<str>,
    changed: Arc<str>,
    observed: Observed,
}

impl World {
    fn new((pools, servers): (usize, usize)) -> Self {
        let template = template(pools);
        let before: Catalogue = (0..pools).map(|pool| answer(pool, servers)).collect();
        let mut after = before.clone();
        let (query, more) = answer(pools / 2, servers + 1);
        after.insert(query, more);
        let [text, changed] = [&before, &after].map(|catalogue| render(&parsed(&template), catalogue));
        let observed = observed(&before);
        Self { template, before, after, text, changed, observed }
    }

    fn measure(&self) -> Vec<(&'static str, Duration)> {
        let env = Arc::default();
        let loaded = [Sections::parse(&*self.text)];
        let wanted = [loaded[0].parse_again(&*self.changed)];
        let warm = || {
            let template = parsed(&self.template);
            render(&template, &self.before);
            template
        };
        let touched = BTreeSet::new();
        vec![
            ("parse the template", median(|| (), |()| parsed(&self.template))),
            ("render", median(|| parsed(&self.template), |template| template.render(&self.before, &env))),
            ("render again after a change", median(warm, |template| template.render(&self.after, &env))),
            ("parse (`Document`)", median(|| self.text.clone(), |text| Document::parse(&**text))),
            ("parse (`Sections`)", median(|| (), |()| Sections::parse(&*self.text))),
            ("parse again after a change", median(|| (), |()| loaded[0].parse_again(&*self.changed))),
            ("plan, nothing to do", median(|| (), |()| self.plan(&loaded, &loaded, plan))),
            ("plan for a change, all pools", median(|| (), |()| self.plan(&loaded, &wanted, plan))),
            (
                "plan for a change, that pool",
                median(
                    || (),
                    |()| self.plan(&loaded, &wanted, |situation| plan_touched(situation, &touched)),
                ),
            ),
        ]
    }

    fn plan(&self, loaded: &[Sections], wanted: &[Sections], plan: impl Fn(&Situation<'_>) -> Plan) -> Plan {
        let plan = plan(&Situation {
            loaded,
            wanted,
            observed: &self.observed,
            memory: &Memory::default(),
            can: Can { version: (2, 6, 12) },
            options: &Options::default(),
            cause: &|_| Cause::Gone,
            wishes: &Wishes::default(),
            wake: &WakeServers::default(),
            is_unsure: false,
            is_file_behind: false,
            now: SystemTime::UNIX_EPOCH,
        });
        assert_eq!(plan.reload, None, "the bench is about commands");
        plan
    }
}

fn template(pools: usize) -> String {
    let mut text =
        String::from("defaults\n    mode http\n    timeout connect 2s\nfrontend front\n    bind :80\n");
    for pool in 0..pools {
        let _ = write!(
            text,
            "backend s{pool}\n    balance leastconn\n    option httpchk GET /health\n\
             {{{{#each (service \"s{pool}\")}}}}    server {{{{Server}}}} {{{{Address}}}}:{{{{Port}}}} id {{{{ServerId}}}} \
             maxconn 20 check inter 2s\n{{{{/each}}}}"
        );
    }
    text
}

fn parsed(source: &str) -> Template {
    Template::parse("bench", source).expect("the template is right")
}

fn render(template: &Template, catalogue: &Catalogue) -> Arc<str> {
    template.render(catalogue, &Arc::default()).expect("it renders").text
}

fn answer(pool: usize, servers: usize) -> (Query, Answer) {
    let name = format!("s{pool}");
    let instances: Vec<Instance> = (0..servers).map(|server| instance(&name, pool, server)).collect();
    (Query::Service { name, datacenter: None }, Answer::Instances(instances.into()))
}

fn instance(name: &str, pool: usize, server: usize) -> Instance {
    // No two pools have an address in common, and none has more servers than this.
    let number = pool * 8192 + server;
    let address = format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
    let fields = json!({
        "ID": format!("{name}-{server}"), "Name": name, "Address": address, "Port": 8080, "Tags": ["blue", "http"],
        "ServiceMeta": {"zone": "z1"}, "ServiceTaggedAddresses": {}, "Weights": {"Passing": 1, "Warning": 1},
        "Node": format!("n{server}"), "NodeID": "", "NodeAddress": "10.0.0.1", "NodeMeta": {},
        "NodeTaggedAddresses": {}, "Datacenter": "dc1", "Status": "passing", "Checks": [],
    });
    serde_json::from_value(fields).expect("these are an instance's fields")
}

/// An HAProxy that runs all of it.
fn observed(catalogue: &Catalogue) -> Observed {
    let mut observed = Observed::default();
    for (query, answer) in catalogue.iter() {
        let (Query::Service { name, .. }, Answer::Instances(instances)) = (query, answer) else { continue };
        let ids = weir_pools::server_ids(instances.iter().map(|instance| instance.id.as_str()));
        for instance in instances.iter() {
            let state = ObservedServer {
                id: ids[instance.id.as_str()],
                address: instance.socket_addr(),
                weight: 1,
                maxconn: 20,
                admin: Admin::Ready,
                is_down: false,
                check: CheckState::Passed,
                sessions: 0,
                is_backup: false,
            };
            observed.insert(name.clone(), instance.server(), state);
        }
    }
    observed
}
