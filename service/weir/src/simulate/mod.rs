//! `weir simulate`: what a policy would do under a load, beside what other autoscalers would do.
//!
//! In: a policy, a trace or a made load, and how instances behave. Out: a report in HTML, or with `--suite` a
//! page of tables; and a few lines on standard output. Nothing is contacted.

mod files;
mod options;
mod policy_file;
mod suite;

use anyhow::{Context, bail};
use weir_scaling::simulate::report::{Report, Run, page};
use weir_scaling::simulate::suite::setting;
use weir_scaling::simulate::{BASELINES, Cluster, Service, Setting, Spread, Weir, baseline, run, shapes};
use weir_scaling::{Policy, Strategy};

pub(crate) use options::Options;
use options::{Instances, ServiceSpread};

/// Slots where neither the command line nor the policy says them.
const SLOTS: u64 = 10;
/// Bounds without a policy.
const BOUNDS: (u64, u64) = (2, 400);

/// Simulates, writes the report, and says what came of it.
pub(crate) fn simulate(options: &Options) -> anyhow::Result<String> {
    if options.suite {
        files::write(&options.out, &suite::page(options.traces.as_deref())?)?;
        return Ok(format!("written: {}", options.out.display()));
    }
    let policy = match &options.policy {
        Some(path) => policy_file::read(path, options.group.as_deref())?,
        None => policy_file::default(BOUNDS.0, BOUNDS.1)?,
    };
    let (title, rates) = load(options)?;
    let cluster = cluster(&options.instances, &policy)?;
    let setting = setting(rates, service(&options.instances), cluster, options.seed);
    let runs = runs(options, policy, &setting)?;
    files::write(&options.out, &page(&Report { title: &title, setting: &setting, runs: &runs }))?;
    let lines: Vec<String> = runs.iter().map(summary).collect();
    Ok(format!("{}\nwritten: {}", lines.join("\n"), options.out.display()))
}

/// The load's name and its requests a second.
fn load(options: &Options) -> anyhow::Result<(String, Vec<f64>)> {
    if let Some(path) = &options.trace {
        let trace = files::trace(path, options.unit.map(Into::into))?.scaled(options.scale);
        let trace = if options.busiest_day { trace.busiest_day() } else { trace };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok((name, trace.rates()));
    }
    let name = options.shape.as_deref().unwrap_or_default();
    let shapes = shapes();
    let names: Vec<&str> = shapes.iter().map(|shape| shape.name).collect();
    let shape = shapes.iter().find(|shape| shape.name == name);
    let shape = shape.with_context(|| format!("--shape {name}: choose one of {}", names.join(", ")))?;
    let rates = shape.rates.iter().map(|rate| rate * options.scale).collect();
    Ok((format!("{name}: {}", shape.about), rates))
}

fn service(instances: &Instances) -> Service {
    let spread = match instances.spread {
        ServiceSpread::Exponential => Spread::Exponential,
        ServiceSpread::Fixed => Spread::Fixed,
    };
    let long = instances.long_every.zip(instances.long_time.map(|time| time.as_secs_f64()));
    Service { mean: instances.service_time.as_secs_f64(), spread, long }
}

fn cluster(instances: &Instances, policy: &Policy) -> anyhow::Result<Cluster> {
    let of_check = policy.checks.iter().find_map(|check| match &check.strategy {
        Strategy::Concurrency(options) => options.slots,
        _ => None,
    });
    let written = of_check.or(policy.slots).unwrap_or(SLOTS);
    let slots = instances.slots.map_or_else(|| u32::try_from(written), Ok).context("slots are too many")?;
    if policy.max == 0 {
        bail!("with max = 0 there is nothing to simulate");
    }
    let deployments = (!instances.no_deployments).then_some(instances.min_healthy_time);
    Ok(Cluster {
        slots,
        start: instances.start_time.as_secs_f64(),
        check: instances.check_interval.as_secs_f64(),
        min_healthy: deployments.map(|time| time.as_secs_f64()),
        shutdown_delay: instances.shutdown_delay.as_secs_f64(),
        min: policy.min.max(1),
        max: policy.max,
        initial: policy.min.max(1),
    })
}

/// The policy first, then the others in the order they were asked for.
fn runs(options: &Options, policy: Policy, setting: &Setting) -> anyhow::Result<Vec<Run>> {
    let name = policy.checks.first().map_or("min and max only", |check| check.strategy.name());
    let mut weir = Weir::new(policy, &setting.cluster);
    let outcome = run(setting, &mut weir);
    let mut runs = vec![Run { scaler: format!("Weir: {name}"), outcome, reasons: weir.reasons().to_vec() }];
    for name in &options.against {
        let mut other = baseline(name, &setting.cluster)
            .with_context(|| format!("--against {name}: choose from {}", BASELINES.join(", ")))?;
        let outcome = run(setting, other.as_mut());
        runs.push(Run { scaler: name.clone(), outcome, reasons: Vec::new() });
    }
    Ok(runs)
}

fn summary(run: &Run) -> String {
    let outcome = &run.outcome;
    format!(
        "{:<20} {:>9} requests, {:6.2} % late, {:8.2} instance-hours, {} changes, at most {} instances",
        run.scaler,
        outcome.requests,
        outcome.late_percent(),
        outcome.instance_hours(),
        outcome.actions.len(),
        outcome.peak
    )
}

#[cfg(test)]
mod tests;
