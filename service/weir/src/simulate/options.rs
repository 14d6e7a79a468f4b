//! What `weir simulate` is told on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use weir_scaling::simulate::trace::Unit;

use crate::cli::duration;

/// A load, instances, a policy, and where the report goes.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("load").required(true).args(["trace", "shape", "suite"]))]
pub(crate) struct Options {
    /// A Nomad job file, or a file with one `scaling` block. Without it, strategy concurrency as it is by
    /// default.
    #[arg(long, value_name = "FILE", conflicts_with = "suite")]
    pub(super) policy: Option<PathBuf>,
    /// The group whose policy it is, where the job has several.
    #[arg(long, requires = "policy")]
    pub(super) group: Option<String>,
    /// Recorded traffic: CSV with a time and a number on each line, or a log of HAProxy.
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
    /// A load that is made: step, sawtooth, flash-crowd, slow-ramp, constant-low, on-off or noisy.
    #[arg(long, value_name = "NAME")]
    pub(super) shape: Option<String>,
    /// All made loads and all traces of --traces, at the default policy, against all others; the page goes to
    /// --out.
    #[arg(long)]
    pub(super) suite: bool,
    /// A directory of CSV files for --suite.
    #[arg(long, value_name = "DIR", requires = "suite")]
    pub(super) traces: Option<PathBuf>,
    /// What the numbers of the trace are; the header tells otherwise.
    #[arg(long, requires = "trace")]
    pub(super) unit: Option<TraceUnit>,
    /// Times so many requests.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = positive)]
    pub(super) scale: f64,
    /// Only the busiest day of the trace.
    #[arg(long, requires = "trace")]
    pub(super) busiest_day: bool,
    #[command(flatten)]
    pub(super) instances: Instances,
    /// Others to compare with: hpa (Kubernetes), kpa (Knative), target-value (Nomad Autoscaler).
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) against: Vec<String>,
    /// Another number, another sequence of arrivals.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Where the report goes.
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) out: PathBuf,
}

/// How instances and what is around them behave.
#[derive(Debug, Args)]
pub(super) struct Instances {
    /// How long an instance works on a request, in the mean.
    #[arg(long, default_value = "100ms", value_parser = duration)]
    pub(super) service_time: Duration,
    /// How that is spread.
    #[arg(long, value_enum, default_value_t = ServiceSpread::Exponential)]
    pub(super) spread: ServiceSpread,
    /// Every so many requests, one takes --long-time.
    #[arg(long, value_name = "NUMBER", requires = "long_time", value_parser = at_least_one)]
    pub(super) long_every: Option<u64>,
    /// How long the long ones take.
    #[arg(long, value_name = "DURATION", requires = "long_every", value_parser = duration)]
    pub(super) long_time: Option<Duration>,
    /// What an instance can do at once; otherwise the policy's slots, or 10.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) slots: Option<u32>,
    /// From the placement of an instance until it answers.
    #[arg(long, default_value = "20s", value_parser = duration)]
    pub(super) start_time: Duration,
    /// Between two checks.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(super) check_interval: Duration,
    /// How long a deployment wants new instances healthy: Nomad refuses to scale until then.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(super) min_healthy_time: Duration,
    /// Nomad never refuses to scale, as with `max_parallel = 0`.
    #[arg(long, conflicts_with = "min_healthy_time")]
    pub(super) no_deployments: bool,
    /// How long a stopped instance lives at least.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub(super) shutdown_delay: Duration,
}

/// What the numbers of a trace are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TraceUnit {
    /// Requests in each period.
    Count,
    /// Requests a second.
    Rate,
}

impl From<TraceUnit> for Unit {
    fn from(unit: TraceUnit) -> Self {
        match unit {
            TraceUnit::Count => Self::Count,
            TraceUnit::Rate => Self::Rate,
        }
    }
}

/// How service times are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ServiceSpread {
    Exponential,
    Fixed,
}

fn at_least_one(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "write a whole number from 1".into())
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "write a number above 0, such as 2.5".into())
}
