//! One voice in a policy: where it looks, when it speaks, what its silence means.

use std::time::Duration;

use serde::Serialize;

use super::strategy::Strategy;
use crate::schedule::Schedule;

/// One voice in a policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Its label.
    pub label: String,
    /// The group of checks that it votes in; empty for the common one.
    pub group: String,
    /// Where it looks.
    pub source: Source,
    /// Over what time.
    pub window: Window,
    /// How long ago that time ends: a source's newest values may still change.
    pub offset: Duration,
    /// What it does to the others when it cannot vote; the policy's `on_check_error` where it does not say.
    pub on_error: Option<OnCheckError>,
    /// When it votes; always, with none.
    pub schedules: Vec<Schedule>,
    /// How it gets from what it sees to a count.
    pub strategy: Strategy,
}

/// The time that a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The value now.
    Instant,
    /// All values of the last so long.
    Span(Duration),
}

impl Window {
    /// As in the Nomad Autoscaler (`policy/source.go`).
    pub const DEFAULT: Self = Self::Span(Duration::from_mins(1));

    /// Its length.
    pub fn span(self) -> Duration {
        match self {
            Self::Instant => Duration::ZERO,
            Self::Span(span) => span,
        }
    }
}

/// What a check that cannot vote does to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCheckError {
    /// The others may still raise the count; none may lower it.
    #[default]
    Ignore,
    /// Nothing is done, other than to keep `min` and `max`.
    Fail,
}

/// Where a check looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Every HAProxy process of the cluster.
    Haproxy(Signal),
    /// A Prometheus server, asked this.
    Prometheus(String),
    /// Nomad's statistics of the group's allocations.
    Nomad(NomadMetric),
    /// Nowhere: the strategy needs no number.
    Nothing,
}

/// What HAProxy knows about a group, by its name in `query`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Work in the system: sessions served and requests waiting.
    Concurrency,
    /// The same for each instance that serves.
    ConcurrencyPerServer,
    /// Requests waiting.
    Queue,
    /// Requests that arrive, a second.
    Rate,
    /// The share of the slots that are busy, 0 to 1.
    Busy,
    /// Responses 5xx a second.
    Errors,
}

impl Signal {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 6] = [
        ("busy", Self::Busy),
        ("concurrency", Self::Concurrency),
        ("concurrency_per_server", Self::ConcurrencyPerServer),
        ("errors", Self::Errors),
        ("queue", Self::Queue),
        ("rate", Self::Rate),
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal)
    }

    /// Whether it is a sum over all instances, rather than something that each has.
    pub fn is_total(self) -> bool {
        !matches!(self, Self::ConcurrencyPerServer | Self::Busy)
    }
}

/// A query of the source `nomad`, such as `avg_cpu` (`policy/policy.go` of the Nomad Autoscaler).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NomadMetric {
    /// What is made of the values of all allocations.
    pub statistic: Statistic,
    /// Of what.
    pub resource: Resource,
    /// Whether it is a share of what the allocation was given, rather than of the node.
    pub allocated: bool,
}

/// What is made of many values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Their mean.
    Avg,
    /// The greatest.
    Max,
    /// The least.
    Min,
    /// Their sum.
    Sum,
}

/// What an allocation uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

impl NomadMetric {
    /// What `query` names.
    pub fn named(query: &str) -> Option<Self> {
        let (statistic, rest) = query.split_once('_')?;
        let statistic = match statistic {
            "avg" => Statistic::Avg,
            "max" => Statistic::Max,
            "min" => Statistic::Min,
            "sum" => Statistic::Sum,
            _ => return None,
        };
        let (resource, allocated) = match rest {
            "cpu" => (Resource::Cpu, false),
            "cpu-allocated" => (Resource::Cpu, true),
            "memory" => (Resource::Memory, false),
            "memory-allocated" => (Resource::Memory, true),
            _ => return None,
        };
        Some(Self { statistic, resource, allocated })
    }
}
