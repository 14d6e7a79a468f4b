//! Change in Consul → first answer of the new port through HAProxy: weir beside the floor and consul-template.
//!
//! One probe service whose single instance is registered at another port again and again, N services × M instances
//! beside it in the same template, each program on the same Consul. The floor is a loop that sets an address and does
//! nothing else. consul-template's command validates and reloads through the master socket; it gets a Consul with a raised
//! limit of connections, the others get Consul's default of 200. Prints tables in Markdown:
//! - `latency`: so many changes in each run, and the medians as multiples of the floor's in the same run;
//! - `cost`: CPU time per change without what it takes idle (Linux only), memory, reloads; also of the bare loop, which
//!   has the fewest exchanges by which a new address is a new server;
//! - `look`: the times of requests on kept connections while HAProxy is read, by weir or at once;
//! - `burst`: 1,000 changes in 10 s on a pool of 100: the share of a core, and when all is settled.
//!
//! `WEIR_BENCH_SIZES=10x10,1000x5`, `WEIR_BENCH_RUNS=3`, `WEIR_BENCH_CHANGES=30`, `WEIR_BENCH_COST_CHANGES=300`,
//! `WEIR_BENCH_PARTS=latency,cost,look,burst`, `WEIR_BENCH_PROGRAMS=floor,bare,weir,consul-template`, `WEIR_BENCH_MAX_CONNECTIONS`
//! (weir's, else 150), and `WEIR_BENCH_CONSUL_TEMPLATE` (else PATH) change what is measured. Fails where Consul or
//! HAProxy is missing.

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

mod cost;
mod floor;
mod ground;
mod look;
mod programs;
mod settings;
mod times;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use ground::{Ground, PAUSE, SETTLED};
use programs::{RELOAD, Running, consul_template};
use settings::{Settings, Size};
use times::Times;

/// Consul's default for `http_max_conns_per_client`.
const DEFAULT_LIMIT: usize = 200;
/// What consul-template needs for a thousand services.
const RAISED_LIMIT: usize = 5000;

fn main() {
    if let Some(socket) = std::env::var_os(RELOAD) {
        std::process::exit(programs::reload(&PathBuf::from(socket)));
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(bench(&Settings::read()));
}

async fn bench(settings: &Settings) {
    if settings.has_part("latency") {
        println!("| services × instances | run | program | median | p90 | p99 | median ÷ floor |");
        println!("|---|---|---|---|---|---|---|");
        for size in &settings.sizes {
            latency(settings, *size).await;
        }
    }
    if settings.has_part("cost") {
        cost::cost(settings).await;
    }
    if settings.has_part("look") {
        look::look(settings).await;
    }
    if settings.has_part("burst") {
        cost::burst().await;
    }
}

/// What was measured of one program over all runs.
#[derive(Default)]
struct Measured {
    floor: Vec<Duration>,
    weir: Vec<Duration>,
}

async fn latency(settings: &Settings, size: Size) {
    let mut ground = Ground::new(size, DEFAULT_LIMIT).await;
    let mut all = Measured::default();
    for run in 1..=settings.runs {
        let mut floor = None;
        if settings.has_program("floor") {
            let running = Running::floor(&ground).await;
            let times = row(&mut ground, settings, &run.to_string(), running, None).await;
            floor = Some(Times::new(times.clone()).median());
            all.floor.extend(times);
        }
        if settings.has_program("weir") {
            let running = Running::weir(&ground).await;
            all.weir.extend(row(&mut ground, settings, &run.to_string(), running, floor).await);
        }
    }
    let floor = (!all.floor.is_empty()).then(|| Times::new(all.floor).median());
    if !all.weir.is_empty() {
        let cells = Times::new(all.weir).cells(floor);
        println!("| {} × {} | all | weir | {cells} |", size.0, size.1);
    }
    if settings.has_program("consul-template") && consul_template().is_some() {
        drop(ground);
        let mut ground = Ground::new(size, RAISED_LIMIT).await;
        let running = Running::consul_template(&ground).await;
        row(&mut ground, settings, "1", running, floor).await;
    }
}

/// One run of one program, printed; its times.
async fn row(
    ground: &mut Ground,
    settings: &Settings,
    run: &str,
    running: Running,
    floor: Option<f64>,
) -> Vec<Duration> {
    // What a program has still to do after its start, and HAProxy's, is no part of a change.
    ground.changes(1, SETTLED).await;
    let times = ground.changes(settings.changes, PAUSE).await;
    let cells = Times::new(times.clone()).cells(floor);
    println!("| {} × {} | {run} | {} | {cells} |", ground.size.0, ground.size.1, running.name());
    times
}
