//! What weir costs, beside the floor, the bare loop and consul-template: CPU time per change, idle, memory; and in a burst.

use std::time::{Duration, Instant};

use crate::ground::Ground;
use crate::programs::Running;
use crate::rig::site::{SERVERS, Site};
use crate::rig::{burst, wait_closely};
use crate::settings::Settings;
use crate::times::millis;
use crate::usage::{Cpu, resident};
use crate::{DEFAULT_LIMIT, RAISED_LIMIT};

/// Between one change and the next: soon enough for 300 of them, late enough that each is one by itself.
const PAUSE: Duration = Duration::from_millis(100);
/// What follows a change, such as the file and its validation, has ended by then.
const REST: Duration = Duration::from_secs(3);

/// Prints what each size costs.
pub(crate) async fn cost(settings: &Settings) {
    println!(
        "\n| services × instances | program | CPU per change | of programs it runs | CPU idle, per second | memory | \
         reloads for {} changes | HAProxy's worker |\n|---|---|---|---|---|---|---|---|",
        settings.cost_changes
    );
    for size in &settings.sizes {
        for program in ["floor", "bare", "weir"].into_iter().filter(|program| settings.has_program(program)) {
            let mut ground = Ground::new(*size, DEFAULT_LIMIT).await;
            let running = match program {
                "floor" => Running::floor(&ground).await,
                "bare" => Running::bare(&ground).await,
                _ => Running::weir(&ground).await,
            };
            measure(settings, &mut ground, &running).await;
        }
        if settings.has_program("consul-template") && crate::consul_template().is_some() {
            let mut ground = Ground::new(*size, RAISED_LIMIT).await;
            let running = Running::consul_template(&ground).await;
            measure(settings, &mut ground, &running).await;
        }
    }
}

/// CPU time and how long it was measured.
struct Spent {
    cpu: Option<Cpu>,
    over: Duration,
}

/// What is used while `work` is done, by who has this CPU time.
async fn spent(cpu: impl Fn() -> Option<Cpu>, work: impl Future<Output = ()>) -> Spent {
    let (before, begin) = (cpu(), Instant::now());
    work.await;
    let cpu = cpu().zip(before).map(|(after, before)| after.since(before));
    Spent { cpu, over: begin.elapsed() }
}

async fn measure(settings: &Settings, ground: &mut Ground, running: &Running) {
    let cpu = || running.cpu();
    let before = generation(running).await;
    tokio::time::sleep(REST).await;
    let busy = spent(cpu, async {
        ground.changes(settings.cost_changes, PAUSE).await;
        tokio::time::sleep(REST).await;
    })
    .await;
    let memory = running.pid().and_then(resident);
    let after = generation(running).await;
    let idle = spent(cpu, tokio::time::sleep(busy.over)).await;
    println!(
        "| {} × {} | {} | {} | {} | {} | {} |",
        ground.size.0,
        ground.size.1,
        running.name(),
        cpu_cells(&busy, &idle, settings.cost_changes),
        memory.map_or_else(unknown, |mib| format!("{mib:.0} MiB")),
        after.zip(before).map_or_else(unknown, |(after, before)| (after.0 - before.0).to_string()),
        after.zip(before).map_or_else(unknown, |(after, before)| worker(after.1 == before.1)),
    );
}

fn unknown() -> String {
    "not known".to_owned()
}

fn worker(is_same: bool) -> String {
    if is_same { "the same" } else { "another" }.to_owned()
}

/// Weir's reloads and HAProxy's worker; `None` for others.
async fn generation(running: &Running) -> Option<(u64, u32)> {
    let Running::Weir { weir, haproxy } = running else { return None };
    let generation = weir.generation(haproxy).await;
    Some((generation.reloads, generation.worker))
}

fn cpu_cells(busy: &Spent, idle: &Spent, changes: usize) -> String {
    let Some((used, rest)) = busy.cpu.zip(idle.cpu) else {
        return [unknown(), unknown(), unknown()].join(" | ");
    };
    let per_change = |busy: Duration, idle: Duration| {
        let share = busy.saturating_sub(idle).as_secs_f64() / changes as f64;
        format!("{:.2} ms", share * 1000.0)
    };
    let per_second = rest.own.as_secs_f64() / idle.over.as_secs_f64();
    format!(
        "{} | {} | {:.1} ms",
        per_change(used.own, rest.own),
        per_change(used.children, rest.children),
        per_second * 1000.0
    )
}

/// Changes in a burst, one every 10 ms.
const BURST: usize = 1000;

/// Prints what a burst costs.
pub(crate) async fn burst() {
    let mut site = Site::new().await.expect("Consul and HAProxy are needed");
    site.log_level = "info";
    burst::prepare(&site).await;
    let template = site.template(SERVERS);
    let (weir, haproxy) = site.up_with(&template).await;
    let before = weir.generation(&haproxy).await;
    tokio::time::sleep(REST).await;
    let mut outcome = None;
    let used = spent(|| Cpu::of(weir.pid()), async { outcome = Some(burst::run(&site, BURST).await) }).await;
    let burst = outcome.expect("the burst is over");
    wait_closely("all is settled", Duration::from_mins(1), async || burst.is_settled(&haproxy).await).await;
    let settled = burst.last.elapsed();
    let after = weir.generation(&haproxy).await;
    let share = used.cpu.map_or_else(unknown, |cpu| {
        format!("{:.0} %", cpu.own.as_secs_f64() / used.over.as_secs_f64() * 100.0)
    });
    println!(
        "\n| changes | in | weir's share of a core | settled after the last | reloads | HAProxy's worker |\n\
         |---|---|---|---|---|---|\n| {BURST} | {:.1} s | {share} | {} | {} | {} |",
        burst.took.as_secs_f64(),
        millis(settled),
        after.reloads - before.reloads,
        worker(after.worker == before.worker),
    );
}
