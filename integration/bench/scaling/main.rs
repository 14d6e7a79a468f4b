//! A step of traffic on a job that weir scales: what became of the requests, and what that took.
//!
//! The load and the job are those of "The whole job: pool and scaling": Poisson arrivals at 60 a second for 30 s, 300 for
//! 60 s, 60 for 90 s; a request takes 50 ms on average (exponentially distributed), every hundredth 8 s. Instances need
//! 3 s to start, do 5 requests at once by HAProxy's `maxconn`, and end at once when they are told to. The policy names its
//! source and its strategy and nothing else. On a real Nomad with `raw_exec` and a real Consul where there are both, else
//! on the devcluster. Prints tables in Markdown: each run, its actions, and the medians.
//!
//! `WEIR_BENCH_RUNS=3`; `WEIR_BENCH_BALANCERS=1`: load balancers that share the load (each gets its part of the 5);
//! `WEIR_BENCH_CALM=30`: seconds of calm before the step; `WEIR_BENCH_RISE=0`: seconds in which the step rises;
//! `WEIR_BENCH_LONG=8`: seconds that a long request takes, where more are for fewer of them;
//! `WEIR_BENCH_REASONS=1`: every decision is printed; `WEIR_BENCH_NOMAD=real` or `devcluster` instead of what there is.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench ends at the first thing that does not work, and prints its result"
)]

#[path = "../../rig/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use more of the rig")]
mod rig;
#[path = "../usage.rs"]
#[expect(dead_code, reason = "another bench asks for CPU time")]
mod usage;

mod ground;
mod outcome;
mod settings;
mod traffic;
mod watch;

use ground::Ground;
use outcome::Outcome;
use rig::instance;
use settings::Settings;
use traffic::Traffic;
use watch::Watch;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if std::env::var_os(instance::PORT).is_some() {
        return runtime.block_on(instance::serve_as_a_task());
    }
    runtime.block_on(bench(&Settings::read()));
}

async fn bench(settings: &Settings) {
    println!("On {}, {} load balancer(s):\n", settings.nomad.name(), settings.balancers);
    println!("{}", Outcome::HEAD);
    let mut outcomes = Vec::new();
    for run in 1..=settings.runs {
        let outcome = one(settings).await;
        println!("| {run} {}", outcome.row());
        outcomes.push(outcome);
    }
    println!("| median {}", Outcome::median(&outcomes));
}

/// One run, from nothing.
async fn one(settings: &Settings) -> Outcome {
    let mut ground = Ground::new(settings).await;
    ground.wait_steady().await;
    let watch = Watch::start(&ground, settings);
    let traffic = Traffic::start(settings, &ground.fronts());
    let seen = tokio::select! {
        seen = traffic.finish() => seen,
        never = ground.say_reasons() => match never {},
    };
    // What follows the load still belongs to it: the last instances go a window later.
    ground.wait_steady().await;
    let watched = watch.stop().await;
    Outcome { seen, watched, reloads: ground.reloads().await }
}
